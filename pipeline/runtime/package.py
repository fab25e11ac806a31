"""A package folder, opened: checked, its code chosen for this CPU, its weights mapped."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from . import cpu, manifest
from .errors import PackageError
from .manifest import Level, Manifest
from .native import NativeCode
from .text import Tokenizer


class Package:
    """folder → code for this CPU, weights mapped read-only, tokenizer when first asked for.

    `verify=True` also checks every file's digest; `level` asks for one of the package's CPU
    levels instead of the best that this CPU can run. A package is immutable: any number of
    sessions, in any number of threads, may share it.

    Raises PackageError: another ABI, features this CPU lacks, a file missing or damaged.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, verify: bool = False, level: str | None = None
    ) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = manifest.read(self.folder)
        self.level: Level = self._choose(level)
        self._check_sizes()
        if verify:
            self.verify()
        self.weights: npt.NDArray[np.uint8] = np.memmap(
            self.folder / self.manifest.weights, dtype=np.uint8, mode="r"
        )
        self.native = NativeCode(
            self.folder / self.level.library,
            self.folder / self.level.object,
            [entry.symbol for entry in self.manifest.entries.values()],
        )

    def __repr__(self) -> str:
        return f"Package({str(self.folder)!r}, level={self.level.level!r})"

    def verify(self) -> None:
        """Reads every file and compares it with the digest in the manifest.

        Raises PackageError that names all files that differ.
        """
        damaged = []
        for path, record in self.manifest.files.items():
            algorithm, _, expected = record.digest.partition(":")
            if algorithm != "sha256":
                raise PackageError(
                    f"{self.folder / manifest.FILE}: files.{path}.digest: "
                    f"unknown algorithm '{algorithm}', this runtime knows sha256; "
                    "install a newer tensorkiln"
                )
            with (self.folder / path).open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != expected:
                    damaged.append(path)
        if damaged:
            raise PackageError(
                f"{self.folder}: {', '.join(damaged)}: content differs from the digest in "
                f"{manifest.FILE}; the package is damaged: build or install it again"
            )

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The package's tokenizer.

        Raises PackageError where it has none, or `tokenizers` is not installed.
        """
        facts = self.manifest.tokenizer
        if facts is None:
            raise PackageError(
                f"{self.folder}: the package has no tokenizer; give token ids instead of text"
            )
        return Tokenizer(self.folder, facts)

    def _choose(self, wanted: str | None) -> Level:
        facts = self.manifest
        if facts.arch != cpu.architecture():
            raise PackageError(
                f"{self.folder}: the package is for {facts.arch} and this machine is "
                f"{cpu.architecture()}; build it for this machine: "
                "doit build recipe=<recipe> target.levels=native"
            )
        levels = [level for level in facts.levels if wanted in (None, level.level)]
        if not levels:
            names = ", ".join(level.level for level in facts.levels)
            raise PackageError(
                f"{self.folder}: the package has no level '{wanted}'; it has {names}"
            )
        present = cpu.flags()
        for level in levels:
            if level.cpu_flags <= present:
                return level
        lacking = "; ".join(
            f"{level.level} needs {', '.join(sorted(level.cpu_flags - present))}"
            for level in levels
        )
        raise PackageError(
            f"{self.folder}: this CPU lacks features that the package's code uses: {lacking}; "
            "build the package for this machine: doit build recipe=<recipe> target.levels=native"
        )

    def _check_sizes(self) -> None:
        problems = []
        for path, record in self.manifest.files.items():
            try:
                size = (self.folder / path).stat().st_size
            except OSError as error:
                problems.append(f"{path}: cannot be read ({error.strerror})")
                continue
            if size != record.size:
                problems.append(f"{path}: has {size} bytes, should have {record.size}")
        if problems:
            raise PackageError(
                f"{self.folder}: {'; '.join(problems)}; "
                "the package is damaged: build or install it again"
            )
