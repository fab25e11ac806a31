"""SSA text with structured scopes: every value is computed as far out as its operands allow.

A scope is an open list of lines: the function's entry, a loop's body, a branch. While an inner
scope is open, what is appended to an outer one lands in front of the inner one: the preheader.
The right-hand side of an instruction is its value number, so equal computations are one value.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from passes.ir.loop.nodes import Buffer

ScopeKind = Literal["entry", "loop", "branch", "guard"]


class Value(NamedTuple):
    """An operand as spelled, and the depth of the scope from which on it is available."""

    text: str
    depth: int


@dataclass
class Scope:
    """Open lines of one block of the structure; `block` is the label of its last basic block.
    A `guard` is the branch around a loop that may have no iterations.
    """

    kind: ScopeKind
    block: str
    stored: frozenset[Buffer] = frozenset()
    barrier: bool = False
    lines: list[str] = field(default_factory=list)
    known: dict[Hashable, Value] = field(default_factory=dict)


class Ssa:
    """The scopes open at the moment, from the entry inwards, and the supply of names."""

    def __init__(self) -> None:
        self.scopes = [Scope("entry", "entry")]
        self.declarations: set[str] = set()
        self._names = 0

    @property
    def depth(self) -> int:
        """The depth of the innermost open scope; the entry has depth 0."""
        return len(self.scopes) - 1

    @property
    def sure_depth(self) -> int:
        """How far out an instruction that may trap can go: it must not leave its branch."""
        depth = self.depth
        while self.scopes[depth].kind == "loop":
            depth -= 1
        return depth

    def fresh(self, stem: str = "") -> str:
        """A new SSA name: `%.7`, `%i3.7`."""
        self._names += 1
        return f"%{stem}.{self._names}"

    def label(self, stem: str) -> str:
        """A new block label."""
        self._names += 1
        return f"{stem}.{self._names}"

    def op(self, text: str, depth: int, state: Hashable = None) -> Value:
        """The value of instruction `text`, which is available from scope `depth` on.

        `state` tells apart equal instructions that see different memory.
        """
        key = (text, state)
        for scope in reversed(self.scopes[: depth + 1]):
            if (found := scope.known.get(key)) is not None:
                return found
        value = Value(self.fresh(), depth)
        scope = self.scopes[depth]
        scope.lines.append(f"  {value.text} = {text}")
        scope.known[key] = value
        return value

    def hint(self, text: str, depth: int) -> None:
        """An instruction without a value or an effect that counts, once in the scope `depth`."""
        scope = self.scopes[depth]
        if (text, "hint") not in scope.known:
            scope.lines.append(f"  {text}")
            scope.known[text, "hint"] = Value("", depth)

    def effect(self, text: str) -> None:
        """An instruction without a value, in the innermost scope."""
        self.scopes[-1].lines.append(f"  {text}")

    def remember(self, text: str, state: Hashable, value: Value) -> None:
        """Makes `op(text, …, state)` give `value` from here on in the innermost scope."""
        self.scopes[-1].known[(text, state)] = value

    def declare(self, result: str, name: str, arguments: Iterable[str]) -> str:
        """Notes that external `name` is called; gives `@name`."""
        self.declarations.add(f"declare {result} @{name}({', '.join(arguments)})")
        return f"@{name}"


def depth_of(*values: Value) -> int:
    """The depth from which on all of `values` are available."""
    return max([value.depth for value in values], default=0)
