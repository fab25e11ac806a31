"""A package folder → a wheel that runs with numpy alone.

llama-cpu/ + runtime sources -> llama_cpu-0.1.0-py3-none-linux_x86_64.whl
    llama_cpu/__init__.py, __main__.py      import llama_cpu; python -m llama_cpu --prompt ...
    llama_cpu/_runtime/                     the runtime, under this wheel's own name
    llama_cpu/package/                      the package folder as it is
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import keyword
import os
import re
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .manifest import FILE, Manifest, read

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip archive can write
_CHUNK = 1 << 20
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc)[0-9]+)?(\.post[0-9]+)?(\.dev[0-9]+)?")
_REQUIRES_NUMPY = "numpy>=1.26"

_INIT = '''"""{name}: {model}, compiled by tensorkiln.

    import {module}
    with {module}.Session({module}.load()) as session:
        for piece in session.generate("Once upon a time", tokens=32):
            print(piece, end="", flush=True)
"""

from pathlib import Path

from ._runtime import CallError, Package, PackageError, Session, Settings

__all__ = ["FOLDER", "CallError", "Package", "PackageError", "Session", "Settings", "load"]

FOLDER = Path(__file__).parent / "package"


def load(*, verify: bool = False, level: str | None = None) -> Package:
    """Opens the package that this distribution carries."""
    return Package(FOLDER, verify=verify, level=level)
'''

_MAIN = '''"""Lets `python -m {module}` generate text."""

import sys

from . import FOLDER
from ._runtime.cli import main

sys.exit(main(program="python -m {module}", folder=FOLDER))
'''

_METADATA = """\
Metadata-Version: 2.1
Name: {distribution}
Version: {version}
Summary: {model}, compiled by tensorkiln for {arch}
Requires-Python: >=3.11
Requires-Dist: {numpy}
Provides-Extra: text
Requires-Dist: tokenizers>=0.20,<1; extra == "text"
Requires-Dist: jinja2>=3.1,<4; extra == "text"
Provides-Extra: objects
Requires-Dist: llvmlite>=0.50; extra == "objects"
"""

_WHEEL = """\
Wheel-Version: 1.0
Generator: tensorkiln
Root-Is-Purelib: false
Tag: {tag}
"""


class WheelError(ValueError):
    """No wheel can be made of what was given."""


def build_wheel(folder: Path, out: Path, *, runtime: Path, version: str = "0.1.0") -> Path:
    """The package in `folder`, with the sources in `runtime` vendored, → a wheel in folder `out`.

    The bytes depend on the contents alone. Shared libraries go in when `link` has made them;
    without, the wheel's extra `objects` brings what loads the objects.

    Raises WheelError for a name that cannot be imported, a version that is none, or a runtime
    folder without the runtime; ManifestError for a folder that is no package.
    """
    manifest = read(folder)
    module = _module_name(manifest.name)
    if not _VERSION.fullmatch(version):
        raise WheelError(f"version '{version}': expected something like 1.2.0 or 1.2.0rc1")
    if not (runtime / "cli.py").is_file():
        raise WheelError(f"{runtime}: not the folder of tensorkiln's runtime: it has no cli.py")
    tag = f"py3-none-linux_{manifest.arch}"
    info = f"{module}-{version}.dist-info"
    words = {
        "name": manifest.name,
        "distribution": module.replace("_", "-"),
        "module": module,
        "model": _one_line(manifest.model.name),
        "arch": manifest.arch,
        "version": version,
        "numpy": _REQUIRES_NUMPY,
        "tag": tag,
    }
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{module}-{version}-{tag}.whl"
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w") as archive:
            wheel = _Archive(archive)
            wheel.add_text(f"{module}/__init__.py", _INIT.format_map(words))
            wheel.add_text(f"{module}/__main__.py", _MAIN.format_map(words))
            for path in sorted(runtime.glob("*.py")):
                if path.name != "__main__.py":  # the wheel has its own
                    wheel.add_file(f"{module}/_runtime/{path.name}", path)
            for name in _package_files(folder, manifest):
                wheel.add_file(f"{module}/package/{name}", folder / name)
            wheel.add_text(f"{info}/METADATA", _METADATA.format_map(words))
            wheel.add_text(f"{info}/WHEEL", _WHEEL.format_map(words))
            wheel.finish(f"{info}/RECORD")
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)
    return target


@dataclass
class _Archive:
    """A wheel being written: stored, not deflated, since zlib's output differs by version."""

    archive: zipfile.ZipFile
    records: list[tuple[str, str, int | str]] = field(default_factory=list)

    def add_text(self, name: str, text: str) -> None:
        data = text.encode()
        self._add(name, iter([data]), len(data))

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as stream:
            self._add(name, iter(lambda: stream.read(_CHUNK), b""), path.stat().st_size)

    def finish(self, record: str) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([*self.records, (record, "", "")])
        self.add_text(record, text.getvalue())

    def _add(self, name: str, chunks: Iterator[bytes], size: int) -> None:
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.create_system = 3  # Unix, so that the permissions below count
        entry.external_attr = 0o100644 << 16
        entry.file_size = size  # lets zipfile choose the 64-bit form where it must
        digest = hashlib.sha256()
        with self.archive.open(entry, "w") as stream:
            for chunk in chunks:
                digest.update(chunk)
                stream.write(chunk)
        encoded = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
        self.records.append((name, f"sha256={encoded}", size))


def _package_files(folder: Path, manifest: Manifest) -> list[str]:
    linked = {level.library for level in manifest.levels if (folder / level.library).is_file()}
    return sorted({FILE, *manifest.files, *linked})


def _module_name(name: str) -> str:
    module = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").lower()
    if not module.isidentifier() or keyword.iskeyword(module):
        raise WheelError(f"'{name}' makes no Python module name ('{module}'); rename the recipe")
    if module in sys.stdlib_module_names or module in {"numpy", "tokenizers", "jinja2"}:
        raise WheelError(f"'{name}' would hide the Python module '{module}'; rename the recipe")
    return module


def _one_line(text: str) -> str:
    """The model's name, which comes from an untrusted file, as harmless text for a docstring."""
    return re.sub(r"[^\w .,:()+-]", " ", text, flags=re.ASCII)[:100].strip() or "a model"
