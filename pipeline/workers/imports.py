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
        if any(path == root or path.startswith(root + os.sep) for root in roots):
            return FileFinder(path, (ContentLoader, [".py"]))
        raise ImportError(path)  # for the next hook

    sys.path_hooks.insert(0, finder)
    sys.path_importer_cache.clear()
