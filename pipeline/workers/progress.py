"""What a build shows while it works: one line that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

_REDRAW_SECONDS = 0.1
_PLAIN_SECONDS = 15.0
_NAME_WIDTH = 9


class Progress:
    """Shows the stages of one build on one stream."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._live = self._stream.isatty()
        self._drawn = 0.0
        self._open = False

    def hit(self, stage: str) -> None:
        """The store has this stage already."""
        self._line(stage, "up to date")

    def start(self, stage: str) -> None:
        """The stage begins."""
        self._drawn = time.monotonic()
        if self._live:
            self._draw(stage, "...")

    def update(self, stage: str, done: float, text: str) -> None:
        """The stage is `done` (0 to 1) with its work."""
        now = time.monotonic()
        if now - self._drawn < (_REDRAW_SECONDS if self._live else _PLAIN_SECONDS):
            return
        self._drawn = now
        shown = f"{min(max(done, 0.0), 1.0):4.0%}  {text}"
        if self._live:
            self._draw(stage, shown)
        else:
            self._line(stage, shown)

    def note(self, stage: str, text: str) -> None:
        """Something worth a line of its own."""
        self._line(stage, text)

    def done(self, stage: str, seconds: float, size: int, peak_bytes: int) -> None:
        """The stage's result is in the store."""
        took = f"{seconds:.1f} s, {human_bytes(size)}"
        self._line(stage, f"{took}, peak memory {human_bytes(peak_bytes)}" if peak_bytes else took)

    def close(self) -> None:
        """Leaves the cursor on a fresh line."""
        if self._open:
            self._write("\r\x1b[2K")
            self._open = False

    def _line(self, stage: str, text: str) -> None:
        self.close()
        self._write(f"{stage:<{_NAME_WIDTH}} {text}\n")

    def _draw(self, stage: str, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        line = f"{stage:<{_NAME_WIDTH}} {text}"[:width].replace("\n", " ")
        self._write(f"\r\x1b[2K{line}")
        self._open = True

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def human_bytes(size: int) -> str:
    """A size as people say it: 98.3 MiB."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"
