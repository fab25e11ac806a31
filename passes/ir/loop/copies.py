"""Asynchronous copies of the interpreter: groups on their way, and how they land."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passes.ir.dtypes import DType
from passes.ir.loop.memory import poison


class Copy(NamedTuple):
    """A store that was issued; `again` gives what it would copy if it ran now."""

    data: NDArray[Any]
    place: Any
    value: Any
    dtype: DType
    again: Callable[[], Any]


Queue = list[list[Copy]]
"""Groups of copies on their way, the earliest first."""


def issue(group: list[Copy], copy: Copy) -> None:
    """From now on nothing is known of the element."""
    copy.data[copy.place] = poison(copy.dtype)
    group.append(copy)


def land(queue: Queue, pending: int) -> None:
    """The earliest groups land until `pending` are left: as late as the wait allows.

    A copy whose source has changed on the way lands as NaN: it may have read either. So does one
    to an element that a later group is on its way to.
    """
    while len(queue) > max(pending, 0):
        for copy in queue.pop(0):
            same = np.asarray(copy.value).tobytes() == np.asarray(copy.again()).tobytes()
            copy.data[copy.place] = copy.value if same else poison(copy.dtype)
    for copy in [copy for group in queue for copy in group]:
        copy.data[copy.place] = poison(copy.dtype)
