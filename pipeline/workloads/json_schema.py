"""The workload's schema -> JSON Schema for editors, configs/workload.schema.json.

python -m pipeline.workloads.json_schema      writes it anew
"""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.recipe.json_schema import DIALECT
from pipeline.workloads.schema import Workload

FILE = "workload.schema.json"


def schema_text() -> str:
    """The text of the file."""
    schema = Workload.model_json_schema(by_alias=True)
    return (
        json.dumps({"$schema": DIALECT, **schema, "title": "tensorkiln workload"}, indent=2) + "\n"
    )


if __name__ == "__main__":
    configs = Path(__file__).resolve().parents[2] / "configs"
    (configs / FILE).write_text(schema_text(), encoding="utf-8")
