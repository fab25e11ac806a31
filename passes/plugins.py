"""What can be plugged in: passes, schedule rules, importers, formats, targets, packagers, by entry
points.

A distribution offers `name = "module:object"` in an entry-point group `tensorkiln.<group>`; this
project's own are declared in the same way in its pyproject.toml, which is read directly when it
runs from a source tree that is not installed. Objects are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

GROUPS = ("passes", "schedule_rules", "importers", "formats", "targets", "packagers")
_PREFIX = "tensorkiln"


class PluginError(LookupError):
    """Nothing, or more than one thing, of that name; or it cannot be imported."""


@dataclass(frozen=True)
class Plugin:
    """One entry: its name, where the object is, and the distribution that offers it."""

    group: str
    name: str
    value: str
    distribution: str

    def load(self) -> Any:
        """The object. Raises PluginError if it cannot be imported."""
        module, _, attribute = self.value.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.group} plugin '{self.name}' of {self.distribution} cannot be loaded from "
                f"{self.value}: {error}"
            ) from error


def names(group: str) -> tuple[str, ...]:
    """The names offered in a group, sorted."""
    return tuple(sorted(plugins(group)))


def load(group: str, name: str) -> Any:
    """The object of that name. Raises PluginError if there is none, or if two offer it."""
    found = plugins(group)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise PluginError(f"no {group} plugin '{name}'; known: {known}")
    return found[name].load()


@cache
def plugins(group: str) -> dict[str, Plugin]:
    """All plugins of a group by name. Raises PluginError if two distributions offer one name."""
    if group not in GROUPS:
        raise PluginError(f"no plugin group '{group}'; known: {', '.join(GROUPS)}")
    found: dict[str, Plugin] = {}
    own = _in_tree(group)
    # A source tree speaks for itself: what is installed of it may be another copy, or stale.
    others = [p for p in _installed(group) if own is None or p.distribution != _PREFIX]
    for plugin in (*others, *(own or ())):
        # A distribution may be seen twice (installed, and as metadata in a folder): the same offer.
        other = found.setdefault(plugin.name, plugin)
        if other.distribution != plugin.distribution or other.value != plugin.value:
            raise PluginError(
                f"{group} plugin '{plugin.name}' is offered by {other.distribution} "
                f"({other.value}) and by {plugin.distribution} ({plugin.value}); uninstall one"
            )
    return found


def _installed(group: str) -> list[Plugin]:
    return [
        Plugin(group, entry.name, entry.value, entry.dist.name if entry.dist else "unknown")
        for entry in metadata.entry_points(group=f"{_PREFIX}.{group}")
    ]


def _in_tree(group: str) -> list[Plugin] | None:
    """What pyproject.toml beside this package declares; None if it is not a source tree."""
    path = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if not path.is_file():
        return None
    project = tomllib.loads(path.read_text("utf-8")).get("project", {})
    if project.get("name") != _PREFIX:
        return None
    entries = project.get("entry-points", {}).get(f"{_PREFIX}.{group}", {})
    return [Plugin(group, name, value, _PREFIX) for name, value in entries.items()]
