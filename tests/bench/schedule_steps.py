"""What a step of a schedule costs: `python -m tests.bench.schedule_steps [processes]`.

Every process builds a matrix product with a symbolic number of rows, replays a trace of thirty
steps on it and times each (processor time), no memo being filled before. Then it does the same
trace again, with another decision at the end and at the start, and single steps of the primitives
that the trace has not. Medians over the processes, in milliseconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from passes.ir.dtypes import F32
from passes.ir.expr import Dim, Max, const
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Function
from passes.schedule.queries import QUERIES
from passes.schedule.replay import Replayer
from passes.schedule.schedule import Schedule
from passes.schedule.trace import Trace

REPO = Path(__file__).resolve().parents[2]
N = Dim("n", 1, 4096)
Times = dict[str, list[float]]


def gemm(columns: int = 512, inner: int = 512) -> Function:
    """y = max(x w + r, 0), with the sum and what is added to it in temporaries."""
    b = LoopBuilder("gemm", dims=(N,))
    x, w = b.param("x", (N, inner), F32), b.param("w", (inner, columns), F32)
    r, y = b.param("r", (columns,), F32), b.param("y", (N, columns), F32)
    t, u = b.local("t", (N, columns), F32), b.local("u", (N, columns), F32)
    b.reduce(t, (inner,), lambda i, j, k: load(x, i, k) * load(w, k, j), label="dot")
    b.map(u, lambda i, j: load(t, i, j) + load(r, j), label="bias")
    b.map(y, lambda i, j: Max(load(u, i, j), const(0.0, F32)), label="out")
    return b.function()


def tiled(s: Schedule) -> Schedule:
    """Tiles of rows by 16 columns summed up in registers, then the rows that are left; columns in
    parallel."""
    s.compute_inline("bias")
    height = s.sample_categorical([4, 6, 8], choice=2)
    width = s.sample_categorical([8, 16, 32], choice=1)
    (i_dot, _, _), (i_out, _) = s.loops("dot"), s.loops("out")
    (_, head), (_, tail) = s.loop_partition([i_dot, i_out], N // height * height)
    panels = []
    for suffix, row, rows in (("", head, height), ("_tail", tail, 1)):
        panel, lanes = s.split(s.loops("out" + suffix)[1], width)
        inner = []
        if rows > 1:
            row, one = s.split(row, rows)
            inner.append(one)
        s.reorder(panel, row, *inner, lanes)
        s.compute_at("dot" + suffix, row)
        *_, k = s.loops("dot" + suffix)
        s.reorder(k, *s.loops("dot" + suffix)[2:-1])
        init = s.decompose_reduction("dot" + suffix, k)
        for label in (init, "dot" + suffix, "out" + suffix):
            *around, last = s.loops(label)
            s.vectorize(last)
            if rows > 1:
                s.unroll(around[-1])
        s.set_scope(s.buffers(init)[0], "register")
        panels.append(panel)
    s.merge(*panels)
    s.parallel(panels[0])
    _, step = s.split(s.loops("dot")[2], s.sample_categorical([2, 4, 8], choice=1))
    s.unroll(step)
    return s


def singles(s: Schedule) -> dict[str, Callable[[], object]]:
    """Steps on the product as it is."""
    i, j, k = s.loops("dot")
    _, j_bias = s.loops("bias")
    return {
        "fuse": lambda: s.fuse(i, j),
        "bind": lambda: s.bind(i, "block.x"),
        "add_unit_loop": lambda: s.add_unit_loop("dot"),
        "annotate": lambda: s.annotate("dot", "note", 1),
        "reindex_cache_read": lambda: s.reindex_cache_read("dot", 1, "global"),
        "transform_layout": lambda: s.transform_layout(
            "t", lambda x: (x[1] // 16, x[0], x[1] % 16)
        ),
        "cache_read": lambda: s.cache_read("dot", "x", "local"),
        "cache_write": lambda: s.cache_write("dot", "local"),
        "reindex": lambda: s.reindex("dot", "w", "read"),
        "reindex_cache_write": lambda: s.reindex_cache_write("dot", "local"),
        "storage_align": lambda: s.storage_align("t", 0, 32, 8),
        "transform_block_layout": lambda: s.transform_block_layout(
            "bias", lambda x: (x[0] * 512 + x[1],)
        ),
        "reverse_compute_at": lambda: s.reverse_compute_at("bias", j),
        "reverse_compute_inline": lambda: s.reverse_compute_inline("out"),
        "rfactor": lambda: s.rfactor("dot", k),
        "blockize": lambda: s.blockize(j_bias),
        "pad_einsum": lambda: s.pad_einsum("dot", [8, 16, 4]),
        "sample_perfect_tile": lambda: s.sample_perfect_tile(k, 3, 16),
        "sample_compute_location": lambda: s.sample_compute_location("dot"),
    }


def timed(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return (time.process_time() - start) * 1e3


def measure(text: str) -> dict[str, list[float]]:
    """In a fresh process: milliseconds by what was done."""
    times: Times = defaultdict(list)
    function = gemm()
    trace = Trace.from_json(text, function)
    replayer = Replayer(function)
    steps = list(trace)
    apply = replayer.memo

    def noting(primitive, program, args, options):  # type: ignore[no-untyped-def]
        start = time.process_time()
        made = apply(primitive, program, args, options)
        times[primitive.__name__].append((time.process_time() - start) * 1e3)
        return made

    replayer.memo = noting  # type: ignore[assignment]
    times["replay"].append(timed(lambda: replayer.replay(trace)))
    replayer.memo = apply
    sampled = [number for number, step in enumerate(steps) if step.sampling is not None]
    times["replay unchanged"].append(timed(lambda: replayer.replay(trace)))
    for name, step in (("last", sampled[-1]), ("first", sampled[0])):
        again = partial(replayer.replay, trace.decided(step, 0))
        times[f"replay, {name} decision changed"].append(timed(again))
    for number, name in enumerate(singles(Schedule(gemm()))):
        action = singles(Schedule(gemm(512, 256 + 64 * number)))[name]
        times[name].append(timed(action))
    return times


@dataclass(frozen=True)
class Measured:
    """Medians over fresh processes: of each step's name all times, of each replay one."""

    trace: Trace
    processes: int
    steps: Times
    replays: dict[str, float]

    @property
    def median_step(self) -> float:
        """The median over the primitives of their medians."""
        return median([median(found) for found in self.steps.values()])


def measured(processes: int) -> Measured:
    trace = tiled(Schedule(gemm())).trace
    command = [sys.executable, "-m", "tests.bench.schedule_steps", "--one"]
    merged: Times = defaultdict(list)
    for _ in range(processes):
        text = subprocess.run(
            command, input=trace.as_json(), stdout=subprocess.PIPE, text=True, check=True, cwd=REPO
        ).stdout
        for name, found in json.loads(text).items():
            merged[name].extend(found)
    replays = {name: median(found) for name, found in merged.items() if name.startswith("replay")}
    steps = {name: found for name, found in merged.items() if name not in replays}
    return Measured(trace, processes, steps, replays)


def table(times: Measured) -> str:
    lines = [f"{'step':26}{'times':>6}{'median':>9}{'most':>9}   (ms)"]
    for name, found in times.steps.items():
        each = len(found) // times.processes
        lines.append(f"{name:26}{each:6}{median(found):9.3f}{max(found):9.3f}")
    every = [time for found in times.steps.values() for time in found]
    lines.append(f"{'median of the primitives':32}{times.median_step:9.3f}")
    lines.append(f"{'median of all steps':32}{median(every):9.3f}")
    changing = sum(step.name not in QUERIES for step in times.trace)
    lines.append(f"{len(times.trace)} instructions, of which {changing} primitives and samplings:")
    lines += [f"{name:32}{found:9.3f}" for name, found in times.replays.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        json.dump(measure(sys.stdin.read()), sys.stdout)
    else:
        sys.stdout.write(table(measured(int(sys.argv[1]) if sys.argv[1:] else 7)))
