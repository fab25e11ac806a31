"""A project of its own with the real stages: what a user types, from a model file to text."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from passes.package.wheel import build_wheel
from pipeline.runtime import Package, Session
from tests.e2e.packages import REPO, best_level, error, last
from tests.reference.llama import Llama
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf
from tests.toys.project import Project

EVERYTHING = ["import", "shape", "fuse", "search", "codegen", "package", "link"]
MODEL = TinyLlama(layers=2, dim=32, heads=2, kv_heads=1, ffn=64, types="F32")
RECIPE = """\
schema: 1
model: {{source: "file:tiny.gguf"}}
target: {{arch: x86-64, levels: [{level}]}}
compute: f32
shapes:
  new: {{min: 1, max: 8}}
  past: {{min: 0, max: 32}}
entries: [prefill, decode]
generate: {{tokens: 12}}
"""
PROMPT = "hello world"


class RealProject(Project):
    """This repository's program and the recipe `tiny`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        for room in ("pipeline", "passes", "configs"):
            without = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPO / room, root / room, ignore=without)
        shutil.copyfile(REPO / "pyproject.toml", root / "pyproject.toml")
        self.write("recipes/tiny.yaml", RECIPE.format(level=best_level()))
        write_tiny_gguf(root / "tiny.gguf", MODEL)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> RealProject:
    """Built once; tests leave it so."""
    project = RealProject(tmp_path_factory.mktemp("real") / "project")
    done = project.doit("build", "recipe=tiny")
    assert (done.returncode, done.stderr) == (0, "")
    assert ran(done) == EVERYTHING
    return project


def ran(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split()[0] for line in done.stdout.splitlines() if " s, " in line]


def folder(project: RealProject, name: str = "tiny") -> Path:
    return project.root / "artifacts" / "builds" / name


def test_the_package_computes_the_model(built: RealProject) -> None:
    tokens = [5, 17, 80, 250, 260, 3, 1]
    want = Llama(built.root / "tiny.gguf").forward(tokens)
    with Session(Package(folder(built), verify=True)) as session:
        assert error(last(session, tokens), want[-1]) < 2e-4


def test_a_second_build_runs_nothing_and_is_quick(built: RealProject) -> None:
    started = time.monotonic()
    done = built.doit("build", "recipe=tiny")
    assert time.monotonic() - started < 2
    assert done.stdout == "".join(f"{name:<9} up to date\n" for name in EVERYTHING)
    assert built.doit("build", "recipe=tiny", "locked=1").returncode == 0
    done = built.doit("plan", "recipe=tiny")
    assert done.stdout == "".join(f"{name:<9} hit\n" for name in EVERYTHING)


def test_text_by_doit_by_the_runtime_and_in_python(built: RealProject) -> None:
    package = Package(folder(built))
    with Session(package) as session:
        text = "".join(session.generate(PROMPT, tokens=6))
        session.reset()
        ids = package.tokenizer.encode(PROMPT, start=True)
        tokens = list(session.generate_tokens(ids, tokens=6))
    assert tokens == Llama(built.root / "tiny.gguf").greedy(ids, 6, package.manifest.tokenizer.eos)
    done = built.doit("generate", "recipe=tiny", f"prompt={PROMPT}", "tokens=6")
    assert (done.returncode, done.stdout.rstrip("\n"), done.stderr) == (0, text.rstrip("\n"), "")
    command = [sys.executable, "-m", "pipeline.runtime", str(folder(built)), "--prompt", PROMPT]
    again = subprocess.run(
        [*command, "--tokens", "6"], cwd=built.root, capture_output=True, text=True,
        env=built.environment(),
    )  # fmt: skip
    assert (again.returncode, again.stdout, again.stderr) == (0, done.stdout, "")


def test_a_wheel_of_it(built: RealProject, tmp_path: Path) -> None:
    """Installed elsewhere, without the compiler."""
    wheel = build_wheel(folder(built), tmp_path, runtime=built.root / "pipeline" / "runtime")
    home = tmp_path / "home"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, str(home), str(wheel)], check=True)
    program = (
        f"import sys; sys.path.insert(0, {str(home)!r}); import numpy as np, tiny\n"
        "with tiny.Session(tiny.load()) as s:\n"
        "    out = s.call('prefill', tokens=np.array([[5, 17, 80]]))['logits']\n"
        "print(out[0].tolist(), 'pipeline' in sys.modules, 'llvmlite' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    numbers, compiler = done.stdout.rsplit("]", 1)
    assert compiler.split() == ["False", "False"]
    want = Llama(built.root / "tiny.gguf").forward([5, 17, 80])[-1]
    assert error(np.array(json.loads(numbers + "]"), np.float32), want) < 2e-4


@pytest.mark.slow
def test_an_override_builds_beside(built: RealProject) -> None:
    lock = (built.root / "recipes/tiny.lock.yaml").read_bytes()
    done = built.doit("build", "recipe=tiny", "shapes.past.max=48", "model.layers=1")
    assert ran(done) == EVERYTHING
    (other,) = (built.root / "artifacts/builds").glob("tiny@*")
    package = Package(other)
    assert package.manifest.capacity == 48
    tokens = [5, 17, 80]
    want = Llama(built.root / "tiny.gguf", layers=1).forward(tokens)[-1]
    with Session(package) as session:
        assert error(last(session, tokens), want) < 2e-4
    assert (built.root / "recipes/tiny.lock.yaml").read_bytes() == lock


@pytest.mark.slow
def test_a_build_killed_in_native_work_resumes_to_the_same_bytes(
    built: RealProject, tmp_path: Path
) -> None:
    project = RealProject(tmp_path / "project")
    process = project.start("build", "recipe=tiny")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("search"):
        pass
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert not folder(project).exists()
    done = project.doit("build", "recipe=tiny")
    assert ran(done) == ["codegen", "package", "link"], done.stdout + done.stderr
    assert project.package("tiny").keys() == built.package("tiny").keys()
    mine, theirs = project.package("tiny"), built.package("tiny")
    assert [name for name in mine if mine[name] != theirs[name] and name[-3:] != ".so"] == []
    lock = "recipes/tiny.lock.yaml"
    assert (project.root / lock).read_bytes() == (built.root / lock).read_bytes()


ERRORS = {
    "a model longer than it was trained for": (
        ["shapes.past.max=4096"],
        "error: shape: shapes.past.max is 4096, but the model was trained for 256 tokens; lower it "
        "to 256 or less\n",
    ),
    "more layers than there are": (
        ["model.layers=3"],
        "error: import: {root}/tiny.gguf: model.layers is 3, but the model has 2 layers\n",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_values_that_the_model_does_not_allow(built: RealProject, name: str) -> None:
    arguments, message = ERRORS[name]
    done = built.doit("build", "recipe=tiny", *arguments)
    assert (done.returncode, done.stderr) == (1, message.format(root=built.root))


def test_a_model_of_another_architecture(tmp_path: Path) -> None:
    project = RealProject(tmp_path / "project")
    file = project.root / "tiny.gguf"
    file.write_bytes(file.read_bytes().replace(b"llama", b"gemma"))
    done = project.doit("build", "recipe=tiny")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: import: {file}: architecture 'gemma' (general.architecture) is not supported; "
        "supported: llama\n"
    )


def test_a_model_cut_short(tmp_path: Path) -> None:
    project = RealProject(tmp_path / "project")
    file = project.root / "tiny.gguf"
    file.write_bytes(file.read_bytes()[:-4000])
    done = project.doit("build", "recipe=tiny")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: import: {file}: byte 114368: tensor 'blk.1.ffn_down.weight' takes bytes 114368 to "
        "122560, but the file has 118688; the file is damaged or incomplete: fetch it again and "
        "compare its digest\n"
    )
