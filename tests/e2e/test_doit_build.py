"""`doit` as a user runs it, in a small project of its own: build, plan, list, generate, kill."""

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.toys.project import STAGES, Project

EVERYTHING = [*STAGES, "link"]
SLOW = '    import time\n    open("{mark}", "w").close()\n    time.sleep(30)\n'


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that is built; tests leave it so."""
    project = Project(tmp_path_factory.mktemp("built") / "project")
    done = project.doit("build", "recipe=toy")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()] == EVERYTHING
    assert all(" s, " in line for line in done.stdout.splitlines()) and done.stderr == ""
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


def ran(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.split()[0] for line in done.stdout.splitlines() if " s, " in line]


def test_a_second_build_runs_nothing_and_is_quick(built: Project) -> None:
    started = time.monotonic()
    done = built.doit("build", "recipe=toy")
    assert time.monotonic() - started < 2
    assert done.stdout == "".join(f"{name:<9} up to date\n" for name in EVERYTHING)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package(built: Project) -> None:
    files = built.package()
    assert set(files) == {"lib/code.o", "lib/code.so", "manifest.json", "weights.bin"}
    assert files["lib/code.so"] == b"b'WEIGH' 16 fused late\nsearch\ncodegen"


def test_nothing_of_doits_is_left(built: Project) -> None:
    assert {path.name for path in built.root.iterdir()} == {
        "artifacts", "configs", "model.gguf", "passes", "pipeline", "pyproject.toml", "recipes",
    }  # fmt: skip


def test_another_folder_and_hash_seed_give_the_same_lock_and_bytes(
    built: Project, project: Project
) -> None:
    assert project.doit("build", "recipe=toy", PYTHONHASHSEED="7").returncode == 0
    assert project.package() == built.package()
    lock = "recipes/toy.lock.yaml"
    assert (project.root / lock).read_bytes() == (built.root / lock).read_bytes()


def test_an_override_builds_beside_and_leaves_the_lock(built: Project) -> None:
    lock = (built.root / "recipes/toy.lock.yaml").read_bytes()
    plan = built.doit("plan", "recipe=toy", "shapes.past.max=32").stdout
    assert "shape     miss     options.shapes.past.max: 16 -> 32\n" in plan
    done = built.doit("build", "recipe=toy", "shapes.past.max=32")
    assert ran(done) == EVERYTHING[1:]
    (folder,) = (built.root / "artifacts/builds").glob("toy@*")
    assert b"32" in built.package(folder.name)["lib/code.o"]
    assert (built.root / "recipes/toy.lock.yaml").read_bytes() == lock
    assert ran(built.doit("build", "recipe=toy")) == []


def test_plan(built: Project) -> None:
    done = built.doit("plan", "recipe=toy")
    assert done.stdout == "".join(f"{name:<9} hit\n" for name in EVERYTHING)
    built.edit("passes/fuse/rules.py", "fused", "FUSED")
    done = built.doit("plan", "recipe=toy")
    assert done.stdout == (
        "import    hit\n"
        "shape     hit\n"
        "fuse      miss     code: passes.fuse.rules changed\n"
        "search    unknown  until fuse has run\n"
        "codegen   unknown  until fuse has run\n"
        "package   unknown  until fuse has run\n"
        "link      unknown  until package has run\n"
    )
    built.edit("passes/fuse/rules.py", "FUSED", "fused")
    built.edit("passes/fuse/late.py", "' late'", "' LATE'")
    done = built.doit("plan", "recipe=toy")
    assert "fuse      miss     code: passes.fuse.late changed\n" in done.stdout
    built.edit("passes/fuse/late.py", "' LATE'", "' late'")


def test_list(built: Project) -> None:
    done = built.doit("list")
    listed, _, recipes = done.stdout.partition("\n\n")
    purposes = dict(line.split(maxsplit=1) for line in listed.splitlines())
    assert purposes["build"] == (
        "build a recipe's package: doit build recipe=NAME [locked=1] [KEY.KEY=VALUE ...]"
    )
    assert purposes["plan"] == "show what a build would run, and why"
    assert purposes["generate"].startswith("generate text with a recipe's package")
    shipped = ["conv", "gemm", "llm", "metaschedule"]
    assert recipes.splitlines() == [
        *["recipes (recipe=NAME)", "  toy", "", "workloads (bench workload=NAME)"],
        *[f"  {name}" for name in shipped],
    ]
    done = built.doit("list", "--all", "--quiet", "recipe=toy")
    assert done.stdout.split() == sorted(["build", *(f"build:toy:{n}" for n in EVERYTHING)])


def test_generate_says_the_text_alone(built: Project) -> None:
    options = ("tokens=3", "temperature=0.5", "seed=1", "threads=2")
    done = built.doit("generate", "recipe=toy", "prompt=-Once a=b\nupon", *options)
    assert done.stdout == (
        "said artifacts/builds/toy --prompt=-Once a=b\nupon --tokens=3 --seed=1 --threads=2 "
        "--temperature=0.5\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_generate_builds_what_is_missing(project: Project) -> None:
    done = project.doit("generate", "recipe=toy", "chat=Hello")
    assert done.stdout == "said artifacts/builds/toy --chat=Hello\n"
    assert [line.split()[0] for line in done.stderr.splitlines()] == EVERYTHING


def test_always_and_in_parallel(built: Project) -> None:
    assert ran(built.doit("run", "-a", "build", "recipe=toy")) == EVERYTHING
    assert ran(built.doit("run", "-n", "2", "build", "recipe=toy", "compute=int8"))[-1] == "link"


def test_locked(built: Project) -> None:
    done = built.doit("build", "recipe=toy", "locked=1")
    assert (done.returncode, ran(done), done.stderr) == (0, [], "")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_build_resumes_at_the_last_finished_stage(
    project: Project, death: signal.Signals
) -> None:
    mark = project.root.parent / "mark"
    stage = project.root / "passes/search/stage.py"
    quick = stage.read_text()
    stage.write_text(quick.replace("    (source,)", SLOW.format(mark=mark) + "    (source,)"))
    process = project.start("build", "recipe=toy")
    wait_for(mark)
    process.send_signal(death)
    said, complaint = process.communicate(timeout=30)
    assert said.split("\n")[2].startswith("fuse")
    if death == signal.SIGINT:
        assert process.returncode == 130
        assert complaint == "interrupted; finished stages are kept\n"
    stage.write_text(quick)
    assert not (project.root / "artifacts/builds").exists()
    done = project.doit("build", "recipe=toy")
    assert ran(done) == ["search", "codegen", "package", "link"], done.stdout + done.stderr
    assert list((project.root / "artifacts/store/tmp").iterdir()) == []


def test_two_builds_at_once_do_the_work_once(project: Project) -> None:
    project.edit("passes/shape/stage.py", '    progress(0.5, "half way")',
                 "    import time; time.sleep(0.4)")  # fmt: skip
    builds = [project.start("build", "recipe=toy") for _ in range(2)]
    said = [build.communicate(timeout=60) for build in builds]
    assert [build.returncode for build in builds] == [0, 0], said
    lines = "".join(out for out, _ in said).splitlines()
    for name in STAGES:
        assert sum(line.startswith(name) and " s, " in line for line in lines) == 1, lines
