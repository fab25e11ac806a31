"""weights.bin: the packed arrays one after another, each aligned for vectors and for mapping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(frozen=True)
class Layout:
    """Where each array begins in the file, in file order, and the file's size."""

    offsets: Mapping[str, int]
    sizes: Mapping[str, int]
    size: int


def layout(sizes: Mapping[str, int]) -> Layout:
    """Sizes in bytes, in file order → offsets, known before a byte is written.

    {"a": 100, "b": 8} -> a at 0, b at 128, size 192
    """
    offsets: dict[str, int] = {}
    end = 0
    for name, size in sizes.items():
        if size < 0:
            raise ValueError(f"weight '{name}': size {size} is negative")
        offsets[name] = end
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return Layout(offsets, dict(sizes), end)


def write(path: Path, plan: Layout, arrays: Iterable[tuple[str, npt.NDArray[np.generic]]]) -> None:
    """Writes the arrays of `plan`, in its order, taking one at a time; gaps are zeros.

    Raises ValueError when an array is missing, out of order, not C-contiguous or of another size.
    """
    remaining = iter(plan.offsets)
    with path.open("wb") as stream:
        for name, array in arrays:
            expected = next(remaining, None)
            if name != expected:
                raise ValueError(f"weight '{name}' given where the layout has '{expected}'")
            if array.nbytes != plan.sizes[name] or not array.flags.c_contiguous:
                raise ValueError(
                    f"weight '{name}': {array.nbytes} bytes"
                    f"{'' if array.flags.c_contiguous else ', not contiguous'}; "
                    f"the layout has {plan.sizes[name]} contiguous bytes"
                )
            stream.write(array.reshape(-1).view(np.uint8).data)
            stream.write(bytes(-array.nbytes % ALIGNMENT))
    if (missing := next(remaining, None)) is not None:
        raise ValueError(f"weight '{missing}' of the layout was not given")
