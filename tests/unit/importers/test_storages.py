"""Storages mean what the formats mean, bit for bit, and lie in memory as they say."""

from __future__ import annotations

import numpy as np
import pytest

from passes.importers.block_formats import BlockFormatError, dequantise, split
from passes.importers.storages import storage_of
from passes.ir.node import IRError
from passes.ir.quantised import QuantisedArray, allocation_fields
from passes.ir.storage_text import storage_from_json, storage_to_json
from tests.property.operator_cases import random_blocks

TYPES = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K")


@pytest.mark.parametrize("name", TYPES)
def test_values_are_those_of_the_format(name: str) -> None:
    rows, columns = 5, 512
    raw = random_blocks(np.random.default_rng(3), name, rows, columns)
    fields = split(name, raw, (rows, columns))
    storage = storage_of(name, rows, columns)
    memory = np.zeros(storage.nbytes, np.uint8)
    for field, at in zip(storage.fields, storage.offsets, strict=True):
        stored = np.ascontiguousarray(fields[field.name]).reshape(-1).view(np.uint8)
        memory[at : at + stored.size] = stored
    whole = QuantisedArray(storage, (rows, columns), allocation_fields(storage, memory))
    assert np.array_equal(whole.values, dequantise(name, fields))
    picked = np.array([4, 0, 4])
    assert np.array_equal(whole.decoded(picked), whole.values[picked])
    assert whole.codes.dtype == (np.int8 if name in ("Q8_0", "Q6_K") else np.uint8)


@pytest.mark.parametrize("name", TYPES)
def test_fields_are_aligned_and_data_goes_both_ways(name: str) -> None:
    storage = storage_of(name, 3, 768)
    assert all(at % 64 == 0 for at in storage.offsets)
    assert storage_from_json(storage.name, storage_to_json(storage)) is storage


def test_what_is_refused() -> None:
    with pytest.raises(BlockFormatError, match="tensor type 'F32' has no storage"):
        storage_of("F32", 3, 32)
    with pytest.raises(BlockFormatError, match="a row of 48 values is not a whole number of Q4_0"):
        storage_of("Q4_0", 3, 48)
    storage = storage_of("Q4_0", 3, 32)
    with pytest.raises(IRError, match=r"storage 'Q4_0 \[3, 32\]' takes 112 bytes; 100 are given"):
        allocation_fields(storage, np.zeros(100, np.uint8))
    data = storage_to_json(storage) | {"code": "zz9[0]"}
    with pytest.raises(IRError, match=r"storage 'x' cannot be read: line 1, column 1: 'zz9'"):
        storage_from_json("x", data)
