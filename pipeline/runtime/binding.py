"""Arguments of a call → arrays and dims that an entry point may be given.

Everything is checked here, before native code runs, and all problems are told at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CallError
from .manifest import DTYPES, Entry, Manifest, Tensor

NEW = "n"  # the dim that counts the new tokens; an entry without it appends one
PAST = "m"  # the dim that counts the tokens already in the session's cache
TOKENS = "tokens"  # the input that holds the new tokens' ids

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Call:
    """A checked call: `dims` in the entry's order, inputs and outputs as the ABI wants them."""

    dims: dict[str, int]
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def bind(entry: Entry, manifest: Manifest, arguments: Mapping[str, Any], past: int) -> Call:
    """Names the dims from the arrays' shapes and checks everything against the manifest.

    tokens=int64 [1, 7] -> n = 7, m = past, tokens int32 [1, 7], logits float32 [1, 49152]

    Raises CallError: unknown, missing or ill-typed arguments, shapes that disagree, dims outside
    their bounds, values outside theirs, a cache that would overflow.
    """
    problems = _unknown(entry, arguments)
    dims, sources = _explicit_dims(entry, arguments, problems)
    arrays: dict[str, Array] = {}
    for tensor in entry.inputs:
        if tensor.name not in arguments:
            problems.append(f"{tensor.name}: missing; expected {tensor.signature}")
            continue
        array = _array(tensor, arguments[tensor.name], problems)
        if array is not None:
            arrays[tensor.name] = array
            _infer(tensor, array, dims, sources, problems)
    if PAST in entry.dims and PAST not in dims:
        dims[PAST], sources[PAST] = past, "the tokens in the session's cache"
    for dim in entry.dims:
        if dim not in dims and not problems:
            problems.append(f"{dim}: no input's shape gives it; pass {dim}=<integer>")
    if not problems:
        _check_bounds(entry, manifest, dims, sources, past, problems)
        for tensor in entry.inputs:
            _check_shape(tensor, arrays[tensor.name], dims, problems)
            _check_values(tensor, arrays[tensor.name], problems)
    if problems:
        if len(problems) == 1:
            raise CallError(f"{entry.name}: {problems[0]}")
        listed = "".join(f"\n  {problem}" for problem in problems)
        raise CallError(f"{entry.name}: {len(problems)} problems with the arguments:{listed}")
    return Call(
        {dim: dims[dim] for dim in entry.dims},
        {t.name: _native(arrays[t.name], t) for t in entry.inputs},
        {t.name: np.empty(_shape(t, dims), DTYPES[t.dtype]) for t in entry.outputs},
    )


def _unknown(entry: Entry, arguments: Mapping[str, Any]) -> list[str]:
    known = [*(tensor.name for tensor in entry.inputs), *entry.dims]
    problems = []
    for name in arguments:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            problems.append(f"{name}: unknown argument; {hint}")
    return problems


def _explicit_dims(
    entry: Entry, arguments: Mapping[str, Any], problems: list[str]
) -> tuple[dict[str, int], dict[str, str]]:
    dims: dict[str, int] = {}
    sources: dict[str, str] = {}
    for dim in entry.dims:
        if dim in arguments:
            value = arguments[dim]
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                problems.append(f"{dim}: expected an integer, found {value!r:.60}")
            else:
                dims[dim], sources[dim] = int(value), "the argument"
    return dims, sources


def _array(tensor: Tensor, value: Any, problems: list[str]) -> Array | None:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        problems.append(f"{tensor.name}: not an array ({error}); expected {tensor.signature}")
        return None
    wanted = DTYPES[tensor.dtype]
    # An integer array of any width is taken when its values fit, a float array is rounded:
    # numpy's own defaults are int64 and float64, and users should not have to write dtypes.
    same_kind = array.dtype.kind == wanted.kind or {array.dtype.kind, wanted.kind} == {"i", "u"}
    if not same_kind:
        problems.append(
            f"{tensor.name}: has dtype {array.dtype}, expected {wanted} for {tensor.signature}"
        )
        return None
    if array.ndim != len(tensor.shape):
        problems.append(
            f"{tensor.name}: has shape {array.shape}, expected {len(tensor.shape)} axes "
            f"for {tensor.signature}"
        )
        return None
    return array


def _infer(
    tensor: Tensor,
    array: Array,
    dims: dict[str, int],
    sources: dict[str, str],
    problems: list[str],
) -> None:
    for axis, extent in zip(tensor.shape, array.shape, strict=True):
        dim = axis.name
        if dim is None:
            continue
        if dim not in dims:
            dims[dim], sources[dim] = extent, f"the shape of '{tensor.name}'"
        elif dims[dim] != extent:
            problems.append(
                f"{tensor.name}: has shape {array.shape}, which gives {dim} = {extent}, "
                f"but {sources[dim]} gives {dim} = {dims[dim]}"
            )


def _check_bounds(
    entry: Entry,
    manifest: Manifest,
    dims: dict[str, int],
    sources: dict[str, str],
    past: int,
    problems: list[str],
) -> None:
    for dim in entry.dims:
        low, high = manifest.dims[dim]
        if not low <= dims[dim] <= high:
            problems.append(
                f"{dim} = {dims[dim]} (from {sources[dim]}) is outside {low}..{high}, "
                "the bounds that the package was built for"
            )
    if PAST not in entry.dims or problems:
        return
    new, held = dims.get(NEW, 1), dims[PAST]
    if held > past:
        problems.append(
            f"{PAST} = {held} (from {sources[PAST]}) is more than the {past} tokens "
            "in the session's cache"
        )
    elif held + new > manifest.capacity:
        problems.append(
            f"{held} tokens in the cache and {new} new ones are more than its capacity of "
            f"{manifest.capacity}; reset or truncate the session, or build the package with a "
            "larger shapes.past.max"
        )


def _check_shape(tensor: Tensor, array: Array, dims: dict[str, int], problems: list[str]) -> None:
    expected = _shape(tensor, dims)
    if array.shape != expected:
        problems.append(
            f"{tensor.name}: has shape {array.shape}, expected {expected} for {tensor.signature}"
        )


def _check_values(tensor: Tensor, array: Array, problems: list[str]) -> None:
    if tensor.values is None or array.size == 0:
        return
    low, high = tensor.values
    for extreme in (int(array.min()), int(array.max())):
        if not low <= extreme <= high:
            problems.append(f"{tensor.name}: holds {extreme}, which is outside {low}..{high}")
            return


def _shape(tensor: Tensor, dims: dict[str, int]) -> tuple[int, ...]:
    return tuple(axis.evaluate(dims) for axis in tensor.shape)


def _native(array: Array, tensor: Tensor) -> Array:
    return np.require(array, DTYPES[tensor.dtype], ["C_CONTIGUOUS", "ALIGNED"])
