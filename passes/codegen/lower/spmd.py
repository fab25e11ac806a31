"""Which thread runs what: every thread runs the kernel, and shares its parallel loops.

    t1[0] = x0[0]                              if thread_id() == 0:
    for i3 in parallel(n):                         t1[0] = x0[0]
        y2[i3] = x0[i3]*t1[0]            →     barrier()
                                               for i3 in parallel(n):
                                                   y2[i3] = x0[i3]*t1[0]

What is outside the parallel loops runs on thread 0. A barrier stands between statements of which
one stores what the other one uses. A parallel loop inside another one is serial. Exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from passes.codegen.lower.walk import NOTHING
from passes.ir.dtypes import INDEX
from passes.ir.expr import Call, Eq, Expr, const
from passes.ir.loop.nodes import (
    Barrier,
    Buffer,
    For,
    Function,
    If,
    Load,
    Seq,
    Stmt,
    Store,
    While,
    seq,
)
from passes.ir.node import IRError, Node, postorder, rewrite


def share_work(function: Function) -> Function:
    """The function as each thread runs it. Raises `IRError` for private data that is shared.

    A kernel of a device is one thread's program already.
    """
    if ("kind", "device") in function.attrs:
        return function
    _check_private(function)
    return function.replace(body=_team(function.body))


@dataclass
class _Touched:
    """Shared buffers that statements load and store."""

    loaded: set[Buffer]
    stored: set[Buffer]

    def conflicts(self, other: _Touched) -> bool:
        both = other.loaded | other.stored
        return bool(self.stored & both or self.loaded & other.stored)


def _team(stmt: Stmt) -> Stmt:
    """The statement as the whole team runs it."""
    if isinstance(stmt, For) and stmt.kind == "parallel":
        return stmt.replace(body=rewrite(stmt.body, _serial))
    if not _is_shared(stmt):
        return If(Eq(Call("thread_id", (), INDEX), const(0)), stmt)
    if isinstance(stmt, Seq):
        return _in_order(stmt)
    if isinstance(stmt, For):
        return stmt.replace(body=_again(stmt.body, _read(stmt.extent)))
    if isinstance(stmt, While):
        return While(stmt.cond, _again(stmt.body, _read(stmt.cond)))
    if isinstance(stmt, If):
        asked = _read(stmt.cond)
        other = None if stmt.other in (None, NOTHING) else _after(asked, stmt.other)
        return If(stmt.cond, _after(asked, stmt.then), other)
    return stmt


def _again(body: Stmt, asked: _Touched) -> Stmt:
    """The body of a loop whose threads have read `asked` before each iteration."""
    touched = _touched(body)
    done = _after(asked, body)
    meets = touched.conflicts(touched) or touched.conflicts(asked)
    return seq(done, Barrier()) if meets else done


def _after(asked: _Touched, stmt: Stmt | None) -> Stmt:
    """The statement, once all threads have read what it changes."""
    assert stmt is not None
    done = _team(stmt)
    return seq(Barrier(), done) if asked.conflicts(_touched(stmt)) else done


def _in_order(stmt: Seq) -> Stmt:
    done: list[Stmt] = []
    since = _Touched(set(), set())
    for part in _grouped(stmt.stmts):
        touched = _touched(part)
        if isinstance(part, Barrier) or since.conflicts(touched):
            done.append(Barrier())
            since = _Touched(set(), set())
        if not isinstance(part, Barrier):
            done.append(_team(part))
        since.loaded |= touched.loaded
        since.stored |= touched.stored
    return seq(*done)


def _grouped(stmts: tuple[Stmt, ...]) -> list[Stmt]:
    """Neighbours that only thread 0 runs, taken together."""
    groups: list[Stmt] = []
    for stmt in stmts:
        if groups and not _is_shared(stmt) and not _is_shared(groups[-1]):
            groups[-1] = seq(groups[-1], stmt)
        else:
            groups.append(stmt)
    return groups


def _is_shared(stmt: Stmt) -> bool:
    nodes = postorder(stmt)
    return any(
        isinstance(n, Barrier) or (isinstance(n, For) and n.kind == "parallel") for n in nodes
    )


def _read(e: Expr) -> _Touched:
    loads = [node.buffer for node in postorder(e) if isinstance(node, Load)]
    return _Touched({buffer for buffer in loads if buffer.scope == "global"}, set())


def _touched(stmt: Stmt) -> _Touched:
    touched = _Touched(set(), set())
    for node in postorder(stmt):
        if isinstance(node, Load | Store) and node.buffer.scope == "global":
            (touched.loaded if isinstance(node, Load) else touched.stored).add(node.buffer)
    return touched


def _serial(node: Node) -> Node | None:
    if isinstance(node, For) and node.kind == "parallel":
        return node.replace(kind="serial")
    return None


def _check_private(function: Function) -> None:
    """Private buffers must not carry anything into or between parallel loops."""
    owner: dict[Buffer, Stmt] = {}
    pieces: list[Stmt] = []
    stack: list[Stmt] = [function.body]
    while stack:
        stmt = stack.pop()
        inner = [child for child in stmt.children if isinstance(child, Stmt)]
        if (isinstance(stmt, For) and stmt.kind == "parallel") or not _is_shared(stmt):
            pieces.append(stmt)
        else:
            stack.extend(inner)
    for piece in pieces:
        alone = piece if _is_shared(piece) else NOTHING
        for node in postorder(piece):
            if not isinstance(node, Load | Store) or node.buffer.scope == "global":
                continue
            if owner.setdefault(node.buffer, alone) is not alone:
                raise IRError(
                    f"'{function.name}': {node.buffer.scope} buffer "
                    f"'{node.buffer.name}{node.buffer.ordinal}' is private to a thread but used "
                    "inside and outside of a parallel loop; give it scope 'global'"
                )
