"""How a schedule lays out constants, as plain data, and arrays laid out so.

{"parameter": 1, "axes": ["i0", "i1"], "places": ["i0//16", "i1", "i0%16"],
 "shape": [4, 64, 16], "fill": 0.0}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from passes.fuse.fold import fold, folded_storage
from passes.ir.dtypes import DType
from passes.ir.expr import Var
from passes.ir.expr_text import name_of, parse_expr, print_expr
from passes.ir.quantised import constant
from passes.schedule.schedule import Schedule
from passes.search.fold import folds_of

Data = Mapping[str, Any]


def folds_data(schedule: Schedule) -> list[dict[str, Any]]:
    """What a schedule makes of the function's parameters. Raises IRError for a symbolic shape."""
    return [
        {
            "parameter": number,
            "axes": [name_of(axis) for axis in fold_.layout.axes],
            "places": [print_expr(place) for place in fold_.layout.image],
            "shape": [constant(extent, "a folded parameter") for extent in fold_.shape],
            "fill": 0.0 if fold_.fill is None else fold_.fill,
        }
        for number, fold_ in sorted(folds_of(schedule).items())
    ]


def laid_out(array: npt.NDArray[Any], dtype: DType, data: Data) -> npt.NDArray[Any]:
    """The elements of an array where a schedule wants them."""
    axes = tuple([Var("i", number) for number in range(len(data["axes"]))])
    names = dict(zip(data["axes"], axes, strict=True))
    places = tuple([parse_expr(text, names) for text in data["places"]])
    storage = folded_storage(dtype, array.shape, axes, places, data["shape"], data["fill"])
    return fold(array, storage).view(dtype.numpy).reshape(np.array(data["shape"], int))
