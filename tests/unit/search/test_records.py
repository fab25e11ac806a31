"""Records as lines, and files of them that processes append to and die over."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passes.schedule.replay import replay
from passes.search.defaults import default_schedule
from passes.search.records import files
from passes.search.records.checks import RecordError
from passes.search.records.database import Database
from passes.search.records.failure import CAUSES, MAX_TEXT, Failure
from passes.search.records.record import Record
from passes.search.records.structure import structure_of
from passes.search.task import Task
from tests.unit.search.record_samples import OURS, digest, lines, record, written
from tests.unit.search.test_contraction import product

REPO = Path(__file__).resolve().parents[3]
FACTS: dict[str, Any] = {
    "arch": "x86-64", "cpu": "x86-64-v3", "features": ["avx2", "fma"], "vector_bits": 256,
    "vector_registers": 16, "l1d_bytes": 32768, "l2_bytes": 1 << 18, "cache_line_bytes": 64,
}  # fmt: skip

hexes = st.text("0123456789abcdef", min_size=32, max_size=32)
names = st.text(max_size=20)
whole = st.integers(-(1 << 63), (1 << 63) - 1)
seconds = st.floats(0, 1e6, exclude_min=True)
tiles = st.lists(st.none() | whole, max_size=4).map(tuple)
json = st.recursive(
    st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
steps = st.tuples(names, json).map(lambda pair: {"name": pair[0], "args": pair[1]})
outcomes = st.one_of(
    st.fixed_dictionaries(
        {"seconds": st.lists(seconds, min_size=1, max_size=4).map(tuple), "error": st.none()}
    ),
    st.fixed_dictionaries(
        {
            "seconds": st.none(),
            "error": st.builds(Failure.of, st.sampled_from(CAUSES), st.text()),
        }
    ),
)
fields = st.fixed_dictionaries(
    {
        "workload": hexes,
        "machine": hexes,
        "kind": names,
        "structure": hexes,
        "extents": st.lists(st.integers(0, 1 << 40), max_size=4).map(tuple),
        "dims": st.dictionaries(names, st.integers(0, 1 << 40), max_size=3),
        "threads": st.integers(1, 1024),
        "toolchain": st.dictionaries(names, names, max_size=3),
        "seed": whole,
        "strategy": names,
        "decisions": st.dictionaries(names, whole | tiles, max_size=4),
        "reference": st.none() | seconds,
        "trace": st.lists(steps, max_size=3),
    }
)


@given(fields, outcomes)
def test_what_a_line_says_is_the_record(given: dict[str, Any], outcome: dict[str, Any]) -> None:
    made = Record(**given, **outcome)
    line = made.line()
    again = Record.read(line.encode("ascii"), "here:1")
    assert again == made and again.line() == line and "\n" not in line


def test_equal_records_have_equal_lines() -> None:
    first = record(1.0, decisions={"a": 1, "b": (2, None)}, toolchain={"x": "1", "y": "2"})
    second = record(1.0, decisions={"b": (2, None), "a": 1}, toolchain={"y": "2", "x": "1"})
    assert first == second and first.line() == second.line()


def test_a_failure_keeps_both_ends_of_a_long_text() -> None:
    failure = Failure.of("build", "begin " + "x" * 10_000 + " end")
    assert len(failure.text) <= MAX_TEXT
    assert failure.text.startswith("begin x") and failure.text.endswith("x end")
    assert Failure.of("crash", "short").text == "short"


def test_a_record_of_a_task_replays() -> None:
    task = Task.of(product(20, 12, 8, relu=True), frozenset(), FACTS)
    schedule = default_schedule(task.function, task.target)
    made = Record.of(
        task, schedule.trace, dims={}, threads=2, toolchain=OURS, seed=1, strategy="default",
        decisions={}, seconds=[1e-3],
    )  # fmt: skip
    read = Record.read(made.line().encode(), "here:1")
    assert (read.workload, read.machine) == (task.workload, task.machine)
    assert (read.structure, read.extents) == structure_of(task.function)[::2]
    trace = read.as_trace(task.function)
    assert trace == schedule.trace
    assert replay(task.function, trace).function is schedule.function


def test_what_was_appended_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "records.jsonl"
    database = Database.open(path)
    assert not path.parent.exists()
    made = [
        record(2.0),
        record(error=Failure("crash", "signal 11")),
        record(1.0, seed=1),
        record(0.5, dims={"n": 1}),
        record(0.5, threads=1),
        record(0.1, machine="other"),
        record(0.1, workload="other"),
    ]
    for each in made:
        database.append(each)
    for known in (database, Database.open(path)):
        assert list(known.trials(digest("w"), digest("m"))) == made[:5]
        assert known.best(digest("w"), digest("m"), {"n": 16}, 2, OURS) == made[2]
        assert known.best(digest("w"), digest("m"), {"n": 1}, 2, OURS) == made[3]
        assert known.best(digest("w"), digest("m"), {"n": 2}, 2, OURS) is None
        assert list(known.trials(digest("unknown"), digest("m"))) == []
    assert lines(path) == [each.line() for each in made]


def test_the_order_of_dims_does_not_matter(tmp_path: Path) -> None:
    made = record(1.0, dims={"n": 16, "m": 4})
    database = Database.open(written(tmp_path / "r.jsonl", made))
    assert database.best(digest("w"), digest("m"), {"m": 4, "n": 16}, 2, OURS) == made


@pytest.mark.parametrize("cut", [1, 2, 20, 200])
def test_a_torn_line_is_left_out_and_cut_off(tmp_path: Path, cut: int) -> None:
    first, torn, last = record(1.0), record(2.0), record(3.0)
    path = written(tmp_path / "r.jsonl", first, torn)
    path.write_bytes(path.read_bytes()[: -1 - cut])
    before = path.read_bytes()
    database = Database.open(path)
    assert list(database.trials(digest("w"), digest("m"))) == [first]
    assert path.read_bytes() == before
    database.append(last)
    assert lines(path) == [first.line(), last.line()]
    assert list(database.trials(digest("w"), digest("m"))) == [first, last]


def test_a_record_without_the_end_of_its_line_counts(tmp_path: Path) -> None:
    first, last = record(1.0), record(2.0)
    path = written(tmp_path / "r.jsonl", first)
    path.write_bytes(path.read_bytes()[:-1])
    database, other = Database.open(path), Database.open(path)
    database.append(last)
    assert lines(path) == [first.line(), last.line()]
    other.append(record(3.0))
    for known in (database, other):
        known.refresh()
        assert [r.seconds for r in known.trials(digest("w"), digest("m"))] == [(1,), (2,), (3,)]


def test_what_another_is_writing_just_now_is_not_touched(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", record(1.0))
    database = Database.open(path)
    line = record(2.0).line().encode()
    with open(path, "ab", buffering=0) as other:
        other.write(line[:100])
        database.refresh()
        assert len(list(database.trials(digest("w"), digest("m")))) == 1
        other.write(line[100:] + b"\n")
    database.refresh()
    assert len(list(database.trials(digest("w"), digest("m")))) == 2


def test_files_below_are_read_only(tmp_path: Path) -> None:
    shipped = written(tmp_path / "shipped.jsonl", record(1.0), record(3.0))
    own = written(tmp_path / "own.jsonl", record(3.0), record(2.0))
    before = shipped.read_bytes()
    database = Database.open(own, [shipped])
    database.append(record(4.0))
    times = [r.seconds for r in database.trials(digest("w"), digest("m"))]
    assert times == [(1.0,), (3.0,), (2.0,), (4.0,)]
    best = database.best(digest("w"), digest("m"), {"n": 16}, 2, OURS)
    assert best is not None and best.seconds == (1.0,)
    assert shipped.read_bytes() == before and not (tmp_path / "shipped.jsonl.lock").exists()


def test_a_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "r.jsonl", record(1.0), record(2.0))
    shipped = written(tmp_path / "s.jsonl", record(9.0))
    database = Database.open(path, [shipped])
    files.replace_lines(path, [record(5.0).line().encode()])
    database.append(record(6.0))
    times = [r.seconds for r in database.trials(digest("w"), digest("m"))]
    assert times == [(9.0,), (5.0,), (6.0,)]
    path.unlink()
    database.refresh()
    assert len(list(database.trials(digest("w"), digest("m")))) == 1


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "r.jsonl", record(1.0))
    before = path.read_bytes()
    database = Database.open(path)
    write = os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data[:100])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(RecordError, match="cannot be written: No space left on device"):
        database.append(record(2.0))
    monkeypatch.undo()
    assert path.read_bytes() == before
    database.append(record(2.0))
    assert lines(path) == [record(1.0).line(), record(2.0).line()]


WRITER = """
import sys
from pathlib import Path
from passes.search.records.database import Database
from tests.unit.search.record_samples import record
database = Database.open(Path(sys.argv[1]))
for seed in range(int(sys.argv[2]), int(sys.argv[3])):
    database.append(record(1.0, seed=seed))
    print(seed, flush=True)
"""


def _writer(path: Path, start: int, stop: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), str(start), str(stop)]
    return subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE, text=True)


def test_two_processes_append(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    writers = [_writer(path, 0, 60), _writer(path, 100, 160)]
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    seeds = [r.seed for r in Database.open(path).trials(digest("w"), digest("m"))]
    assert sorted(seeds) == [*range(60), *range(100, 160)]
    assert [s for s in seeds if s < 100] == [*range(60)]


def test_a_killed_process_loses_nothing_that_it_finished(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with _writer(path, 0, 1_000_000) as writer:
        assert writer.stdout is not None
        finished = [int(writer.stdout.readline()) for _ in range(40)]
        os.kill(writer.pid, signal.SIGKILL)
        finished += [int(line) for line in writer.stdout if line.endswith("\n")]
    database = Database.open(path)
    seeds = [r.seed for r in database.trials(digest("w"), digest("m"))]
    assert seeds[: len(finished)] == finished
    database.append(record(1.0, seed=-1))  # the lock of the dead is free
    assert [r.seed for r in Database.open(path).trials(digest("w"), digest("m"))] == [*seeds, -1]
