"""`doit bench` and `doit perplexity` as a user runs them, with a little real package."""

import json
import shutil

import pytest

from tests.reference.tiny_gguf import write_tiny_gguf
from tests.toys.project import REPO, Project
from tests.unit.runtime import toy_package

COPY = '    shutil.copytree("{package}", out, dirs_exist_ok=True)\n'
ENGLISH = REPO / "tests" / "data" / "english.txt"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose package stage gives the toy package of the runtime's tests."""
    root = tmp_path_factory.mktemp("bench")
    package = toy_package.make(root / "package")
    project = Project(root / "project")
    for name in ("gguf_file.py", "block_formats.py"):
        shutil.copyfile(REPO / "passes/importers" / name, root / "project/passes/importers" / name)
    write_tiny_gguf(root / "project/model.gguf")
    project.stage("import", '    (out / "model").write_bytes(sources["model"].read_bytes())\n')
    project.stage("shape", '    (out / "shapes.txt").write_text("16")\n')
    project.stage("package", COPY.format(package=package), "import shutil")
    project.write("passes/package/link.py", '"""Linking."""\n\n\ndef link(folder):\n    pass\n')
    return project


def test_bench(project: Project) -> None:
    done = project.doit("bench", "recipe=toy", "threads=1", "repeats=2")
    assert done.returncode == 0, done.stderr
    title, head, *lines = done.stdout.splitlines()
    assert title.startswith("toy (x86-64) on ") and head.split()[:2] == ["threads", "ours"]
    names = [line.split("  ")[0] for line in lines[:3]]
    assert names == ["load_s", "decode_tok_s context 16", "peak_rss_mib"]
    assert lines[-1] == "records: artifacts/bench/toy.json"
    # The toy's cache is too short for the rest, which is told beside the build's own lines.
    assert "bench: context=128 is left out: it needs a cache of 160 tokens" in done.stderr
    records = json.loads((project.root / "artifacts/bench/toy.json").read_text())
    (decode,) = [r for r in records if r["name"] == "decode_tok_s"]
    assert decode.items() >= {
        "engine": "ours", "context": 16, "threads": 1, "unit": "tok/s", "repeats": 2,
    }.items()  # fmt: skip
    assert decode["min"] <= decode["value"] <= decode["max"] and decode["of_limit"] > 0


def test_bench_without_the_peer(project: Project) -> None:
    peer = "peer_python=/no/such/python"
    done = project.doit("bench", "recipe=toy", "against=llama.cpp", peer)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: llama.cpp: cannot start /no/such/python (No such file or directory); give the "
        "path of a Python interpreter\n"
    )


def test_perplexity(project: Project) -> None:
    done = project.doit("perplexity", "recipe=toy", f"text={ENGLISH}", "tokens=100")
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    assert words[0] == "perplexity" and float(words[1]) > 1
    assert words[2:] == ["of", "98", "tokens", "in", "2", "windows", "of", "64"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "bench recipe=toy x",
            "bench does not know 'x': `doit bench recipe=NAME` or `doit bench workload=NAME`",
        ),
        (
            "bench",
            "say what to measure: `doit bench recipe=NAME` or `doit bench workload=NAME`; "
            "recipes: toy; workloads: conv, gemm, llm, metaschedule",
        ),
        (
            "bench worklod=gemm",
            "unknown variable 'worklod'; did you mean 'workload'? (a value of the recipe is "
            "overridden as a.b=value)",
        ),
        (
            "bench recipe=toy zzz=1",
            "unknown variable 'zzz'; known are recipe, locked, against, threads, repeats, "
            "peer_python, workload, target, case, tvm_trials (a value of the recipe is "
            "overridden as a.b=value)",
        ),
        (
            "bench recipe=toy case=f32_*",
            "case= is for workloads: add workload=NAME or leave it out",
        ),
        (
            "bench recipe=toy workload=gemm",
            "recipe= and workload= are two things to measure: give one of them",
        ),
        ("perplexity recipe=toy", "say which text: text=FILE, in UTF-8"),
        ("perplexity recipe=toy text=no", "text=no cannot be read (No such file or directory)"),
        ("perplexity recipe=toy text=model.gguf", "text=model.gguf is not text in UTF-8"),
    ],
)
def test_usage(project: Project, line: str, message: str) -> None:
    done = project.doit(*line.split())
    assert (done.returncode, done.stdout, done.stderr) == (3, "", f"error: {message}\n")
