"""Plain words for what a disk can do to a build."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST}


class StoreError(Exception):
    """The store could not be read or written; the message says where, why and what to do."""


def describe_os_error(error: OSError, doing: str) -> str:
    """One sentence for an operating system's error, with the cure where there is one.

    OSError(ENOSPC) while "writing x" -> "no space left on the disk while writing x: free some ..."
    """
    if error.errno in _FULL:
        return (
            f"no space left on the disk while {doing}: free some space and run the build again; "
            "the stages that had finished are kept"
        )
    if error.errno == errno.EFBIG:
        return (
            f"a file grew past the size limit of this process while {doing}: "
            "raise the limit (ulimit -f) and run the build again"
        )
    if error.errno in _FORBIDDEN:
        return f"no permission while {doing} ({error.filename}): make that path writable"
    if error.errno in _NOT_A_FOLDER and error.filename is not None:
        place = Path(os.fsdecode(error.filename))
        blocker = next((p for p in (place, *place.parents) if p.exists()), place)
        return f"{blocker} is in the way while {doing}: a folder has to be there; remove it"
    reason = error.strerror or str(error)
    return f"{reason} while {doing}" + (f" ({error.filename})" if error.filename else "")


@contextmanager
def plain_os_errors(doing: str) -> Iterator[None]:
    """Turns an OSError of the block into a StoreError that says what was being done."""
    try:
        yield
    except OSError as error:
        raise StoreError(describe_os_error(error, doing)) from error
