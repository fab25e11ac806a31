"""What this machine can do at best: `python -m pipeline.bench.machine`, and facts to quote.

The limits of kernels on a CPU: reading memory and caches, and multiply-adds of each element type.
All are measured by loops of a few instructions, compiled here.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from pipeline.bench.channel import serve

_BUFFER = 256 << 20  # bytes: several times any cache near the cores
_REPEATS = 7
_STREAMS = 8  # independent accumulators: enough to hide the latency of a load or a multiply-add
_TURNS = 4_000_000
_TRAFFIC = 1 << 28  # bytes that one measurement of a small buffer reads at least


def facts() -> dict[str, Any]:
    """The CPU's model and how many of it this process may use."""
    from pipeline.runtime.cpu import CPUINFO, usable_cpus

    model = "unknown"
    for line in CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            model = value.strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"value": model, "unit": "", "cpus": usable_cpus(), "memory_mib": memory >> 20}


def read_rate(threads: int, size: int = _BUFFER) -> float:
    """The most bytes a second that so many threads read of a buffer that they read again and
    again: of memory, or of the cache that it fits in."""
    words = 16 if _has("avx512f") else 8
    step = words * 4 * _STREAMS
    run = _compile(_read_text(words))
    part = max(step, min(size, _BUFFER) // threads // step * step)
    data = np.ones(part * threads, np.uint8)
    times = -(-_TRAFFIC // data.nbytes)
    starts = [data.ctypes.data + index * part for index in range(threads)]
    seconds = _best([partial(run, start, part, times) for start in starts])
    return part * threads * times / seconds


def f32_rate(threads: int) -> float | None:
    """The most f32 operations (a multiply-add is two) a second; None without FMA."""
    if not _has("fma"):
        return None
    words = 16 if _has("avx512f") else 8
    return _rate(_fma_text(words), words, threads)


def int8_rate(threads: int) -> float | None:
    """The most int8 operations (a multiply-add is two) a second; None without VNNI."""
    return _rate(_dot_text(), 64, threads) if _has("avx512vnni") else None


def bf16_rate(threads: int) -> float | None:
    """The most bfloat16 operations (a multiply-add is two) a second; None without AVX-512 BF16."""
    return _rate(_pair_text(), 32, threads) if _has("avx512bf16") else None


def _rate(text: str, products: int, threads: int) -> float:
    """Operations a second of a loop with `products` multiply-adds an instruction."""
    run = _compile(text)
    seconds = _best([partial(run, None, _TURNS, 1)] * threads)
    return 2.0 * products * _STREAMS * _TURNS * threads / seconds


def _best(jobs: list[Callable[[], object]]) -> float:
    """Seconds of the quickest of several runs of all jobs at once. ctypes frees the GIL."""
    with ThreadPoolExecutor(len(jobs)) as pool:

        def once() -> float:
            start = time.perf_counter()
            for future in [pool.submit(job) for job in jobs]:
                future.result()
            return time.perf_counter() - start

        return min(once() for _ in range(_REPEATS))


def _has(feature: str) -> bool:
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get(feature, False))


_KEPT: list[Any] = []  # engines own the code that compiled functions point to


def _compile(text: str) -> Any:
    """A module with a function `run(pointer, count, times)` → that function, for this CPU."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2
    )
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    _KEPT.append(engine)
    address = engine.get_function_address("run")
    kinds = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    return ctypes.CFUNCTYPE(ctypes.c_int32, *kinds)(address)


def _read_text(words: int) -> str:
    """Reads `count` bytes and gives their exclusive or, so that no load is idle."""
    kind = f"<{words} x i32>"
    lines = []
    for index in range(_STREAMS):
        lines += [
            f"  %o{index} = add i64 %at, {index * words * 4}",
            f"  %p{index} = getelementptr i8, ptr %data, i64 %o{index}",
            f"  %v{index} = load {kind}, ptr %p{index}, align 4",
            f"  %n{index} = xor {kind} %s{index}, %v{index}",
        ]
    return _loop(kind, lines, _STREAMS * words * 4, words)


def _fma_text(words: int) -> str:
    """`count` turns of independent fused multiply-adds."""
    kind, name = f"<{words} x float>", f"@llvm.fma.v{words}f32"
    lines = [
        "  %f = sitofp i64 %count to float",
        f"  %g = insertelement {kind} poison, float %f, i64 0",
        f"  %x = shufflevector {kind} %g, {kind} poison, <{words} x i32> zeroinitializer",
    ]
    for index in range(_STREAMS):
        lines += _on_floats(index, words, f"{name}({kind} %x, {kind} %x, {kind} %a{index})")
    declared = f"declare {kind} {name}({kind}, {kind}, {kind})\n"
    return declared + _loop(f"<{words} x i32>", lines, 1, words)


def _dot_text() -> str:
    """`count` turns of independent vpdpbusd."""
    kind = "<16 x i32>"
    call = f"call {kind} @llvm.x86.avx512.vpdpbusd.512({kind}"
    factors = "<64 x i8> %bytes, <64 x i8> %bytes)"
    lines = [f"  %n{index} = {call} %s{index}, {factors}" for index in range(_STREAMS)]
    declared = f"declare {kind} @llvm.x86.avx512.vpdpbusd.512({kind}, <64 x i8>, <64 x i8>)\n"
    return declared + _loop(kind, lines, 1, 16)


def _pair_text() -> str:
    """`count` turns of independent vdpbf16ps."""
    kind, pair, name = "<16 x float>", "<32 x bfloat>", "@llvm.x86.avx512bf16.dpbf16ps.512"
    lines = [f"  %p = bitcast <64 x i8> %bytes to {pair}"]
    for index in range(_STREAMS):
        lines += _on_floats(index, 16, f"{name}({kind} %a{index}, {pair} %p, {pair} %p)")
    declared = f"declare {kind} {name}({kind}, {pair}, {pair})\n"
    return declared + _loop("<16 x i32>", lines, 1, 16)


def _on_floats(index: int, words: int, call: str) -> list[str]:
    """An accumulator of bits, taken as floats %a for one call."""
    bits, floats = f"<{words} x i32>", f"<{words} x float>"
    return [
        f"  %a{index} = bitcast {bits} %s{index} to {floats}",
        f"  %r{index} = call {floats} {call}",
        f"  %n{index} = bitcast {floats} %r{index} to {bits}",
    ]


def _loop(kind: str, body: list[str], step: int, words: int) -> str:
    """`times` times over 0 .. count in steps; what it sums up is its result."""
    phis = [
        f"  %s{index} = phi {kind} [ %k{index}, %again ], [ %n{index}, %loop ]"
        for index in range(_STREAMS)
    ]
    kept = [
        f"  %k{index} = phi {kind} [ zeroinitializer, %0 ], [ %n{index}, %turn ]"
        for index in range(_STREAMS)
    ]
    total = [f"  %t0 = xor {kind} %n0, zeroinitializer"]
    for index in range(1, _STREAMS):
        total.append(f"  %t{index} = xor {kind} %t{index - 1}, %n{index}")
    lines = [
        "define i32 @run(ptr %data, i64 %count, i64 %times) {",
        # The factors must not be constants, which would fold the products away.
        "  %low = trunc i64 %count to i8",
        "  %one = insertelement <64 x i8> poison, i8 %low, i64 0",
        "  %bytes = shufflevector <64 x i8> %one, <64 x i8> poison, <64 x i32> zeroinitializer",
        "  br label %again",
        "again:",
        "  %time = phi i64 [ 0, %0 ], [ %later, %turn ]",
        *kept,
        "  br label %loop",
        "loop:",
        "  %at = phi i64 [ 0, %again ], [ %next, %loop ]",
        *phis,
        *body,
        f"  %next = add i64 %at, {step}",
        "  %more = icmp slt i64 %next, %count",
        "  br i1 %more, label %loop, label %turn",
        "turn:",
        "  %later = add i64 %time, 1",
        "  %repeat = icmp slt i64 %later, %times",
        "  br i1 %repeat, label %again, label %done",
        "done:",
        *total,
        f"  %sum = call i32 @llvm.vector.reduce.xor.v{words}i32({kind} %t{_STREAMS - 1})",
        "  ret i32 %sum",
        "}",
        f"declare i32 @llvm.vector.reduce.xor.v{words}i32({kind})",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Serves the worker's operations."""
    rates = (read_rate, f32_rate, int8_rate, bf16_rate)
    serve({rate.__name__: rate for rate in rates})


if __name__ == "__main__":
    main()
