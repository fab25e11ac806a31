"""Content digests: `b3:` and 64 hexadecimal digits of blake3."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from blake3 import blake3

_DIGEST = re.compile(r"b3:[0-9a-f]{64}")
# Threads of blake3 cost more than they give below about this size.
_PARALLEL_BYTES = 4 << 20


def digest_bytes(data: bytes) -> str:
    """The digest of some bytes."""
    return "b3:" + blake3(data).hexdigest()


def digest_file(path: Path) -> str:
    """The digest of a file's content, read through a memory map."""
    size = path.stat().st_size
    threads = blake3.AUTO if size >= _PARALLEL_BYTES else 1
    return "b3:" + blake3(max_threads=threads).update_mmap(path).hexdigest()


def canonical_json(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, no NaN.

    Raises TypeError or ValueError for a value that JSON cannot hold.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def digest_json(value: Any) -> str:
    """The digest of a value's canonical JSON."""
    return digest_bytes(canonical_json(value))


def is_digest(text: object) -> bool:
    """Whether this is the text of a digest; what comes from disk is checked before it is a path."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None
