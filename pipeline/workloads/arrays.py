"""Arrays that engines share through files: numpy's format, aligned in memory as engines like it.

bfloat16, which numpy lacks, travels as its bits in uint16.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """A zeroed array whose first element lies at a multiple of 64 bytes."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    first = -raw.ctypes.data % ALIGNMENT
    return raw[first : first + size].view(dtype).reshape(shape)


def read_array(path: str) -> npt.NDArray[Any]:
    """The array of a file, aligned."""
    stored = np.load(path, mmap_mode="r")
    array = aligned(stored.shape, stored.dtype)
    array[...] = stored
    return array


def write_array(path: str, array: npt.NDArray[Any]) -> None:
    """Writes a file that `read_array` reads."""
    if array.dtype.name == "bfloat16":
        array = array.view(np.uint16)
    with open(path, "wb") as file:
        np.save(file, np.asarray(array, order="C"))


def widened(bits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The float32 numbers that the bits of bfloat16 stand for."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
