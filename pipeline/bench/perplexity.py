"""How well a package predicts a text: the measure that shows what a numeric format costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.bench.engine import BenchError
from pipeline.runtime import Package, Session

WINDOW = 512
_ROWS = 64  # logits widened to float64 at a time: all at once would take hundreds of MiB
_SENSELESS = 700.0  # nats a token, near where the exponential overflows; guessing costs about 11


@dataclass(frozen=True)
class Perplexity:
    """`value`: the exponential of the mean negative log-likelihood of `predicted` tokens, in
    `windows` of at most `window` tokens."""

    value: float
    predicted: int
    windows: int
    window: int


def text_ids(package: Package, text: str, tokens: int) -> list[int]:
    """The first `tokens` token ids of a text, fewer if it is shorter."""
    # A whole library is not encoded for its first page; a token is rarely above ten characters.
    return package.tokenizer.encode(text[: 64 * tokens + 1024], start=True)[:tokens]


def perplexity(
    session: Session,
    ids: Sequence[int],
    *,
    window: int = WINDOW,
    progress: Callable[[int], None] = lambda done: None,
) -> Perplexity:
    """Token ids, cut into windows that know nothing of each other → their perplexity.

    The first token of a window is given, every other is predicted from those before it, by the
    entry point `score`. The session's cache is used and left empty.

    Raises BenchError: fewer than two tokens, no entry point `score`, logits that are not finite;
    CallError as the runtime does.
    """
    manifest = session.package.manifest
    if "score" not in manifest.entries:
        raise BenchError(
            f"{manifest.name} has no entry point score, which tells the logits of every position; "
            "add it to the recipe's entries and build again"
        )
    if len(ids) < 2:
        raise BenchError("the text has fewer than two tokens, so there is nothing to predict")
    window = min(window, manifest.capacity)
    total, predicted, windows = 0.0, 0, 0
    for first in range(0, len(ids), window):
        part = np.asarray(ids[first : first + window], np.int32)
        if len(part) < 2:
            break
        total += _negative_log_likelihood(session, part)
        predicted += len(part) - 1
        windows += 1
        progress(first + len(part))
    session.reset()
    mean = total / predicted
    if not mean < _SENSELESS:  # NaN too
        raise BenchError(
            f"{manifest.name}: the logits are not finite, or make no sense (mean negative "
            f"log-likelihood {mean:g}); report the recipe and the text"
        )
    return Perplexity(math.exp(mean), predicted, windows, window)


def _negative_log_likelihood(session: Session, ids: npt.NDArray[np.int32]) -> float:
    """Of all tokens but the first, in nats, in chunks as long as the package takes."""
    longest = session.package.manifest.dims["n"][1]
    total = 0.0
    session.reset()
    for first in range(0, len(ids), longest):
        chunk = ids[first : first + longest]
        logits = session.call("score", tokens=chunk[np.newaxis])["logits"][0]
        following = ids[first + 1 : first + 1 + len(chunk)]
        for row in range(0, len(following), _ROWS):
            some = following[row : row + _ROWS]
            wide = logits[row : row + len(some)].astype(np.float64)
            wide -= wide.max(axis=1, keepdims=True)
            chosen = wide[np.arange(len(some)), some]
            total += float((np.log(np.exp(wide).sum(axis=1)) - chosen).sum())
    return total
