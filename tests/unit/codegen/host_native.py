"""Libraries compiled into this process and called by the C ABI."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from passes.codegen.abi import Library, library_text
from passes.codegen.native import jit

POINTERS = ctypes.POINTER(ctypes.c_void_p)
NUMBERS = ctypes.POINTER(ctypes.c_int64)


class Native:
    """A library; contexts are made with `create` and destroyed with `destroy`."""

    def __init__(self, library: Library, weights: Mapping[str, Any]) -> None:
        self.library = library
        self.code = jit(library_text(library))
        self.weights = np.zeros(library.weights.size // 64 * 64 + 128, np.uint8)
        skip = -self.weights.ctypes.data % 64
        for name, at in library.weights.offsets.items():
            raw = weights[name].reshape(-1).view(np.uint8)
            assert raw.size == library.weights.sizes[name] and at % 64 == 0
            self.weights[skip + at : skip + at + raw.size] = raw
        self.base = self.weights.ctypes.data + skip
        code, void, number = self.code, ctypes.c_void_p, ctypes.c_int64
        self._create = code.function("tk_create", void, number, result=void)
        self.destroy = code.function("tk_destroy", void)
        self.entries = {
            p.graph.name: code.function(
                f"tk_{p.graph.name}", void, NUMBERS, POINTERS, result=ctypes.c_int32
            )
            for p in library.programs
        }

    def create(self, threads: int) -> int:
        made: int | None = self._create(self.base, threads)
        assert made
        return made

    def call(self, context: int, entry: str, dims: Sequence[int], *arrays: Any) -> int:
        numbers = (ctypes.c_int64 * len(dims))(*dims)
        pointers = (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])
        code: int = self.entries[entry](context, numbers, pointers)
        return code
