"""What `doit show` and `doit wheel` say when they are asked for what is not there."""

from pathlib import Path

import pytest

from tests.toys.project import Project


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("commands") / "project")
    assert project.doit("build", "recipe=toy").returncode == 0
    return project


def test_show(built: Project) -> None:
    assert built.doit("show", "recipe=toy", "stage=shape").stdout == "shapes.txt\n"
    done = built.doit("show", "recipe=toy", "stage=shape", "file=sh*")
    assert done.stdout == "b'WEIGH' 16\n"
    done = built.doit("show", "recipe=toy", "stage=package", "file=mani*")
    assert done.stdout.startswith("{") and done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["show", "recipe=toy"],
            3,
            "say which stage: stage=NAME, one of import, shape, fuse, search, codegen, package",
        ),
        (
            ["show", "recipe=toy", "stage=fusee"],
            3,
            "unknown stage 'fusee': stage=NAME, one of import, shape, fuse, search, codegen, "
            "package",
        ),
        (
            ["show", "recipe=toy", "stage=fuse", "shapes.past.max=32"],
            1,
            "fuse has not run as things are now: `doit build recipe=toy` with the same overrides "
            "runs it",
        ),
        (
            ["show", "recipe=toy", "stage=shape", "file=shape.txt"],
            3,
            "file=shape.txt is none of the stage's files; did you mean 'shapes.txt'?",
        ),
        (
            ["show", "recipe=toy", "stage=shape", "file=zzz"],
            3,
            "file=zzz is none of the stage's files; leave out file= to see them all",
        ),
        (
            ["show", "recipe=toy", "stage=shape", "function=main"],
            3,
            "shape has no loop functions; stages fuse, search and codegen have",
        ),
        (
            ["show", "recipe=toy", "stage=shape", "function=main", "file=shapes.txt"],
            3,
            "function= and file= are two questions: ask one of them",
        ),
        (
            ["show", "recipe=toy", "stage=search", "level=x86-64-v3"],
            3,
            "level= says which code of a function is meant: add function=NAME",
        ),
        (
            ["show", "toy"],
            3,
            "show does not know 'toy': `doit show recipe=NAME stage=STAGE`",
        ),
        (["wheel", "toy"], 3, "wheel does not know 'toy': `doit wheel recipe=NAME`"),
        (
            ["wheel"],
            3,
            "say which recipe: `doit wheel recipe=NAME`; recipes: toy",
        ),
    ],
)
def test_messages(built: Project, arguments: list[str], code: int, message: str) -> None:
    done = built.doit(*arguments)
    assert (done.returncode, done.stderr) == (code, f"error: {message}\n")
    assert done.stdout == ""


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.write("model.gguf", "")
    (project.root / "model.gguf").write_bytes(b"\xff\xfe")
    assert project.doit("build", "recipe=toy").returncode == 0
    done = project.doit("show", "recipe=toy", "stage=import", "file=weights.bin")
    assert (done.returncode, done.stderr) == (1, "error: weights.bin is not text\n")
