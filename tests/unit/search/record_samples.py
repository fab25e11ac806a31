"""Records that tests make up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from passes.search.records.record import Record

OURS, THEIRS = {"llvmlite": "0.50.0"}, {"llvmlite": "0.49.0"}


def digest(name: str) -> str:
    """32 hexadecimal digits."""
    return name.encode().hex().ljust(32, "0")


def record(*seconds: float, **changes: Any) -> Record:
    """A record of workload `w` on machine `m` at n=16 with 2 threads, in one part or another."""
    for name in ("workload", "machine", "structure"):
        if name in changes:
            changes[name] = digest(changes[name])
    given: dict[str, Any] = {
        "workload": digest("w"),
        "machine": digest("m"),
        "kind": "product",
        "structure": digest("s"),
        "extents": (64, 32),
        "dims": {"n": 16},
        "threads": 2,
        "toolchain": OURS,
        "seed": 0,
        "strategy": "random",
        "decisions": {"product.tile": (None, 8), "product.unroll": 2},
        "seconds": seconds or None,
        "reference": None,
        "error": None,
        "trace": [{"name": "split", "args": [{"var": "i3"}, 8]}],
    }
    return Record(**{**given, **changes})


def written(path: Path, *records: Record) -> Path:
    """The path of a file of these records."""
    path.write_bytes(b"".join([each.line().encode() + b"\n" for each in records]))
    return path


def lines(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines()
