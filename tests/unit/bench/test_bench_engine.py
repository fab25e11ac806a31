"""Worker processes: what they print, how they die, how they are waited for."""

import importlib.util
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.bench import engine as module
from pipeline.bench.engine import BenchError, Engine

WORKER = """\
import os, threading
from pipeline.bench.channel import peak_bytes, serve

def spin():
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()

def die(code):
    print("last words", flush=True)
    os._exit(code)

serve({
    "add": lambda left, right: left + right,
    "shout": lambda: print("noise"),
    "refuse": lambda: 1 / 0,
    "die": die,
    "crash": lambda: os.abort(),
    "hang": lambda: threading.Event().wait(),
    "spin": spin,
    "peak_bytes": peak_bytes,
    "long": lambda text: text[::-1],
})
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    (tmp_path / "some_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Engine("some", "some_worker") as engine:
        yield engine


def test_requests_and_answers(worker: Engine) -> None:
    assert worker.ask("add", left=1, right=2) == 3
    assert worker.ask("shout") is None  # what a library prints is no answer
    text = "ab" * 200_000
    assert worker.ask("long", text=text) == text[::-1]
    assert 4 << 20 < worker.ask("peak_bytes") < 1 << 30


def test_a_refusal_leaves_the_worker_alive(worker: Engine) -> None:
    with pytest.raises(BenchError) as error:
        worker.ask("refuse")
    assert str(error.value) == "some: refuse: ZeroDivisionError: division by zero"
    assert worker.ask("add", left=1, right=1) == 2


def test_a_death_is_told_with_its_last_words(worker: Engine) -> None:
    with pytest.raises(BenchError) as error:
        worker.ask("die", code=7)
    assert str(error.value) == "some: its process ended with exit code 7:\n  last words"
    with pytest.raises(BenchError, match="ended with exit code 7"):
        worker.ask("add", left=1, right=1)


def test_a_crash(worker: Engine) -> None:
    with pytest.raises(BenchError, match="some: its process ended by signal SIGABRT"):
        worker.ask("crash")


def test_a_worker_that_hangs(worker: Engine) -> None:
    with Engine("some", "some_worker", longest=0.2) as hanging, pytest.raises(BenchError) as error:
        hanging.ask("hang")
    assert str(error.value) == (
        "some: hang gave no answer within 0 s; its threads may wait for each other"
    )


def test_settle(worker: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    worker.ask("add", left=1, right=1)
    worker.settle()
    monkeypatch.setattr(module, "_RESTLESS", 0.3)
    worker.ask("spin")
    with pytest.raises(BenchError) as error:
        worker.settle()
    assert str(error.value) == (
        "some: its threads keep spinning 0 s after their work, which would slow the others down; "
        "unset OMP_WAIT_POLICY if it is set"
    )


def test_ctrl_c_is_the_parents(worker: Engine) -> None:
    assert worker.ask("add", left=1, right=1) == 2
    os.kill(worker._process.pid, signal.SIGINT)
    assert worker.ask("add", left=1, right=2) == 3


def test_no_interpreter() -> None:
    with pytest.raises(BenchError) as error:
        Engine("some", "some_worker", "/no/such/python")
    assert str(error.value) == (
        "some: cannot start /no/such/python (No such file or directory); give the path of a "
        "Python interpreter"
    )


@pytest.mark.skipif(
    importlib.util.find_spec("llama_cpp") is not None, reason="llama_cpp is installed here"
)
def test_the_peers_worker_tells_what_is_missing() -> None:
    with Engine("llama.cpp", "pipeline.bench.peer") as engine, pytest.raises(BenchError) as error:
        engine.ask("version")
    assert str(error.value) == (
        "llama.cpp: version: ModuleNotFoundError: No module named 'llama_cpp'"
    )
