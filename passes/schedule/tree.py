"""Finding and replacing statements of a loop function, and the error a primitive raises."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from passes.ir.derived import Derived, union
from passes.ir.expr import Var
from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    Load,
    Seq,
    Stmt,
    Store,
    Update,
    View,
    While,
    seq,
)
from passes.ir.loop.text import Listing, window
from passes.ir.loop.traverse import views_in
from passes.ir.node import IRError, Node, Rule, rewrite

N = TypeVar("N", bound=Node)


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


def _below(node: Node, below: Sequence[tuple[Stmt, ...]]) -> tuple[Stmt, ...]:
    inside = [child for child in node.children if isinstance(child, Stmt)]
    return tuple([s for child, rest in zip(inside, below, strict=True) for s in (child, *rest)])


def _bound_here(node: Node, below: Sequence[frozenset[Var | str]]) -> frozenset[Var | str]:
    names = union(below)
    if isinstance(node, For):
        return names | {node.var}
    return names | {node.label} if isinstance(node, Block) else names


def _top(node: Node, below: Sequence[int]) -> int:
    own = node.ordinal if isinstance(node, Var | Buffer) else -1
    return max(own, *below) if below else own


_statements_below = Derived("statements", _below, Stmt)
_names = Derived("names", _bound_here, Stmt)
_top_ordinal = Derived("top_ordinal", _top)


def statements(root: Node) -> tuple[Stmt, ...]:
    """All statements below `root` and itself, in program order, outer before inner."""
    below = _statements_below(root)
    return (root, *below) if isinstance(root, Stmt) else below


@lru_cache(maxsize=1 << 10)
def _path(function: Function, name: Var | str) -> tuple[Stmt, ...] | None:
    """The statements from the body down to the loop of a variable or the block of a label."""
    found: list[Stmt] = []
    inside: Sequence[Node] = (function.body,)
    while True:
        for stmt in inside:
            if isinstance(stmt, Stmt) and name in _names(stmt):
                break
        else:
            return None
        found.append(stmt)
        if (isinstance(stmt, For) and stmt.var is name) or (
            isinstance(stmt, Block) and stmt.label == name
        ):
            return tuple(found)
        inside = stmt.children


def path_to_loop(function: Function, var: Var, primitive: str) -> tuple[Stmt, ...]:
    """The path ending in the loop of `var`. Raises ScheduleError if there is none."""
    _kernels_only(function, primitive)
    found = _path(function, var)
    if found is None:
        raise ScheduleError(primitive, f"loop {spell(var)}", "there is no such loop", function)
    return found


def path_to_block(function: Function, label: str, primitive: str) -> tuple[Stmt, ...]:
    """The path ending in the block. Raises ScheduleError if there is none."""
    _kernels_only(function, primitive)
    found = _path(function, label)
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


def find_loop(function: Function, var: Var) -> For | None:
    """The loop of the variable, if the function has one."""
    found = _path(function, var)
    return found[-1] if found is not None and isinstance(found[-1], For) else None


def get_block(function: Function, label: str, primitive: str) -> Block:
    block = path_to_block(function, label, primitive)[-1]
    assert isinstance(block, Block)
    return block


def get_buffer(function: Function, name: str, primitive: str) -> Buffer:
    """The param or alloc whose spelling (`name` + ordinal) or unique plain name it is."""
    refuse = Refusal(primitive, f"buffer '{name}'", function)
    found = _called(name, (*function.params, *function.allocs))
    seen = views_in(function.body) if not found else {}
    for view in _called(name, seen):
        whole = view
        while whole in seen:
            whole = seen[whole].source.buffer
        raise refuse(f"it is a view of '{name_of(whole)}'; name that, and its views go along")
    if len(found) > 1:
        raise refuse(f"it may be any of {', '.join([name_of(b) for b in found])}")
    if not found:
        there = [name_of(b) for b in (*function.params, *function.allocs)]
        raise refuse(f"there is no such buffer; there are {', '.join(there) or 'none'}")
    return found[0]


def _called(name: str, buffers: Iterable[Buffer]) -> list[Buffer]:
    """Those of that spelling or, if there are none, of that plain name."""
    found = list(buffers)
    return [b for b in found if name_of(b) == name] or [b for b in found if b.name == name]


def replace(function: Function, old: Stmt, new: Stmt | None) -> Function:
    """The function with one statement (anywhere in its body) replaced, or removed if None.

    Loops left without a body disappear.
    """
    body = exchanged(function.body, old, new)
    return function.replace(body=Seq(()) if body is None else body)


def exchanged(root: Stmt, old: Stmt, new: Stmt | None) -> Stmt | None:
    """`replace` below a statement; None if nothing is left of it."""
    inside = _names(old)

    def visit(stmt: Stmt) -> Stmt | None:
        if stmt is old:
            return new
        if not inside <= _names(stmt):
            return stmt
        match stmt:
            case Seq():
                kept = [visit(child) for child in stmt.stmts]
                if all(child is None for child in kept):
                    return None
                return seq(*kept)
            case For() | While() | AsyncGroup():
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

    return visit(root)


def fresh_ordinal(function: Function) -> int:
    """An ordinal no variable or buffer of the function has; from it on all are free."""
    return _top_ordinal(function) + 1


def fresh_label(function: Function, label: str) -> str:
    """The label itself if it is free, else with the first number that makes it so."""
    taken = _names(function.body)
    numbered = (f"{label}_{n}" for n in itertools.count(1))
    return next(c for c in itertools.chain([label], numbered) if c not in taken)


def loops_in(stmts: tuple[Stmt, ...]) -> list[For]:
    """The loops among the statements of a path."""
    return [s for s in stmts if isinstance(s, For)]


def iters_in(stmts: Iterable[Stmt]) -> list[BlockIter]:
    """The iterators of the blocks among statements."""
    return [it for stmt in stmts if isinstance(stmt, Block) for it in stmt.iters]


def kind_of(it: BlockIter) -> str:
    """The kind of an iterator with its article: `a reduce`, `an ordered`."""
    return f"{'an' if it.kind[0] in 'aeiou' else 'a'} {it.kind}"


def own_nest(stmts: tuple[Stmt, ...]) -> tuple[Stmt, ...]:
    """The last part of a path: the loops that hold nothing but the block at its end."""
    branching = [
        k for k, s in enumerate(stmts[:-1]) if isinstance(s, Seq | If | While | Block | AsyncGroup)
    ]
    return stmts[branching[-1] + 1 :] if branching else stmts


def blocks_in(root: Stmt) -> list[Block]:
    """The blocks below a statement, in program order."""
    return [s for s in statements(root) if isinstance(s, Block)]


def check_unviewed(refuse: Refusal, found: Sequence[Stmt]) -> None:
    """Raises if views name memory in the block at the end of a path, or around it."""
    for stmt in (*found[:-1], *statements(found[-1])):
        if isinstance(stmt, Block) and stmt.views:
            raise refuse(f"block '{stmt.label}' has views of memory")


def replace_buffer(function: Function, old: Buffer, new: Buffer) -> Function:
    """Every mention of a buffer exchanged, declaration included; views of it get its scope."""
    names: dict[Node, Buffer] = {old: new}
    for view in [view for block in blocks_in(function.body) for view in block.views]:
        source = names.get(view.source.buffer)
        if source is not None:
            names[view.buffer] = view.buffer.replace(scope=source.scope)
    return rewrite(function, names.get, where=lambda n: not _mentioned(n).isdisjoint(names))


def _buffers(node: Node, below: Sequence[frozenset[Buffer]]) -> frozenset[Buffer]:
    found = union(below)
    return found | {node} if isinstance(node, Buffer) else found


_mentioned = Derived("buffers", _buffers)


def mentions(root: Node, buffer: Buffer) -> list[Node]:
    """The nodes below `root`, and itself, that speak of a buffer or hold what does."""
    found: list[Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if buffer in _mentioned(node):
            found.append(node)
            stack.extend(node.children)
    return found


def exchange(root: N, buffer: Buffer, rule: Rule) -> N:
    """`rewrite` by a rule for nodes that speak of a buffer."""
    return rewrite(root, rule, where=lambda n: buffer in _mentioned(n))


def _written(node: Node, below: Sequence[frozenset[Buffer]]) -> frozenset[Buffer]:
    match node:
        case Store():
            return frozenset((node.buffer,))
        case Update():
            return frozenset([target.buffer for target in node.targets])
        case AsyncWait():
            return frozenset(node.buffers)
        case Block():
            return _behind(node, union(below))
    return union(below)


def _loaded(node: Node, below: Sequence[frozenset[Buffer]]) -> frozenset[Buffer]:
    match node:
        case Load():
            return union([*below, frozenset((node.buffer,))])
        case View():
            return union([loaded(e) for e in node.source.indices])
        case Block():
            return _behind(node, union(below))
    return union(below)


def _behind(block: Block, buffers: frozenset[Buffer]) -> frozenset[Buffer]:
    """The buffers that the views among them are regions of."""
    for view in reversed(block.views):
        if view.buffer in buffers:
            buffers = buffers - {view.buffer} | {view.source.buffer}
    return buffers


_buffers_written = Derived("written", _written, Stmt)
_buffers_loaded = Derived("loaded", _loaded)


def written(root: Node) -> frozenset[Buffer]:
    """The buffers stored to below `root`."""
    return _buffers_written(root)


def loaded(root: Node) -> frozenset[Buffer]:
    """The buffers read below `root`, a reduction's own output included."""
    return _buffers_loaded(root)
