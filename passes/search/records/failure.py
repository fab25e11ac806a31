"""Why a candidate has no time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Cause: TypeAlias = Literal["refused", "build", "crash", "timeout", "wrong", "limit"]
CAUSES: tuple[Cause, ...] = get_args(Cause)
MAX_TEXT = 2000
"""Characters of a failure's text at most."""
_CUT = "\n…\n"


@dataclass(frozen=True)
class Failure:
    """A candidate was refused by a primitive, could not be built, crashed, took too long, gave a
    wrong result or broke a limit; `text` tells more of it."""

    cause: Cause
    text: str

    @staticmethod
    def of(cause: Cause, text: str) -> Failure:
        """With the beginning and the end of a text that is too long to keep."""
        if len(text) > MAX_TEXT:
            half = (MAX_TEXT - len(_CUT)) // 2
            text = text[:half] + _CUT + text[-half:]
        return Failure(cause, text)
