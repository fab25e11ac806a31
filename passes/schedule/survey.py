"""What the analyses find in a function, as text: what each iteration touches, what blocks are.

compact dataflow
i5: reads x0[i5, 0 : 12], w1[0 : 12, 0 : 16]; stores t4[i5, 0 : 16]
  j6: reads x0[i5, 0 : 12], w1[0 : 12, j6]; stores t4[i5, j6]
    k7: reads x0[i5, k7], w1[k7, j6]; stores t4[i5, j6]
      dot: a reduction, each instance once
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from passes.ir.arith import simplify
from passes.ir.expr import Const, Expr
from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import Block, Buffer, For, Function, Stmt
from passes.schedule.bindings import bindings_of
from passes.schedule.dataflow import not_compact, not_complete, not_reduction
from passes.schedule.footprints import Box, footprint, uncovered
from passes.schedule.tree import path_to_block


def survey(function: Function) -> str:
    """The findings, an indented line each loop and each block. Raises ScheduleError for a host
    program."""
    reason = not_compact(function)
    head = "compact dataflow" if reason is None else f"no compact dataflow: {reason}"
    return "\n".join([head, *_lines(function, function.body, "")]) + "\n"


def _lines(function: Function, stmt: Stmt, indent: str) -> Iterator[str]:
    if isinstance(stmt, For):
        yield f"{indent}{name_of(stmt.var)}: {_touched(function, stmt.body)}"
        indent += "  "
    if isinstance(stmt, Block):
        yield f"{indent}{stmt.label}: {_kind(function, stmt)}"
        indent += "  "
    for child in stmt.children:
        if isinstance(child, Stmt):
            yield from _lines(function, child, indent)


def _touched(function: Function, body: Stmt) -> str:
    found = footprint(function, body)
    parts = [("reads", found.reads), ("stores", found.writes)]
    return "; ".join([f"{verb} {_boxes(boxes)}" for verb, boxes in parts if boxes]) or "nothing"


def _boxes(boxes: Mapping[Buffer, Box | None]) -> str:
    texts = []
    for buffer, box in sorted(boxes.items(), key=lambda item: item[0].ordinal):
        name = name_of(buffer)
        texts.append(f"some of {name}" if box is None else f"{name}[{_box(box)}]")
    return ", ".join(texts)


def _box(box: Box) -> str:
    pairs = zip(box.first, box.extents, strict=True)
    return ", ".join([_span(first, extent) for first, extent in pairs]) or "()"


def _span(first: Expr, extent: Expr) -> str:
    if isinstance(extent, Const) and extent.value == 1:
        return print_expr(first)
    return f"{print_expr(first)} : {print_expr(simplify(first + extent))}"


def _kind(function: Function, block: Block) -> str:
    """`complete, each instance once`."""
    kind, reason = "complete", not_complete(function, block.label)
    if reason is not None:
        other = not_reduction(function, block.label)
        neither = f"neither complete ({reason}) nor a reduction ({other})"
        kind = "a reduction" if other is None else neither
    bindings = bindings_of(path_to_block(function, block.label, "survey"))
    once, every = "some instances, each once", "each instance, maybe again"
    often = once if bindings.once else every if bindings.every else "its instances not counted"
    text = f"{kind}, {'each instance once' if bindings.bijective else often}"
    if bindings.padded:
        text += ", iterations left out"
    late = dict.fromkeys(name_of(a.buffer) for a in uncovered(function, block.label))
    return f"{text}; reads {', '.join(late)} maybe not computed yet" if late else text
