"""The full text of what readers and writers of records say: about lines, files and each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from passes.ir.node import IRError
from passes.search.records import files
from passes.search.records.checks import MAX_LINE, RecordError
from passes.search.records.database import Database
from passes.search.records.failure import Failure
from passes.search.records.record import Record
from passes.search.records.upkeep import export
from tests.unit.search.record_samples import OURS, record, written
from tests.unit.search.test_contraction import product

GOOD = json.loads(record(1.0).line())
CURE = "; remove the line, or fetch the file again"
DECISIONS = "choices by site, each a whole number or a list of such and null"
CAUSES = "refused, build, crash, timeout, wrong, limit"
SHOWN = '"' + "x" * 59 + "…"


def changed(**changes: Any) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(key: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != key}).encode()


LINES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "column 1 is not JSON: Expecting value"),
    "cut short": (b'{"workload": "12', "column 14 is not JSON: Unterminated string starting at"),
    "two": (b"{} {}", "column 4 is not JSON: Extra data"),
    "byte order mark": (
        b"\xef\xbb\xbf{}", "column 1 is not JSON: Unexpected UTF-8 BOM (decode using utf-8-sig)"
    ),
    "not UTF-8": (b'{"\xff": 1}', "byte 3 is not UTF-8 text"),
    "nest": (b"[" * 100_000, "values are nested too deeply"),
    "digits": (b"9" * 5000, "a number has thousands of digits"),
    "long": (b" " * (MAX_LINE + 1), "the line has 1048577 bytes, more than 1048576"),
    "list": (b"[1, 2]", "a record is an object, not [1, 2]"),
    "infinite": (changed(seconds=[float("inf")]), "the number Infinity is not finite"),
    "beyond floats": (
        changed().replace(b"[1.0]", b"[1e999]"), "the number 1e999 is not finite"),
    "no number": (changed(reference=float("nan")), "the number NaN is not finite"),
    "twice": (
        changed().replace(b'"threads"', b'"seed"'),
        'the key "seed" appears twice in an object',
    ),
    "near key": (changed(second=1), '"second" is no key of a record: did you mean `seconds`?'),
    "unknown key": (
        changed(zzz=1),
        '"zzz" is no key of a record: there are workload, machine, kind, structure, extents, dims,'
        " threads, toolchain, seed, strategy, decisions, seconds, reference, error, trace",
    ),
    "missing key": (without("trace"), "`trace` is missing"),
    "workload": (changed(workload="ab"), '`workload` is "ab", not a digest, 32 hexadecimal digits'),
    "machine": (
        changed(machine="A" * 32),
        f'`machine` is "{"A" * 32}", not a digest, 32 hexadecimal digits',
    ),
    "structure": (changed(structure=7), "`structure` is 7, not a digest, 32 hexadecimal digits"),
    "kind": (changed(kind=None), "`kind` is null, not a text"),
    "long name": (changed(strategy="x" * 5000), f"`strategy` is {SHOWN}, not a name"),
    "extents": (
        changed(extents=[4, -1]), "`extents` is [4, -1], not a list of whole numbers from 0"
    ),
    "many extents": (
        changed(extents=[1] * 5000),
        f"`extents` is [{'1, ' * 19}1,…, not a list of whole numbers from 0",
    ),
    "dims": (changed(dims={"n": 1.5}), '`dims` is {"n": 1.5}, not whole numbers from 0 by name'),
    "threads": (changed(threads=0), "`threads` is 0, not a whole number from 1 to 1024"),
    "threads yes": (changed(threads=True), "`threads` is true, not a whole number from 1 to 1024"),
    "toolchain": (
        changed(toolchain={"llvmlite": 0.5}),
        '`toolchain` is {"llvmlite": 0.5}, not versions, which are texts, by name',
    ),
    "seed": (
        changed(seed=1 << 63), "`seed` is 9223372036854775808, not a whole number of 64 bits"
    ),
    "strategy": (changed(strategy=None), "`strategy` is null, not a name"),
    "decisions": (
        changed(decisions={"tile": [[1], 2]}),
        f'`decisions` is {{"tile": [[1], 2]}}, not {DECISIONS}',
    ),
    "seconds": (changed(seconds=[]), "`seconds` is [], not null or a list of positive numbers"),
    "no time": (
        changed(seconds=[0.0]), "`seconds` is [0.0], not null or a list of positive numbers"
    ),
    "reference": (changed(reference=-1), "`reference` is -1, not null or a positive number"),
    "cause": (
        changed(seconds=None, error={"cause": "bad", "text": ""}),
        f'`error` is {{"cause": "bad", "text": ""}}, not null or a `cause` ({CAUSES}) with a `text`'
        " of at most 2000 characters",
    ),
    "listed cause": (
        changed(seconds=None, error={"cause": [], "text": ""}),
        f'`error` is {{"cause": [], "text": ""}}, not null or a `cause` ({CAUSES}) with a `text`'
        " of at most 2000 characters",
    ),
    "both": (
        changed(error={"cause": "crash", "text": ""}),
        "one of `seconds` and `error` is null, and the other is not",
    ),
    "neither": (
        changed(seconds=None), "one of `seconds` and `error` is null, and the other is not"
    ),
    "trace": (
        changed(trace=[{"step": 1}]),
        '`trace` is [{"step": 1}], not a list of steps, each an object with a name',
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LINES)
def test_a_line_that_is_no_record(case: str, tmp_path: Path) -> None:
    line, reason = LINES[case]
    with pytest.raises(RecordError) as info:
        Record.read(line, "records.jsonl:7")
    assert str(info.value) == f"records.jsonl:7: {reason}{CURE}"


@pytest.mark.parametrize("case", LINES)
def test_a_file_with_such_a_line(case: str, tmp_path: Path) -> None:
    line, reason = LINES[case]
    path = written(tmp_path / "r.jsonl", record(1.0), record(2.0))
    path.write_bytes(path.read_bytes() + line + b"\n" + record(3.0).line().encode() + b"\n")
    before = path.read_bytes()
    with pytest.raises(RecordError) as info:
        Database.open(path)
    if case != "long":  # of which not all is read
        assert str(info.value) == f"{path}:3: {reason}{CURE}"
    with pytest.raises(RecordError):
        export([path], path, OURS)
    assert path.read_bytes() == before


def test_a_long_line_without_an_end_is_not_torn(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"{" + b" " * (3 << 20))
    with pytest.raises(RecordError) as info:
        Database.open(path)
    assert str(info.value) == f"{path}:1: the line has 1048577 bytes, more than 1048576{CURE}"


def test_records_that_no_line_may_hold() -> None:
    for changes, reason in (
        ({"threads": 0}, "`threads` is 0, not a whole number from 1 to 1024"),
        ({"reference": float("inf")}, "`reference` is Infinity, not null or a positive number"),
        (
            {"error": Failure("crash", "")},
            "one of `seconds` and `error` is null, and the other is not",
        ),
        ({"decisions": {"x": True}}, f'`decisions` is {{"x": true}}, not {DECISIONS}'),
    ):
        with pytest.raises(RecordError) as info:
            record(1.0, **changes)
        assert str(info.value) == reason


def test_a_record_that_is_too_long(tmp_path: Path) -> None:
    made = record(1.0, trace=[{"name": "split", "args": ["x" * MAX_LINE]}])
    length = len(json.dumps(made.trace)) - len(json.dumps(record(1.0).trace))
    database = Database.open(tmp_path / "r.jsonl")
    with pytest.raises(RecordError) as info:
        database.append(made)
    assert str(info.value) == (
        f"a record takes {len(record(1.0).line()) + length} bytes, more than 1048576: its trace"
        " has 1 steps"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_is_none() -> None:
    function = product(4, 4, 4)
    nest: list[Any] = []
    for _ in range(100_000):
        nest = [nest]
    for trace, reason in (
        ([{"name": "split"}], "step 1 of the trace cannot be read: 'args'"),
        ([{"name": "split", "args": [nest]}], "the trace of a record is nested too deeply"),
    ):
        with pytest.raises(IRError) as info:
            record(1.0, trace=trace).as_trace(function)
        assert str(info.value) == reason


def test_files_that_are_none(tmp_path: Path) -> None:
    own = tmp_path / "r.jsonl"
    with pytest.raises(RecordError) as info:
        Database.open(own, [tmp_path / "shipped.jsonl"])
    missing = f"there is no file of records {tmp_path / 'shipped.jsonl'}: leave it out, or fetch it"
    assert str(info.value) == missing
    own.mkdir()
    with pytest.raises(RecordError) as info:
        Database.open(own)
    assert str(info.value) == f"{own} is no file, and cannot hold records; name another"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "r.jsonl"
    with pytest.raises(RecordError) as info:
        export([written(tmp_path / "r.jsonl", record(1.0))], path, OURS)
    assert str(info.value) == f"{path} cannot be written: File exists; what was there is kept"


def test_a_lock_that_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_PATIENCE", 0.02)
    path = tmp_path / "r.jsonl"
    database = Database.open(path)
    with files.written(path), pytest.raises(RecordError) as info:
        database.append(record(1.0))
    assert str(info.value) == (
        f"{path}: another process has held r.jsonl.lock for 0.02 seconds; wait for it or end it"
    )
    database.append(record(1.0))
