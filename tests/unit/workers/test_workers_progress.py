"""Progress: one changing line on a terminal, plain lines elsewhere."""

import io

from pipeline.workers.progress import Progress, human_bytes


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def play(progress: Progress) -> None:
    progress.hit("import")
    progress.start("fuse")
    progress._drawn = 0.0  # as if time had passed
    progress.update("fuse", 0.5, "12 of 24")
    progress.done("fuse", 1.25, 2048, 3 << 20)
    progress.close()


def test_plain_lines() -> None:
    stream = io.StringIO()
    play(Progress(stream))
    assert stream.getvalue() == (
        "import    up to date\n"
        "fuse       50%  12 of 24\n"
        "fuse      1.2 s, 2.0 KiB, peak memory 3.0 MiB\n"
    )


def test_terminal_line() -> None:
    stream = Terminal()
    play(Progress(stream))
    clear = "\r\x1b[2K"
    assert stream.getvalue() == (
        "import    up to date\n"
        f"{clear}fuse      ..."
        f"{clear}fuse       50%  12 of 24"
        f"{clear}fuse      1.2 s, 2.0 KiB, peak memory 3.0 MiB\n"
    )


def test_sizes() -> None:
    assert [human_bytes(n) for n in (0, 1023, 1024, 98 << 20, 5 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "98.0 MiB", "5.0 TiB",
    ]  # fmt: skip
