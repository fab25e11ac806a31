"""A native context: arena, key-value cache and thread pool of one conversation."""

from __future__ import annotations

import ctypes
import os
import re
import threading
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from . import cpu
from .binding import NEW, PAST, TOKENS, Call, bind
from .errors import CallError, PackageError
from .manifest import Entry
from .native import NativeCode
from .package import Package

_UNKNOWN = -1  # stands for a cached token whose id the entry point did not tell
_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Context:
    """Owns one native context of a package and calls its entry points.

    A context is not reentrant, so a lock lets one call in at a time; use a context per
    conversation, as many as you like. It is destroyed by `close`, at the end of a `with`, when it
    is collected, or when the interpreter ends.

    Raises PackageError when there is not enough memory, CallError for a senseless thread count.
    """

    def __init__(self, package: Package, threads: int | None = None) -> None:
        self.package = package
        self.threads = _thread_count(package, threads)
        self._lock = threading.Lock()
        self._cached: list[int] = []
        self._process = os.getpid()
        handle = package.native.create(package.weights.ctypes.data, self.threads)
        if not handle:
            raise PackageError(
                f"{package.folder}: not enough memory for a session: it needs about "
                f"{package.manifest.memory / 2**20:.0f} MiB besides the weights; close other "
                "sessions, or build the package with a smaller shapes.past.max"
            )
        self._handle = handle
        self._close = weakref.finalize(self, _destroy, package, handle, self._lock, self._process)

    @property
    def past(self) -> int:
        """How many tokens the cache holds."""
        return len(self._cached)

    def truncate(self, past: int) -> None:
        """Forgets all cached tokens but the first `past`."""
        if not 0 <= past <= self.past:
            raise CallError(
                f"truncate: {past} is outside 0..{self.past}, the tokens in the session's cache"
            )
        with self._lock:
            del self._cached[past:]

    def reset(self) -> None:
        """Forgets all cached tokens."""
        self.truncate(0)

    def call(self, entry: str, /, **arguments: Any) -> dict[str, npt.NDArray[Any]]:
        """Calls an entry point with inputs and dims by name; gives its outputs by name.

        Dims come from the inputs' shapes where they can; the past `m` is the session's own unless
        given, and a smaller one drops the tokens after it from the cache.

        call("prefill", tokens=[[5, 7, 9]]) -> {"logits": float32 [1, 49152]}

        Raises CallError and changes nothing when the arguments do not fit.
        """
        facts = self._entry(entry)
        self._check_open()  # before the lock: a thread that held it at a fork never frees it here
        with self._lock:
            self._check_open()
            checked = bind(facts, self.package.manifest, arguments, self.past)
            # The call writes over what follows the past: should it be interrupted, that is gone.
            kept = checked.dims.get(PAST, self.past)
            replaced, self._cached[kept:] = self._cached[kept:], []
            code = _invoke(self.package.native, facts, self._handle, checked)
            if code:
                self._cached += replaced
                raise CallError(
                    f"{entry}: {self._message(code, checked.dims)} (native error {code})"
                )
            if PAST in checked.dims:
                self._remember(checked)
        return checked.outputs

    def close(self) -> None:
        """Destroys the native context, after the call in progress if there is one."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _entry(self, name: str) -> Entry:
        entries = self.package.manifest.entries
        if name not in entries:
            raise CallError(
                f"{name}: no such entry point; {self.package.manifest.name} has "
                f"{', '.join(entries)}"
            )
        return entries[name]

    def _check_open(self) -> None:
        if os.getpid() != self._process:
            raise CallError(
                "this session was made before the process forked, and its threads stayed "
                "in the parent; make a new session in this process"
            )
        if not self._close.alive:
            raise CallError("this session is closed; make a new one")

    def _remember(self, call: Call) -> None:
        new = call.dims.get(NEW, 1)
        tokens = call.inputs.get(TOKENS)
        known = tokens is not None and tokens.size == new
        ids = tokens.ravel().tolist() if tokens is not None and known else [_UNKNOWN] * new
        self._cached[call.dims[PAST] :] = ids

    def _message(self, code: int, dims: Mapping[str, int]) -> str:
        text = self.package.manifest.errors.get(code, "the package's code refused the call")
        # Not str.format: a format string can reach into objects, and manifests are untrusted.
        return _FIELD.sub(lambda field: str(dims.get(field[1], field[0])), text)


def _invoke(native: NativeCode, entry: Entry, handle: int, call: Call) -> int:
    dims = (ctypes.c_int64 * len(call.dims))(*call.dims.values())
    arrays: list[npt.NDArray[np.generic]] = [*call.inputs.values(), *call.outputs.values()]
    pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
    return native.entries[entry.symbol](handle, dims, pointers)


def _destroy(package: Package, handle: int, lock: threading.Lock, process: int) -> None:
    # A forked child has a copy of the memory but none of the pool's threads to join.
    if os.getpid() == process:
        with lock:
            package.native.destroy(handle)


def _thread_count(package: Package, threads: int | None) -> int:
    most = package.manifest.threads_max
    if threads is None:
        return min(cpu.usable_cpus(), most or cpu.usable_cpus())
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise CallError(f"threads: expected an integer from 1 on, found {threads!r}")
    if most is not None and threads > most:
        raise CallError(
            f"threads: {threads} is more than {most}, the most that the package was built for; "
            "ask for fewer, or build it with a larger threads.max"
        )
    return threads
