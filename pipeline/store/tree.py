"""A folder as data: path -> digest and size of the file there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipeline.store.digest import canonical_json, digest_bytes, is_digest
from pipeline.store.errors import StoreError


@dataclass(frozen=True)
class File:
    """One file of a tree."""

    digest: str
    size: int


@dataclass(frozen=True)
class Tree:
    """The files of a folder, by relative path with forward slashes; empty folders do not count."""

    files: Mapping[str, File]

    @property
    def size(self) -> int:
        """The bytes of all its files."""
        return sum(file.size for file in self.files.values())

    def text(self) -> bytes:
        """The tree as it is stored; its digest is the tree's digest."""
        return canonical_json({p: [f.digest, f.size] for p, f in self.files.items()})

    @property
    def digest(self) -> str:
        """The digest of paths and contents together."""
        return digest_bytes(self.text())


def _is_safe(path: object) -> bool:
    if not isinstance(path, str) or not path or "\\" in path or "\0" in path:
        return False
    pure = PurePosixPath(path)
    return not pure.is_absolute() and ".." not in pure.parts and str(pure) == path


def parse_tree(text: bytes) -> Tree | None:
    """The tree of a stored text; None if it is not one.

    A path that would leave the folder makes it none: a store may come from somebody else.
    """
    try:
        data = json.loads(text)
    except ValueError:
        return None
    if not isinstance(data, dict):
        return None
    files: dict[str, File] = {}
    for path, entry in data.items():
        match entry:
            case [digest, int(size)] if _is_safe(path) and is_digest(digest) and size >= 0:
                files[path] = File(digest, size)
            case _:
                return None
    return Tree(files)


def walk_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files below a folder with their relative paths, sorted.

    Raises StoreError for anything that is neither a plain file nor a folder, and for a name
    that cannot be kept.
    """

    def visit(path: Path, prefix: str) -> Iterator[tuple[str, Path]]:
        with os.scandir(path) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = prefix + entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from visit(Path(entry.path), name + "/")
            elif entry.is_file(follow_symlinks=False) and _is_safe(name):
                yield name, Path(entry.path)
            else:
                raise StoreError(
                    f"the stage left {name!r}, which is not a plain file with a plain name: "
                    "a stage's output holds files and folders only"
                )

    yield from visit(folder, "")
