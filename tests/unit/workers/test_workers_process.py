"""Workers: what they return, and how each way to die is told."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.workers.process import Usage, WorkerError, run_worker, stop_all

REPO = Path(__file__).resolve().parents[3]


class Bench:
    """A folder with one toy module, whose function `run` has the body under test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[tuple[float, str]] = []

    def run(self, body: str, **arguments: Any) -> Usage:
        (self.root / "toywork.py").write_text(f"import os, sys, time\n\n{body}\n")
        folder = self.root / f"work{len(list(self.root.iterdir()))}"
        folder.mkdir()
        self.folder = folder
        return run_worker(
            "toywork:run",
            arguments=arguments,
            paths={"out": folder, "inputs": {"a": folder}},
            folder=folder,
            roots=[self.root, REPO],
            progress=lambda done, text: self.events.append((done, text)),
            log=self.root / "log.txt",
            bytecode=self.root / "bytecode",
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_arguments_paths_progress_and_usage(bench: Bench) -> None:
    usage = bench.run(
        "def run(*, out, inputs, number, progress):\n"
        "    print('to stderr'); os.system('echo native')\n"
        "    progress(0.25, 'a\\nb')\n"
        "    (inputs['a'] / 'x').write_text(f'{number} {os.getcwd() != str(out)}')",
        number=3,
    )
    assert (bench.folder / "x").read_text() == "3 True"
    assert bench.events == [(0.25, "a\nb")]
    assert usage.seconds > 0 and usage.peak_bytes > 1 << 20
    assert not (bench.root / "log.txt").exists()


def test_the_environment_is_clean(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "7")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setenv("SECRET", "x")
    bench.run("def run(*, out, inputs, progress): (out / 'x').write_text(' '.join(os.environ))")
    seen = (bench.folder / "x").read_text().split()
    assert not {"PYTHONHASHSEED", "TZ", "SECRET"} & set(seen)


def test_an_edit_that_keeps_size_and_time_is_seen(bench: Bench) -> None:
    for digit in "12":
        path = bench.root / "toydigit.py"
        path.write_text(f"DIGIT = {digit}\n")
        os.utime(path, ns=(10**18, 10**18))
        bench.run(
            "from toydigit import DIGIT\n"
            "def run(*, out, inputs, progress): (out / 'x').write_text(str(DIGIT))"
        )
        assert (bench.folder / "x").read_text() == digit


DEATHS = {
    "os.abort()": r"the worker ended by SIGABRT: it crashed in native code\n"
    r"  \| Fatal Python error: Aborted\n(  \| .*\n)+log: .*log\.txt",
    "import ctypes; ctypes.string_at(0)": r"ended by SIGSEGV: it crashed in native code\n"
    r"  \| Fatal Python error: Segmentation fault\n",
    "os.kill(os.getpid(), 9)": r"ended by SIGKILL: something killed it, most often the system",
    "os.write(2, b'last words\\n'); os._exit(5)": r"ended with exit code 5 before it was done\n"
    r"  \| last words\n",
    "os._exit(0)": r"ended with exit code 0 before it was done",
    "raise SystemExit(0)": r"ended with exit code 0 before it was done",
    "raise Own('no such thing: buy one')": r"^no such thing: buy one$",
    "{}['x']": r"^'x' \(KeyError at toywork\.py:\d+\)\nlog: ",
    "raise MemoryError": r"^out of memory: close other programs",
    "raise OSError(28, 'No space')": r"^no space left on the disk while running the stage: free",
    "open('/no/such/file')": r"^No such file or directory while running the stage \(/no/such",
}


@pytest.mark.parametrize("body", DEATHS)
def test_deaths(bench: Bench, body: str) -> None:
    with pytest.raises(WorkerError, match=DEATHS[body]):
        bench.run(f"class Own(Exception): pass\ndef run(*, out, inputs, progress): {body}")
    assert (bench.root / "log.txt").exists()


def test_a_disk_too_full_for_the_log(bench: Bench) -> None:
    """The reason goes to the parent first: the traceback has no room either."""
    with pytest.raises(WorkerError, match=r"^no space left on the disk while running the stage"):
        bench.run(
            "def run(*, out, inputs, progress):\n"
            "    full = os.open('/dev/full', os.O_WRONLY)\n"
            "    os.dup2(full, 2)\n"
            "    os.write(full, b'x')"
        )


def test_a_crash_is_noticed_though_a_grandchild_holds_the_pipe(bench: Bench) -> None:
    started = time.monotonic()
    with pytest.raises(WorkerError, match="SIGABRT"):
        bench.run(
            "def run(*, out, inputs, progress):\n"
            "    if os.fork() == 0: time.sleep(60)\n"
            "    os.abort()"
        )
    assert time.monotonic() - started < 20


def test_stop_all_ends_what_other_threads_wait_for(bench: Bench) -> None:
    failures: list[WorkerError] = []

    def wait() -> None:
        try:
            bench.run("def run(*, out, inputs, progress):\n    progress(0.5, 'on'); time.sleep(60)")
        except WorkerError as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    deadline = time.monotonic() + 20
    while not bench.events and time.monotonic() < deadline:
        time.sleep(0.02)
    stop_all()
    thread.join(20)
    assert "SIGKILL" in str(failures[0])


def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "toywork.py").write_text(
        "import os, time\nfrom pathlib import Path\ndef run(*, out, progress):\n"
        "    (out / 'pid').write_text(str(os.getpid())); time.sleep(60)\n"
    )
    parent = os.fork()
    if parent == 0:
        try:
            run_worker(
                "toywork:run",
                arguments={},
                paths={"out": tmp_path},
                folder=tmp_path,
                roots=[tmp_path, REPO],
                progress=lambda done, text: None,
                log=tmp_path / "log",
                bytecode=tmp_path / "bytecode",
            )
        finally:
            os._exit(0)
    deadline = time.monotonic() + 20
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(parent, 9)
    os.waitpid(parent, 0)
    worker = Path("/proc") / (tmp_path / "pid").read_text()
    while worker.exists() and "zombie" not in (worker / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
