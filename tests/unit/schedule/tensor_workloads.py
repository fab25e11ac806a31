"""Workloads that instructions compute parts of: products of matrices and convolutions."""

from __future__ import annotations

from collections.abc import Sequence

from passes.ir.dtypes import F32, DType
from passes.ir.expr import Dim, Expr, IntLike, Select, cast, const, index
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer, Function, Load
from passes.ops.nests import nested_block

N = Dim("n", 1, 64)
Kinds = tuple[DType, DType, DType]
FLOAT: Kinds = (F32, F32, F32)


class Sum:
    """y[out] = Σ a[…] * b[…] in the types `kinds`, over axes by letter: `extents`."""

    def __init__(self, name: str, extents: dict[str, IntLike], kinds: Kinds = FLOAT) -> None:
        dims = {e for e in extents.values() if isinstance(e, Dim)}
        self.b = LoopBuilder(name, dims=sorted(dims, key=lambda d: d.name))
        self.extents, self.kinds = {k: index(e) for k, e in extents.items()}, kinds

    def tensors(self, a: Sequence[IntLike], b: Sequence[IntLike]) -> tuple[Buffer, Buffer]:
        return self.b.param("a", a, self.kinds[0]), self.b.param("b", b, self.kinds[1])

    def of(self, letters: str) -> list[Expr]:
        return [self.extents[c] for c in letters]

    def make(self, out: str, summed: str, a, b) -> Function:  # type: ignore[no-untyped-def]
        """`a` and `b` give the factors, from a dict of iterators by letter."""
        acc = self.kinds[2]
        y = self.b.param("y", self.of(out), acc)
        axes = [[(c, self.extents[c]) for c in letters] for letters in (out, summed)]
        with nested_block(self.b, "sum", *axes) as iters:
            at = dict(zip(out + summed, iters, strict=True))
            place = [at[c] for c in out]
            with self.b.init():
                self.b.store(y, place, 0)
            product = cast(a(at), acc) * cast(b(at), acc)
            self.b.store(y, place, Load(y, tuple(place)) + product)
        return self.b.function()


def contraction(equation: str, extents: dict[str, IntLike], kinds: Kinds = FLOAT) -> Function:
    """`"mk,kn->mn"`."""
    (left, right), out = equation.split("->")[0].split(","), equation.split("->")[1]
    summed = "".join([c for c in left if c not in out])
    s = Sum("contraction", extents, kinds)
    a, b = s.tensors(s.of(left), s.of(right))
    return s.make(
        out,
        summed,
        lambda i: load(a, *[i[c] for c in left]),
        lambda i: load(b, *[i[c] for c in right]),
    )


def convolution(
    space: Sequence[IntLike],
    channels: tuple[int, int],
    kernel: Sequence[int],
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    batch: IntLike = 1,
    first: bool = False,
    kinds: Kinds = FLOAT,
) -> Function:
    """Of input that is padded already; channels `first` or last. Spatial axes are h, w, d of the
    output, r, s, t of the kernel; grouped channels are axes g, o and g, c."""
    out, window = "hwd"[: len(space)], "rst"[: len(space)]
    extents: dict[str, IntLike] = {"n": batch, "c": channels[0] // groups}
    extents |= {"o": channels[1] // groups, "g": groups}
    extents |= dict(zip(out, space, strict=True)) | dict(zip(window, kernel, strict=True))
    s = Sum("convolution", extents, kinds)
    reach = [(index(e) - 1) * stride + (k - 1) * dilation + 1
             for e, k in zip(space, kernel, strict=True)]  # fmt: skip
    group, at_group = ([groups], "g") if groups > 1 else ([], "")
    shape = [*group, s.extents["c"]]
    data = [s.extents["n"], *shape, *reach] if first else [s.extents["n"], *reach, *shape]
    weights = [*kernel, *group, s.extents["c"], s.extents["o"]]
    a, b = s.tensors(data, weights)

    def read(i: dict[str, Expr]) -> Expr:
        inside = [i[o] * stride + i[w] * dilation for o, w in zip(out, window, strict=True)]
        own = [i[c] for c in at_group + "c"]
        return load(a, i["n"], *own, *inside) if first else load(a, i["n"], *inside, *own)

    spatial = f"n{at_group}o{out}" if first else f"n{out}{at_group}o"
    return s.make(
        spatial, window + "c", read, lambda i: load(b, *[i[c] for c in window + at_group + "co"])
    )


def transposed(space: int, channels: tuple[int, int], kernel: int, stride: int) -> Function:
    """A transposed convolution along one axis, as a sum over input that is there at some taps."""
    extents = {"h": space * stride, "r": kernel, "c": channels[0], "o": channels[1]}
    s = Sum("transposed", dict(extents))
    a, b = s.tensors([space + kernel, channels[0]], [kernel, channels[0], channels[1]])

    def read(i: dict[str, Expr]) -> Expr:
        at = i["h"] + i["r"]
        return Select((at % stride).equal(0), load(a, at // stride, i["c"]), const(0.0, F32))

    return s.make("ho", "rc", read, lambda i: load(b, i["r"], i["c"], i["o"]))


def capsule(space: int, channels: tuple[int, int], kernel: int, pose: int) -> Function:
    """A convolution of matrices [pose, pose]."""
    extents = {"n": 1, "h": space, "w": space, "o": channels[1], "i": pose, "j": pose}
    extents |= {"r": kernel, "s": kernel, "c": channels[0], "k": pose}
    s = Sum("capsule", dict(extents))
    reach = space + kernel - 1
    a, b = s.tensors(
        [1, reach, reach, channels[0], pose, pose], [kernel, kernel, *channels, pose, pose]
    )
    return s.make(
        "nhwoij", "rsck",
        lambda x: load(a, x["n"], x["h"] + x["r"], x["w"] + x["s"], x["c"], x["i"], x["k"]),
        lambda x: load(b, x["r"], x["s"], x["c"], x["o"], x["k"], x["j"]),
    )  # fmt: skip
