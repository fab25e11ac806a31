"""The lock file: what a recipe built, small enough to commit.

    recipes/llama-cpu.lock.yaml: model digests, toolchain, each stage's key, code, options, output

`doit build recipe=NAME` writes it; `locked=1` fails where a build would differ from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.stages.keys import flatten
from pipeline.store.digest import digest_json
from pipeline.store.errors import plain_os_errors
from pipeline.store.files import write_atomic

LOCK_SCHEMA = 1
_HEADER = (
    "# Written by `doit build recipe={name}`; commit it.\n"
    "# `doit build recipe={name} locked=1` fails where the build would differ from this.\n"
)


class LockError(Exception):
    """The lock file is missing, damaged, or the build would differ from it."""


def lock_facts(
    name: str,
    materials: Sequence[Mapping[str, Any]],
    results: Mapping[str, tuple[str, str]],
) -> dict[str, Any]:
    """What a lock says about materials (which may lack `inputs`) and, for the stages that have
    run, their keys and output digests."""
    toolchain: dict[str, str] = {}
    sources: dict[str, str] = {}
    stages: dict[str, Any] = {}
    for material in materials:
        toolchain |= {"python": material["python"]} | material["distributions"]
        sources |= material["sources"]
        facts = {
            "code": digest_json(material["code"]),
            "options": material["options"],
            "target": digest_json(material["target"]),
        }
        if material["stage"] in results:
            key, output = results[material["stage"]]
            facts = {"key": key, **facts, "output": output}
        stages[material["stage"]] = facts
    return {
        "schema": LOCK_SCHEMA,
        "recipe": name,
        "sources": sources,
        "toolchain": dict(sorted(toolchain.items())),
        "stages": stages,
    }


def render_lock(name: str, facts: Mapping[str, Any]) -> str:
    """The text of a lock file: the same facts give the same text."""
    # Through JSON: tuples become lists, and nothing but plain data passes.
    data = json.loads(json.dumps(facts))
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return _HEADER.format(name=name) + body


def read_lock(path: Path, name: str) -> dict[str, Any]:
    """The facts of a lock file.

    Raises LockError if it is missing or unreadable.
    """
    cure = f"build once without locked=1 (doit build recipe={name}) and commit the file it writes"
    damaged = f"the lock file is damaged: restore it from git, or {cure}"
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        reason = "there is no lock file, so locked=1 has nothing to keep"
        raise LockError(f"{path}: {reason}: {cure}") from error
    except OSError as error:
        raise LockError(f"{path}: {error.strerror}: make it readable") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise LockError(f"{path}: {damaged}") from error
    if not isinstance(data, dict) or not isinstance(data.get("stages"), dict):
        raise LockError(f"{path}: {damaged}")
    if data.get("schema") != LOCK_SCHEMA:
        raise LockError(
            f"{path}: the lock file has schema {data.get('schema')!r}, "
            f"this tensorkiln writes {LOCK_SCHEMA}: {cure}"
        )
    return data


def write_lock(path: Path, text: str) -> None:
    """Writes a lock file if its text is not there already."""
    with plain_os_errors(f"writing {path}"):
        if not path.is_file() or path.read_bytes() != text.encode():
            write_atomic(path, text.encode())


def drift(locked: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The fields in which facts differ from a lock; a field that `now` does not know yet, a key,
    an output or the digest of a source, is no difference."""
    before, after = dict(flatten(locked)), dict(flatten(now))
    lines = []
    for name in [*after, *(n for n in before if n not in after)]:
        unknown_yet = name.startswith("sources.") or name.rpartition(".")[2] in ("key", "output")
        if name not in after and unknown_yet:
            continue
        first, second = before.get(name), after.get(name)
        if first != second and not (first in ({}, None) and second in ({}, None)):
            lines.append(f"{name}: the lock has {_show(first)}, this build {_show(second)}")
    return lines


def _show(value: Any) -> str:
    if value is None:
        return "nothing"
    return str(value) if len(str(value)) <= 80 else str(value)[:77] + "..."


def drift_message(path: Path, name: str, lines: Sequence[str]) -> str:
    """What `locked=1` says when a build would differ."""
    listed = "".join(f"\n  {line}" for line in lines)
    return (
        f"{path}: the build would differ from its lock:{listed}\n"
        "restore what changed, or accept it: "
        f"`doit build recipe={name}` without locked=1, then commit the new lock"
    )
