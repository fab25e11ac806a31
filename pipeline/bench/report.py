"""Records as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.bench.compare import LLAMA_CPP, OURS, Record

_SHOWN = ("load_s", "prefill_tok_s", "decode_tok_s", "peak_rss_mib")
_LOWER_IS_BETTER = ("load_s", "peak_rss_mib")
_Row = tuple[str, str, str, int]


def write_records(path: Path, records: Sequence[Record]) -> None:
    """A JSON list, one record a line. Raises OSError."""
    from pipeline.store.files import write_atomic

    lines = ",\n".join(f"  {json.dumps(record)}" for record in records)
    write_atomic(path, f"[\n{lines}\n]\n".encode())


def table(name: str, records: Sequence[Record]) -> str:
    """A line a case: our median and its spread, the peer's, how many times better ours is, how
    near ours comes to what the machine can do."""
    rows = [_HEAD_OURS, *_rows(records, peer=False)]
    if any(record["engine"] == LLAMA_CPP for record in records):
        rows = [_HEAD_BOTH, *_rows(records, peer=True)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([_title(name, records), *lines, *_notes(records)])


_HEAD_OURS = ["", "threads", "ours", "min .. max", "of limit"]
_HEAD_BOTH = ["", "threads", "ours", "min .. max", LLAMA_CPP, "min .. max", "better", "of limit"]


def _rows(records: Sequence[Record], *, peer: bool) -> list[list[str]]:
    mine, theirs = (
        {_case(r): r for r in records if r["engine"] == engine and r["name"] in _SHOWN}
        for engine in (OURS, LLAMA_CPP)
    )
    rows = []
    for case, record in mine.items():
        name, what, count, threads = case
        row = [f"{name} {what} {count}".rstrip(), str(threads), _value(record), _spread(record)]
        if peer:
            other = theirs[case]
            row += [_value(other), _spread(other), f"{_better(record, other):.2f}x"]
        row.append(f"{record['of_limit']:.0%}" if "of_limit" in record else "")
        rows.append(row)
    # By case, then by threads: what is to be compared stands together.
    order = list(dict.fromkeys(row[0] for row in rows))
    return sorted(rows, key=lambda row: order.index(row[0]))


def _case(record: Record) -> _Row:
    what = next((key for key in ("tokens", "context") if key in record), "")
    return record["name"], what, str(record.get(what, "")), record["threads"]


def _better(ours: Record, theirs: Record) -> float:
    ratio = float(ours["value"] / theirs["value"])
    return 1 / ratio if ours["name"] in _LOWER_IS_BETTER else ratio


def _value(record: Record) -> str:
    return f"{record['value']:.3f}" if record["unit"] == "s" else f"{record['value']:.1f}"


def _spread(record: Record) -> str:
    if record["repeats"] == 1:
        return ""
    digits = 3 if record["unit"] == "s" else 1
    return f"{record['min']:.{digits}f} .. {record['max']:.{digits}f}"


def _title(name: str, records: Sequence[Record]) -> str:
    cpu = next(record for record in records if record["name"] == "cpu")
    levels = [r["setting"] for r in records if r["engine"] == OURS and "setting" in r]
    level = f" ({levels[0]})" if levels else ""
    repeats = max((record.get("repeats", 1) for record in records), default=1)
    return f"{name}{level} on {cpu['value']}, {cpu['cpus']} CPUs; medians of {repeats} in turns"


def _notes(records: Sequence[Record]) -> list[str]:
    limits = [
        f"{record['value']:.1f} {record['unit']} (threads={record['threads']})"
        for record in records
        if record["name"] in ("read_rate", "int8_rate")
    ]
    lines = [f"limits measured: {', '.join(limits)}"] if limits else []
    for record in records:
        if record["name"] == "logits_cosine":
            lines.append(
                f"logits of ours and {record['against']}: cosine {record['value']:.4f} "
                f"after {record['tokens']} tokens"
            )
        elif record["name"] == "version":
            lines.append(f"{record['engine']}: {record['value']}, the best of its settings")
    return lines
