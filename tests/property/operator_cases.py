"""Random calls of every operator, with the arrays to run them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from passes.importers.block_formats import block_format, split
from passes.importers.storages import storage_of
from passes.ir.dtypes import BOOL, F16, F32, I32, DType
from passes.ir.expr import Dim, index
from passes.ir.graph.nodes import Apply, Input, TensorType, Weight
from passes.ir.quantised import Operand, QuantisedArray
from passes.ops import OPERATORS, apply

N = Dim("n", 1, 9)
M = Dim("m", 0, 40)


@dataclass
class Case:
    """One call, its inputs' values in order, and values of the dims."""

    call: Apply
    values: list[Operand]
    dims: Mapping[str, int]


Make = Callable[[np.random.Generator], Case]


def concrete(shape: tuple[object, ...], dims: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(dims[e.name] if isinstance(e, Dim) else int(e) for e in shape)  # type: ignore


class Maker:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.dims = {"n": int(rng.integers(1, 7)), "m": int(rng.integers(0, 20))}
        self.values: list[Operand] = []

    def tensor(self, dtype: DType, *shape: object, low: float | None = None) -> Input:
        sizes = concrete(shape, self.dims)
        if dtype == BOOL:
            value = self.rng.integers(0, 2, sizes).astype(bool)
        elif dtype.is_float:
            value = self.rng.standard_normal(sizes)
            value = np.abs(value) + low if low is not None else value
        else:
            value = self.rng.integers(-20, 20, sizes)
        return self.given(np.asarray(value).astype(dtype.numpy), dtype, *shape)

    def given(self, value: np.ndarray, dtype: DType, *shape: object) -> Input:
        self.values.append(value)
        extents = tuple(e if isinstance(e, Dim) else index(int(e)) for e in shape)  # type: ignore
        return Input(f"x{len(self.values)}", TensorType(extents, dtype))

    def quantised(self, type_name: str, rows: int, columns: int) -> Weight:
        raw = random_blocks(self.rng, type_name, rows, columns)
        fields = split(type_name, raw, (rows, columns))
        storage = storage_of(type_name, rows, columns)
        arrays = tuple(
            np.ascontiguousarray(fields[f.name]).reshape([e.value for e in f.shape])  # type: ignore
            for f in storage.fields
        )
        self.values.append(QuantisedArray(storage, (rows, columns), arrays))
        type_ = TensorType((index(rows), index(columns)), F32, storage)
        return Weight(f"w{len(self.values)}", type_)

    def case(self, call: Apply) -> Case:
        return Case(call, self.values, self.dims)


def random_blocks(rng: np.random.Generator, type_name: str, rows: int, columns: int) -> np.ndarray:
    """Random bytes of a quantised matrix whose half-precision members are small numbers."""
    format = block_format(type_name)
    blocks = rows * columns // format.block
    records = rng.integers(0, 256, (blocks, format.block_bytes), np.uint8).view(format.record)
    records = records.reshape(blocks)
    for name in ("d", "m", "dmin"):
        if name in (format.record.names or ()):
            records[name] = (0.05 * rng.standard_normal(blocks)).astype(np.float16)
    return records.view(np.uint8).reshape(-1)


def unary(name: str, low: float | None = None) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        return m.case(apply(name, m.tensor(F32, N, 5, low=low)))

    return make


def binary(name: str, dtype: DType = F32) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        second = [(N, 5), (5,), (N, 1), (1, 5)][rng.integers(4)]
        return m.case(apply(name, m.tensor(dtype, N, 5), m.tensor(dtype, *second)))

    return make


def matmul(kind: str) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        width = 256 if kind.endswith("K") else 64
        x = m.tensor(F32, N, width)
        if kind in ("F32", "F16"):
            return m.case(apply("matmul", x, m.tensor(F16 if kind == "F16" else F32, 3, width)))
        return m.case(apply("matmul", x, m.quantised(kind, 3, width)))

    return make


def matmul_q(kind: str, sums: int) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        width = 256 if kind.endswith("K") else 64
        x = rng.standard_normal((m.dims["n"], width)).astype(np.float32)
        codes, scale, total = OPERATORS["quantise_blocks"].numpy([x], {"sums": sums}, [])
        inputs = [
            m.given(codes, dtype_of("i8"), N, width),
            m.given(scale, F32, N, width // 32),
            m.given(total, F32, N, width // sums),
        ]
        return m.case(apply("matmul_q", *inputs, m.quantised(kind, 3, width)))

    return make


def dtype_of(name: str) -> DType:
    return DType(name)


def gather(kind: str, rows: int = 0) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        table = m.tensor(F32, 7, 64) if kind == "F32" else m.quantised(kind, 7, 64)
        return m.case(apply("gather", table, m.tensor(I32, 2, N), rows=rows))

    return make


def quantise(sums: int) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        case = m.case(apply("quantise_blocks", m.tensor(F32, N, 128), sums=sums))
        case.values[0][0, :32] = 0  # type: ignore[index]
        return case

    return make


def reduce(name: str, keep: bool) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        axis = int(rng.integers(3))
        return m.case(apply(name, m.tensor(F32, 3, N, 4), axis=axis, keep=keep))

    return make


def attention(query_block: int, key_block: int) -> Make:
    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        capacity, past = 28, rng.integers(0, 20, 2).astype(np.int32)
        q = m.tensor(F32, 2, N, 4, 6)
        caches = [m.tensor(F32, 2, capacity, 2, 6) for _ in range(2)]
        call = apply(
            "attention", q, *caches, m.given(past, I32, 2),
            scale=0.4, key_block=key_block, query_block=query_block,
        )  # fmt: skip
        return m.case(call)

    return make


def cache_append(rng: np.random.Generator) -> Case:
    m = Maker(rng)
    cache, new = m.tensor(F32, 2, 28, 2, 3), m.tensor(F32, 2, N, 2, 3)
    past = m.given(rng.integers(0, 20, 2).astype(np.int32), I32, 2)
    return m.case(apply("cache_append", cache, new, past))


def contract(equation: str, left: str = "f32", right: str = "f32") -> Make:
    """Axes have extents by their letters; n is a dim."""

    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        a, b = equation.partition("->")[0].split(",")
        operands = [
            m.tensor(dtype_of(kind), *[N if axis == "n" else ord(axis) % 5 + 2 for axis in axes])
            for axes, kind in ((a, left), (b, right))
        ]
        return m.case(apply("contract", *operands, equation=equation))

    return make


def window(
    name: str,
    x: Sequence[object],
    w: Sequence[int] = (),
    kind: str = "f32",
    **attrs: Any,
) -> Make:
    """A convolution or pooling of x with weights w."""

    def make(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        operands = [m.tensor(dtype_of(kind), *x), *([m.tensor(dtype_of(kind), *w)] if w else [])]
        return m.case(apply(name, *operands, **attrs))

    return make


def scatter_add(rng: np.random.Generator) -> Case:
    m = Maker(rng)
    return m.case(apply("scatter_add", m.tensor(F32, 7, 3), m.tensor(I32, N), m.tensor(F32, N, 3)))


def _one(make: Callable[[Maker], Apply]) -> Make:
    def case(rng: np.random.Generator) -> Case:
        m = Maker(rng)
        return m.case(make(m))

    return case


CASES: dict[str, Make] = {
    **{name: unary(name) for name in ("neg", "relu", "exp", "sin", "cos", "tanh", "sigmoid")},
    **{name: unary(name, 0.1) for name in ("log", "sqrt", "rsqrt")},
    **{name: binary(name) for name in ("add", "sub", "mul", "div", "max", "min")},
    **{f"{name} i32": binary(name, I32) for name in ("add", "sub", "mul", "max")},
    **{name: binary(name, I32) for name in ("less", "less_equal", "equal")},
    "cast": _one(lambda m: apply("cast", m.tensor(F32, N, 5), dtype=I32)),
    "select": _one(
        lambda m: apply("select", m.tensor(BOOL, N, 1), m.tensor(F32, 4), m.tensor(F32, N, 4))
    ),
    "reshape split": _one(lambda m: apply("reshape", m.tensor(F32, N, 12), shape=(N, 3, 4))),
    "reshape merge": _one(lambda m: apply("reshape", m.tensor(F32, 1, N, 3, 4), shape=(N, 12))),
    "reshape mix": _one(lambda m: apply("reshape", m.tensor(F32, 4, N, 3), shape=(N * 2, 6))),
    "transpose": _one(lambda m: apply("transpose", m.tensor(F32, N, 3, 4), axes=(2, 0, 1))),
    "slice": _one(
        lambda m: apply("slice", m.tensor(F32, N, 6), begin=(N - 1, 2), shape=(1, 3))
    ),
    "broadcast_to": _one(lambda m: apply("broadcast_to", m.tensor(F32, 3, 1), shape=(N, 3, 2))),
    "concat": _one(
        lambda m: apply("concat", m.tensor(F32, 2, N), m.tensor(F32, 2, 3), axis=1)
    ),
    "full": _one(lambda m: apply("full", value=M + N, dtype=I32, shape=(N,))),
    "full constant": _one(lambda m: apply("full", value=0.5, dtype=F32, shape=(N, 2))),
    "iota": _one(lambda m: apply("iota", axis=1, dtype=I32, shape=(2, N))),
    **{f"{n} keep={k}": reduce(n, k) for n in ("reduce_sum", "reduce_max") for k in (0 > 1, 1 > 0)},
    "argmax": _one(lambda m: apply("argmax", m.tensor(F32, 2, N, 5), axis=1)),
    "argmax of equals": _one(
        lambda m: apply("argmax", m.given(np.zeros((3, 40), np.float32), F32, 3, 40), axis=1)
    ),
    "softmax": _one(lambda m: apply("softmax", m.tensor(F32, N, 7))),
    "rms_norm": _one(
        lambda m: apply("rms_norm", m.tensor(F32, N, 8), m.tensor(F32, 8), eps=1e-5)
    ),
    "layer_norm": _one(
        lambda m: apply(
            "layer_norm", m.tensor(F32, N, 8), m.tensor(F32, 8), m.tensor(F32, 8), eps=1e-5
        )
    ),
    "group_norm": _one(
        lambda m: apply(
            "group_norm", m.tensor(F32, 2, N, 3, 8), m.tensor(F32, 8), m.tensor(F32, 8),
            eps=1e-5, groups=4,
        )
    ),
    "l2_norm": _one(lambda m: apply("l2_norm", m.tensor(F32, N, 5, 3))),
    **{
        f"contract {equation}": contract(equation)
        for equation in (
            "nk,km->nm", "nk,mk->nm", "kn,km->mn", "nk,km->mn", "bik,bkj->bij", "bnhk,bmhk->bhnm",
            "abn,nc->abc", "k,k->", "n,m->nm",
        )
    },
    "contract bytes": contract("nk,km->nm", "u8", "i8"),
    "contract halves": contract("nk,mk->nm", "f16", "f16"),
    "contract bf16": contract("nk,km->nm", "bf16", "bf16"),
    "conv": window("conv", (N, 7, 6, 4), (3, 2, 4, 5)),
    "conv 1-D": window("conv", (2, N, 4), (2, 4, 3), padding=(1,), stride=(2,)),
    "conv 1x1": window("conv", (2, N, 5, 4), (1, 1, 4, 3)),
    "conv 3-D first": window("conv", (2, 3, 4, N, 5), (2, 3, 2, 1, 3), layout="first"),
    "conv padded": window(
        "conv", (2, N, 6, 4), (3, 3, 4, 5), padding=(2, (0, 1)), stride=(2, 3), dilation=(1, 2)
    ),
    "conv groups": window("conv", (2, N, 6, 4), (1, 3, 2, 6), groups=2, padding=(0, 1)),
    "conv groups first": window(
        "conv", (2, 4, 6, N), (6, 2, 3, 1), groups=2, layout="first", dilation=(2, 1)
    ),
    "conv depthwise": window("conv", (2, N, 6, 4), (1, 3, 1, 4), groups=4),
    "conv bytes": window("conv", (2, N, 6, 4), (1, 3, 4, 2), "i8", padding=(0, 1)),
    "capsule_conv": window(
        "capsule_conv", (2, N, 6, 2, 3, 4), (3, 3, 3, 2, 4, 5), padding=(1, 1), stride=(2, 2)
    ),
    **{
        f"conv_transposed {taps} / {stride} - {padding} + {surplus}": window(
            "conv_transposed", (N, 3, 4, 2), (taps, 2, 2, 3), stride=(stride, 2),
            padding=(padding, (0, 1)), surplus=(surplus, 0),
        )
        for taps, stride, padding, surplus in (
            (4, 2, 1, 0), (3, 2, 1, 1), (3, 1, 1, 0), (5, 3, 0, 2), (2, 3, 0, 0), (4, 2, 3, 0),
        )
    },
    "max_pool": window("max_pool", (2, N, 6, 3), window=(2, 3), padding=(1, 1), stride=(2, 1)),
    "avg_pool": window("avg_pool", (2, 3, N, 5), window=(1, 2), layout="first", stride=(1, 2)),
    "scatter_add": scatter_add,
    **{
        f"matmul {kind}": matmul(kind)
        for kind in ("F32", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K")
    },
    **{f"gather {kind}": gather(kind) for kind in ("F32", "Q8_0")},
    "gather of the first rows": gather("F32", rows=2),
    **{f"quantise_blocks {sums}": quantise(sums) for sums in (16, 32, 64)},
    **{
        f"matmul_q {kind} {sums}": matmul_q(kind, sums)
        for kind, sums in (
            ("Q4_0", 32), ("Q4_1", 32), ("Q4_1", 16), ("Q5_0", 32), ("Q5_1", 32), ("Q8_0", 32),
            ("Q4_K", 32), ("Q6_K", 16),
        )
    },
    "rope_tables": _one(
        lambda m: apply(
            "rope_tables",
            m.given(np.array([3, 700], np.int32), I32, 2),
            m.tensor(F32, 4, low=0.0),
            n=N,
        )
    ),
    "rope": _one(
        lambda m: apply("rope", m.tensor(F32, N, 2, 8), m.tensor(F32, N, 4), m.tensor(F32, N, 4))
    ),
    "cache_append": cache_append,
    **{
        f"attention {queries}x{keys}": attention(queries, keys)
        for queries, keys in ((1, 8), (1, 4), (3, 4), (4, 28))
    },
}  # fmt: skip
