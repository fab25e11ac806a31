"""The last step: the package's folder in artifacts/builds, its objects linked into libraries."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.stages.code import CodeIndex
from pipeline.stages.keys import python_version
from pipeline.store import Store
from pipeline.store.digest import canonical_json, digest_json
from pipeline.store.errors import plain_os_errors
from pipeline.store.files import remove_folder, replace_folder, write_atomic
from pipeline.store.tree import walk_files
from pipeline.workers.process import run_worker
from pipeline.workers.progress import Progress


@dataclass(frozen=True)
class Package:
    """The folder of one build. `entry` ("module:function") links the objects of a folder in place.

    What it links depends on the machine's linker, so it stands outside the store and its digests.
    """

    name: str
    folder: Path
    entry: str
    store: Store

    @property
    def _stamp(self) -> Path:
        return self.store.root / "packages" / f"{self.name}.json"

    def _origin(self, output: str, code: CodeIndex) -> str:
        closure = code.closure(self.entry)
        versions = dict(closure.distributions)
        return digest_json([output, python_version(), dict(closure.modules), versions])

    def is_current(self, output: str, code: CodeIndex) -> bool:
        """Whether the folder was made of this output and nobody has touched it since.

        Raises CodeError.
        """
        try:
            stamp = json.loads(self._stamp.read_bytes())
            return bool(
                stamp["origin"] == self._origin(output, code)
                and stamp["files"] == _marks(self.folder)
            )
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def make(self, output: str, code: CodeIndex, roots: Sequence[Path], progress: Progress) -> None:
        """output in the store -> a new folder, linked -> in place of the old one, in one step.

        Raises StoreError, WorkerError, CodeError.
        """
        lock = f"package-{self.name}"
        with (
            self.store.lock(lock, lambda: progress.note("link", "another build is at it: waiting")),
            self.store.workspace(lock) as space,
        ):
            new = self.folder.with_name(f".{self.name}.new")
            with plain_os_errors(f"removing {new}"):
                remove_folder(new)  # a killed build may have left it
            self.store.materialise(output, new)
            try:
                progress.start("link")
                usage = run_worker(
                    self.entry,
                    arguments={},
                    paths={"folder": new},
                    folder=space,
                    roots=roots,
                    progress=None,
                    log=self.store.root / "logs" / f"{self.name}-link.log",
                    bytecode=self.store.root / "bytecode",
                )
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            with plain_os_errors(f"writing {self.folder}"):
                replace_folder(new, self.folder)
                stamp = {"origin": self._origin(output, code), "files": _marks(self.folder)}
                write_atomic(self._stamp, canonical_json(stamp))
        size = sum(path.stat().st_size for _, path in walk_files(self.folder))
        progress.done("link", usage.seconds, size, usage.peak_bytes)


def _marks(folder: Path) -> dict[str, list[int]]:
    """What a look at the folder's files shows without reading them."""
    marks: dict[str, list[int]] = {}
    for name, path in walk_files(folder):
        status = path.stat()
        marks[name] = [status.st_size, status.st_mtime_ns, status.st_ino]
    return marks
