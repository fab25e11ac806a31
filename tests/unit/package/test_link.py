"""Linking: a derivative of the objects, with whatever linker there is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import toy_package

from passes.package import link as linking
from passes.package.link import LinkError, link

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture
def unlinked(tmp_path: Path) -> Path:
    return toy_package.make(tmp_path / "package", linked=False)


@needs_cc
def test_same_object_same_library_wherever(toy: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "copy"
    shutil.copytree(toy, other)
    library = other / "lib/x86-64.so"
    assert link(other) == [library]
    assert library.read_bytes() == (toy / "lib/x86-64.so").read_bytes()
    assert str(tmp_path).encode() not in library.read_bytes()
    assert sorted(path.name for path in library.parent.iterdir()) == ["x86-64.o", "x86-64.so"]


def test_no_linker_leaves_the_object(unlinked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking.shutil, "which", lambda name: None)
    monkeypatch.setattr(linking.importlib.util, "find_spec", lambda name: None)
    assert link(unlinked) == []
    assert [path.name for path in (unlinked / "lib").iterdir()] == ["x86-64.o"]


def test_the_extra_steps_in(unlinked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking.shutil, "which", lambda name: None)
    monkeypatch.setattr(linking.importlib.util, "find_spec", lambda name: object())
    commands = []

    def run(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        Path(command[command.index("-o") + 1]).write_bytes(b"library")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(linking.subprocess, "run", run)
    assert link(unlinked) == [unlinked / "lib/x86-64.so"]
    (command,) = commands
    assert command[:6] == [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        "x86_64-linux-gnu.2.28",
    ]


def test_foreign_objects_are_left_to_the_extra(
    unlinked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking.platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(linking.importlib.util, "find_spec", lambda name: None)
    assert link(unlinked) == []


@needs_cc
def test_a_broken_object_is_told_in_the_linkers_words(
    unlinked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking.importlib.util, "find_spec", lambda name: None)
    (unlinked / "lib/x86-64.o").write_bytes(b"not an object")
    with pytest.raises(LinkError) as raised:
        link(unlinked)
    message = str(raised.value)
    assert message.startswith(f"{unlinked}/lib/x86-64.o: cannot be linked: ")
    assert message.endswith(
        "; repair the C compiler, or install the extra 'link', or remove both: "
        "the runtime then loads the object itself"
    )
    assert [path.name for path in (unlinked / "lib").iterdir()] == ["x86-64.o"]
