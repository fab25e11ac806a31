"""weights.bin: the packed arrays one after another, each aligned for vectors and for mapping."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from passes.ir.weights import ALIGNMENT, Layout, layout

__all__ = ["Layout", "layout", "write"]


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
