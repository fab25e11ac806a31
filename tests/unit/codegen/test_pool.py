"""The thread pool: every thread meets every other at each barrier, however few the cores."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from passes.codegen.native import Library, jit
from passes.codegen.pool import CELL, DECLARATIONS, HEADER, pool_text

# Each thread writes the round's number to its place, waits, and counts the places that differ;
# the second barrier keeps the next round away. `args` -> places (i64 each, a line apart), errors.
JOB = """
define internal void @job(ptr %ctx, ptr %dims, ptr %args, i64 %tid, i64 %nt) nounwind {
entry:
  %rounds = load i64, ptr %dims, align 8
  %off = shl i64 %tid, 6
  %own = getelementptr i8, ptr %args, i64 %off
  br label %round
round:
  %i = phi i64 [ 1, %entry ], [ %i.next, %next ]
  store i64 %i, ptr %own, align 8
  call void @tk_barrier(ptr %ctx, i64 %tid, i64 %nt)
  br label %look
look:
  %j = phi i64 [ 0, %round ], [ %j.next, %seen ]
  %other.off = shl i64 %j, 6
  %other = getelementptr i8, ptr %args, i64 %other.off
  %there = load i64, ptr %other, align 8
  %same = icmp eq i64 %there, %i
  br i1 %same, label %seen, label %wrong
wrong:
  %errors = getelementptr i8, ptr %args, i64 4096
  %one = atomicrmw add ptr %errors, i64 1 seq_cst
  br label %seen
seen:
  %j.next = add i64 %j, 1
  %more = icmp slt i64 %j.next, %nt
  br i1 %more, label %look, label %next
next:
  call void @tk_barrier(ptr %ctx, i64 %tid, i64 %nt)
  %i.next = add i64 %i, 1
  %again = icmp sle i64 %i.next, %rounds
  br i1 %again, label %round, label %out
out:
  ret void
}

define void @go(ptr %ctx, ptr %dims, ptr %args) nounwind {
  call void @tk.run(ptr %ctx, ptr @job, ptr %dims, ptr %args)
  ret void
}

define ptr @make(i64 %threads, i64 %bytes) nounwind {
  %ctx = call ptr @tk.create(ptr null, i64 %threads, i64 %bytes)
  ret ptr %ctx
}
"""


class Pool:
    def __init__(self) -> None:
        self.code: Library = jit("\n".join([*sorted(DECLARATIONS), pool_text(), JOB]))
        void, number = ctypes.c_void_p, ctypes.c_int64
        self.make = self.code.function("make", number, number, result=void)
        self.destroy = self.code.function("tk_destroy", void)
        self.go = self.code.function("go", void, void, void)

    def errors(self, context: int, rounds: int, threads: int) -> int:
        """Runs the job; the number of times a thread was not where it had to be."""
        places = (ctypes.c_int64 * 513)()
        self.go(context, ctypes.byref(ctypes.c_int64(rounds)), places)
        assert [places[8 * t] for t in range(threads)] == [rounds] * threads
        return places[512]


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool()


def tasks() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_barriers_hold(pool: Pool, threads: int) -> None:
    context = pool.make(threads, HEADER)
    assert pool.errors(context, 300, threads) == 0
    pool.destroy(context)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_small_jobs(pool: Pool, threads: int) -> None:
    context = pool.make(threads, HEADER)
    for _ in range(500):
        assert pool.errors(context, 1, threads) == 0
    pool.destroy(context)


def test_sleeping_workers_wake_up(pool: Pool) -> None:
    context = pool.make(3, HEADER)
    for _ in range(3):
        time.sleep(0.02)  # longer than they spin and yield
        assert pool.errors(context, 2, 3) == 0
    pool.destroy(context)


def test_idle_workers_do_not_burn_a_core(pool: Pool) -> None:
    context = pool.make(2, HEADER)
    pool.errors(context, 1, 2)
    time.sleep(0.1)
    before = time.process_time()
    time.sleep(0.1)
    assert time.process_time() - before < 0.02
    pool.destroy(context)


def test_create_and_destroy_leave_nothing_behind(pool: Pool) -> None:
    before = tasks()
    for cycle in range(100):
        context = pool.make(1 + cycle % 4, HEADER)
        if cycle % 3 == 0:
            assert pool.errors(context, 1, 1 + cycle % 4) == 0
        pool.destroy(context)
    assert tasks() == before
    pool.destroy(None)


def test_contexts_of_two_callers_do_not_meet(pool: Pool) -> None:
    found: list[Any] = []

    def work() -> None:
        context = pool.make(2, HEADER)
        found.append(sum(pool.errors(context, 3, 2) for _ in range(100)))
        pool.destroy(context)

    callers = [threading.Thread(target=work) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [0, 0]


def test_memory_that_is_not_there_gives_null(pool: Pool) -> None:
    assert pool.make(1, 1 << 60) is None


def test_fewer_than_one_thread_is_one(pool: Pool) -> None:
    context = pool.make(0, HEADER)
    assert pool.errors(context, 3, 1) == 0
    pool.destroy(context)


def test_state_begins_as_zeros(pool: Pool) -> None:
    context = pool.make(2, HEADER + 4096)
    assert bytes((ctypes.c_char * 4096).from_address(context + HEADER)) == bytes(4096)
    cells = (ctypes.c_int32 * (CELL // 2)).from_address(context + HEADER + 4096)
    assert (cells[0], cells[CELL // 4]) == (0, 0)
    pool.destroy(context)


def test_threads_that_cannot_start_give_null() -> None:
    script = """
import os, resource
from tests.unit.codegen.test_pool import HEADER, Pool, tasks
pool, before = Pool(), tasks()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20),) * 2)
assert pool.make(50, HEADER) is None
assert tasks() == before
"""
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script], cwd=root, check=True, timeout=60)
