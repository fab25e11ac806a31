"""doit's view of a build: one sub-task for each stage of a recipe, one for its package.

    doit build recipe=llama-cpu  ->  build:llama-cpu:import, ..., build:llama-cpu:link

doit orders and selects; what is done already is asked of the store, never of doit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from doit.exceptions import TaskFailed

from pipeline.commands.reporter import Reporter
from pipeline.stages import Build
from pipeline.stages.build import PLAIN_ERRORS, tell
from pipeline.workers.progress import Progress

DOIT_CONFIG = {
    "default_tasks": ["build"],
    "backend": "none",
    "reporter": Reporter,
    "verbosity": 2,
}

# Set by the loader to the build that the command line asks for, if it names a recipe.
BUILD: Build | None = None


def task_build() -> Iterator[dict[str, Any]]:
    """build a recipe's package: doit build recipe=NAME [locked=1] [KEY.KEY=VALUE ...]"""
    yield {"basename": "build", "name": None, "doc": task_build.__doc__}
    if BUILD is None:
        return
    build, progress = BUILD, Progress()
    for stage in build.stages:
        yield _task(build, progress, stage.name, f"the {stage.name} stage", stage.needs) | {
            "uptodate": [partial(build.is_done, stage.name)],
            "actions": [(_attempt, [stage.name, partial(build.run, stage.name, progress)])],
        }
    everything = [stage.name for stage in build.stages]
    yield _task(build, progress, "link", "the package's folder", everything) | {
        "uptodate": [build.is_packaged],
        "actions": [(_attempt, ["link", partial(build.make_package, progress)])],
    }


def _task(
    build: Build, progress: Progress, name: str, doc: str, needs: tuple[str, ...] | list[str]
) -> dict[str, Any]:
    return {
        "basename": "build",
        "name": f"{build.name}:{name}",
        "doc": f"{doc} of {build.name}",
        "task_dep": [f"build:{build.name}:{need}" for need in needs],
        "io": {"capture": False},
        "meta": {"stage": name, "progress": progress},
    }


def _attempt(stage: str, run: Callable[[], object]) -> TaskFailed | None:
    """Runs one task; a failure that has plain words is told in them."""
    try:
        run()
    except PLAIN_ERRORS as error:
        return TaskFailed(tell(stage, error))
    return None
