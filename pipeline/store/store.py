"""The store as stages see it: find, commit, materialise, lock."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.store.blobs import Blobs
from pipeline.store.errors import StoreError, plain_os_errors
from pipeline.store.files import remove_folder
from pipeline.store.ledger import Ledger, Row
from pipeline.store.tree import File, Tree, parse_tree, walk_files


class Store:
    """A content-addressed store in one folder, made when first written to."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = Blobs(root / "blobs")
        self.ledger = Ledger(root / "ledger")

    def find(self, key: str) -> Row | None:
        """The row of a key whose output is all there; None means the stage has to run."""
        row = self.ledger.read(key)
        return row if row is not None and self.intact(row.output) else None

    def tree(self, digest: str) -> Tree | None:
        """The tree of a digest; None if it is missing or damaged."""
        text = self.blobs.read(digest)
        return None if text is None else parse_tree(text)

    def intact(self, digest: str, *, full: bool = False) -> bool:
        """Whether a tree and all its blobs are there; `full` reads every byte."""
        tree = self.tree(digest)
        return tree is not None and all(
            self.blobs.intact(file.digest, file.size, full=full) for file in tree.files.values()
        )

    def drop_damaged(self, digest: str) -> None:
        """Removes the blobs of a tree whose content is wrong, so that the tree is a plain miss."""
        tree = self.tree(digest)
        if tree is None:
            return
        with plain_os_errors(f"removing damaged files of {self.root}"):
            for file in tree.files.values():
                if not self.blobs.intact(file.digest, file.size, full=True):
                    self.blobs.path(file.digest).unlink(missing_ok=True)

    def commit(self, folder: Path) -> Tree:
        """Takes all files of a folder into the store and gives their tree.

        Nothing refers to the tree yet: it counts once a ledger row names it.
        """
        with plain_os_errors(f"storing {folder}"):
            files = {name: File(*self.blobs.add_file(path)) for name, path in walk_files(folder)}
        tree = Tree(files)
        self.blobs.add_bytes(tree.text())
        return tree

    def materialise(self, digest: str, folder: Path) -> None:
        """Writes a tree out as a new folder, every blob checked in full first.

        Raises StoreError if the tree is damaged or the disk is full; no folder is left then.
        """
        tree = self.tree(digest)
        if tree is None or not self.intact(digest, full=True):
            raise StoreError(
                f"{digest} is damaged or gone from {self.root}: run the build again, "
                "it makes what is missing"
            )
        with plain_os_errors(f"writing {folder}"):
            folder.mkdir(parents=True)
            try:
                for name, file in tree.files.items():
                    target = folder / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self.blobs.put(file.digest, file.size, target)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    @contextmanager
    def lock(self, name: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Keeps every other build away from one key while the block runs.

        Calls `waiting` once if another process holds it. A killed process holds nothing.
        """
        path = self._lock_path(_file_name(name))
        with plain_os_errors(f"locking {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waiting()
                lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def workspace(self, name: str) -> Iterator[Path]:
        """An empty folder in the store's file system, removed after the block.

        The caller holds the lock of that name, so what a killed build left there is nobody's.
        """
        path = self.root / "tmp" / _file_name(name)
        with plain_os_errors(f"making {path}"):
            self._sweep(path)
            path.mkdir(parents=True)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _sweep(self, own: Path) -> None:
        """Removes the folder of this name and those whose lock nobody holds: killed builds left
        them."""
        own.parent.mkdir(parents=True, exist_ok=True)
        remove_folder(own)
        for path in own.parent.iterdir():
            lock = FileLock(self._lock_path(path.name))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                shutil.rmtree(path, ignore_errors=True)
            finally:
                lock.release()

    def _lock_path(self, file_name: str) -> Path:
        return self.root / "locks" / f"{file_name}.lock"


def _file_name(name: str) -> str:
    return name.replace(":", "-")
