"""Which record is best, and files of records merged, pruned and exported."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passes.search.records.checks import RecordError
from passes.search.records.database import Database
from passes.search.records.failure import Failure
from passes.search.records.record import Record
from passes.search.records.upkeep import export, merge, prune
from tests.unit.search.record_samples import OURS, THEIRS, digest, lines, record, written

FAILED = record(error=Failure("wrong", "by 3"))
POINT: tuple[Any, ...] = (digest("w"), digest("m"), {"n": 16}, 2)


def best_of(folder: Path, *records: Record, toolchain: dict[str, str] = OURS) -> Record:
    """The best of a file of the records, in whatever order it has them."""
    path = folder / "r.jsonl"
    forwards, backwards = (
        Database.open(written(path, *order)).best(*POINT, toolchain)
        for order in (records, records[::-1])
    )
    assert forwards is not None and forwards == backwards
    return forwards


def test_the_median_counts(tmp_path: Path) -> None:
    steady, lucky = record(2.0, 2.0, 2.0), record(0.1, 3.0, 3.0)
    assert best_of(tmp_path, steady, lucky, FAILED) == steady


def test_times_count_relative_to_the_reference_beside_them(tmp_path: Path) -> None:
    busy = record(2.0, reference=4.0)  # on a machine half as fast just then
    idle = record(1.5, reference=2.0)
    alone = record(0.1)
    assert best_of(tmp_path, busy, idle, alone) == busy


def test_equal_times_have_one_best(tmp_path: Path) -> None:
    best_of(tmp_path, *[record(1.0, seed=seed) for seed in range(4)])


def test_one_s_own_toolchain_is_preferred_unless_another_is_clearly_faster(tmp_path: Path) -> None:
    own = record(1.0, reference=2.0)
    for seconds, reference, wins in (
        (0.96, 2.0, False),  # within the margin
        (0.90, 2.0, True),
        (0.90, 1.8, False),  # an equal ratio: the machine was faster then
        (1.10, 4.0, False),  # a better ratio: to a slower default kernel, it seems
        (0.90, None, True),
    ):
        other = record(seconds, reference=reference, toolchain=THEIRS)
        assert best_of(tmp_path, own, other) == (other if wins else own)
    assert best_of(tmp_path, own, toolchain=THEIRS) == own


def test_what_failed_is_never_best(tmp_path: Path) -> None:
    assert Database.open(written(tmp_path / "r.jsonl", FAILED)).best(*POINT, OURS) is None


samples = st.builds(
    lambda seconds, reference, toolchain, n, seed: record(
        seconds, reference=reference, toolchain=toolchain, dims={"n": n}, seed=seed
    ),
    st.floats(0.5, 1.5),
    st.none() | st.floats(0.9, 1.1),
    st.sampled_from([OURS, THEIRS]),
    st.sampled_from([1, 16]),
    st.integers(0, 3),
)
many = st.lists(samples | st.just(FAILED), max_size=8)


@settings(max_examples=25)
@given(many, many, many)
def test_merging_is_a_union(
    tmp_path_factory: pytest.TempPathFactory, a: list[Record], b: list[Record], c: list[Record]
) -> None:
    folder = tmp_path_factory.mktemp("merge")
    first = written(folder / "a.jsonl", *a)
    second = written(folder / "b.jsonl", *b)
    third = written(folder / "c.jsonl", *c)
    out = folder / "out.jsonl"

    def merged(*sources: Path) -> bytes:
        count = merge(sources, out)
        assert count == len(lines(out))
        return out.read_bytes()

    whole = merged(first, second, third)
    assert set(lines(out)) == {each.line() for each in (*a, *b, *c)}
    assert merged(third, first, second) == whole == merged(first, first, third, second)
    assert merged(out, second) == whole
    merge([first, second], first)
    assert merged(first, third) == whole


@settings(max_examples=50)
@given(many, st.integers(1, 3), st.sampled_from([OURS, THEIRS]))
def test_pruning_keeps_the_best(
    tmp_path_factory: pytest.TempPathFactory, a: list[Record], keep: int, toolchain: dict[str, str]
) -> None:
    path = written(tmp_path_factory.mktemp("prune") / "r.jsonl", *a)
    points = [(digest("w"), digest("m"), {"n": n}, 2) for n in (1, 16)]
    before = [Database.open(path).best(*point, toolchain) for point in points]
    count = prune(path, keep, toolchain)
    once = path.read_bytes()
    database = Database.open(path)
    assert [database.best(*point, toolchain) for point in points] == before
    left = list(database.trials(digest("w"), digest("m")))
    assert count == len(left) and all(each.seconds is not None for each in left)
    assert {each.line() for each in left} <= {each.line() for each in a}
    for n in (1, 16):
        all_ = {each.line() for each in a if each.seconds and each.dims["n"] == n}
        assert sum(each.dims["n"] == n for each in left) == min(keep, len(all_))
    assert prune(path, keep, toolchain) == count and path.read_bytes() == once


def test_pruning_drops_the_worst_and_what_a_killed_process_left(tmp_path: Path) -> None:
    made = [record(float(k)) for k in range(1, 9)]
    path = written(tmp_path / "r.jsonl", *random.Random(0).sample(made, 8))
    with open(path, "ab") as file:
        file.write(b'{"workload": "12')
    assert prune(path, 3, OURS) == 3
    assert sorted(lines(path)) == sorted([each.line() for each in made[:3]])


def test_an_export_has_the_best_of_each_point_in_order(tmp_path: Path) -> None:
    first = written(
        tmp_path / "a.jsonl",
        record(2.0), record(1.0), record(3.0, dims={"n": 1}), record(1.0, workload="x"), FAILED,
        record(1.0, kind="conv"),
    )  # fmt: skip
    second = written(tmp_path / "b.jsonl", record(0.5), record(1.0, threads=1))
    out = tmp_path / "recipe" / "records.jsonl"
    assert export([first, second], out, OURS, [digest("w")]) == 3
    made = [record(3.0, dims={"n": 1}), record(1.0, threads=1), record(0.5)]
    assert lines(out) == [each.line() for each in made]
    assert export([first, second], out, OURS) == 4
    whole = out.read_bytes()
    keys = [(r.kind, r.workload, r.machine, sorted(r.dims.items())) for r in read(out)]
    assert all(a <= b for a, b in pairwise(keys))
    assert export([second, out, first], out, OURS) == 4 and out.read_bytes() == whole


def test_a_failed_rewriting_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", record(1.0))
    before = path.read_bytes()
    with pytest.raises(RecordError, match="there is no file of records"):
        merge([path, tmp_path / "none.jsonl"], path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.lock"]


def read(path: Path) -> list[Record]:
    return [Record.read(line.encode(), "here:1") for line in lines(path)]
