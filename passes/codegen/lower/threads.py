"""A thread block's program becomes that of one of its threads.

    for t3 in thread.x(64):                    s2[thread_id()] = x0[b4*64 + thread_id()]
        s2[t3] = x0[b4*64 + t3]                barrier()
    for t5 in thread.x(32):              →     if thread_id() < 32:
        y1[b4*32 + t5] = s2[t5*2]                  y1[b4*32 + thread_id()] = s2[thread_id()*2]

Threads are numbered along x first, then y, then z. What is outside the loops over threads runs on
thread 0. A barrier stands where one thread may use what another one has stored. Private buffers
with an element for each thread become one element of the thread's own. Exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from passes.codegen.lower.walk import branch, constant
from passes.ir.arith import free_vars, prove, simplify, substitute
from passes.ir.dtypes import INDEX
from passes.ir.expr import TRUE, Call, Eq, Expr, Lt, Var, both, const, maximum
from passes.ir.loop.nodes import (
    THREAD_AXES,
    AsyncGroup,
    AsyncWait,
    Barrier,
    Buffer,
    For,
    If,
    Load,
    Seq,
    Stmt,
    Store,
    While,
    seq,
)
from passes.ir.node import IRError, Node, postorder, rewrite

Refuse = Callable[[str], IRError]
_SHARED = ("global", "shared")


@dataclass(frozen=True)
class ThreadProgram:
    """What each thread of a block runs, and how many there are along x, y and z."""

    body: Stmt
    threads: tuple[Expr, Expr, Expr]
    private: Mapping[Buffer, Buffer]  # private buffers → what is left of them for one thread


def one_thread(block: Stmt, refuse: Refuse) -> ThreadProgram:
    """The program of one thread. Raises what `refuse` makes of a reason."""
    nests = _nests(block, refuse)
    threads = _extents(nests, refuse)
    private = _Private(block, nests, refuse)
    made = _Team(threads).stmt(private.moved(block))
    return ThreadProgram(made, threads, private.buffers)


@dataclass(frozen=True)
class _Nest:
    """Loops over threads directly inside each other, and the body that each thread runs."""

    loops: tuple[For, ...]
    body: Stmt


def _is_thread(stmt: Node) -> bool:
    return isinstance(stmt, For) and stmt.kind in THREAD_AXES


def _nest(stmt: For) -> _Nest:
    loops, body = [stmt], stmt.body
    while isinstance(body, For) and _is_thread(body):
        loops.append(body)
        body = body.body
    return _Nest(tuple(loops), body)


def _nests(stmt: Stmt, refuse: Refuse) -> list[_Nest]:
    """All nests of loops over threads, in order."""
    if isinstance(stmt, For) and _is_thread(stmt):
        nest = _nest(stmt)
        for node in postorder(nest.body):
            if _is_thread(node):
                raise refuse("loops over threads must be directly inside each other")
        return [nest]
    return [n for s in stmt.children if isinstance(s, Stmt) for n in _nests(s, refuse)]


def _extents(nests: Sequence[_Nest], refuse: Refuse) -> tuple[Expr, Expr, Expr]:
    """How many threads each axis has: as many as its longest loop."""
    longest: dict[str, Expr] = {}
    for nest in nests:
        for loop in nest.loops:
            if free_vars(loop.extent) or any(isinstance(n, Load) for n in postorder(loop.extent)):
                raise refuse("how many threads there are must be known before the kernel runs")
            known = longest.get(loop.kind, loop.extent)
            longer = loop.extent if prove(known <= loop.extent) else maximum(known, loop.extent)
            longest[loop.kind] = known if prove(loop.extent <= known) else simplify(longer)
    x, y, z = (longest.get(axis, const(1)) for axis in THREAD_AXES)
    return x, y, z


@dataclass
class _Touched:
    """Shared buffers that statements load, store, issue copies to and wait for."""

    loaded: set[Buffer] = field(default_factory=set)
    stored: set[Buffer] = field(default_factory=set)
    issued: set[Buffer] = field(default_factory=set)
    landed: set[Buffer] = field(default_factory=set)

    def meets(self, later: _Touched) -> bool:
        """Whether a thread may need that another one is through with the first statements."""
        made = self.stored | self.landed
        used = later.loaded | later.stored | later.issued
        return bool(made & used or self.loaded & (later.stored | later.issued))

    def add(self, other: _Touched) -> None:
        self.loaded |= other.loaded
        self.stored |= other.stored
        self.issued |= other.issued
        self.landed |= other.landed


def _touched(stmt: Stmt) -> _Touched:
    found, copies = _Touched(), set[Node]()
    for node in postorder(stmt):
        if isinstance(node, AsyncGroup):
            copies |= {inner for inner in postorder(node.body) if isinstance(inner, Store)}
    for node in postorder(stmt):
        if isinstance(node, Load) and node.buffer.scope in _SHARED:
            found.loaded.add(node.buffer)
        elif isinstance(node, Store) and node.buffer.scope in _SHARED:
            (found.issued if node in copies else found.stored).add(node.buffer)
        elif isinstance(node, AsyncWait):
            found.landed |= {b for b in node.buffers if b.scope in _SHARED}
    return found


def _read(e: Expr) -> _Touched:
    loads = {node.buffer for node in postorder(e) if isinstance(node, Load)}
    return _Touched({buffer for buffer in loads if buffer.scope in _SHARED})


def _is_alone(stmt: Stmt) -> bool:
    """Whether thread 0 runs the statement for all of them."""
    nodes = postorder(stmt)
    return not any(_is_thread(n) or isinstance(n, Barrier | AsyncGroup | AsyncWait) for n in nodes)


def _grouped(stmts: Sequence[Stmt]) -> list[Stmt]:
    """Neighbours that only thread 0 runs, taken together."""
    groups: list[Stmt] = []
    for stmt in stmts:
        if groups and _is_alone(stmt) and _is_alone(groups[-1]):
            groups[-1] = seq(groups[-1], stmt)
        else:
            groups.append(stmt)
    return groups


class _Team:
    """Statements of the block as each of its threads runs them."""

    def __init__(self, threads: tuple[Expr, Expr, Expr]) -> None:
        self._threads = threads
        number: Expr = Call("thread_id", (), INDEX)
        x, y, _ = threads
        flat = [simplify(e) for e in (number % x, number // x % y, number // (x * y))]
        last = max([k for k, extent in enumerate(threads) if constant(extent) != 1], default=0)
        rest = [number, number // x, flat[2]][last]
        places = [*flat[:last], simplify(rest), const(0), const(0)]
        self._places: dict[str, Expr] = dict(zip(THREAD_AXES, places, strict=False))

    def stmt(self, stmt: Stmt) -> Stmt:
        if isinstance(stmt, For) and _is_thread(stmt):
            return self._nest(_nest(stmt))
        if isinstance(stmt, Barrier | AsyncWait):
            return stmt
        if isinstance(stmt, AsyncGroup):
            return AsyncGroup(stmt.queue, self.stmt(stmt.body))
        if _is_alone(stmt):
            return branch(both(*self._alone(())) or TRUE, stmt)
        if isinstance(stmt, Seq):
            return self._in_order(stmt)
        if isinstance(stmt, For):
            return stmt.replace(body=self._again(stmt.body, _read(stmt.extent)))
        if isinstance(stmt, While):
            return While(stmt.cond, self._again(stmt.body, _read(stmt.cond)))
        assert isinstance(stmt, If)
        asked = _read(stmt.cond)
        other = None if stmt.other is None else self._after(asked, stmt.other)
        return If(stmt.cond, self._after(asked, stmt.then), other)

    def _nest(self, nest: _Nest) -> Stmt:
        values: dict[Var, Expr] = {}
        guards = self._alone([loop.kind for loop in nest.loops])
        for loop in nest.loops:
            place = self._places[loop.kind]
            values[loop.var] = place
            whole = self._threads[THREAD_AXES.index(loop.kind)]
            if not prove(whole <= loop.extent):
                guards.append(Lt(place, loop.extent))
        return branch(both(*guards) or TRUE, substitute(nest.body, values))

    def _alone(self, axes: Sequence[str]) -> list[Expr]:
        """That a thread is the first one along all the other axes."""
        others = [axis for axis in THREAD_AXES if axis not in axes]
        places = [self._places[axis] for axis in others]
        return [Eq(place, const(0)) for place in places if constant(place) is None]

    def _in_order(self, stmt: Seq) -> Stmt:
        done: list[Stmt] = []
        since = _Touched()
        for part in _grouped(stmt.stmts):
            if isinstance(part, Barrier):
                if not (done and isinstance(done[-1], Barrier)):
                    done.append(part)
                since = _Touched()
                continue
            touched = _touched(part)
            if since.meets(touched):
                done.append(Barrier())
                since = _Touched()
            done.append(self.stmt(part))
            since.add(touched)
        return seq(*done)

    def _again(self, body: Stmt, asked: _Touched) -> Stmt:
        """The body of a loop whose threads have read `asked` before each iteration."""
        touched = _touched(body)
        done = self._after(asked, body)
        return seq(done, Barrier()) if touched.meets(touched) or touched.meets(asked) else done

    def _after(self, asked: _Touched, stmt: Stmt) -> Stmt:
        """The statement, once all threads have read what it changes."""
        done = self.stmt(stmt)
        return seq(Barrier(), done) if asked.meets(_touched(stmt)) else done


def _outside(stmt: Stmt) -> list[Node]:
    """The nodes of a statement that are in no loop over threads."""
    if _is_thread(stmt):
        return []
    found: list[Node] = [stmt]
    for child in stmt.children:
        found += _outside(child) if isinstance(child, Stmt) else postorder(child)
    return found


def _steering(stmt: Stmt) -> list[Node]:
    """The nodes of what every thread evaluates on its way to loops over threads."""
    if _is_thread(stmt) or _is_alone(stmt):
        return []
    found: list[Node] = []
    for child in stmt.children:
        found += _steering(child) if isinstance(child, Stmt) else postorder(child)
    return found


class _Private:
    """Private buffers: those with an element for each thread lose the axes that say which."""

    def __init__(self, block: Stmt, nests: Sequence[_Nest], refuse: Refuse) -> None:
        self._axes: dict[Buffer, tuple[int, ...]] = {}
        self.buffers: dict[Buffer, Buffer] = {}
        uses: dict[Buffer, list[tuple[_Nest | None, Load | Store]]] = {}
        parts: list[tuple[_Nest | None, list[Node]]] = [(n, postorder(n.body)) for n in nests]
        for nest, nodes in (*parts, (None, _outside(block))):
            for node in nodes:
                if isinstance(node, Load | Store) and node.buffer.scope not in _SHARED:
                    uses.setdefault(node.buffer, []).append((nest, node))
        asked = {node.buffer for node in _steering(block) if isinstance(node, Load)}
        for buffer, found in uses.items():
            if buffer.scope not in ("local", "register"):
                raise refuse(f"buffer '{buffer.name}{buffer.ordinal}' has scope '{buffer.scope}'")
            axes = None if buffer in asked else self._own_axes(found)
            if axes is None:
                raise refuse(
                    f"{buffer.scope} buffer '{buffer.name}{buffer.ordinal}' is private to a thread"
                    " but carries data between threads; give it scope 'shared', or an axis that is"
                    " indexed by the thread"
                )
            self._axes[buffer] = axes
            shape = [const(1) if k in axes else e for k, e in enumerate(buffer.shape)]
            self.buffers[buffer] = buffer.replace(shape=tuple(shape))

    def _own_axes(self, uses: list[tuple[_Nest | None, Load | Store]]) -> tuple[int, ...] | None:
        """The axes indexed by the number of the thread; None if it is not known whose elements
        are touched."""
        nests = {nest for nest, _ in uses}
        found: dict[int, set[str]] = {}
        for nest, access in uses:
            kinds = {loop.var: loop.kind for loop in nest.loops} if nest is not None else {}
            for axis, place in enumerate(access.indices):
                kind = kinds.get(place, "") if isinstance(place, Var) else ""
                found.setdefault(axis, set()).add(kind)
        own = {axis: kinds for axis, kinds in found.items() if len(kinds) == 1 and "" not in kinds}
        named = {kind for kinds in own.values() for kind in kinds}
        if len(nests) > 1:
            bound = {loop.kind for nest in nests if nest is not None for loop in nest.loops}
            if None in nests or bound - named:
                return None
        return tuple(sorted(own))

    def moved(self, stmt: Stmt) -> Stmt:
        """The statement with accesses of the smaller buffers."""

        def rule(node: Node) -> Node | None:
            if not isinstance(node, Load | Store) or node.buffer not in self._axes:
                return None
            axes = self._axes[node.buffer]
            places = [const(0) if k in axes else i for k, i in enumerate(node.indices)]
            return node.replace(buffer=self.buffers[node.buffer], indices=tuple(places))

        return rewrite(stmt, rule)
