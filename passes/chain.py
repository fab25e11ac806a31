"""What a pass is, and how a stage runs a chain of them.

A pass is a frozen dataclass of its options with a `name`, a `version` and a pure
`run(module) -> module`; it is found by name among the plugins of group `passes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Protocol

from passes.ir.graph.operator import Operators
from passes.ir.module import Module
from passes.ir.node import IRError

Progress = Callable[[float, str], None]


class Pass(Protocol):
    """A pure function from module to module; its fields are its options."""

    name: ClassVar[str]
    version: ClassVar[int]

    def run(self, module: Module) -> Module:
        """The module rewritten; the one given is left as it is."""
        ...


def run_chain(
    module: Module, chain: Iterable[Pass], operators: Operators, progress: Progress
) -> Module:
    """The module after all passes, verified after each. Raises IRError naming the pass."""
    passes = list(chain)
    for number, one in enumerate(passes):
        progress(number / len(passes), one.name)
        try:
            module = one.run(module)
            module.verify(operators)
        except IRError as error:
            raise IRError(f"pass '{one.name}': {error}") from error
    return module
