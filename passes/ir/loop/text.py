"""Text of loop functions: Python syntax, read back by `parse`.

    def scale(x0: f32[n, 4], y1: f32[n, 4], *, n: dim[1, 512]):
        for i2 in parallel(n):
            for j3 in range(4):
                with block("scale"):
                    i4 = spatial(n, i2)
                    j5 = spatial(4, j3)
                    y1[i4, j5] = x0[i4, j5]*f32(2.0)

Law: `parse_function(print_function(f)) is canonical(f)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from passes.ir.expr import Expr
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.canonical import canonical
from passes.ir.loop.distribution import Distribution
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Attr,
    Barrier,
    Block,
    Buffer,
    For,
    Function,
    If,
    Kernel,
    Launch,
    Load,
    Seq,
    Stmt,
    Store,
    TupleCombiner,
    Update,
    View,
    While,
)
from passes.ir.loop.traverse import combiners_in
from passes.ir.node import IRError

_CONTEXT = 3  # lines shown around the one an error is about


def print_function(function: Function) -> str:
    """The text of `canonical(function)`: equal for equal programs."""
    return str(Listing(canonical(function)))


def print_type(buffer: Buffer) -> str:
    """`f32[n, 4]`, or `u8[n, 4](strides=[8, 1], align=64)` with more that is known of it."""
    text = f"{buffer.dtype}[{_joined(buffer.shape) or '()'}]"
    facts = []
    if buffer.strides is not None:
        facts.append(f"strides=[{_joined(buffer.strides)}]")
    if buffer.align is not None:
        facts.append(f"align={buffer.align}")
    if buffer.pitch is not None:
        facts.append(f"pitch={[list(axis) for axis in buffer.pitch]}")
    if buffer.distribution is not None:
        facts.append(f"distribution={print_distribution(buffer.distribution)}")
    return f"{text}({', '.join(facts)})" if facts else text


def print_distribution(d: Distribution) -> str:
    """`distribution({"i": 2, "j": 4}, {"lane": [[1, 0], [0, 1], [0, 2]]})`."""
    outputs = ", ".join([f"{_quoted(name)}: {size}" for name, size in d.outputs])
    inputs = [f"{_quoted(n)}: {[list(basis) for basis in bases]}" for n, bases in d.inputs]
    return f"distribution({{{outputs}}}, {{{', '.join(inputs)}}})"


class Listing:
    """The lines of a function just as it is, and where its statements stand in them.

    `starts[i]` is the line of the i-th statement, counting statements (not sequences) from the
    top, a block before its init and its init before its body.
    """

    def __init__(self, function: Function) -> None:
        self.lines: list[str] = []
        self.starts: list[int] = []
        if function.attrs:
            self._line(0, f"@kernel({_annotations(function.attrs)})")
        params = [f"{name_of(b)}: {print_type(b)}" for b in function.params]
        if function.dims:
            params += ["*", *[f"{d.name}: dim[{d.lo}, {d.hi}]" for d in function.dims]]
        self._line(0, f"def {function.name}({', '.join(params)}):")
        for buffer in function.allocs:
            scope = "" if buffer.scope == "global" else f', scope="{buffer.scope}"'
            self._line(1, f"{name_of(buffer)} = alloc({print_type(buffer)}{scope})")
        for kernel in function.kernels:
            self._kernel(kernel)
        for combiner in combiners_in(function.body):
            self._combiner(combiner)
        self._stmt(function.body, 1)

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"

    def _line(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def _stmt(self, stmt: Stmt, depth: int) -> None:
        if isinstance(stmt, Seq):
            for inner in stmt.stmts:
                self._stmt(inner, depth)
            if not stmt.stmts:
                self._line(depth, "pass")
            return
        self.starts.append(len(self.lines))
        match stmt:
            case For():
                self._line(depth, f"for {_counting(stmt)}:")
                self._stmt(stmt.body, depth + 1)
            case While(cond, body):
                self._line(depth, f"while {print_expr(cond)}:")
                self._stmt(body, depth + 1)
            case Block():
                self._block(stmt, depth)
            case Store(buffer, indices, value):
                place = print_expr(Load(buffer, indices))
                self._line(depth, f"{place} = {print_expr(value)}")
            case Update(targets, values, combiner):
                operands = _joined((*targets, *values))
                self._line(depth, f"{_joined(targets)} = {combiner.name}({operands})")
            case If(cond, then, other):
                self._line(depth, f"if {print_expr(cond)}:")
                self._stmt(then, depth + 1)
                if other is not None:
                    self._line(depth, "else:")
                    self._stmt(other, depth + 1)
            case AsyncGroup(queue, body):
                self._line(depth, f"with async_group({_quoted(queue)}):")
                self._stmt(body, depth + 1)
            case AsyncWait(queue, pending, buffers):
                what = f"{_quoted(queue)}, {print_expr(pending)}, [{_names(buffers)}]"
                self._line(depth, f"async_wait({what})")
            case Launch(kernel, dims, buffers):
                what = f"{_quoted(kernel)}, [{_joined(dims)}], [{_names(buffers)}]"
                self._line(depth, f"launch({what})")
            case Barrier():
                self._line(depth, "barrier()")
            case _:
                raise IRError(f"no text for statements of class {type(stmt).__name__}")

    def _block(self, block: Block, depth: int) -> None:
        values = ", ".join(filter(None, [_quoted(block.label), _noted(block)]))
        self._line(depth, f"with block({values}):")
        depth += 1
        for it, binding in zip(block.iters, block.bindings, strict=True):
            meaning = f"{it.kind}({print_expr(it.extent)}, {print_expr(binding)})"
            self._line(depth, f"{name_of(it.var)} = {meaning}")
        if block.predicate is not None:
            self._line(depth, f"where({print_expr(block.predicate)})")
        for view in block.views:
            self._line(depth, f"{name_of(view.buffer)} = view({_region(view)})")
        if block.init is not None:
            self._line(depth, "with init():")
            self._stmt(block.init, depth + 1)
        self._stmt(block.body, depth)

    def _kernel(self, kernel: Kernel) -> None:
        sizes = f"grid=[{_joined(kernel.grid)}], threads=[{_joined(kernel.threads)}]"
        self._line(1, f"@device({sizes}, place=[{_joined(kernel.place)}])")
        for line in Listing(kernel.function).lines:
            self._line(1, line)

    def _combiner(self, combiner: TupleCombiner) -> None:
        params = ", ".join([f"{name_of(v)}: {v.dtype}" for v in combiner.params])
        self._line(1, f"@combiner({_joined(combiner.identity)})")
        self._line(1, f"def {combiner.name}({params}):")
        self._line(2, f"return {_joined(combiner.results)}")


def find(text: str, part: str) -> int:
    """Where `part` stands in `text` with no letter or digit running on; -1 if nowhere."""
    found = re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) if part else None
    return found.start() if found is not None else -1


def window(lines: list[str], line: int, part: str = "", column: int | None = None) -> str:
    """The lines around number `line` (from 0), and carets below a place in it.

    The place is `column`, or else where `part` stands, or else the whole line.
    """
    low, high = max(0, line - _CONTEXT), min(len(lines), line + _CONTEXT + 1)
    width = len(str(high))
    shown = []
    for number in range(low, high):
        text = lines[number]
        shown.append(f"{number + 1:>{width}} | {text}".rstrip())
        if number == line:
            at = find(text, part)
            start, length = (at, len(part)) if at >= 0 else _body_of(text)
            if column is not None:
                start, length = column, 1
            shown.append(f"{'':>{width}} | {' ' * start}{'^' * length}")
    return "\n".join(shown)


def _body_of(text: str) -> tuple[int, int]:
    bare = text.strip()
    return len(text) - len(text.lstrip()), max(1, len(bare))


def _joined(items: Iterable[Expr]) -> str:
    return ", ".join([print_expr(e) for e in items])


def _names(buffers: Iterable[Buffer]) -> str:
    return ", ".join([name_of(b) for b in buffers])


def _region(view: View) -> str:
    """`x0[b4, i5*16:+16]`: where the view begins, and how far it reaches."""
    axes = []
    for start, extent in zip(view.source.indices, view.extents, strict=True):
        axes.append(print_expr(start))
        if extent is not None:
            size = print_expr(extent)
            axes[-1] += f":+{size}" if re.fullmatch(r"-?\w+", size) else f":+({size})"
    return f"{name_of(view.source.buffer)}[{', '.join(axes) or '()'}]"


def _counting(loop: For) -> str:
    """`i3 in range(n)`, `i3, p4 in multiples(range(n), 16)`."""
    values = ", ".join(filter(None, [print_expr(loop.extent), _noted(loop)]))
    span = f"{'range' if loop.kind == 'serial' else loop.kind}({values})"
    if loop.multiples:
        span = f"multiples({span}, {_joined([multiple.step for multiple in loop.multiples])})"
    names = [name_of(var) for var in (loop.var, *[multiple.var for multiple in loop.multiples])]
    return f"{', '.join(names)} in {span}"


def _noted(stmt: For | Block) -> str:
    return _annotations(stmt.annotations)


def _annotations(items: tuple[tuple[str, Attr], ...]) -> str:
    return ", ".join([f"{key}={_literal(value)}" for key, value in items])


def _literal(value: Attr) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    """The string in double quotes."""
    return '"' + "".join([_escaped(c) for c in text]) + '"'


def _escaped(c: str) -> str:
    if c in '"\\':
        return "\\" + c
    return c if c.isprintable() else c.encode("unicode_escape").decode()
