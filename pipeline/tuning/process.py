"""What a worker is held to: it dies with its parent, and within limits of time and memory."""

from __future__ import annotations

import ctypes
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from types import FrameType

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_AGAIN = 0.5  # CPU seconds until a reminder: the first may come where errors are swallowed
_GRACE = 5.0  # CPU seconds that native code gets beyond the limit


class TooLong(BaseException):
    """CPU time is up. No `Exception`, so that nobody takes it for a refusal."""


def bound_to_parent() -> None:
    """Has this process killed when the thread that started it ends, stopped or not; and keeps it
    from writing its memory to disk when it crashes."""
    ctypes.CDLL(None).prctl(_DEATH_SIGNAL, signal.SIGKILL)
    _limit(resource.RLIMIT_CORE, 0)


def limit_memory(beyond: int) -> None:
    """Allows so many bytes of address space beyond what there is now."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    _limit(resource.RLIMIT_AS, now + beyond)


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Raises TooLong inside after so many CPU seconds; native code that does not come back some
    time later is killed by SIGXCPU."""
    most = ceil(time.process_time() + 2 * seconds + _GRACE)
    signal.signal(signal.SIGPROF, _too_long)
    _limit(resource.RLIMIT_CPU, most)
    signal.setitimer(signal.ITIMER_PROF, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        _limit(resource.RLIMIT_CPU, resource.RLIM_INFINITY)


@contextmanager
def wall_limit(seconds: float) -> Iterator[None]:
    """This process is killed by SIGALRM after so many seconds inside: native code that hangs
    cannot be left in another way."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _limit(what: int, value: int) -> None:
    """Sets a soft limit: below the hard one, whatever that is."""
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
        value = hard
    resource.setrlimit(what, (value, hard))


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLong
