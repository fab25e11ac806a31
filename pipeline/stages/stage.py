"""A stage as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Source:
    """Something from outside the build: where to get it, and the digest it has to have."""

    source: str
    pinned: str | None


@dataclass(frozen=True)
class Stage:
    """One step of a build: `entry` ("module:function") turns folders and options into a folder.

    Its key covers the code reachable from `entry`, and every field here but its place in the
    graph. `plugins` names the groups of entry points that it loads from: their code counts as its
    own. `toolchain` names distributions that shape its output without being imported by it.
    """

    name: str
    entry: str
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    target: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Source] = field(default_factory=dict)
    plugins: tuple[str, ...] = ()
    toolchain: tuple[str, ...] = ()


def file_source(path: Path, root: Path) -> Source:
    """A file of the project."""
    return Source(f"file:{path.resolve().relative_to(root.resolve()).as_posix()}", None)


def in_order(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages with everything a stage needs before it.

    Raises ValueError for a cycle or a need that is not there.
    """
    by_name = {stage.name: stage for stage in stages}
    done: dict[str, Stage] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"stages need each other in a circle: {' -> '.join((*above, name))}")
        if name not in by_name:
            raise ValueError(f"stage {above[-1]} needs {name}, which is not a stage")
        if name not in done:
            for need in by_name[name].needs:
                visit(need, (*above, name))
            done[name] = by_name[name]

    for stage in stages:
        visit(stage.name, ())
    return tuple(done.values())
