"""What comes from outside a build: files, found on this machine or fetched, held to their pins."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.stages.errors import BuildError, Unknown
from pipeline.stages.stage import Source


@dataclass(frozen=True)
class SourceFile:
    """A source on this machine."""

    path: Path
    digest: str


class SourceMissing(Exception):
    """The source is not on this machine and may not be fetched now."""


class Resolver(Protocol):
    """Finds a source; `offline` it raises SourceMissing instead of fetching, else BuildError."""

    def __call__(self, source: str, *, offline: bool) -> SourceFile: ...


class Sources:
    """The sources of one build, each looked up once."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._found: dict[str, SourceFile] = {}
        self._failed: dict[str, BuildError] = {}

    def digest(self, source: Source, *, fetch: bool) -> str:
        """The digest of the file that is here, else the pinned one, else of the file fetched.

        Raises BuildError if the file that is here is not the pinned one, Unknown if it would have
        to be fetched and may not.
        """
        try:
            return self.file(source, fetch=False).digest
        except SourceMissing:
            if source.pinned is not None:
                return source.pinned
        if not fetch:
            raise Unknown(f"{source.source} is here")
        return self.file(source).digest

    def file(self, source: Source, *, fetch: bool = True) -> SourceFile:
        """The file of a source, checked against its pin.

        Raises BuildError, or SourceMissing without `fetch`.
        """
        if source.source in self._failed:
            raise self._failed[source.source]
        if source.source not in self._found:
            try:
                found = self._resolve(source.source, offline=not fetch)
            except BuildError as error:
                self._failed[source.source] = error  # the network may take minutes to say no
                raise
            if source.pinned is not None and found.digest != source.pinned:
                ours = source.source.startswith("pypi:")  # its file is a copy among our artifacts
                cure = "remove that copy to fetch it again" if ours else "restore the file"
                raise BuildError(
                    f"{source.source} is not the file that the recipe pins\n"
                    f"  pinned: {source.pinned}\n  found:  {found.digest} ({found.path})\n"
                    f"{cure}, or put the new digest into the recipe's model.digest"
                )
            self._found[source.source] = found
        return self._found[source.source]

    def known(self, sources: Mapping[str, Source]) -> dict[str, str]:
        """The digests that can be told without fetching anything."""
        digests = {}
        for name, source in sources.items():
            with suppress(Unknown):
                digests[name] = self.digest(source, fetch=False)
        return digests

    def is_unchanged(self, source: Source) -> bool:
        """Whether the file is still what it was when it was looked up."""
        try:
            return self._resolve(source.source, offline=True) == self._found[source.source]
        except SourceMissing:
            return False
