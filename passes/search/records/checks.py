"""What the values of a record may be, and JSON read with suspicion."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from passes.search.records.failure import CAUSES, MAX_TEXT

MAX_LINE = 1 << 20
"""Bytes of a line at most, its end included; traces of large kernels take some 20 000."""
_MAX_NAME = 1000  # characters
_MAX_ITEMS = 4096  # of a list or an object
_MAX_THREADS = 1024
_MAX_SECONDS = 1e6
_SHOWN = 60  # characters of a wrong value that are shown


class RecordError(ValueError):
    """A record or a file of records cannot be read or written; the message says what is wrong,
    where it is known (file:line), and what to do."""


def strict_json(line: bytes) -> Any:
    """The value of a line of JSON in which no key appears twice and every number is finite."""
    if len(line) > MAX_LINE:
        raise RecordError(f"the line has {len(line)} bytes, more than {MAX_LINE}")
    try:
        return json.loads(
            line.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecordError:
        raise
    except UnicodeDecodeError as error:
        raise RecordError(f"byte {error.start + 1} is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise RecordError(f"column {error.colno} is not JSON: {error.msg}") from None
    except ValueError:
        # The interpreter's own limit of digits, against quadratic time.
        raise RecordError("a number has thousands of digits") from None
    except RecursionError:
        raise RecordError("values are nested too deeply") from None


def check(data: Any) -> None:
    """Raises RecordError unless `data` is what a record looks like in JSON."""
    if not isinstance(data, dict):
        raise RecordError(f"a record is an object, not {_shown(data)}")
    for key in data:
        if key not in _KINDS:
            raise RecordError(f"{_shown(key)} is no key of a record: {_suggestion(key)}")
    for key, (kind, fits) in _KINDS.items():
        if key not in data:
            raise RecordError(f"`{key}` is missing")
        if not fits(data[key]):
            raise RecordError(f"`{key}` is {_shown(data[key])}, not {kind}")
    if (data["seconds"] is None) == (data["error"] is None):
        raise RecordError("one of `seconds` and `error` is null, and the other is not")


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise RecordError(f"the key {_shown(twice)} appears twice in an object")
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise RecordError(f"the number {text[:_SHOWN]} is not finite")
    return value


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, default=repr)
    except RecursionError:
        return "a deep nest"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _suggestion(key: str) -> str:
    near = get_close_matches(key[:_MAX_NAME], _KINDS, n=1)
    return f"did you mean `{near[0]}`?" if near else f"there are {', '.join(_KINDS)}"


def _is_text(value: Any, most: int = _MAX_NAME) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None


def _is_int(value: Any, least: int = -(1 << 63), most: int = (1 << 63) - 1) -> bool:
    return type(value) is int and least <= value <= most


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 < value <= _MAX_SECONDS


def _is_choice(value: Any) -> bool:
    if isinstance(value, list):
        return len(value) <= _MAX_ITEMS and all(f is None or _is_int(f) for f in value)
    return _is_int(value)


def _is_failure(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"cause", "text"}:
        return False
    return value["cause"] in CAUSES and _is_text(value["text"], MAX_TEXT)


def _is_step(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(value.get("name"))


def _null_or(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or fits(value)


def _list(fits: Callable[[Any], bool], least: int = 0) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list) and least <= len(value) <= _MAX_ITEMS and all(map(fits, value))
    )


def _by_name(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, dict)
        and len(value) <= _MAX_ITEMS
        and all(_is_text(name) and fits(item) for name, item in value.items())
    )


# key: (what its value is, whether a value is such)
_KINDS: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "workload": ("a digest, 32 hexadecimal digits", _is_digest),
    "machine": ("a digest, 32 hexadecimal digits", _is_digest),
    "kind": ("a text", lambda v: isinstance(v, str)),
    "structure": ("a digest, 32 hexadecimal digits", _is_digest),
    "extents": ("a list of whole numbers from 0", _list(lambda v: _is_int(v, 0))),
    "dims": ("whole numbers from 0 by name", _by_name(lambda v: _is_int(v, 0))),
    "threads": (
        f"a whole number from 1 to {_MAX_THREADS}",
        lambda v: _is_int(v, 1, _MAX_THREADS),
    ),
    "toolchain": ("versions, which are texts, by name", _by_name(_is_text)),
    "seed": ("a whole number of 64 bits", _is_int),
    "strategy": ("a name", _is_text),
    "decisions": (
        "choices by site, each a whole number or a list of such and null",
        _by_name(_is_choice),
    ),
    "seconds": ("null or a list of positive numbers", _null_or(_list(_is_seconds, 1))),
    "reference": ("null or a positive number", _null_or(_is_seconds)),
    "error": (
        f"null or a `cause` ({', '.join(CAUSES)}) with a `text` of at most {MAX_TEXT} characters",
        _null_or(_is_failure),
    ),
    "trace": ("a list of steps, each an object with a name", _list(_is_step)),
}
