"""Content-addressed files: the name of a blob is the digest of its bytes."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from pipeline.store.digest import digest_bytes, digest_file, is_digest
from pipeline.store.errors import StoreError, plain_os_errors
from pipeline.store.files import beside, sync_file, sync_folder

# Every blob carries this modification time. A blob that someone wrote to carries another, so a
# look at size and time finds it without reading the content (1980: zip files know no earlier).
_BLOB_TIME_NS = 315_619_200 * 10**9
# Smaller files are copied out of the store: an editor that saves in place then spoils nothing.
_LINK_BYTES = 1 << 20


class Blobs:
    """The blobs below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where a blob lies, whether or not it is there.

        Raises StoreError for a text that is no digest.
        """
        if not is_digest(digest):
            raise StoreError(f"the store was asked for {digest!r}, which is no digest")
        return self.root / digest[3:5] / digest[5:]

    def add_bytes(self, data: bytes) -> str:
        """Stores some bytes and gives their digest."""
        digest = digest_bytes(data)
        if not self.intact(digest, len(data), full=True):
            path = self.path(digest)
            with plain_os_errors(f"writing {path}"):
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary = beside(path)
                try:
                    temporary.write_bytes(data)
                    self._seal(temporary, path)
                finally:
                    temporary.unlink(missing_ok=True)
        return digest

    def add_file(self, source: Path) -> tuple[str, int]:
        """Takes a file into the store and gives its digest and size; `source` is gone after.

        A file with several names is copied: it may be somebody else's.
        """
        with plain_os_errors(f"storing {source.name}"):
            digest, size = digest_file(source), source.stat().st_size
            path = self.path(digest)
            if self.intact(digest, size, full=True):
                source.unlink()
                return digest, size
            path.parent.mkdir(parents=True, exist_ok=True)
            if source.stat().st_nlink == 1:
                self._seal(source, path)
                return digest, size
            temporary = beside(path)
            try:
                shutil.copyfile(source, temporary)
                self._seal(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            source.unlink()
        return digest, size

    @staticmethod
    def _seal(temporary: Path, path: Path) -> None:
        temporary.chmod(0o444)
        os.utime(temporary, ns=(_BLOB_TIME_NS, _BLOB_TIME_NS))
        sync_file(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)

    def intact(self, digest: str, size: int, *, full: bool = False) -> bool:
        """Whether a blob is there with its content.

        Looks at size and time; reads the content if `full` or if the time says it was touched.
        """
        path = self.path(digest)
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode) or found.st_size != size:
                return False
            touched = found.st_mtime_ns != _BLOB_TIME_NS
            if (touched or full) and digest_file(path) != digest:
                return False
            if touched:
                os.utime(path, ns=(_BLOB_TIME_NS, _BLOB_TIME_NS))
        except OSError:
            return False
        return True

    def read(self, digest: str) -> bytes | None:
        """A blob's bytes, or None where it is missing or damaged."""
        try:
            data = self.path(digest).read_bytes()
        except OSError:
            return None
        return data if digest_bytes(data) == digest else None

    def put(self, digest: str, size: int, target: Path) -> None:
        """Makes `target` a file with a blob's content: a hard link if large, else a copy."""
        source = self.path(digest)
        if size >= _LINK_BYTES:
            try:
                os.link(source, target)
                return
            except OSError:
                pass  # another file system, or one without hard links
        shutil.copyfile(source, target)
