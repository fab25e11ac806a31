"""`doit show … function=…`: a function's program, loop nest, trace and hot loop."""

from __future__ import annotations

import pytest

from pipeline.commands.errors import UsageError
from pipeline.commands.session import code_root
from pipeline.commands.show_function import show_function
from pipeline.commands.stage_files import StageFiles
from pipeline.recipe.diagnostics import Report
from pipeline.recipe.target import load_level
from pipeline.stages.build import Build
from pipeline.workers.progress import Progress
from pipeline.workloads.build import open_case
from pipeline.workloads.load import LoadedWorkload
from pipeline.workloads.schema import Case
from tests.toys.project import REPO

CASE = {
    "name": "norm",
    "operator": "rms_norm",
    "attributes": {"eps": 1e-5},
    "inputs": {"x": "f32[3, 64]", "w": "f32[64]"},
}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    level = load_level("x86-64-v3", REPO, Report())
    assert level is not None
    artifacts = tmp_path_factory.mktemp("show")
    case = Case.model_validate(CASE)
    mine = LoadedWorkload("mine", artifacts / "mine.yaml", (case,))
    build = open_case(mine, case, level, artifacts, code_root())
    with (artifacts / "log").open("w") as log:
        build.build_all(Progress(log))
    return build


def shown(build: Build, stage: str, capsys: pytest.CaptureFixture[str]) -> str:
    show_function(StageFiles(build, stage), "rms_norm*", None)
    return capsys.readouterr().out


def headings(text: str) -> list[str]:
    lines = text.splitlines()
    return [line.partition("_")[0].partition(",")[0] for line in lines if line.startswith("# ")]


def test_each_stage_adds_what_it_made(build: Build, capsys: pytest.CaptureFixture[str]) -> None:
    fused, scheduled, coded = (
        shown(build, stage, capsys) for stage in ("fuse", "search", "codegen")
    )
    assert headings(fused)[:2] == ["# loops/rms", "# loop nest"]
    assert headings(scheduled)[:2] == ["# x86-64-v3/loops/rms", "# loop nest"]
    assert headings(scheduled)[-1] == "# trace" and "# trace" not in fused
    assert coded.startswith(scheduled)
    head, *lines = coded.removeprefix(scheduled).splitlines()
    assert head.startswith("# hot loop in x86-64-v3.ll, ") and head.endswith("on vectors")
    assert any(line.startswith("\tvfmadd") for line in lines)


@pytest.mark.parametrize("stage", ["fuse", "search", "codegen"])
@pytest.mark.parametrize("name", ["rms_norm", "norm", "rmsnorm_0", "rms_nrom"])
def test_the_nearest_functions_are_named(build: Build, stage: str, name: str) -> None:
    with pytest.raises(UsageError) as caught:
        show_function(StageFiles(build, stage), name, None)
    start = f"function={name} is none of the stage's functions; did you mean 'rms_norm_"
    assert str(caught.value).startswith(start)
