"""What a loop function declares, which names stand where, and how errors show its text."""

from __future__ import annotations

import keyword
import math
from collections.abc import Sequence
from typing import NoReturn

from passes.ir.arith.symbols import dims_of, free_vars
from passes.ir.dtypes import BOOL
from passes.ir.expr import Const, Dim, Expr, Var
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.closures import symbols_of
from passes.ir.loop.nodes import Attr, Block, Buffer, Function, Load, TupleCombiner, View
from passes.ir.loop.operands import complaint
from passes.ir.loop.text import Listing, find, window
from passes.ir.loop.traverse import combiners_in
from passes.ir.node import IRError, Node, postorder


class Declarations:
    """Checks a function's signature, its combiners, and expressions at the place at hand.

    `scope` has what each visible variable depends on, `blocks` and `views` are those around,
    `number` says which statement is being checked.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.buffers = {*function.params, *function.allocs}
        self.dims = frozenset(function.dims)
        self.scope: dict[Var, frozenset[Var]] = {}
        self.bound: set[str] = set()
        self.blocks: list[Block] = []
        self.views: dict[Buffer, View] = {}
        self.behind: dict[Buffer, frozenset[Var]] = {}  # the variables that a view speaks of
        self.number = -1
        self.checked: set[Node] = set()

    def fail(self, message: str, part: Expr | str = "") -> NoReturn:
        """Raises with the statement being checked in its place, `part` of it underlined."""
        listing = Listing(self.function)
        text = part if isinstance(part, str) else print_expr(part)
        line = listing.starts[self.number] if self.number >= 0 else 0
        header = len(self.blocks[-1].iters) + len(self.blocks[-1].views) + 2 if self.blocks else 0
        if self.number < 0:
            header = (listing.starts or [1])[0] - 1
        for candidate in range(line, min(len(listing.lines), line + 1 + header)):
            if find(listing.lines[candidate], text) >= 0:
                line = candidate
                break
        shown = window(listing.lines, line, text)
        raise IRError(f"{self.place()}: {text + ' ' if text else ''}{message}\n{shown}")

    def place(self) -> str:
        """Where the statement being checked is."""
        block = f", block '{self.blocks[-1].label}'" if self.blocks else ""
        return f"function '{self.function.name}'{block}"

    def named(self, what: str, name: str) -> None:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise IRError(
                f"function '{self.function.name}': the {what} '{name}' must be a name that is not"
                " a keyword of Python, whose syntax the text has"
            )

    def signature(self) -> None:
        """Checks all that stands before the body."""
        function = self.function
        self.named("function name", function.name)
        names = [dim.name for dim in function.dims]
        for name in names:
            self.named("dim", name)
        if len(set(names)) != len(names):
            raise IRError(f"{self.place()}: two dims have the same name ({', '.join(names)})")
        self.annotations(function.attrs)
        for buffer in (*function.params, *function.allocs):
            self.bind(buffer)
            self.sizes(buffer)
            self.distribution(buffer)
        for buffer in function.params:
            if buffer.scope != "global":
                self.fail(
                    f"is a parameter of scope '{buffer.scope}'; parameters are global",
                    name_of(buffer),
                )
        for combiner in combiners_in(function.body):
            self.combiner(combiner)

    def sizes(self, buffer: Buffer) -> None:
        """Its shape is known before the function runs."""
        for e in (*buffer.shape, *(buffer.strides or ())):
            if free_vars(e) or not dims_of(e) <= self.dims or _loads(e):
                self.fail(
                    f"in the shape of {name_of(buffer)} is not an expression of the"
                    " function's dims; declare them",
                    e,
                )

    def distribution(self, buffer: Buffer) -> None:
        """It tiles the last axes."""
        tile = buffer.distribution.outputs if buffer.distribution is not None else ()
        for extent, (name, size) in zip(buffer.shape[-len(tile) :], tile, strict=False):
            if isinstance(extent, Const) and int(extent.value) % size:
                self.fail(
                    f"has {extent.value} elements along '{name}', of which its distribution places"
                    f" {size} at a time",
                    name_of(buffer),
                )

    def combiner(self, combiner: TupleCombiner) -> None:
        """It speaks of its own parameters and of dims."""
        self.named("combiner", combiner.name)
        for var in combiner.params:
            self.bind(var)
        self.scope = {var: frozenset((var,)) for var in combiner.params}
        for e in combiner.results:
            self.expr(e)
        self.scope = {}
        for e in combiner.identity:
            self.expr(e)
        for e in (*combiner.results, *combiner.identity):
            if _loads(e):
                self.fail("reads memory; a combiner speaks of its parameters and of dims", e)

    def bind(self, node: Var | Buffer) -> None:
        """From here on its name is taken."""
        name = name_of(node)
        if name in self.bound:
            self.fail("is bound twice; every variable and buffer has an ordinal of its own", name)
        self.bound.add(name)

    def annotations(self, items: Sequence[tuple[str, Attr]]) -> None:
        keys = [key for key, _ in items]
        for key, value in items:
            self.named("annotation", key)
            if isinstance(value, float) and not math.isfinite(value):
                raise IRError(f"{self.place()}: annotation {key}={value} is not finite")
        if len(set(keys)) != len(keys):
            raise IRError(f"{self.place()}: an annotation is given twice ({', '.join(keys)})")

    def known(self, buffer: Buffer) -> None:
        """It is declared, or a view of a block around."""
        if buffer not in self.buffers:
            self.fail("is neither a parameter nor an alloc of the function", name_of(buffer))

    def expr(self, e: Expr) -> None:
        """Checks scopes, and the types that the nodes leave open."""
        spoken = free_vars(e)
        if self.behind:
            spoken = spoken.union(*[self.behind.get(b, frozenset()) for b in _loads(e)])
        strangers = [var for var in spoken if var not in self.scope]
        if strangers:
            name = min(name_of(var) for var in strangers)
            reach = "of its own iterators" if self.blocks else "of the loops around it"
            self.fail(f"is not bound here; what stands here may speak {reach} and of dims", name)
        missing = [s.name for s in symbols_of(e) if isinstance(s, Dim) and s not in self.dims]
        if missing:
            self.fail("is not among the function's dims; declare it", missing[0])
        for node in postorder(e):
            if isinstance(node, Load):
                self.known(node.buffer)
            if node not in self.checked and isinstance(node, Expr):
                wrong = complaint(node)
                if wrong is not None:
                    self.fail(wrong, node)
                self.checked.add(node)

    def condition(self, cond: Expr) -> None:
        """An expression that holds or not."""
        self.expr(cond)
        if cond.dtype != BOOL:
            self.fail(f"is a condition but has type {cond.dtype}", cond)


def _loads(e: Expr) -> frozenset[Buffer]:
    return frozenset(n.buffer for n in postorder(e) if isinstance(n, Load))
