"""The command line: text alone on standard output, exit codes, Ctrl-C."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import toy_package

from pipeline.runtime import Package, Session, cli

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "pipeline.runtime"]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_streams_the_new_text_alone(toy: Path) -> None:
    done = run(toy, "--prompt", "E", "--threads", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "é!\n", "")


def test_chat_and_options(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(toy), "--chat", "hi"]) == 0
    assert cli.main([str(toy), "--prompt", "a", "--tokens", "2"]) == 0
    assert capsys.readouterr().out == "xyz\nbc\n"
    texts = []
    for seed in ("7", "7", "8"):
        options = ["--tokens", "9", "--temperature", "9", "--top-k", "200", "--seed", seed]
        assert cli.main([str(toy), "--prompt", "a", *options]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]


def test_a_full_cache_is_noted(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(toy), "--prompt", "01" * 31, "--tokens", "40"]) == 0
    streams = capsys.readouterr()
    assert streams.out == "010\n"
    assert streams.err == (
        "note: the cache is full (64 tokens), so the text ends here; "
        "build the package with a larger shapes.past.max for more\n"
    )


def test_errors_are_one_line(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(toy / "nowhere"), "--prompt", "a"]) == 1
    assert cli.main([str(toy), "--prompt", "0" * 65]) == 1
    assert cli.main([str(toy), "--prompt", "a", "--threads", "0"]) == 1
    streams = capsys.readouterr()
    assert streams.out == ""
    assert [line[:30] for line in streams.err.splitlines()] == [
        f"error: {toy}"[:30],
        "error: generate: the prompt ha",
        "error: threads: expected an in",
    ]


def test_wrong_usage(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        cli.main([str(toy)])
    assert raised.value.code == 2
    assert "one of the arguments --prompt --chat is required" in capsys.readouterr().err


def test_ctrl_c(tmp_path: Path) -> None:
    slow = toy_package.make(tmp_path / "slow", sleep_us=50_000)
    process = subprocess.Popen(
        [*COMMAND, str(slow), "--prompt", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.read(2) == "10"
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == ""
    assert set(rest[:-1]) <= {"0", "1"}
    assert len(rest) < 30
    assert rest.endswith("\n")


def test_ctrl_c_destroys_the_context(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    destroyed = []
    opened = Package.__init__

    def watched(self: Package, folder: Path) -> None:
        opened(self, folder)
        native = self.native.destroy
        self.native.destroy = lambda handle: (destroyed.append(handle), native(handle))[1]

    def interrupted(self: Session, *arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Package, "__init__", watched)
    monkeypatch.setattr(Session, "call", interrupted)
    assert cli.main([str(toy), "--prompt", "a"]) == 130
    assert len(destroyed) == 1


def test_a_reader_that_goes_away(toy: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, str(toy), "--prompt", "a"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
