"""A worker's end of the pipe: requests in, answers out, one JSON document a line.

    {"operation": "prefill", "arguments": {"ids": [1, 2]}} -> {"value": 0.01} or {"error": "..."}

The standard library alone, because workers run under other interpreters too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any


def serve(operations: Mapping[str, Callable[..., Any]]) -> None:
    """Answers requests until the other end closes the pipe.

    What libraries print goes to standard error. Ctrl-C is the parent's to handle: it closes the
    pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": operations[request["operation"]](**request["arguments"])}
        except Exception as error:
            # The parent tells the user; a worker has no terminal.
            answer = {"error": f"{type(error).__name__}: {error}"}
        try:
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        except BrokenPipeError:
            return


def peak_bytes() -> int:
    """The most memory that this process had resident so far, mapped files included."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no line VmHWM")
