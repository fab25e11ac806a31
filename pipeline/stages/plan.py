"""What a build would do, and why; nothing runs.

import   hit
shape    miss     options.shapes.past.max: 1536 -> 2048
fuse     unknown  until shape has run
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.stages.build import Build
from pipeline.stages.errors import Unknown
from pipeline.stages.keys import differences, key_of, own_material
from pipeline.stages.stage import Stage


@dataclass(frozen=True)
class Verdict:
    """What would become of one stage. `seconds` is what it took when it last ran."""

    stage: str
    state: Literal["hit", "miss", "unknown"]
    reasons: tuple[str, ...]
    seconds: float | None


def plan(build: Build) -> Iterator[Verdict]:
    """A verdict for each stage in order, then one for the package's folder ("link").

    Raises CodeError, BuildError.
    """
    missing: str | None = None
    for stage in build.stages:
        verdict = _judge(build, stage, missing)
        if verdict.state != "hit" and missing is None:
            missing = stage.name
        yield verdict
    if missing is not None:
        yield Verdict("link", "unknown", (f"until {build.stages[-1].name} has run",), None)
    elif build.is_packaged():
        yield Verdict("link", "hit", (), None)
    else:
        yield Verdict("link", "miss", (_why_packaged(build),), None)


def _judge(build: Build, stage: Stage, missing: str | None) -> Verdict:
    # A variation that was never built is compared with the recipe that it varies.
    ledger = build.store.ledger
    last = ledger.last(build.name, stage.name) or ledger.last(build.recipe, stage.name)
    seconds = None if last is None else last.seconds
    try:
        material = build.material(stage, fetch=False)
        row = build.find(stage, fetch=False)
    except Unknown as unknown:
        # Where an earlier stage waits for its source, that stage is what this one waits for.
        reasons = [f"until {missing} has run" if missing else f"until {unknown}"]
        if last is not None:
            before = {k: v for k, v in last.material.items() if k not in ("inputs", "sources")}
            reasons += differences(before, own_material(stage, build.code))
        return Verdict(stage.name, "unknown", tuple(reasons), seconds)
    if row is not None:
        return Verdict(stage.name, "hit", (), row.seconds)
    if last is None:
        reasons = ["it was never built for this recipe"]
    elif last.key == key_of(material):
        reasons = ["its result is damaged or gone from the store"]
    else:
        reasons = differences(last.material, material)
    return Verdict(stage.name, "miss", tuple(reasons), seconds)


def _why_packaged(build: Build) -> str:
    folder = build.package.folder
    if not folder.is_dir():
        return f"{folder} is not there"
    row = build.find(build.stages[-1], fetch=False)
    if row is not None and build.package.is_current(row.output, build.code):
        return f"{build.lock_path} does not say what this build gives"
    return f"{folder} was made of another result, or was changed since"


def render_plan(verdicts: list[Verdict]) -> str:
    """The plan as a table, with the time that the misses took when they last ran."""
    lines = []
    for verdict in verdicts:
        first, *more = verdict.reasons or ("",)
        lines.append(f"{verdict.stage:<9} {verdict.state:<8} {first}".rstrip())
        lines += [f"{'':<18} {reason}" for reason in more]
    waiting = [v.seconds for v in verdicts if v.state != "hit" and v.seconds is not None]
    if sum(waiting) >= 1:
        lines.append(f"about {sum(waiting):.0f} s, going by the last runs")
    return "\n".join(lines)
