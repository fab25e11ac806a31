"""Storages as JSON data, and back.

{"axes": ["i0", "j1"], "block": 32, "nbytes": 640,
 "fields": [{"buffer": "qs2", "dtype": "u8", "shape": ["1", "32", "16"], "at": 0}, …],
 "code": "qs2[i0, j1//32, j1 % 16] …", "scale": …, "offset": …}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from passes.ir.dtypes import dtype
from passes.ir.expr import Expr, Var
from passes.ir.expr_text import Named, name_of, parse_expr, print_expr
from passes.ir.loop.nodes import Buffer
from passes.ir.node import IRError
from passes.ir.storage import Storage

_NAME = re.compile(r"([A-Za-z_]+)(\d+)")


def storage_to_json(storage: Storage) -> dict[str, Any]:
    """Data from which `storage_from_json` gives the very same node."""
    fields = []
    for buffer, at in zip(storage.fields, storage.offsets, strict=True):
        field: dict[str, Any] = {
            "buffer": name_of(buffer), "dtype": str(buffer.dtype),
            "shape": [print_expr(e) for e in buffer.shape], "at": at,
        }  # fmt: skip
        if buffer.strides is not None:
            field["strides"] = [print_expr(e) for e in buffer.strides]
        fields.append(field)
    fill = {"fill": repr(storage.fill)} if storage.fill or repr(storage.fill) == "-0.0" else {}
    return {
        "axes": [name_of(axis) for axis in storage.axes],
        "block": storage.block,
        "nbytes": storage.nbytes,
        "fields": fields,
        "code": print_expr(storage.code),
        "scale": print_expr(storage.scale),
        "offset": print_expr(storage.offset),
        **fill,
    }


def storage_from_json(name: str, data: Mapping[str, Any]) -> Storage:
    """The storage of that name. Raises IRError if the data is not that of a storage."""
    try:
        return _storage(name, data)
    except (KeyError, TypeError, ValueError) as error:
        raise IRError(f"storage '{name}' cannot be read: {error}") from None


def _storage(name: str, data: Mapping[str, Any]) -> Storage:
    axes = tuple([Var(*_split(text)) for text in data["axes"]])
    buffers = tuple([_buffer(field) for field in data["fields"]])
    known: dict[str, Named] = {name_of(axis): axis for axis in axes}
    known.update({name_of(buffer): buffer for buffer in buffers})
    code, scale, offset = (parse_expr(data[key], known) for key in ("code", "scale", "offset"))
    places = tuple([int(field["at"]) for field in data["fields"]])
    nbytes, block = int(data["nbytes"]), int(data["block"])
    fill = float(data.get("fill", 0.0))
    return Storage(name, axes, buffers, places, nbytes, block, code, scale, offset, fill)


def _buffer(field: Mapping[str, Any]) -> Buffer:
    strides = _extents(field["strides"]) if "strides" in field else None
    name, ordinal = _split(field["buffer"])
    return Buffer(name, ordinal, _extents(field["shape"]), dtype(field["dtype"]), "global", strides)


def _extents(texts: list[str]) -> tuple[Expr, ...]:
    return tuple([parse_expr(text, {}) for text in texts])


def _split(text: str) -> tuple[str, int]:
    match = _NAME.fullmatch(text)
    if match is None:
        raise IRError(f"'{text}' is not a name followed by a number")
    return match[1], int(match[2])
