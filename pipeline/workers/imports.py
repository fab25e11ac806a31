"""Imports by content: what a worker runs is what its key was made of.

Python takes compiled code for current if the source's size and its time, in whole seconds, agree.
A quick edit of one character can keep both; the old code would run under the new code's key.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import FileFinder, SourceFileLoader
from typing import Any


def import_by_content(roots: Sequence[str], cache: str) -> None:
    """From now on, modules below `roots` are compiled anew whenever their content changed; what is
    compiled is kept below `cache`, out of the way of other interpreters' files."""

    class ContentLoader(SourceFileLoader):
        def path_stats(self, path: Any) -> dict[str, Any]:
            """What compiled code is checked against: a digest in the place of the time."""
            source = self.get_data(path)
            digest = hashlib.blake2b(source, digest_size=4).digest()
            return {"mtime": int.from_bytes(digest, "little"), "size": len(source)}

        def get_code(self, fullname: str) -> Any:
            before, sys.pycache_prefix = sys.pycache_prefix, cache
            try:
                return super().get_code(fullname)
            finally:
                sys.pycache_prefix = before

    def finder(path: str) -> FileFinder:
        if root_of(path, roots) is not None:
            return FileFinder(path, (ContentLoader, [".py"]))
        raise ImportError(path)  # for the next hook

    sys.path_hooks.insert(0, finder)
    sys.path_importer_cache.clear()


def root_of(path: str, roots: Sequence[str]) -> str | None:
    """The root that a path of the project lies in; None if it is not the project's.

    What Python's own environment holds is not, even where it stands inside the project's folder
    (`.venv`): its modules are distributions, known by their versions.
    """
    for root in roots:
        if _within(path, root):
            own = any(_within(path, p) for p in (sys.prefix, sys.exec_prefix) if _within(p, root))
            return None if own else root
    return None


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)
