"""What is wrong with a command line, a project or a machine is told in plain words: no traceback,
exit code 3 before anything ran, 1 for a failed build."""

import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.commands.errors import UsageError
from pipeline.commands.generate import runtime_options
from pipeline.commands.variables import Request, read_request
from tests.toys.project import Project

TRACEBACK = "Traceback (most recent call last)"
OVERRIDDEN = " (a value of the recipe is overridden as a.b=value)"
STATELESS = (
    "error: doit keeps no state of its own here, the store under artifacts/ is the truth: "
    "`doit plan recipe=NAME` tells what would run and why, "
    "`doit run -a build recipe=NAME` runs every stage again, removing artifacts/ frees the disk\n"
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that no test changes."""
    return Project(tmp_path_factory.mktemp("errors") / "project")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


VARIABLES = {
    "recip=toy": f"unknown variable 'recip'; did you mean 'recipe'?{OVERRIDDEN}",
    "recipe=toy zzz=1": f"unknown variable 'zzz'; known are recipe, locked{OVERRIDDEN}",
    "recipe=toy prompt=x": f"unknown variable 'prompt'; known are recipe, locked{OVERRIDDEN}",
    "recipe=toy comput=f32": f"unknown variable 'comput'; did you mean 'compute'?{OVERRIDDEN}",
    "recipe=": "recipe= names no recipe; `doit list` shows what there is",
    "recipe=toy locked=maybe": "locked=maybe is neither on nor off: write locked=1 or leave it out",
    "recipe=toy locked=1 compute=f32": "locked=1 builds the recipe as its lock has it, so "
    "'compute=f32' cannot be overridden: drop one of the two",
}


@pytest.mark.parametrize("line", VARIABLES)
def test_variables(line: str) -> None:
    given = dict(word.split("=") for word in line.split())
    with pytest.raises(UsageError) as error:
        read_request(given)
    assert str(error.value) == VARIABLES[line]


def test_requests() -> None:
    given = {"a.b": "1", "recipe": "toy", "threads": "2", "compute": "f32"}
    assert read_request(given, ["threads"]) == Request(
        "toy", False, ("a.b=1", "compute=f32"), {"threads": "2"}
    )
    assert read_request(given).overrides == ("a.b=1", "threads=2", "compute=f32")
    assert read_request({"locked": "1"}).locked


TEXT = 'give either prompt="TEXT" (raw) or chat="TEXT" (by the chat template)'
GENERATE = {
    "": TEXT,
    "prompt=a chat=b": TEXT,
    "prompt=": "prompt= is empty: there is nothing to go on from",
    "prompt=a tokens=many": "tokens=many is no whole number from 1 on",
    "prompt=a tokens=0": "tokens=0 is no whole number from 1 on",
    "prompt=a seed=-1": "seed=-1 is no whole number from 0 on",
    "prompt=a threads=0": "threads=0 is no whole number from 1 on",
    "prompt=a temperature=nan": "temperature=nan is no number from 0 on (0: always the likeliest)",
    "prompt=a temperature=x": "temperature=x is no number from 0 on (0: always the likeliest)",
}


@pytest.mark.parametrize("line", GENERATE)
def test_generate_variables(line: str) -> None:
    with pytest.raises(UsageError) as error:
        runtime_options(dict(word.split("=") for word in line.split()))
    assert str(error.value) == GENERATE[line]


USAGE = {
    "build recip=toy": f"error: unknown variable 'recip'; did you mean 'recipe'?{OVERRIDDEN}\n",
    "generate recipe=toy promt=x": f"error: unknown variable 'promt'; did you mean 'prompt'?"
    f"{OVERRIDDEN}\n",
    "build": "error: say which recipe: `doit build recipe=NAME`; recipes: toy\n",
    "build recipe=tyo": "error: no recipe `tyo` in recipes/\n"
    "cure: did you mean `toy`? (recipes: toy)\n",
    "build recipe=toy ''": "error: an argument is empty: remove the '' from the command line\n",
    "build recipe=toy recipe=b": "error: variable 'recipe' is given twice: keep one of the two\n",
    "bild recipe=toy": "error: unknown command or task 'bild'; did you mean 'build'?\n",
    "build recipe=toy shapes.pst.max=3": "override `shapes.pst.max=3`: error: unknown key "
    "`shapes.pst.max`\n   1 | shapes.pst.max=3\n     | ^~~~~~~~~~~~~~\n"
    "cure: did you mean `shapes.past.max`?\n",
    "generate recipe=toy prompt=a b": "error: generate does not know 'b': `doit generate "
    'recipe=NAME prompt="TEXT"` (mind the quotes)\n',
    "forget": STATELESS,
    "build:toy:fuze recipe=toy": 'ERROR: Invalid parameter: "build:toy:fuze". Must be a command, '
    'task, or a target.\nType "-m help" to see available commands.\n'
    'Type "-m list" to see available tasks.\n\n',
}


@pytest.fixture(scope="module")
def answers(shared: Project) -> dict[str, subprocess.CompletedProcess[str]]:
    """What doit says to each line of USAGE, two at a time."""

    def ask(line: str) -> subprocess.CompletedProcess[str]:
        return shared.doit(*(word.replace("''", "") for word in line.split()))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(USAGE, pool.map(ask, USAGE), strict=True))


@pytest.mark.parametrize("line", USAGE)
def test_usage(
    shared: Project, answers: dict[str, subprocess.CompletedProcess[str]], line: str
) -> None:
    done = answers[line]
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == USAGE[line]
    assert not (shared.root / "artifacts").exists()


def test_another_copy_of_the_program(project: Project, shared: Project) -> None:
    done = project.doit("list", PYTHONSAFEPATH="1", PYTHONPATH=str(shared.root))
    assert done.returncode == 3
    assert done.stderr == (
        f"error: doit would run the tensorkiln installed in {shared.root}, not the one in this "
        "folder: run `pip install -e .` here\n"
    )


def missing_model(project: Project) -> str:
    (project.root / "model.gguf").unlink()
    return f"error: import: there is no file {project.root}/model.gguf; check the path: it is "


def other_model(project: Project) -> str:
    pinned, found = "sha256:" + "0" * 64, "sha256:[0-9a-f]{64}"
    project.edit("recipes/toy.yaml", "model: {", f'model: {{digest: "{pinned}", ')
    return (
        r"error: import: file:model\.gguf is not the file that the recipe pins\n"
        rf"  pinned: {pinned}\n  found:  {found} \(.*/model\.gguf\)\n"
        r"restore the file, or put the new digest into the recipe's model\.digest\n"
    )


def artifacts_is_a_file(project: Project) -> str:
    project.write("artifacts", "")
    return f"error: import: {project.root}/artifacts is in the way while "


def locked_without_lock(project: Project) -> str:
    return (
        f"error: {project.root}/recipes/toy.lock.yaml: there is no lock file, so locked=1 "
        "has nothing to keep: build once without locked=1 (doit build recipe=toy) and commit the "
        "file it writes\n"
    )


def crash(project: Project) -> str:
    project.stage("import", "    import os; os.abort()\n")
    return "error: import: the worker ended by SIGABRT: it crashed in native code\n  | Fatal Python"


def complaint(project: Project) -> str:
    body = "    raise Bad('unsupported architecture `bert`: use a llama model')\n"
    project.stage("import", body, "class Bad(Exception):\n    pass\n")
    return "error: import: unsupported architecture `bert`: use a llama model\n"


def broken_code(project: Project) -> str:
    project.write("passes/importers/stage.py", "def run(:\n")
    return f"error: import: {project.root}/passes/importers/stage.py:1: "


def full_disk(project: Project) -> str:
    project.stage("import", "    raise OSError(28, 'No space left on device')\n")
    return (
        "error: import: no space left on the disk while running the stage: free some space and "
        "run the build again; the stages that had finished are kept\n"
    )


FAILURES = [
    missing_model, artifacts_is_a_file, locked_without_lock, crash, complaint, broken_code,
    full_disk,
]  # fmt: skip


@pytest.mark.parametrize("harm", FAILURES)
def test_failed_build(project: Project, harm: Callable[[Project], str]) -> None:
    message = harm(project)
    more = ["locked=1"] if harm is locked_without_lock else []
    done = project.doit("build", "recipe=toy", *more)
    assert done.stderr.startswith(message)
    assert (done.returncode, done.stdout) == (1, "")
    assert TRACEBACK not in done.stderr


def test_a_model_that_is_not_the_pinned_one(project: Project) -> None:
    pattern = other_model(project)
    done = project.doit("build", "recipe=toy")
    assert re.fullmatch(pattern, done.stderr)
    assert done.returncode == 1
    again = project.doit("generate", "recipe=toy", "prompt=x")
    assert (again.returncode, again.stdout, again.stderr) == (1, "", done.stderr)


def test_locked_after_the_model_changed(project: Project) -> None:
    assert project.doit("build", "recipe=toy").returncode == 0
    project.write("model.gguf", "another model")
    done = project.doit("build", "recipe=toy", "locked=1")
    assert re.fullmatch(
        rf"error: {project.root}/recipes/toy\.lock\.yaml: the build would differ from its "
        r"lock:\n  sources\.model: the lock has sha256:[0-9a-f]{64}, this build sha256:"
        r"[0-9a-f]{64}\nrestore what changed, or accept it: `doit build recipe=toy` without "
        r"locked=1, then commit the new lock\n",
        done.stderr,
    )
    assert done.returncode == 1
