"""Builds loop functions: whole computations by `map` and `reduce`, or nests written by hand.

    n = Dim("n", 1, 512)
    b = LoopBuilder("rowsum", dims=(n,))
    x = b.param("x", (n, 576), F32)
    y = b.param("y", (n,), F32)
    b.reduce(y, (576,), lambda i, k: load(x, i, k))
    f = b.function()

Loop and iterator variables take the names of the parameters of the function that gives the value.
"""

from __future__ import annotations

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

from passes.ir.arith import substitute
from passes.ir.dtypes import INDEX, DType
from passes.ir.expr import (
    Add,
    Const,
    Dim,
    Expr,
    IntLike,
    Max,
    Min,
    Mul,
    Scalar,
    Var,
    const,
    index,
)
from passes.ir.loop.distribution import Distribution
from passes.ir.loop.nodes import (
    AsyncGroup,
    AsyncWait,
    Attr,
    Barrier,
    Block,
    BlockIter,
    Buffer,
    For,
    Function,
    If,
    IterKind,
    Launch,
    Load,
    LoopKind,
    Scope,
    Stmt,
    Store,
    TupleCombiner,
    Update,
    View,
    While,
    seq,
)
from passes.ir.loop.verify import verify
from passes.ir.node import IRError

Tuple: TypeAlias = "Sequence[Expr]"
Combine: TypeAlias = Literal["add", "max", "min", "mul"]
Axis: TypeAlias = "tuple[IntLike, IntLike]"  # extent of a block iterator, and its binding

_COMBINERS: dict[str, type[Add] | type[Max] | type[Min] | type[Mul]] = {
    "add": Add,
    "max": Max,
    "min": Min,
    "mul": Mul,
}
_AXIS_NAMES = "ijklmn"


def load(buffer: Buffer, *indices: IntLike) -> Load:
    """`buffer[indices]`, with ints taken as index constants."""
    return Load(buffer, tuple([index(i) for i in indices]))


def identity(combine: Combine, dtype: DType) -> Const:
    """The value that leaves every other one as it is under `combine`: 0, 1 or an extreme."""
    if combine in ("add", "mul"):
        return const(int(combine == "mul"), dtype)
    if dtype.is_float:
        return Const(-math.inf if combine == "max" else math.inf, dtype)
    if not dtype.is_int or dtype == INDEX:
        raise IRError(f"type {dtype} has no identity of '{combine}'; reduce in i64 instead")
    low = -(1 << dtype.bits - 1) if dtype.is_signed else 0
    high = (1 << dtype.bits - 1) - 1 if dtype.is_signed else (1 << dtype.bits) - 1
    return Const(low if combine == "max" else high, dtype)


class LoopBuilder:
    """Collects the parameters, temporaries and statements of one function."""

    def __init__(
        self, name: str, dims: Sequence[Dim] = (), attrs: Mapping[str, Attr] | None = None
    ) -> None:
        self.name = name
        self.dims = tuple(dims)
        self.attrs = tuple((attrs or {}).items())
        self._params: list[Buffer] = []
        self._allocs: list[Buffer] = []
        self._ordinals = itertools.count()
        self._labels: set[str] = set()
        self._bodies: list[list[Stmt]] = [[]]
        self._inits: list[list[Stmt]] = []
        self._views: list[list[View]] = []

    # Buffers and variables

    def param(
        self,
        name: str,
        shape: Sequence[IntLike],
        dtype: DType,
        strides: Sequence[IntLike] | None = None,
        align: int | None = None,
    ) -> Buffer:
        """The next parameter of the function: memory that the caller gives."""
        steps = None if strides is None else tuple([index(s) for s in strides])
        made = self._buffer(name, shape, dtype).replace(strides=steps, align=align)
        self._params.append(made)
        return made

    def local(
        self,
        name: str,
        shape: Sequence[IntLike],
        dtype: DType,
        scope: Scope = "global",
        align: int | None = None,
        distribution: Distribution | None = None,
    ) -> Buffer:
        """A temporary of the function, uninitialised."""
        plain = self._buffer(name, shape, dtype)
        made = plain.replace(scope=scope, align=align, distribution=distribution)
        self._allocs.append(made)
        return made

    def var(self, name: str, dtype: DType = INDEX) -> Var:
        """A variable that nothing in the function binds yet."""
        return Var(name, next(self._ordinals), dtype)

    # Whole computations

    def map(
        self,
        target: Buffer,
        value: Callable[..., Scalar],
        label: str | None = None,
        extents: Sequence[IntLike] | None = None,
    ) -> None:
        """`target[i, …] = value(i, …)` over `extents` (the shape of `target` by default)."""
        over = [index(e) for e in (target.shape if extents is None else extents)]
        names = _names(value, len(over))
        loops = [self.var(name) for name in names]
        with self.block(label or target.name, spatial=list(zip(over, loops, strict=True))) as iters:
            self.store(target, iters, value(*iters))
        self.wrap([(var, extent, "serial") for var, extent in zip(loops, over, strict=True)])

    def reduce(
        self,
        target: Buffer,
        extents: Sequence[IntLike],
        value: Callable[..., Scalar],
        combine: Combine = "add",
        label: str | None = None,
    ) -> None:
        """`target[i, …] = value(i, …, k, …)` combined over all `k, …` in `extents`."""
        over = [*target.shape, *[index(e) for e in extents]]
        loops = [self.var(name) for name in _names(value, len(over))]
        axes = list(zip(over, loops, strict=True))
        rank = len(target.shape)
        with self.block(label or target.name, spatial=axes[:rank], reduce=axes[rank:]) as iters:
            place = iters[:rank]
            with self.init():
                self.store(target, place, identity(combine, target.dtype))
            term = _typed(value(*iters), target.dtype)
            self.store(target, place, _COMBINERS[combine](Load(target, place), term))
        self.wrap([(var, extent, "serial") for var, extent in zip(loops, over, strict=True)])

    def reduce_tuple(
        self,
        targets: Sequence[Buffer],
        extents: Sequence[IntLike],
        values: Callable[..., Sequence[Scalar]],
        combiner: TupleCombiner,
        label: str | None = None,
    ) -> None:
        """`targets[…][i, …] = values(i, …, k, …)` combined as tuples over all `k, …`.

        The targets have one shape, and start as the combiner's identity.
        """
        over = [*targets[0].shape, *[index(e) for e in extents]]
        loops = [self.var(name) for name in _names(values, len(over))]
        axes = list(zip(over, loops, strict=True))
        rank = len(targets[0].shape)
        name = label or combiner.name
        with self.block(name, spatial=axes[:rank], reduce=axes[rank:]) as iters:
            place = iters[:rank]
            with self.init():
                for target, start in zip(targets, combiner.identity, strict=True):
                    self.store(target, place, start)
            self.update([Load(t, place) for t in targets], values(*iters), combiner)
        self.wrap([(var, extent, "serial") for var, extent in zip(loops, over, strict=True)])

    def combiner(
        self,
        name: str,
        identity: Sequence[Expr],
        results: Callable[[Tuple, Tuple], Sequence[Scalar]],
    ) -> TupleCombiner:
        """How tuples combine: `results(left, right)`, for elements of the identity's types.

        b.combiner("argmax", [f32(-inf), i32(0)], lambda a, b: ...)
        """
        left, right = (tuple([self.var(x, e.dtype) for e in identity]) for x in ("a", "b"))
        pairs = zip(results(left, right), identity, strict=True)
        done = tuple([_typed(value, start.dtype) for value, start in pairs])
        return TupleCombiner(left, right, done, tuple(identity), name)

    # Nests written by hand

    @contextmanager
    def loop(
        self, name: str, extent: IntLike, kind: LoopKind = "serial", **annotations: Attr
    ) -> Iterator[Var]:
        """`for name in range(extent)` around the statements of the `with` body."""
        var = self.var(name)
        self._bodies.append([])
        yield var
        body = seq(*self._bodies.pop())
        self.append(For(var, index(extent), body, kind, tuple(annotations.items())))

    @contextmanager
    def block(
        self,
        label: str,
        spatial: Sequence[Axis] = (),
        reduce: Sequence[Axis] = (),
        ordered: Sequence[Axis] = (),
        opaque: Sequence[Axis] = (),
        where: Expr | None = None,
        **annotations: Attr,
    ) -> Iterator[tuple[Var, ...]]:
        """A block with the given (extent, binding) axes; yields its iterators in that order.

        An extent that speaks of loops which earlier axes are bound to, speaks of those axes'
        iterators in the block. `where` is the predicate, over the loops. A label that is taken
        gets a number.
        """
        kinds: list[tuple[IterKind, Sequence[Axis]]] = [
            ("spatial", spatial), ("reduce", reduce), ("ordered", ordered), ("opaque", opaque),
        ]  # fmt: skip
        iters: list[BlockIter] = []
        bindings: list[Expr] = []
        inside: dict[Var | Dim, Expr] = {}
        for kind, axes in kinds:
            for extent, binding in axes:
                name = binding.name if isinstance(binding, Var) else "v"
                own = substitute(index(extent), inside) if inside else index(extent)
                iters.append(BlockIter(self.var(name), own, kind))
                bindings.append(index(binding))
                if isinstance(binding, Var):
                    inside[binding] = iters[-1].var
        self._bodies.append([])
        self._inits.append([])
        self._views.append([])
        yield tuple([it.var for it in iters])
        body, init, views = self._bodies.pop(), self._inits.pop(), self._views.pop()
        self.append(
            Block(
                self._unique(label), tuple(iters), tuple(bindings), seq(*body),
                seq(*init) if init else None, where, tuple(annotations.items()), tuple(views),
            )
        )  # fmt: skip

    def view(
        self, source: Buffer, starts: Sequence[IntLike], extents: Sequence[IntLike | None]
    ) -> Buffer:
        """In the block being built, a name for the region of `source` from `starts` that reaches
        `extents` along its axes; it has no axis where an extent is None."""
        if not self._views:
            raise IRError(f"function '{self.name}': view() outside any block")
        sizes = tuple([None if e is None else index(e) for e in extents])
        shape = [e for e in sizes if e is not None]
        made = self._buffer(source.name, shape, source.dtype).replace(scope=source.scope)
        self._views[-1].append(View(made, load(source, *starts), sizes))
        return made

    @contextmanager
    def init(self) -> Iterator[None]:
        """The statements of the `with` body become the init of the block being built."""
        if not self._inits:
            raise IRError(f"function '{self.name}': init() outside any block")
        self._bodies.append([])
        yield
        self._inits[-1].extend(self._bodies.pop())

    @contextmanager
    def when(self, cond: Expr) -> Iterator[None]:
        """The statements of the `with` body run where `cond` holds."""
        self._bodies.append([])
        yield
        self.append(If(cond, seq(*self._bodies.pop())))

    @contextmanager
    def otherwise(self) -> Iterator[None]:
        """The statements of the `with` body run where the `when` just before did not."""
        last = self._bodies[-1].pop() if self._bodies[-1] else None
        if not isinstance(last, If) or last.other is not None:
            raise IRError(f"function '{self.name}': otherwise() must directly follow a when()")
        self._bodies.append([])
        yield
        self.append(last.replace(other=seq(*self._bodies.pop())))

    def store(self, buffer: Buffer, indices: Sequence[IntLike], value: Scalar) -> None:
        """`buffer[indices] = value`."""
        place = tuple([index(i) for i in indices])
        self.append(Store(buffer, place, _typed(value, buffer.dtype)))

    @contextmanager
    def loop_while(self, cond: Expr) -> Iterator[None]:
        """The statements of the `with` body run again and again while `cond` holds."""
        self._bodies.append([])
        yield
        self.append(While(cond, seq(*self._bodies.pop())))

    @contextmanager
    def async_group(self, queue: str) -> Iterator[None]:
        """The stores of the `with` body are a group of asynchronous copies of `queue`."""
        self._bodies.append([])
        yield
        self.append(AsyncGroup(queue, seq(*self._bodies.pop())))

    def async_wait(self, queue: str, pending: IntLike, buffers: Sequence[Buffer]) -> None:
        """All groups of `queue` but the latest `pending` have landed in the `buffers`."""
        self.append(AsyncWait(queue, index(pending), tuple(buffers)))

    def update(
        self, targets: Sequence[Load], values: Sequence[Scalar], combiner: TupleCombiner
    ) -> None:
        """`targets = combiner(targets, values)`, all at once."""
        pairs = zip(values, targets, strict=True)
        typed = tuple([_typed(value, target.dtype) for value, target in pairs])
        self.append(Update(tuple(targets), typed, combiner))

    def launch(self, kernel: str, dims: Sequence[IntLike], buffers: Sequence[Buffer]) -> None:
        """A host program's call of `kernel`."""
        self.append(Launch(kernel, tuple([index(d) for d in dims]), tuple(buffers)))

    def barrier(self) -> None:
        """All threads wait for each other."""
        self.append(Barrier())

    def append(self, stmt: Stmt) -> None:
        """A statement made elsewhere."""
        self._bodies[-1].append(stmt)

    def wrap(self, loops: Sequence[tuple[Var, Expr, LoopKind]]) -> None:
        """Puts the statement just made into loops (variable, extent, kind), outermost first."""
        stmt = self._bodies[-1].pop()
        for var, extent, kind in reversed(loops):
            stmt = For(var, extent, stmt, kind)
        self.append(stmt)

    def function(self) -> Function:
        """The finished function. Raises `IRError` if it is not well formed."""
        if len(self._bodies) != 1:
            raise IRError(f"function '{self.name}' is taken while a loop or block is still open")
        made = Function(
            self.name, self.dims, tuple(self._params), tuple(self._allocs),
            seq(*self._bodies[0]), self.attrs,
        )  # fmt: skip
        verify(made)
        return made

    def _buffer(self, name: str, shape: Sequence[IntLike], dtype: DType) -> Buffer:
        return Buffer(name, next(self._ordinals), tuple([index(e) for e in shape]), dtype)

    def _unique(self, label: str) -> str:
        taken, candidate = self._labels, label
        for number in itertools.count(1):
            if candidate not in taken:
                break
            candidate = f"{label}_{number}"
        taken.add(candidate)
        return candidate


def _typed(value: Scalar, dtype: DType) -> Expr:
    return value if isinstance(value, Expr) else const(value, dtype)


def _names(value: Callable[..., Any], count: int) -> list[str]:
    """The names that `value` gives its parameters, where they can name variables."""
    given = [
        re.sub(r"[^A-Za-z_]", "", name)
        for name, parameter in inspect.signature(value).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    spare = [_AXIS_NAMES[i % len(_AXIS_NAMES)] for i in range(count)]
    names = [*given[:count], *spare[len(given[:count]) :]]
    return [name if name.replace("_", "a").isalpha() else "v" for name in names]
