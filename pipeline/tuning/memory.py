"""Memory between guard pages: what a wrong kernel reads or writes outside of it shows.

    guard page | margin | array | margin | guard page

A guard page ends the process that touches it. Margins fill the pages up; their bytes are all ones,
not a number to whoever reads them as floats, and looked at once the kernel has run.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

_LINE = 64
_NONE, _READ = 0, mmap.PROT_READ
_LIBC = ctypes.CDLL(None, use_errno=True)


class Guarded:
    """An array of its own pages. `number`: those of one call begin at different lines of theirs,
    since loads wait for stores to the same place of other pages."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], number: int = 0) -> None:
        page = mmap.PAGESIZE
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        first = (1 + number % (page // _LINE - 1)) * _LINE
        self._pages = -(-(first + size) // page) * page
        self._map = mmap.mmap(-1, self._pages + 2 * page)
        raw = np.frombuffer(self._map, np.uint8)
        self._address = raw.ctypes.data + page
        self._before = raw[page : page + first]
        self._after = raw[page + first + size : page + self._pages]
        self._before[:] = self._after[:] = 0xFF
        self.array: npt.NDArray[Any] = raw[page + first :][:size].view(dtype).reshape(shape)
        self._protect(raw.ctypes.data, page, _NONE)
        self._protect(self._address + self._pages, page, _NONE)

    @staticmethod
    def holding(content: npt.NDArray[Any], number: int = 0) -> Guarded:
        """A copy that nobody can write to any more."""
        made = Guarded(content.shape, content.dtype, number)
        made.array[...] = content
        made.array.flags.writeable = False
        made._protect(made._address, made._pages, _READ)
        return made

    @property
    def nbytes(self) -> int:
        return self.array.nbytes

    def intact(self) -> bool:
        """Whether the margins are as they were."""
        return bool((self._before == 0xFF).all() and (self._after == 0xFF).all())

    @staticmethod
    def _protect(address: int, size: int, how: int) -> None:
        if _LIBC.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), how):
            raise OSError(ctypes.get_errno(), "memory cannot be protected")
