"""The package stage: objects, weights in their storages, tokenizer and manifest → the package.

manifest.json  lib/<level>.o  weights.bin  tokenizer.json  chat_template.jinja  LICENSES/
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passes.chain import Progress
from passes.fuse.pack import stored_bytes
from passes.ir.module import Module
from passes.ir.weights import ALIGNMENT, Weights
from passes.package import manifest, weights
from passes.package.licences import ModelLicence, licence_files

_WEIGHTS = "weights.bin"


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> None:
    """Options `name`, `shapes`, `threads`, `generate`; target facts `arch` and `levels`."""
    facts = json.loads((inputs["codegen"] / "codegen.json").read_text("utf-8"))
    imported = Module.load(inputs["import"]).meta
    _write_weights(inputs, facts["weights"], out, progress)
    levels = _copy_objects(inputs["codegen"], target["levels"], out)
    tokenizer = imported["tokenizer"]
    for name in (tokenizer["file"], tokenizer["chat_template"]) if tokenizer else ():
        if name is not None:
            shutil.copyfile(inputs["import"] / name, out / name)
    model = imported["model"]
    licence = ModelLicence(model["name"], model["digest"], model["license"])
    for path, text in licence_files(licence).items():
        (out / path).parent.mkdir(exist_ok=True)
        (out / path).write_text(text, "utf-8", newline="\n")
    files = manifest.record_files(out)
    keys = ("architecture", "name", "digest", "license", "context_length")
    manifest.build(
        {
            "name": options["name"],
            "arch": target["arch"].replace("-", "_"),
            "model": {key: model[key] for key in keys},
            "capacity": options["shapes"]["past"]["max"],
            "levels": levels,
            **{key: facts[key] for key in ("abi", "dims", "entries", "errors", "memory")},
            "weights": {"file": _WEIGHTS, **files[_WEIGHTS].model_dump()},
            "threads": {"max": options["threads"]["max"]},
            "tokenizer": tokenizer,
            "generate": options["generate"],
            "files": files,
        }
    ).write(out)


def _write_weights(
    inputs: Mapping[str, Path], facts: Mapping[str, Any], out: Path, progress: Progress
) -> None:
    """The weights in the order and at the places that the code was made for."""
    entries = Module.load(inputs["codegen"] / "weights").weights
    stored = Weights(inputs["import"])
    tensors = facts["tensors"]
    plan = weights.Layout(
        {name: place["at"] for name, place in tensors.items()},
        {name: place["nbytes"] for name, place in tensors.items()},
        facts["size"],
    )

    def arrays() -> Any:
        for number, name in enumerate(plan.offsets):
            progress(number / len(plan.offsets), name)
            yield name, stored_bytes(stored, entries[name])

    weights.write(out / _WEIGHTS, plan, arrays())
    if not plan.offsets:  # an empty file cannot be mapped
        (out / _WEIGHTS).write_bytes(bytes(ALIGNMENT))


def _copy_objects(
    codegen: Path, levels: list[Mapping[str, Any]], out: Path
) -> list[dict[str, Any]]:
    """Copies each level's object; gives the manifest's levels, best first."""
    (out / "lib").mkdir()
    made = []
    for facts in levels:
        name = facts["name"]
        shutil.copyfile(codegen / f"{name}.o", out / "lib" / f"{name}.o")
        made.append(
            {
                "level": name,
                "cpu_flags": facts["cpu_flags"],
                "object": f"lib/{name}.o",
                "library": f"lib/{name}.so",
            }
        )
    return made
