"""Records of a workload as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.bench.compare import OURS, Record


def failed(record: Record) -> bool:
    """Whether an engine gave no result, or not what the case asks for."""
    return "error" in record or bool(record["max_error"] > record["tolerance"])


def table(name: str, records: Sequence[Record], machine: Sequence[Record]) -> str:
    """A line a case, size and thread count: our time and rate, how near they come to what the
    machine can do, our largest error, each peer's time over ours, and of one that searched what it
    took. `machine`: the CPU, its rates and the peers' versions."""
    measured = [record for record in records if "ms" in record]
    peers = list(dict.fromkeys(r["engine"] for r in measured if r["engine"] != OURS))
    rows = [["", "threads", "ms", "Gop/s", "of limit", "error", *[f"{p} ms" for p in peers]]]
    rows[0] += [f"vs {peer}" for peer in peers]
    tuners = list(dict.fromkeys(r["engine"] for r in measured if "tune_cpu_seconds" in r))
    rows[0] += [f"{tuner} tuning" for tuner in tuners]
    for ours in (record for record in measured if record["engine"] == OURS):
        others = {r["engine"]: r for r in measured if _key(r) == _key(ours)}
        rows.append([*_own(ours), *_beside(ours, [others.get(peer) for peer in peers])])
        rows[-1] += [others[tuner]["setting"] if tuner in others else "" for tuner in tuners]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    broken = [f"{r['case']}: {r['error']}" for r in records if "error" in r]
    return "\n".join([_title(name, records, machine), *lines, *broken, *_notes(machine)])


def _key(record: Record) -> tuple[Any, ...]:
    return record["case"], tuple(record["sizes"].items()), record["threads"]


def _own(record: Record) -> list[str]:
    sizes = " ".join(f"{name}={value}" for name, value in record["sizes"].items())
    share = f"{record['fraction_of_peak']:.0%} {record['limit']}"
    error = f"{record['max_error']:.1e}" + (" WRONG" if failed(record) else "")
    name = f"{record['case']} {sizes}".rstrip()
    return [name, str(record["threads"]), _ms(record), f"{record['gflops']:.1f}", share, error]


def _beside(ours: Record, others: Sequence[Record | None]) -> list[str]:
    times = ["" if other is None else _ms(other) for other in others]
    times = [
        f"{time} WRONG" if other is not None and failed(other) else time
        for time, other in zip(times, others, strict=True)
    ]
    return [*times, *["" if o is None else f"{o['ms'] / ours['ms']:.2f}x" for o in others]]


def _ms(record: Record) -> str:
    return f"{record['ms']:.4g}"


def _title(name: str, records: Sequence[Record], machine: Sequence[Record]) -> str:
    cpu = next(fact for fact in machine if fact["name"] == "cpu")
    levels = [r["setting"] for r in records if r["engine"] == OURS and "setting" in r]
    level = f" ({levels[0]})" if levels else ""
    repeats = max((record.get("repeats", 1) for record in records), default=1)
    return f"{name}{level} on {cpu['value']}, {cpu['cpus']} CPUs; medians of {repeats} in turns"


def _notes(machine: Sequence[Record]) -> list[str]:
    """The rates that limits come from, of reading only the one of the most bytes, and the peers'
    versions."""
    rates = [fact for fact in machine if fact["name"].endswith("_rate")]
    most = max((r.get("bytes", 0) for r in rates), default=0)
    limits = [
        f"{record['name'].removesuffix('_rate')} {record['value']:.1f} {record['unit']}"
        f"{_size(record)} (threads={record['threads']})"
        for record in rates
        if record.get("bytes", most) == most
    ]
    peers = [f"{fact['engine']} {fact['value']}" for fact in machine if fact["name"] == "version"]
    lines = [f"limits measured: {', '.join(limits)}"] if limits else []
    return [*lines, f"peers: {', '.join(peers)}"] if peers else lines


def _size(record: Record) -> str:
    if "bytes" not in record:
        return ""
    size = record["bytes"]
    return f" of {size >> 20} MiB" if size >= 1 << 20 else f" of {size >> 10} KiB"
