"""The thread pool of a context as LLVM text: create, run, barrier, destroy. No globals.

A context is one anonymous mapping, its pages zero until touched:

    header | state | arena | one cell of CELL bytes a thread

Thread 0 is the caller. A job is published by counting `epoch` up; every thread then runs the same
function, which ends in a barrier. The barrier is by dissemination: in round k thread t tells
t + 2^k that it has come and waits for t - 2^k, so one round does for two threads and six do for
64. Every wait spins a bounded time, then yields its core, then sleeps in a futex: threads may be
more than cores. Whoever publishes a word looks whether anyone sleeps only after the word is
visible, and a sleeper looks at the word once more after saying that it sleeps, so none is missed.
"""

from __future__ import annotations

WEIGHTS_AT = 0  # ptr
THREADS_AT = 8  # i64
SIZE_AT = 16  # i64: bytes of the mapping
CELLS_AT = 24  # ptr
JOB_AT = 64  # ptr function, ptr dims, ptr args
EPOCH_AT = 128  # i32, alone on its line
SLEEPERS_AT = 192  # i32, alone on its line: read at every barrier, written when one sleeps
HEADER = 4096

CELL = 128  # the word alone on its line, then what the worker is told: ptr context, i64 thread
_CELL_CONTEXT, _CELL_THREAD, _CELL_HANDLE = 64, 72, 80

# One pause takes 10-40 ns, one yield 300 ns and more; a thread that yields too soon may find itself
# on the core of the one it waits for. Within a call the others are at most a kernel behind;
# between calls the caller samples a token and prepares the next call.
_PAUSES = 500
_BARRIER_YIELDS = 200
_IDLE_YIELDS = 5000

DECLARATIONS = frozenset(
    {
        "declare ptr @mmap(ptr, i64, i32, i32, i32, i64)",
        "declare i32 @munmap(ptr, i64)",
        "declare i32 @pthread_create(ptr, ptr, ptr, ptr)",
        "declare i32 @pthread_join(i64, ptr)",
        "declare i32 @sched_yield()",
        "declare i64 @syscall(i64, ...)",
        "declare void @llvm.x86.sse2.pause()",
    }
)

_TEXT = """\
define internal void @tk.wait(ptr %ctx, ptr %word, i32 %wanted, i32 %yields) nounwind {
entry:
  br label %spin
spin:
  %i = phi i32 [ 0, %entry ], [ %i.next, %again ]
  %seen = load atomic i32, ptr %word acquire, align 4
  %ahead = sub i32 %seen, %wanted
  %come = icmp sge i32 %ahead, 0
  br i1 %come, label %out, label %again
again:
  call void @llvm.x86.sse2.pause()
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, @PAUSES
  br i1 %more, label %spin, label %yield
yield:
  %j = phi i32 [ 0, %again ], [ %j.next, %yield.again ]
  %seen2 = load atomic i32, ptr %word acquire, align 4
  %ahead2 = sub i32 %seen2, %wanted
  %come2 = icmp sge i32 %ahead2, 0
  br i1 %come2, label %out, label %yield.again
yield.again:
  %ignored = call i32 @sched_yield()
  %j.next = add i32 %j, 1
  %more2 = icmp ult i32 %j.next, %yields
  br i1 %more2, label %yield, label %tired
tired:
  %sleepers = getelementptr i8, ptr %ctx, i64 @SLEEPERS_AT
  %before = atomicrmw add ptr %sleepers, i32 1 seq_cst
  br label %check
check:
  %seen3 = load atomic i32, ptr %word seq_cst, align 4
  %ahead3 = sub i32 %seen3, %wanted
  %come3 = icmp sge i32 %ahead3, 0
  br i1 %come3, label %awake, label %sleep
sleep:
  %woken = call i64 (i64, ...) @syscall(
    i64 202, ptr %word, i32 128, i32 %seen3, ptr null, ptr null, i32 0)
  br label %check
awake:
  %after = atomicrmw sub ptr %sleepers, i32 1 seq_cst
  br label %out
out:
  ret void
}

define internal void @tk.publish(ptr %ctx, ptr %word, i32 %value) nounwind {
  %old = atomicrmw xchg ptr %word, i32 %value seq_cst
  %sleepers.at = getelementptr i8, ptr %ctx, i64 @SLEEPERS_AT
  %sleepers = load atomic i32, ptr %sleepers.at seq_cst, align 4
  %none = icmp eq i32 %sleepers, 0
  br i1 %none, label %out, label %wake
wake:
  %woken = call i64 (i64, ...) @syscall(
    i64 202, ptr %word, i32 129, i32 2147483647, ptr null, ptr null, i32 0)
  br label %out
out:
  ret void
}

define internal void @tk_barrier(ptr %ctx, i64 %tid, i64 %nt) nounwind {
entry:
  %alone = icmp eq i64 %nt, 1
  br i1 %alone, label %out, label %start
start:
  %cells.at = getelementptr i8, ptr %ctx, i64 @CELLS_AT
  %cells = load ptr, ptr %cells.at, align 8
  %own.off = mul i64 %tid, @CELL
  %own = getelementptr i8, ptr %cells, i64 %own.off
  %first = load atomic i32, ptr %own monotonic, align 4
  br label %round
round:
  %step = phi i64 [ 1, %start ], [ %step.next, %round ]
  %count = phi i32 [ %first, %start ], [ %count.next, %round ]
  %count.next = add i32 %count, 1
  call void @tk.publish(ptr %ctx, ptr %own, i32 %count.next)
  %behind = sub i64 %tid, %step
  %wraps = icmp slt i64 %behind, 0
  %around = add i64 %behind, %nt
  %partner = select i1 %wraps, i64 %around, i64 %behind
  %partner.off = mul i64 %partner, @CELL
  %word = getelementptr i8, ptr %cells, i64 %partner.off
  call void @tk.wait(ptr %ctx, ptr %word, i32 %count.next, i32 @BARRIER_YIELDS)
  %step.next = shl i64 %step, 1
  %more = icmp slt i64 %step.next, %nt
  br i1 %more, label %round, label %out
out:
  ret void
}

define internal ptr @tk.worker(ptr %cell) nounwind {
entry:
  %ctx.at = getelementptr i8, ptr %cell, i64 @CELL_CONTEXT
  %ctx = load ptr, ptr %ctx.at, align 8
  %tid.at = getelementptr i8, ptr %cell, i64 @CELL_THREAD
  %tid = load i64, ptr %tid.at, align 8
  %epoch.at = getelementptr i8, ptr %ctx, i64 @EPOCH_AT
  br label %next
next:
  %epoch = phi i32 [ 0, %entry ], [ %wanted, %job ]
  %wanted = add i32 %epoch, 1
  call void @tk.wait(ptr %ctx, ptr %epoch.at, i32 %wanted, i32 @IDLE_YIELDS)
  %function.at = getelementptr i8, ptr %ctx, i64 @JOB_AT
  %function = load ptr, ptr %function.at, align 8
  %quit = icmp eq ptr %function, null
  br i1 %quit, label %out, label %job
job:
  %dims.at = getelementptr i8, ptr %function.at, i64 8
  %dims = load ptr, ptr %dims.at, align 8
  %args.at = getelementptr i8, ptr %function.at, i64 16
  %args = load ptr, ptr %args.at, align 8
  %nt.at = getelementptr i8, ptr %ctx, i64 @THREADS_AT
  %nt = load i64, ptr %nt.at, align 8
  call void %function(ptr %ctx, ptr %dims, ptr %args, i64 %tid, i64 %nt)
  br label %next
out:
  ret ptr null
}

define internal void @tk.start(ptr %ctx, ptr %function, ptr %dims, ptr %args) nounwind {
  %job = getelementptr i8, ptr %ctx, i64 @JOB_AT
  store ptr %function, ptr %job, align 8
  %dims.at = getelementptr i8, ptr %job, i64 8
  store ptr %dims, ptr %dims.at, align 8
  %args.at = getelementptr i8, ptr %job, i64 16
  store ptr %args, ptr %args.at, align 8
  %word = getelementptr i8, ptr %ctx, i64 @EPOCH_AT
  %epoch = load atomic i32, ptr %word monotonic, align 4
  %next = add i32 %epoch, 1
  call void @tk.publish(ptr %ctx, ptr %word, i32 %next)
  ret void
}

define internal void @tk.run(ptr %ctx, ptr %function, ptr %dims, ptr %args) nounwind {
  %nt.at = getelementptr i8, ptr %ctx, i64 @THREADS_AT
  %nt = load i64, ptr %nt.at, align 8
  %alone = icmp eq i64 %nt, 1
  br i1 %alone, label %work, label %share
share:
  call void @tk.start(ptr %ctx, ptr %function, ptr %dims, ptr %args)
  br label %work
work:
  call void %function(ptr %ctx, ptr %dims, ptr %args, i64 0, i64 %nt)
  ret void
}

define internal ptr @tk.create(ptr %weights, i64 %threads, i64 %bytes) nounwind {
entry:
  %several = icmp sgt i64 %threads, 1
  %nt = select i1 %several, i64 %threads, i64 1
  %cells.size = mul i64 %nt, @CELL
  %size = add i64 %bytes, %cells.size
  %ctx = call ptr @mmap(ptr null, i64 %size, i32 3, i32 34, i32 -1, i64 0)
  %failed = icmp eq ptr %ctx, inttoptr (i64 -1 to ptr)
  br i1 %failed, label %none, label %made
none:
  ret ptr null
made:
  %cells = getelementptr i8, ptr %ctx, i64 %bytes
  %weights.at = getelementptr i8, ptr %ctx, i64 @WEIGHTS_AT
  store ptr %weights, ptr %weights.at, align 8
  %nt.at = getelementptr i8, ptr %ctx, i64 @THREADS_AT
  store i64 %nt, ptr %nt.at, align 8
  %size.at = getelementptr i8, ptr %ctx, i64 @SIZE_AT
  store i64 %size, ptr %size.at, align 8
  %cells.at = getelementptr i8, ptr %ctx, i64 @CELLS_AT
  store ptr %cells, ptr %cells.at, align 8
  br label %more
more:
  %tid = phi i64 [ 1, %made ], [ %tid.next, %spawn ]
  %left = icmp slt i64 %tid, %nt
  br i1 %left, label %spawn, label %done
spawn:
  %cell.off = mul i64 %tid, @CELL
  %cell = getelementptr i8, ptr %cells, i64 %cell.off
  %told.ctx = getelementptr i8, ptr %cell, i64 @CELL_CONTEXT
  store ptr %ctx, ptr %told.ctx, align 8
  %told.tid = getelementptr i8, ptr %cell, i64 @CELL_THREAD
  store i64 %tid, ptr %told.tid, align 8
  %handle = getelementptr i8, ptr %cell, i64 @CELL_HANDLE
  %code = call i32 @pthread_create(ptr %handle, ptr null, ptr @tk.worker, ptr %cell)
  %tid.next = add i64 %tid, 1
  %refused = icmp ne i32 %code, 0
  br i1 %refused, label %undo, label %more
undo:
  store i64 %tid, ptr %nt.at, align 8
  call void @tk_destroy(ptr %ctx)
  ret ptr null
done:
  ret ptr %ctx
}

define void @tk_destroy(ptr %ctx) nounwind {
entry:
  %absent = icmp eq ptr %ctx, null
  br i1 %absent, label %out, label %there
there:
  %nt.at = getelementptr i8, ptr %ctx, i64 @THREADS_AT
  %nt = load i64, ptr %nt.at, align 8
  %cells.at = getelementptr i8, ptr %ctx, i64 @CELLS_AT
  %cells = load ptr, ptr %cells.at, align 8
  call void @tk.start(ptr %ctx, ptr null, ptr null, ptr null)
  br label %more
more:
  %tid = phi i64 [ 1, %there ], [ %tid.next, %join ]
  %left = icmp slt i64 %tid, %nt
  br i1 %left, label %join, label %free
join:
  %cell.off = mul i64 %tid, @CELL
  %cell = getelementptr i8, ptr %cells, i64 %cell.off
  %handle.at = getelementptr i8, ptr %cell, i64 @CELL_HANDLE
  %handle = load i64, ptr %handle.at, align 8
  %joined = call i32 @pthread_join(i64 %handle, ptr null)
  %tid.next = add i64 %tid, 1
  br label %more
free:
  %size.at = getelementptr i8, ptr %ctx, i64 @SIZE_AT
  %size = load i64, ptr %size.at, align 8
  %unmapped = call i32 @munmap(ptr %ctx, i64 %size)
  br label %out
out:
  ret void
}
"""


def pool_text() -> str:
    """The definitions; their external functions are `DECLARATIONS`.

    void @tk_barrier(ptr ctx, i64 tid, i64 nt)        all threads of a job meet
    void @tk.run(ptr ctx, ptr function, ptr dims, ptr args)
        runs `void function(ptr ctx, ptr dims, ptr args, i64 tid, i64 nt)` on all threads; the
        function must end in a barrier
    ptr @tk.create(ptr weights, i64 threads, i64 bytes)
        a context with `bytes` for header, state and arena; null if memory or threads run out
    void @tk_destroy(ptr ctx)
    """
    numbers = {
        "WEIGHTS_AT": WEIGHTS_AT,
        "THREADS_AT": THREADS_AT,
        "SIZE_AT": SIZE_AT,
        "CELLS_AT": CELLS_AT,
        "JOB_AT": JOB_AT,
        "EPOCH_AT": EPOCH_AT,
        "SLEEPERS_AT": SLEEPERS_AT,
        "CELL_CONTEXT": _CELL_CONTEXT,
        "CELL_THREAD": _CELL_THREAD,
        "CELL_HANDLE": _CELL_HANDLE,
        "CELL": CELL,
        "PAUSES": _PAUSES,
        "BARRIER_YIELDS": _BARRIER_YIELDS,
        "IDLE_YIELDS": _IDLE_YIELDS,
    }
    text = _TEXT
    for name, number in numbers.items():
        text = text.replace(f"@{name}", str(number))
    return text
