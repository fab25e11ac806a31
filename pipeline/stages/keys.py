"""Keys: what a stage's result depends on, as data, and its digest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.stages.code import Closure, CodeError, CodeIndex
from pipeline.stages.stage import Stage
from pipeline.store.digest import digest_json

# Raise it when a stage's result starts to depend on something that is not in the material.
_KEY_SCHEMA = 1


def python_version() -> str:
    """The interpreter as far as results may depend on it: "cpython-3.11"."""
    return f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}"


def own_material(stage: Stage, code: CodeIndex) -> dict[str, Any]:
    """The part of a stage's material that is known before anything has run.

    Raises CodeError if the stage's code cannot be read.
    """
    closure = stage_code(stage, code)
    return {
        "schema": _KEY_SCHEMA,
        "stage": stage.name,
        "entry": stage.entry,
        "python": python_version(),
        "code": dict(closure.modules),
        "distributions": dict(closure.distributions),
        "plugins": {group: offered(group) for group in stage.plugins},
        "options": dict(stage.options),
        "target": dict(stage.target),
    }


def stage_code(stage: Stage, code: CodeIndex) -> Closure:
    """The closure of a stage: of its entry, of the plugins it may load, and its toolchain.

    Raises CodeError.
    """
    modules: dict[str, str] = {}
    versions = code.versions(stage.toolchain)
    entries = [entry for group in stage.plugins for entry in offered(group).values()]
    for entry in (stage.entry, *entries):
        closure = code.closure(entry)
        modules |= closure.modules
        versions |= closure.distributions
    return Closure(dict(sorted(modules.items())), dict(sorted(versions.items())))


def offered(group: str) -> dict[str, str]:
    """The plugins of a group: name -> "module:object".

    Raises CodeError if two distributions offer one name.
    """
    from passes.plugins import PluginError, plugins

    try:
        return {name: plugin.value for name, plugin in sorted(plugins(group).items())}
    except PluginError as error:
        raise CodeError(str(error)) from error


def key_of(material: Mapping[str, Any]) -> str:
    """The key: the digest of the material's canonical JSON."""
    return digest_json(material)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two materials, a line for each field, the code's modules together.

    {"options": {"max": 1}} and {"options": {"max": 2}} -> ["options.max: 1 -> 2"]
    """
    lines: list[str] = []
    before, after = dict(old), dict(new)
    code_before, code_after = before.pop("code", {}), after.pop("code", {})
    modules = sorted(
        name
        for name in code_before.keys() | code_after.keys()
        if code_before.get(name) != code_after.get(name)
    )
    if modules:
        more = f" and {len(modules) - 3} more" if len(modules) > 3 else ""
        lines.append(f"code: {', '.join(modules[:3])}{more} changed")
    flat_before, flat_after = dict(flatten(before)), dict(flatten(after))
    for name in sorted(flat_before.keys() | flat_after.keys()):
        first, second = flat_before.get(name, _NONE), flat_after.get(name, _NONE)
        if first != second:
            lines.append(f"{name}: {_show(first)} -> {_show(second)}")
    return lines


_NONE = object()


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested maps and lists with their dotted names."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from flatten(item, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(value, list | tuple) and any(isinstance(i, Mapping | list) for i in value):
        for index, item in enumerate(value):
            yield from flatten(item, f"{prefix}[{index}]")
    else:
        yield prefix, list(value) if isinstance(value, tuple) else value


def _show(value: Any) -> str:
    if value is _NONE:
        return "nothing"
    text = str(value)
    if isinstance(value, str) and value.startswith(("b3:", "sha256:")):
        return text[: text.index(":") + 13]
    return text if len(text) <= 60 else text[:57] + "..."
