"""Random loop functions with every kind of node, for the laws of their text.

They need not make sense when run; names, ordinals and strings are wild.
"""

from collections.abc import Callable
from typing import Any, get_args

from hypothesis import strategies as st

from passes.ir import expr as ir
from passes.ir.dtypes import BOOL, F16, F32, I8, I32, INDEX, U8, DType
from passes.ir.expr import Const, Dim, Expr, Var
from passes.ir.intrinsics import call
from passes.ir.loop import nodes
from passes.ir.loop.distribution import Distribution, distribution
from passes.ir.loop.nodes import Buffer, Function, Stmt, seq

Draw = Callable[[st.SearchStrategy[Any]], Any]


@st.composite
def spelled_functions(draw: Draw) -> Function:
    """A function of any statements and expressions; names, ordinals and strings are wild."""
    maker = _Maker(draw)
    name = draw(st.sampled_from(["f", "matmul_1", "Été"]))
    dims = tuple([Dim(n, 0, draw(st.integers(0, 99))) for n in ("n", "i8", "past")])
    maker.dims = list(dims[: draw(st.integers(0, 3))])
    params = tuple([maker.buffer("global") for _ in range(draw(st.integers(0, 3)))])
    scopes = ["global", "local", "register", "shared", "warp", "fragment"]
    allocs = [maker.buffer(draw(st.sampled_from(scopes))) for _ in range(draw(st.integers(1, 2)))]
    body = maker.body(3)
    return Function(name, tuple(maker.dims), params, tuple(allocs), body, maker.annotations())


class _Maker:
    names = st.sampled_from(["i", "k", "f", "bf", "x_", "row", "acc"])
    strings = st.text(max_size=4)

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.dims: list[Dim] = []
        self.buffers: list[Buffer] = []
        self.scope: list[Var] = []
        self.combiners: list[nodes.TupleCombiner] = []
        self.ordinals = iter(draw(st.permutations(range(40, 160))))

    def pick(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def var(self, dtype: DType = INDEX) -> Var:
        return Var(self.draw(self.names), next(self.ordinals), dtype)

    def annotations(self) -> tuple[tuple[str, nodes.Attr], ...]:
        floats = st.floats(allow_nan=False, allow_infinity=False)
        values = st.one_of(st.integers(-9, 9), self.strings, st.booleans(), floats)
        keys = st.sampled_from(["kind", "grain", "label"])
        return tuple(self.draw(st.dictionaries(keys, values, max_size=2)).items())

    def buffer(self, scope: nodes.Scope) -> Buffer:
        shape = tuple([self.index(1, loads=False) for _ in range(self.draw(st.integers(0, 2)))])
        strides = self.pick(None, tuple([self.index(0, loads=False) for _ in shape]))
        dtype = self.pick(F32, F16, I32, I8, U8, BOOL, INDEX)
        align = self.pick(None, None, 64)
        layout = self.distribution() if len(shape) > 1 else None
        name, ordinal = self.draw(self.names), next(self.ordinals)
        pitch = self.pick(None, ((0, 8, 3),)) if shape and strides else None
        made = Buffer(name, ordinal, shape, dtype, scope, strides, align, layout, pitch)
        self.buffers.append(made)
        return made

    def distribution(self) -> Distribution | None:
        bits = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), max_size=3)
        places = st.dictionaries(st.sampled_from(["register", "lane", "warp", "e"]), bits)
        return self.pick(None, distribution({"i": 4, "été": 8}, self.draw(places)))

    def index(self, depth: int, loads: bool = True) -> Expr:
        leaves: list[Expr] = [Const(self.draw(st.integers(-3, 99)), INDEX), *self.dims]
        leaves += self.scope if loads else []
        if depth == 0 or self.draw(st.booleans()):
            return self.pick(*[e for e in leaves if e.dtype == INDEX])
        if loads and self.draw(st.integers(0, 5)) == 0:
            return ir.Cast(self.value(I32, depth - 1), INDEX)
        kinds = ir.Add, ir.Sub, ir.Mul, ir.FloorDiv, ir.FloorMod, ir.Min, ir.Max, ir.Shl, ir.BitAnd
        made: Expr = self.pick(*kinds)(self.index(depth - 1, loads), self.index(depth - 1, loads))
        return made

    def cond(self, depth: int) -> Expr:
        if depth == 0:
            return Const(self.draw(st.booleans()), BOOL)
        match self.pick("compare", "compare", "logic", "not"):
            case "logic":
                logic: Expr = self.pick(ir.And, ir.Or)(self.cond(depth - 1), self.cond(depth - 1))
                return logic
            case "not":
                return ir.Not(self.cond(depth - 1))
        kind = self.pick(ir.Lt, ir.Le, ir.Eq, ir.Ne)
        made: Expr = kind(self.index(depth - 1), self.index(depth - 1))
        return made

    def constant(self, dtype: DType) -> Expr:
        if dtype == BOOL:
            return Const(self.draw(st.booleans()), BOOL)
        if dtype.is_float:
            return Const(self.draw(st.floats(width=16)), dtype)
        return Const(self.draw(st.integers(0 if not dtype.is_signed else -128, 127)), dtype)

    def value(self, dtype: DType, depth: int) -> Expr:
        """A scalar or, for a `dtype` with lanes, a vector."""
        lanes, scalar = dtype.lanes, dtype.scalar
        own = [b for b in self.buffers if b.dtype == scalar and (b.shape or lanes == 1)]
        if own and self.draw(st.booleans()):
            return nodes.Load(*self.place(self.pick(*own), lanes, depth))
        if depth == 0 or scalar in (BOOL, INDEX):
            leaf = self.constant(scalar)
            return leaf if lanes == 1 else ir.Broadcast(leaf, lanes)
        deeper = depth - 1
        match self.pick("pair", "select", "cast", "bits", "call", "broadcast"):
            case "select":
                a, b = self.value(dtype, deeper), self.value(dtype, deeper)
                return ir.Select(self.cond(deeper), a, b)
            case "cast":
                other = self.pick(F32, I32, U8).with_lanes(lanes)
                return ir.Cast(self.value(other, deeper), dtype)
            case "bits":
                other = I8.with_lanes(lanes * scalar.bytes)
                return ir.Reinterpret(self.value(other, deeper), dtype)
            case "call" if scalar.is_float:
                if self.draw(st.booleans()):
                    return call("exp", self.value(dtype, deeper))
                return ir.Call("x86.mystery", (self.value(I32, deeper),), dtype)
            case "broadcast" if lanes > 1:
                return ir.Broadcast(self.value(scalar, deeper), lanes)
        kinds = (ir.Add, ir.Sub, ir.Mul, ir.Min, ir.Max)
        kinds += (ir.Div,) if scalar.is_float else (ir.FloorDiv, ir.BitXor, ir.Shr)
        made: Expr = self.pick(*kinds)(self.value(dtype, deeper), self.value(dtype, deeper))
        return made

    def place(self, buffer: Buffer, lanes: int, depth: int) -> tuple[Buffer, tuple[Expr, ...]]:
        indices = [self.index(max(depth - 1, 0)) for _ in buffer.shape]
        if lanes > 1:
            indices[-1] = ir.Ramp(indices[-1], self.draw(st.integers(-1, 3)), lanes)
        return buffer, tuple(indices)

    def body(self, depth: int) -> Stmt:
        return seq(*[self.stmt(depth) for _ in range(self.draw(st.integers(0, 2)))])

    def stmt(self, depth: int) -> Stmt:
        kinds = ["store", "update", "launch", "barrier", "wait"]
        if depth > 0:
            kinds = ["store", "update", "for", "for", "block", "block", "if", "while", "group"]
        match self.pick(*kinds):
            case "while":
                return nodes.While(self.cond(2), self.body(depth - 1))
            case "group":
                return nodes.AsyncGroup(self.draw(self.strings), self.body(depth - 1))
            case "wait":
                where = tuple(self.buffers[: self.draw(st.integers(0, 2))])
                return nodes.AsyncWait(self.draw(self.strings), self.index(1), where)
            case "update":
                return self.update()
            case "for":
                extent = self.pick(self.index(1), Const(4, I32))
                var = self.var(extent.dtype)
                kind = self.draw(st.sampled_from(sorted(get_args(nodes.LoopKind))))
                self.scope.append(var)
                body = self.body(depth - 1)
                self.scope.remove(var)
                return nodes.For(var, extent, body, kind, self.annotations())
            case "block":
                return self.block(depth)
            case "if":
                other = self.body(depth - 1) if self.draw(st.booleans()) else None
                return nodes.If(self.cond(2), self.body(depth - 1), other)
            case "launch":
                dims = tuple([self.index(1) for _ in range(self.draw(st.integers(0, 2)))])
                kernel = self.draw(self.strings)
                return nodes.Launch(kernel, dims, tuple(self.buffers[:2]))
            case "barrier":
                return nodes.Barrier()
        buffer = self.pick(*self.buffers)
        lanes = self.pick(1, 1, 1, 4) if buffer.shape else 1
        place = self.place(buffer, lanes, 2)
        return nodes.Store(*place, self.value(buffer.dtype.with_lanes(lanes), 3))

    def block(self, depth: int) -> Stmt:
        count = self.draw(st.integers(0, 2))
        bindings = tuple([self.index(1) for _ in range(count)])
        predicate = self.cond(2) if self.draw(st.booleans()) else None
        iters = tuple([
            nodes.BlockIter(self.var(), self.index(1), self.pick(*get_args(nodes.IterKind)))
            for _ in range(count)
        ])  # fmt: skip
        self.scope.extend([it.var for it in iters])
        known = len(self.buffers)
        views = tuple([self.view() for _ in range(self.draw(st.integers(0, 2)))])
        init = self.body(0) if self.draw(st.booleans()) else None
        body = self.body(depth - 1)
        for it in iters:
            self.scope.remove(it.var)
        del self.buffers[known:]
        label, notes = self.draw(self.strings), self.annotations()
        return nodes.Block(label, iters, bindings, body, init, predicate, notes, views)

    def view(self) -> nodes.View:
        source = nodes.Load(*self.place(self.pick(*self.buffers), 1, 2))
        extents = [self.pick(None, self.index(1, loads=False)) for _ in source.indices]
        shape = tuple([e for e in extents if e is not None])
        whole, name = source.buffer, self.draw(self.names)
        made = Buffer(name, next(self.ordinals), shape, whole.dtype, whole.scope)
        self.buffers.append(made)
        return nodes.View(made, source, tuple(extents))

    def update(self) -> Stmt:
        """By a combiner made before, if one fits, or by a new one."""
        targets = [self.pick(*self.buffers) for _ in range(self.draw(st.integers(1, 2)))]
        types = [b.dtype for b in targets]
        fitting = [c for c in self.combiners if [v.dtype for v in c.left] == types]
        if fitting and self.draw(st.booleans()):
            combiner = fitting[0]
        else:
            left, right = (tuple([self.var(t) for t in types]) for _ in range(2))
            results = tuple([self.pick(ir.Eq, ir.Max)(a, c) if a.dtype == BOOL else
                             ir.Max(a, c) for a, c in zip(left, right, strict=True)])  # fmt: skip
            start = tuple([self.constant(t) for t in types])
            name = self.pick("combine", "max", "exp", "online", "f32")
            combiner = nodes.TupleCombiner(left, right, results, start, name)
            self.combiners.append(combiner)
        places = tuple([nodes.Load(*self.place(b, 1, 2)) for b in targets])
        values = tuple([self.value(t, 2) for t in types])
        return nodes.Update(places, values, combiner)
