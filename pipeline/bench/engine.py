"""A worker process, and the pipe through which it is told what to measure."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 600.0  # seconds one request may take: beyond it the worker hangs
_QUIET = 0.05  # seconds without CPU time that count as asleep: five of the kernel's ticks
_RESTLESS = 5.0  # seconds that a worker's threads may spin after its turn
_SAID = 12  # lines of a dead worker's complaint that are worth showing


class BenchError(Exception):
    """Something could not be measured; the message is meant for the user."""


class Engine:
    """One worker; `name` is what users call it, `longest` the seconds one request may take. Leaves
    no process behind when it is closed.

    Raises BenchError where the interpreter cannot be started.
    """

    def __init__(
        self, name: str, module: str, python: str = sys.executable, longest: float = LONGEST
    ) -> None:
        self.name = name
        self._longest = longest
        places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed by close()
        self._pending = b""
        try:
            self._process = subprocess.Popen(
                [python, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(places)},
                bufsize=0,
            )
        except OSError as error:
            self._said.close()
            raise BenchError(
                f"{name}: cannot start {python} ({error.strerror}); give the path of a Python "
                "interpreter"
            ) from None

    @property
    def pid(self) -> int:
        """The worker's process, for signals."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How the worker ended, a signal as its negative number; None while it lives."""
        return self._process.poll()

    def ask(self, operation: str, **arguments: Any) -> Any:
        """The answer to one request.

        Raises BenchError: the worker refused, died, or does not answer.
        """
        request = json.dumps({"operation": operation, "arguments": arguments}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            view = memoryview(request)
            while view:
                view = view[self._process.stdin.write(view) :]
        except BrokenPipeError:
            raise self._death() from None
        answer = json.loads(self._line(operation))
        if "error" in answer:
            raise BenchError(f"{self.name}: {operation}: {answer['error']}")
        return answer["value"]

    def settle(self) -> None:
        """Waits until the worker's threads sleep, so that they take nothing from another's turn.

        Raises BenchError if they never do.
        """
        deadline = time.monotonic() + _RESTLESS
        before = self._cpu_ticks()
        while True:
            time.sleep(_QUIET)
            now = self._cpu_ticks()
            if now == before:
                return
            if time.monotonic() > deadline:
                raise BenchError(
                    f"{self.name}: its threads keep spinning {_RESTLESS:.0f} s after their work, "
                    "which would slow the others down; unset OMP_WAIT_POLICY if it is set"
                )
            before = now

    def close(self) -> None:
        """Ends the worker."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()  # amid a request it would not see the pipe close
        self.close()

    def _line(self, operation: str) -> bytes:
        """The next line; read by hand, because a buffered reader cannot give up waiting."""
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._longest
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._pending:
                if not selector.select(deadline - time.monotonic()):
                    self._process.kill()
                    self._process.wait()
                    raise BenchError(
                        f"{self.name}: {operation} gave no answer within {self._longest:.0f} s; "
                        "its threads may wait for each other"
                    )
                piece = os.read(self._process.stdout.fileno(), 1 << 20)
                if not piece:
                    raise self._death()
                self._pending += piece
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _death(self) -> BenchError:
        code = self._process.wait()
        how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").splitlines()[-_SAID:]
        told = "".join(f"\n  {line}" for line in lines)
        return BenchError(f"{self.name}: its process ended {how}" + (f":{told}" if told else ""))

    def _cpu_ticks(self) -> int:
        """The CPU time of all the worker's threads so far, in the kernel's ticks."""
        try:
            text = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return 0  # no such report here, or the process is gone, which the next request tells
        user, system = text.rpartition(")")[2].split()[11:13]
        return int(user) + int(system)
