"""Records as people read them."""

from __future__ import annotations

from typing import Any

from pipeline.workloads.table import failed, table


def record(engine: str, ms: float, threads: int = 1, **facts: Any) -> dict[str, Any]:
    base = {
        "case": "gemm", "sizes": {"rows": 16}, "engine": engine, "setting": "native",
        "threads": threads, "ms": ms, "repeats": 3, "gflops": 40.0, "fraction_of_peak": 0.876,
        "limit": "compute", "max_error": 1.2e-6, "tolerance": 1e-4,
    }  # fmt: skip
    return base | facts


def test_table() -> None:
    machine = [
        {"engine": "machine", "name": "cpu", "value": "A CPU", "cpus": 2},
        {"engine": "machine", "name": "f32_rate", "threads": 1, "value": 114.2, "unit": "Gop/s"},
        {
            "engine": "machine", "name": "read_rate", "threads": 1, "value": 80.0, "unit": "GB/s",
            "bytes": 1 << 22,
        },
        {
            "engine": "machine", "name": "read_rate", "threads": 1, "value": 90.0, "unit": "GB/s",
            "bytes": 1 << 15,
        },
        {"engine": "torch", "name": "version", "value": "2.9"},
    ]  # fmt: skip
    records = [
        record("ours", 2.5),
        record("torch", 5.0),
        record("ours", 1.25, threads=2, max_error=0.5),
        record("ort", 1.0, threads=2, max_error=0.5),
        {"case": "conv", "engine": "ours", "error": "search: no"},
    ]
    lines = """\
mine (native) on A CPU, 2 CPUs; medians of 3 in turns
              threads    ms  Gop/s     of limit          error  torch ms   ort ms  vs torch  vs ort
gemm rows=16        1   2.5   40.0  88% compute        1.2e-06         5              2.00x
gemm rows=16        2  1.25   40.0  88% compute  5.0e-01 WRONG            1 WRONG             0.80x
conv: search: no
limits measured: f32 114.2 Gop/s (threads=1), read 80.0 GB/s of 4 MiB (threads=1)
peers: torch 2.9"""
    assert table("mine", records, machine) == lines
    assert [failed(r) for r in records] == [False, False, True, True, True]


def test_what_a_search_took() -> None:
    machine = [{"engine": "machine", "name": "cpu", "value": "A CPU", "cpus": 2}]
    tuned = {"setting": "32 trials, 41 CPU-s", "trials": 32, "tune_cpu_seconds": 41.2}
    records = [record("ours", 2.5), record("tvm", 5.0, **tuned), record("ours", 2.5, threads=2)]
    lines = """\
mine (native) on A CPU, 2 CPUs; medians of 3 in turns
              threads   ms  Gop/s     of limit    error  tvm ms  vs tvm           tvm tuning
gemm rows=16        1  2.5   40.0  88% compute  1.2e-06       5   2.00x  32 trials, 41 CPU-s
gemm rows=16        2  2.5   40.0  88% compute  1.2e-06"""
    assert table("mine", records, machine) == lines
