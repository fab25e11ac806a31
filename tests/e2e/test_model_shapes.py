"""Models of other formats and shapes: tensor types, odd extents, heads, CPU levels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.runtime import Package, Session
from tests.e2e.packages import (
    LEVELS,
    Floats,
    Request,
    best_level,
    build,
    error,
    last,
    runs_here,
    score,
)
from tests.reference.llama import Llama
from tests.reference.llama_int8 import Int8Llama
from tests.reference.tiny_gguf import MATRICES, TinyLlama, write_tiny_gguf

TYPES = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K")
# Every type in one place or another; norms are F32.
ALL_TYPES = dict(zip(MATRICES, TYPES[1:], strict=True))
REFERENCES = {"f32": Llama, "int8": Int8Llama}
# On the integer path a row is exact to 1e-6, or off by about 1 % where float32 sums differ in their
# last bit and a code of so small a model rounds to the other side; mistakes are larger.
BOUNDS = {"f32": 2e-4, "int8": 2e-2}
TOKENS = np.random.default_rng(5).integers(3, 300, 11).tolist()


def check(package: Package, want: Floats, bound: float, threads: int) -> None:
    """In one call, in two, and one by one where the package has `decode`."""
    with Session(package, threads) as session:
        assert error(score(session, TOKENS), want) < bound
        session.reset()
        assert error(score(session, TOKENS[:4]), want[:4]) < bound
        assert error(score(session, TOKENS[4:]), want[4:]) < bound
        if "decode" in package.manifest.entries:
            session.reset()
            for token, row in zip(TOKENS, want, strict=True):
                assert error(last(session, [token], "decode"), row) < bound


def check_model(
    folder: Path,
    model: TinyLlama,
    compute: str,
    levels: tuple[str, ...],
    entries: tuple[str, ...] = ("score", "decode"),
) -> None:
    gguf = write_tiny_gguf(folder / "tiny.gguf", model)
    package = build(gguf, folder, Request(compute, levels, 16, 24, entries))
    want = REFERENCES[compute](gguf).forward(TOKENS)
    for level in levels:
        if runs_here(level):
            check(Package(package, level=level), want, BOUNDS[compute], 2)


@pytest.mark.parametrize("compute", REFERENCES)
def test_every_tensor_type(tmp_path: Path, compute: str) -> None:
    model = TinyLlama(layers=1, dim=256, heads=8, kv_heads=4, ffn=256, types=ALL_TYPES, tied=False)
    check_model(tmp_path, model, compute, (best_level(),), ("score",))


@pytest.mark.slow
@pytest.mark.parametrize("compute", REFERENCES)
@pytest.mark.parametrize("name", TYPES)
def test_one_type_throughout(tmp_path: Path, name: str, compute: str) -> None:
    """Tied, so that the same type is looked up, multiplied and the head; all levels."""
    model = TinyLlama(layers=1, dim=256, heads=8, kv_heads=2, ffn=256, types=name)
    check_model(tmp_path, model, compute, LEVELS)


SHAPES = {
    # Nothing a multiple of 16: every product takes the schedule of last resort.
    "odd extents": TinyLlama(
        layers=1, dim=60, heads=6, kv_heads=2, ffn=97, vocab=323, types="F32", tied=False
    ),
    "odd vocabulary and feed forward": TinyLlama(
        layers=1, dim=64, heads=4, kv_heads=2, ffn=160, vocab=301,
        types={**dict.fromkeys(MATRICES, "Q4_1"), "token_embd": "Q8_0"},
    ),
    "heads of 12, in groups of 4": TinyLlama(
        layers=1, dim=96, heads=8, kv_heads=2, ffn=96, types="Q8_0"
    ),
    "heads of 8, in groups of 3": TinyLlama(
        layers=1, dim=96, heads=12, kv_heads=4, ffn=32, types="Q5_0"
    ),
    "one head for all": TinyLlama(layers=1, dim=64, heads=1, kv_heads=1, ffn=64, types="Q4_0"),
    "each its own": TinyLlama(layers=1, dim=64, heads=4, kv_heads=4, ffn=64, types="F16"),
    "one for all queries": TinyLlama(layers=1, dim=128, heads=4, kv_heads=1, ffn=96),
    "three layers of another base": TinyLlama(layers=3, rope_base=100000.0, epsilon=1e-6),
}  # fmt: skip
QUICK = {("odd extents", "f32"), ("odd vocabulary and feed forward", "int8")}


@pytest.mark.parametrize(
    ("name", "compute"),
    [
        pytest.param(n, c, marks=() if (n, c) in QUICK else pytest.mark.slow, id=f"{n}, {c}")
        for n in SHAPES
        for c in REFERENCES
    ],
)
def test_shapes(tmp_path: Path, name: str, compute: str) -> None:
    quick = (name, compute) in QUICK
    levels, entries = ((best_level(),), ("score",)) if quick else (LEVELS, ("score", "decode"))
    check_model(tmp_path, SHAPES[name], compute, levels, entries)


def test_the_level_without_dot_products(tmp_path: Path) -> None:
    """The oldest level on whatever machine this is; others take their best."""
    check_model(tmp_path, TinyLlama(layers=1), "int8", LEVELS[-1:], ("score",))
