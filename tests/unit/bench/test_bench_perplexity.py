from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.bench.engine import BenchError
from pipeline.bench.perplexity import Perplexity, perplexity, text_ids
from pipeline.runtime import Package, Session
from tests.unit.runtime import toy_package


def reference(session: Session, ids: list[int], window: int) -> float:
    """Token by token, as the definition has it."""
    costs = []
    for first in range(0, len(ids), window):
        session.reset()
        part = ids[first : first + window]
        for token, following in pairwise(part):
            logits = session.call("decode", tokens=[[token]])["logits"][0].astype(np.float64)
            costs.append(np.logaddexp.reduce(logits) - logits[following])
    return float(np.exp(np.mean(costs)))


@pytest.mark.parametrize("window", [5, 16, 40])
def test_windows_and_chunks(toy: Path, window: int) -> None:
    """The toy takes 16 tokens at once, so a window of 40 comes in three chunks."""
    package = Package(toy)
    ids = text_ids(package, "abcdefghijklmnopqrstuvwxyz, what else? 0101 xyz and so on " * 2, 101)
    assert len(ids) == 101
    done: list[int] = []
    with Session(package) as session:
        found = perplexity(session, ids, window=window, progress=done.append)
        assert session.past == 0
        expected = reference(session, ids, window)
    windows = -(-101 // window)
    alone = 101 % window == 1  # a window of one token predicts nothing
    assert found == Perplexity(pytest.approx(expected), 101 - windows, windows - alone, window)
    assert done[-1] == 101 - alone


def test_a_window_is_no_longer_than_the_cache(toy: Path) -> None:
    package = Package(toy)
    with Session(package) as session:
        found = perplexity(session, [65] * 100)
        assert (found.windows, found.window) == (2, toy_package.CAPACITY)


def test_the_beginning_of_a_long_text(toy: Path) -> None:
    assert text_ids(Package(toy), "ab" * 1_000_000, 3) == text_ids(Package(toy), "aba", 9)


def test_nothing_to_predict(toy: Path) -> None:
    with Session(Package(toy)) as session, pytest.raises(BenchError) as error:
        perplexity(session, [65])
    assert str(error.value) == (
        "the text has fewer than two tokens, so there is nothing to predict"
    )


def test_no_score(toy: Path, tmp_path: Path) -> None:
    folder = toy_package.make(tmp_path / "toy")
    toy_package.edit(folder, "entries.score", None)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace(', "score": null', ""))
    with Session(Package(folder)) as session, pytest.raises(BenchError) as error:
        perplexity(session, [65, 66])
    assert str(error.value) == (
        "toy-cpu has no entry point score, which tells the logits of every position; add it to "
        "the recipe's entries and build again"
    )


def test_logits_that_are_no_numbers(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Session(Package(toy)) as session:
        nothing = {"logits": np.full((1, 2, toy_package.VOCABULARY), np.nan, np.float32)}
        monkeypatch.setattr(session, "call", lambda *_, **__: nothing)
        with pytest.raises(BenchError, match="toy-cpu: the logits are not finite"):
            perplexity(session, [65, 66])
