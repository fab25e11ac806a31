"""A whole small project: this program's `pipeline`, and six stages of a few lines in `passes`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
STAGE = '''"""The {name} stage."""

{imports}

def run(*, inputs, sources, options, target, out, progress):
    """Writes one file."""
    progress(0.5, "half way")
{body}
'''
IMPORT = """\
    data = sources["model"].read_bytes()
    (out / "weights.bin").write_bytes(data.upper())
    (out / "facts.json").write_text(json.dumps(options))
"""
SHAPE = """\
    layers = (inputs["import"] / "weights.bin").read_bytes()[:5]
    (out / "shapes.txt").write_text(f"{layers} {options['shapes']['past']['max']}")
"""
FUSE = """\
    late = load("passes", "late")
    text = rule((inputs["shape"] / "shapes.txt").read_text()) + late
    (out / "graph.txt").write_text(text)
"""
PASS_ON = """\
    (source,) = inputs.values()
    (out / "text.txt").write_text(next(source.iterdir()).read_text() + "\\n{name}")
"""
PACKAGE = """\
    (out / "lib").mkdir()
    (out / "lib" / "code.o").write_text((inputs["codegen"] / "text.txt").read_text())
    shutil.copyfile(inputs["import"] / "weights.bin", out / "weights.bin")
    (out / "manifest.json").write_text(json.dumps(options, sort_keys=True))
"""
RULES = '''"""Rules."""


def rule(text: str) -> str:
    """The text, fused."""
    # A comment.
    return text + " fused"
'''
LINK = '''"""Linking."""
import shutil


def link(folder):
    shutil.copyfile(folder / "lib" / "code.o", folder / "lib" / "code.so")
'''
RUNTIME = """\
import sys

print("said", *sys.argv[1:])
"""
PYPROJECT = """\
[project]
name = "tensorkiln"

[project.entry-points."tensorkiln.passes"]
late = "passes.fuse.late:LATE"

"""
RECIPE = """\
schema: 1
model: {source: "file:model.gguf"}
target: {arch: x86-64, levels: [x86-64-v3]}
compute: f32
shapes:
  new: {min: 1, max: 8}
  past: {min: 0, max: 16}
"""
STAGES = ("import", "shape", "fuse", "search", "codegen", "package")
ROOMS = {"import": "importers"}


def _toml(name: str, table: dict[str, Any]) -> str:
    """A table of texts and tables as TOML."""
    lines = [f"{key} = {json.dumps(v)}\n" for key, v in table.items() if not isinstance(v, dict)]
    inner = [_toml(f"{name}.{key}", v) for key, v in table.items() if isinstance(v, dict)]
    return f"[{name}]\n{''.join(lines)}\n{''.join(inner)}"


class Project:
    """A project in a folder of its own, and `doit` in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        declared = tomllib.loads((REPO / "pyproject.toml").read_text())["tool"]["doit"]
        self.write("pyproject.toml", PYPROJECT + _toml("tool.doit", declared))
        shutil.copytree(REPO / "pipeline", root / "pipeline")
        shutil.copytree(REPO / "configs", root / "configs")
        self.write("pipeline/runtime/__main__.py", RUNTIME)
        self.write("recipes/toy.yaml", RECIPE)
        self.write("model.gguf", "weights of a model")
        self.write("passes/__init__.py", "")
        shutil.copyfile(REPO / "passes/plugins.py", root / "passes/plugins.py")
        self.write("passes/fuse/late.py", "LATE = ' late'\n")
        self.write("passes/fuse/rules.py", RULES)
        self.write("passes/package/link.py", LINK)
        self.stage("import", IMPORT, "import json")
        self.stage("shape", SHAPE)
        imports = "from passes.fuse.rules import rule\nfrom passes.plugins import load"
        self.stage("fuse", FUSE, imports)
        self.stage("search", PASS_ON)
        self.stage("codegen", PASS_ON)
        self.stage("package", PACKAGE, "import json\nimport shutil")

    def write(self, path: str, text: str) -> Path:
        """Writes one of the project's files."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def edit(self, path: str, old: str, new: str) -> None:
        """Changes a piece of one of the project's files."""
        text = (self.root / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def stage(self, name: str, body: str, imports: str = "") -> None:
        """Writes the module of a stage."""
        room = ROOMS.get(name, name)
        self.write(f"passes/{room}/__init__.py", "")
        text = STAGE.format(name=name, imports=imports, body=body.replace("{name}", name))
        self.write(f"passes/{room}/stage.py", text)

    def environment(self, **more: str) -> dict[str, str]:
        """An environment that does not lead back to the repository."""
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return kept | {"COLUMNS": "100"} | more

    def doit(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs doit with arguments, `more` added to its environment."""
        return subprocess.run(
            [sys.executable, "-m", "doit", *arguments],
            cwd=self.root,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts doit and does not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "doit", *arguments],
            cwd=self.root,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def package(self, name: str = "toy") -> dict[str, bytes]:
        """The files of a built package."""
        folder = self.root / "artifacts" / "builds" / name
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
