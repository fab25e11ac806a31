"""Blobs: what is taken in comes out again, and what was touched is noticed."""

import os
from pathlib import Path

import pytest

from pipeline.store import StoreError
from pipeline.store.blobs import Blobs
from pipeline.store.digest import digest_bytes, digest_file


def test_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    for data in (b"", b"abc", bytes(5 << 20)):
        (tmp_path / "f").write_bytes(data)
        assert digest_file(tmp_path / "f") == digest_bytes(data)


def test_file_moves_in_and_is_read_back(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    (tmp_path / "f").write_bytes(b"content")
    digest, size = blobs.add_file(tmp_path / "f")
    assert (digest, size) == (digest_bytes(b"content"), 7)
    assert not (tmp_path / "f").exists()
    assert blobs.read(digest) == b"content"
    assert blobs.intact(digest, 7, full=True)


def test_a_file_with_two_names_stays_with_its_owner(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    mine = tmp_path / "mine"
    mine.write_bytes(b"content")
    mine.chmod(0o644)
    os.link(mine, tmp_path / "out")
    digest, _ = blobs.add_file(tmp_path / "out")
    assert mine.stat().st_mode & 0o777 == 0o644
    assert mine.stat().st_ino != blobs.path(digest).stat().st_ino


@pytest.mark.parametrize("damage", [b"conten", b"CONTENT", b"content more", None])
def test_damage_is_found_by_a_look(tmp_path: Path, damage: bytes | None) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.add_bytes(b"content")
    path = blobs.path(digest)
    path.chmod(0o644)
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert not blobs.intact(digest, 7)
    assert blobs.read(digest) is None
    assert blobs.add_bytes(b"content") == digest
    assert blobs.intact(digest, 7, full=True)


def test_damage_that_kept_size_and_time_is_found_in_full(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.add_bytes(b"content")
    path = blobs.path(digest)
    time = path.stat().st_mtime_ns
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(time, time))
    assert blobs.intact(digest, 7)
    assert not blobs.intact(digest, 7, full=True)


def test_a_blob_that_was_only_touched_is_whole(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.add_bytes(b"content")
    os.utime(blobs.path(digest))
    assert blobs.intact(digest, 7)


def test_a_digest_is_checked_before_it_is_a_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is no digest"):
        Blobs(tmp_path).path("b3:../../../etc/passwd")


def test_large_files_are_linked_and_small_ones_copied(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    for size, linked in ((1 << 20, True), (100, False)):
        digest = blobs.add_bytes(bytes(size))
        blobs.put(digest, size, tmp_path / f"out{size}")
        assert (tmp_path / f"out{size}").samefile(blobs.path(digest)) == linked
        assert (tmp_path / f"out{size}").read_bytes() == bytes(size)
