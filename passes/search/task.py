"""A tuning task: one unscheduled kernel and the CPU that it is to run on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from passes.ir.loop.canonical import canonical
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.search.defaults.target import Target

# What of a level says how code runs on it; its name, and what follows from its features, do not.
_FACTS = (
    "arch", "cpu", "features", "vector_bits", "vector_registers", "l1d_bytes", "l2_bytes",
    "cache_line_bytes",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Task:
    """`function` is canonical and has no name of its own; `constants` are the parameters, by
    number, whose layout a schedule may change; `facts` are those of a CPU level.

    `workload` and `machine` are digests: tasks with the same two have the same best schedule.
    """

    function: Function
    constants: frozenset[int]
    facts: Mapping[str, Any]

    @staticmethod
    def of(function: Function, constants: frozenset[int], facts: Mapping[str, Any]) -> Task:
        """The task of scheduling a kernel, whatever that is called."""
        return Task(canonical(function.replace(name="kernel")), constants, facts)

    @cached_property
    def target(self) -> Target:
        return Target.of(self.facts)

    @cached_property
    def workload(self) -> str:
        return _digest([print_function(self.function), sorted(self.constants)])

    @cached_property
    def machine(self) -> str:
        return _digest({name: self.facts[name] for name in _FACTS})

    def data(self) -> dict[str, Any]:
        """As JSON-able data, from which `read` makes an equal task."""
        return {
            "function": print_function(self.function),
            "constants": sorted(self.constants),
            "facts": dict(self.facts),
        }

    @staticmethod
    def read(data: Mapping[str, Any]) -> Task:
        """Raises IRError if the function cannot be parsed."""
        return Task.of(
            parse_function(data["function"]), frozenset(data["constants"]), data["facts"]
        )


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
