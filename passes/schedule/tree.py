"""Finding and replacing statements of a loop function, and the error a primitive raises."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from passes.ir.expr import Var
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import Block, Buffer, For, Function, If, Load, Seq, Stmt, Store, seq
from passes.ir.loop.text import Listing, window
from passes.ir.node import IRError, Node, postorder, rewrite


class ScheduleError(IRError):
    """A primitive whose precondition does not hold; says which, on which loop or block.

    The text ends with the lines of the program around `at`: a loop (its variable), a block (its
    label) or a buffer.
    """

    def __init__(
        self,
        primitive: str,
        place: str,
        reason: str,
        function: Function,
        at: Var | Buffer | str | None = None,
    ) -> None:
        self.primitive, self.place, self.reason = primitive, place, reason
        shown = _surroundings(function, at)
        super().__init__(f"{primitive} of {place} in '{function.name}': {reason}{shown}")


@dataclass(frozen=True)
class Refusal:
    """What every error of one call of a primitive has in common; calling it adds the reason."""

    primitive: str
    place: str
    function: Function
    at: Var | Buffer | str | None = None

    def __call__(self, reason: str) -> ScheduleError:
        return ScheduleError(self.primitive, self.place, reason, self.function, self.at)


def _surroundings(function: Function, at: Var | Buffer | str | None) -> str:
    """The marked lines of the program, or nothing if `at` does not stand in it."""
    if at is None:
        return ""
    lines = Listing(function).lines
    if isinstance(at, str):
        mark = f'with block("{at}"'
    elif isinstance(at, Var):
        mark = f"for {name_of(at)} in "
    else:
        mark = f"{name_of(at)}: " if at in function.params else f"{name_of(at)} = alloc("
    found = next((k for k, line in enumerate(lines) if mark in line), None)
    return "" if found is None else "\n" + window(lines, found)


def spell(var: Var) -> str:
    """The variable as text shows it."""
    return name_of(var)


def statements(root: Node) -> Iterator[Stmt]:
    """All statements below `root`, in program order, outer before inner."""
    if isinstance(root, Function):
        yield from statements(root.body)
        return
    if isinstance(root, Stmt):
        yield root
        for child in root.children:
            if isinstance(child, Stmt):
                yield from statements(child)


def path(function: Function, wanted: Callable[[Stmt], bool]) -> tuple[Stmt, ...] | None:
    """The statements from the body down to the first that is `wanted`, inclusive."""

    def search(stmt: Stmt) -> tuple[Stmt, ...] | None:
        if wanted(stmt):
            return (stmt,)
        for child in stmt.children:
            if isinstance(child, Stmt) and (found := search(child)) is not None:
                return (stmt, *found)
        return None

    return search(function.body)


def path_to_loop(function: Function, var: Var, primitive: str) -> tuple[Stmt, ...]:
    """The path ending in the loop of `var`. Raises ScheduleError if there is none."""
    _kernels_only(function, primitive)
    found = path(function, lambda s: isinstance(s, For) and s.var is var)
    if found is None:
        raise ScheduleError(primitive, f"loop {spell(var)}", "there is no such loop", function)
    return found


def path_to_block(function: Function, label: str, primitive: str) -> tuple[Stmt, ...]:
    """The path ending in the block. Raises ScheduleError if there is none."""
    _kernels_only(function, primitive)
    found = path(function, lambda s: isinstance(s, Block) and s.label == label)
    if found is None:
        raise ScheduleError(primitive, f"block '{label}'", "there is no such block", function)
    return found


def _kernels_only(function: Function, primitive: str) -> None:
    """What a launched kernel reads and writes is not seen here."""
    if ("kind", "host") in function.attrs:
        reason = "host programs are not scheduled; schedule the kernels it launches"
        raise ScheduleError(primitive, "a host program", reason, function)


def get_loop(function: Function, var: Var, primitive: str) -> For:
    loop = path_to_loop(function, var, primitive)[-1]
    assert isinstance(loop, For)
    return loop


def get_block(function: Function, label: str, primitive: str) -> Block:
    block = path_to_block(function, label, primitive)[-1]
    assert isinstance(block, Block)
    return block


def get_buffer(function: Function, name: str, primitive: str) -> Buffer:
    """The param or alloc whose spelling (`name` + ordinal) or unique plain name it is."""
    buffers = (*function.params, *function.allocs)
    found = [b for b in buffers if f"{b.name}{b.ordinal}" == name]
    found = found or [b for b in buffers if b.name == name]
    if len(found) != 1:
        raise ScheduleError(primitive, f"buffer '{name}'", f"{len(found)} buffers match", function)
    return found[0]


def replace(function: Function, old: Stmt, new: Stmt | None) -> Function:
    """The function with one statement (anywhere in its body) replaced, or removed if None.

    Loops left without a body disappear.
    """

    def visit(stmt: Stmt) -> Stmt | None:
        if stmt is old:
            return new
        match stmt:
            case Seq():
                kept = [visit(child) for child in stmt.stmts]
                if all(child is None for child in kept):
                    return None
                return seq(*kept)
            case For():
                body = visit(stmt.body)
                return None if body is None else stmt.replace(body=body)
            case If():
                then = visit(stmt.then)
                other = None if stmt.other is None else visit(stmt.other)
                if then is None and other is None:
                    return None
                return stmt.replace(then=then or Seq(()), other=other)
            case Block():
                body = visit(stmt.body)
                init = None if stmt.init is None else visit(stmt.init)
                return None if body is None else stmt.replace(body=body, init=init)
            case _:
                return stmt

    body = visit(function.body)
    return function.replace(body=Seq(()) if body is None else body)


def fresh_ordinal(function: Function) -> int:
    """An ordinal no variable or buffer of the function has; from it on all are free."""
    used = [n.ordinal for n in postorder(function) if isinstance(n, Var | Buffer)]
    return max(used, default=-1) + 1


def fresh_label(function: Function, label: str) -> str:
    """The label itself if it is free, else with the first number that makes it so."""
    taken = {block.label for block in blocks_in(function.body)}
    numbered = (f"{label}_{n}" for n in itertools.count(1))
    return next(c for c in itertools.chain([label], numbered) if c not in taken)


def loops_in(stmts: tuple[Stmt, ...]) -> list[For]:
    """The loops among the statements of a path."""
    return [s for s in stmts if isinstance(s, For)]


def own_nest(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """The last part of a path: the loops that hold nothing but the block at its end."""
    branching = [k for k, s in enumerate(stmts[:-1]) if isinstance(s, Seq | If | Block)]
    return stmts[branching[-1] + 1 :] if branching else stmts


def blocks_in(root: Stmt) -> list[Block]:
    """The blocks below a statement, in program order."""
    return [s for s in statements(root) if isinstance(s, Block)]


def replace_buffer(function: Function, old: Buffer, new: Buffer) -> Function:
    """Every mention of a buffer exchanged, declaration included."""
    return rewrite(function, lambda n: new if n is old else None)


@lru_cache(maxsize=1 << 10)
def written(root: Node) -> frozenset[Buffer]:
    """The buffers stored to below `root`."""
    return frozenset(n.buffer for n in postorder(root) if isinstance(n, Store))


@lru_cache(maxsize=1 << 12)
def loaded(root: Node) -> frozenset[Buffer]:
    """The buffers read below `root`, a reduction's own output included."""
    return frozenset(n.buffer for n in postorder(root) if isinstance(n, Load))


def renamed(root: Stmt, first: int, suffix: str) -> tuple[Stmt, int]:
    """A copy of `root` with fresh variables from ordinal `first` and suffixed block labels.

    Gives the copy and the next free ordinal. Buffers stay.
    """
    bound: list[Var] = []
    for stmt in statements(root):
        if isinstance(stmt, For):
            bound.append(stmt.var)
        elif isinstance(stmt, Block):
            bound.extend(it.var for it in stmt.iters)
    names: dict[Node, Node] = {v: v.replace(ordinal=first + k) for k, v in enumerate(bound)}

    def rule(node: Node) -> Node | None:
        if isinstance(node, Block):
            return node.replace(label=node.label + suffix)
        return names.get(node)

    return rewrite(root, rule), first + len(bound)
