"""The intensity of arithmetic along the loops: operations for each byte touched, the more of the
program is looked at.

    one run: 1 fma for 12 bytes … a tile: 8*16 for 96 … all: 128**3 for 3*128**2*4
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from passes.search.features.columns import POINTS
from passes.search.features.tape import Array


def curve(operations: Sequence[Array], touched: Sequence[Array]) -> NDArray[np.float64]:
    """`[POINTS, count]`: log2(1 + operations a byte) where equal shares of the logarithm of all
    operations are inside; straight lines between the levels given, inner ones first, each of
    `[count]` operations and bytes."""
    done = np.log2(1.0 + np.stack(operations))
    height = np.log2(1.0 + np.stack(operations) / np.maximum(np.stack(touched), 1.0))
    width, rise = np.diff(done, axis=0), np.diff(height, axis=0)
    slope = np.divide(rise, width, out=np.zeros_like(rise), where=width > 0)
    places = np.linspace(0.0, 1.0, POINTS)[:, None] * (done[-1] - done[0])
    found = np.repeat(height[:1], POINTS, axis=0)
    for level in range(len(width)):
        found += slope[level] * np.clip(places - (done[level] - done[0]), 0.0, width[level])
    return found
