"""File operations that survive a kill: write aside, sync, rename."""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import shutil
import sys
import threading
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_serial = itertools.count()


def beside(path: Path) -> Path:
    """A free name in the same folder, so that a rename onto `path` stays in one file system."""
    unique = f"{os.getpid()}.{threading.get_ident()}.{next(_serial)}"
    return path.with_name(f".{path.name}.{unique}.tmp")


def sync_file(path: Path) -> None:
    """Waits until the file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Waits until the folder's names are on the disk; not every file system can."""
    if sys.platform == "win32":
        return
    sync_file(path)


def write_atomic(path: Path, data: bytes) -> None:
    """Replaces a file's content in one step: readers see the old bytes or the new, never a mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(path)
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """Removes a folder tree if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _exchange(first: Path, second: Path) -> bool:
    """Swaps two names in one step where the system can; False where it cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    done = renameat2(
        _AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE
    )
    if done == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(code, os.strerror(code), str(second))


def replace_folder(new: Path, target: Path) -> None:
    """Puts the folder `new` at `target`, whose former content is removed.

    `target` is never half old and half new. Where the system cannot exchange two names it is
    absent for a moment between two renames.
    """
    if not target.exists() and not target.is_symlink():
        os.rename(new, target)
    elif sys.platform == "linux" and _exchange(new, target):
        remove_folder(new)
    else:
        former = beside(target)
        os.rename(target, former)
        os.rename(new, target)
        remove_folder(former)
    sync_folder(target.parent)
