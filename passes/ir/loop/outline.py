"""A function's loop nest as a tree: loops with their kinds and extents, blocks with what they do.

rms_norm(n)
├─ i5 in range(n)
│  └─ j6 in range(64)
│     └─ squares: stores squares3, loads x0; reduces j8 over 64
└─ i11 in parallel(n), j12 in vectorized(64)
   └─ rms_norm: stores out2, loads x0, inverse4, w1
"""

from __future__ import annotations

from collections.abc import Iterable

from passes.ir.expr_text import name_of, print_expr
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Barrier,
    Block,
    Buffer,
    For,
    Function,
    If,
    Launch,
    Seq,
    Stmt,
    While,
)
from passes.ir.loop.traverse import loaded_in, stored_in


def outline(function: Function) -> str:
    """The tree as text; the function is taken just as it is."""
    dims = ", ".join([dim.name for dim in function.dims])
    lines = [f"{function.name}({dims})", *_children(_parts(function.body))]
    return "\n".join(lines) + "\n"


def _children(stmts: list[Stmt]) -> list[str]:
    trees = [tree for stmt in stmts for tree in _trees(stmt)]
    lines: list[str] = []
    for number, (head, *rest) in enumerate(trees):
        last = number == len(trees) - 1
        lines.append(("└─ " if last else "├─ ") + head)
        lines += [("   " if last else "│  ") + line for line in rest]
    return lines


def _trees(stmt: Stmt) -> list[list[str]]:
    """What a statement is and the tree below it; an `else` is a tree of its own."""
    if isinstance(stmt, If):
        trees = [[f"if {print_expr(stmt.cond)}", *_children(_parts(stmt.then))]]
        if stmt.other is not None:
            trees.append(["else", *_children(_parts(stmt.other))])
        return trees
    return [_lines(stmt)]


def _lines(stmt: Stmt) -> list[str]:
    """Loops directly inside each other share a line."""
    if isinstance(stmt, For):
        heads = [_loop(stmt)]
        while isinstance(stmt.body, For):
            stmt = stmt.body
            heads.append(_loop(stmt))
        return [", ".join(heads), *_children(_parts(stmt.body))]
    if isinstance(stmt, Block):
        return [_block(stmt)]
    if isinstance(stmt, While):
        return [f"while {print_expr(stmt.cond)}", *_children(_parts(stmt.body))]
    if isinstance(stmt, AsyncGroup):
        return [f'copies of "{stmt.queue}"', *_children(_parts(stmt.body))]
    if isinstance(stmt, AsyncWait):
        return [f'wait for "{stmt.queue}"']
    if isinstance(stmt, Barrier):
        return ["barrier"]
    if isinstance(stmt, Launch):
        return [f"launch {stmt.kernel}"]
    return [_effects(stmt)]


def _loop(loop: For) -> str:
    kind = "range" if loop.kind == "serial" else loop.kind
    return f"{name_of(loop.var)} in {kind}({print_expr(loop.extent)})"


def _block(block: Block) -> str:
    text = f"{block.label}: {_effects(block)}"
    others = [it for it in block.iters if it.kind != "spatial"]
    for kind in dict.fromkeys(it.kind for it in others):
        over = [
            f"{name_of(it.var)} over {print_expr(it.extent)}" for it in others if it.kind == kind
        ]
        verb = {"reduce": "reduces", "ordered": "runs in order of"}.get(kind, "runs all of")
        text += f"; {verb} {', '.join(over)}"
    if block.predicate is not None:
        text += f"; where {print_expr(block.predicate)}"
    return text


def _effects(stmt: Stmt) -> str:
    """`stores y1, loads x0, w2`."""
    views = {view.buffer: view.source.buffer for view in getattr(stmt, "views", ())}
    stored = {views.get(buffer, buffer) for buffer in stored_in(stmt)}
    loaded = {views.get(buffer, buffer) for buffer in loaded_in(stmt)} - stored
    text = f"stores {_names(stored)}"
    return f"{text}, loads {_names(loaded)}" if loaded else text


def _names(buffers: Iterable[Buffer]) -> str:
    return ", ".join([name_of(b) for b in sorted(buffers, key=lambda b: b.ordinal)])


def _parts(stmt: Stmt) -> list[Stmt]:
    return list(stmt.stmts) if isinstance(stmt, Seq) else [stmt]
