"""Splitting and decoding each tensor type, against the `gguf` package, bit for bit."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from passes.importers.block_formats import FORMATS, BlockFormatError, dequantise, split

ROWS, COLUMNS = 5, 512

# field -> (dtype, shape within a row of 512 values)
EXPECTED = {
    "F32": {"values": ("float32", (512,))},
    "F16": {"values": ("float16", (512,))},
    "BF16": {"values": ("bfloat16", (512,))},
    "Q4_0": {"d": ("float16", (16,)), "qs": ("uint8", (16, 16))},
    "Q4_1": {"d": ("float16", (16,)), "m": ("float16", (16,)), "qs": ("uint8", (16, 16))},
    "Q5_0": {"d": ("float16", (16,)), "qh": ("uint8", (16, 4)), "qs": ("uint8", (16, 16))},
    "Q5_1": {
        "d": ("float16", (16,)),
        "m": ("float16", (16,)),
        "qh": ("uint8", (16, 4)),
        "qs": ("uint8", (16, 16)),
    },
    "Q8_0": {"d": ("float16", (16,)), "qs": ("int8", (16, 32))},
    "Q4_K": {
        "d": ("float16", (2,)),
        "dmin": ("float16", (2,)),
        "qs": ("uint8", (2, 128)),
        "sc": ("uint8", (2, 8)),
        "mn": ("uint8", (2, 8)),
    },
    "Q6_K": {
        "ql": ("uint8", (2, 128)),
        "qh": ("uint8", (2, 64)),
        "scales": ("int8", (2, 16)),
        "d": ("float16", (2,)),
    },
}


def random_bytes(name: str, seed: int = 0) -> np.ndarray:
    """Any bytes are sound blocks; infinities and NaNs among the scales included."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, FORMATS[name].nbytes((ROWS, COLUMNS)), np.uint8)


@pytest.mark.parametrize("name", FORMATS)
def test_geometry_is_that_of_the_reference(name: str) -> None:
    kind = gguf.GGMLQuantizationType[name]
    format = FORMATS[name]
    assert format.number == kind
    assert (format.block, format.block_bytes) == gguf.GGML_QUANT_SIZES[kind]


@pytest.mark.parametrize("name", FORMATS)
def test_fields(name: str) -> None:
    fields = split(name, random_bytes(name), (ROWS, COLUMNS))
    found = {key: (str(array.dtype), array.shape) for key, array in fields.items()}
    assert found == {key: (dtype, (ROWS, *shape)) for key, (dtype, shape) in EXPECTED[name].items()}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_values_are_those_of_the_reference_bit_for_bit(name: str, seed: int) -> None:
    raw = random_bytes(name, seed)
    ours = dequantise(name, split(name, raw, (ROWS, COLUMNS)))
    theirs = gguf.dequantize(raw.reshape(ROWS, -1), gguf.GGMLQuantizationType[name])
    assert ours.dtype == np.float32
    assert np.array_equal(ours.view(np.uint32), theirs.reshape(ROWS, COLUMNS).view(np.uint32))


def test_fields_are_views_of_the_raw_bytes() -> None:
    raw = random_bytes("Q4_1")
    assert all(
        np.shares_memory(field, raw) for field in split("Q4_1", raw, (ROWS, COLUMNS)).values()
    )


def test_outer_dims_collapse_into_rows() -> None:
    raw = random_bytes("Q8_0")
    assert split("Q8_0", raw, (1, ROWS, COLUMNS))["qs"].shape == (ROWS, 16, 32)
    assert split("Q8_0", raw, (ROWS * COLUMNS,))["d"].shape == (1, ROWS * 16)


def test_unknown_type() -> None:
    with pytest.raises(BlockFormatError) as caught:
        split("Q5_K", np.zeros(0, np.uint8), (1, 256))
    assert str(caught.value) == (
        "unknown tensor type 'Q5_K'; known: "
        "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q6_K"
    )


def test_bytes_that_do_not_fit() -> None:
    with pytest.raises(BlockFormatError) as caught:
        split("Q4_1", np.zeros(39, np.uint8), (2, 32))
    assert str(caught.value) == "Q4_1 [2, 32] takes 40 bytes; got uint8 [39]"
