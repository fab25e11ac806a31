"""What was done: a row for every key, with all that went into the key and all that came out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.store.digest import canonical_json, digest_json, is_digest
from pipeline.store.errors import StoreError, plain_os_errors
from pipeline.store.files import write_atomic


@dataclass(frozen=True)
class Row:
    """One finished stage: `material` hashes to `key`; `output` is the digest of its tree."""

    key: str
    material: Mapping[str, Any]
    output: str
    files: int
    bytes: int
    seconds: float
    peak_bytes: int


class Ledger:
    """The rows below one folder, and which of them each build saw last."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _path(self, key: str) -> Path:
        if not is_digest(key):
            raise StoreError(f"the ledger was asked for {key!r}, which is no key")
        return self.root / "rows" / key[3:5] / f"{key[5:]}.json"

    def write(self, row: Row) -> None:
        """Records a finished stage: from here on its key is a hit."""
        data = asdict(row)
        path = self._path(row.key)
        with plain_os_errors(f"writing {path}"):
            write_atomic(path, canonical_json(data | {"check": digest_json(data)}))

    def read(self, key: str) -> Row | None:
        """The row of a key; None if there is none or it is damaged."""
        try:
            data = json.loads(self._path(key).read_bytes())
            check = data.pop("check")
            row = Row(**data)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        if check != digest_json(data) or row.key != key or digest_json(row.material) != key:
            return None
        return row

    def _last(self, build: str, stage: str) -> Path:
        return self.root / "last" / build / stage

    def see(self, build: str, stage: str, key: str) -> None:
        """Notes that a build now stands on this key, for `plan` to compare with."""
        path = self._last(build, stage)
        with plain_os_errors(f"writing {path}"):
            if not path.is_file() or path.read_bytes() != key.encode():
                write_atomic(path, key.encode())

    def last(self, build: str, stage: str) -> Row | None:
        """The row that a build stood on when it last ran or found this stage."""
        try:
            key = self._last(build, stage).read_text()
        except (OSError, ValueError):
            return None
        return self.read(key) if is_digest(key) else None
