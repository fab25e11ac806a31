"""Objects → shared libraries, with whatever linker the machine has.

A library is a derivative: what a system's linker writes differs between machines, so no digest
covers it, and where there is no linker the runtime loads the object itself.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from .manifest import read

_FLAGS = [
    "-shared",
    "-Wl,-z,defs",  # a symbol that nobody has is an error here, not on the user's machine
    "-nostartfiles",  # no constructors in our objects, and no need for crti.o to be installed
    "-Wl,--build-id=none",
    "-Wl,-z,noexecstack",
    "-Wl,-z,relro,-z,now",
]
_TIMEOUT_S = 120


class LinkError(Exception):
    """A linker is there but does not link."""


def link(folder: Path) -> list[Path]:
    """Links the object of every level of the package in `folder`; gives the libraries.

    It takes the system's C compiler, else the one of the `link` extra; an empty list means that
    there is neither. Nothing but the libraries is written, each whole or not at all.

    Raises LinkError with the linker's own words, ManifestError for a folder that is no package.
    """
    manifest = read(folder)
    linkers = _linkers(manifest.arch)
    if not linkers:
        return []
    return [
        _link(folder / level.object, folder / level.library, linkers) for level in manifest.levels
    ]


def _linkers(arch: str) -> list[list[str]]:
    """The commands that can link for `arch` here, best first."""
    found = []
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    if machine == arch and sys.platform == "linux":
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if compiler is not None:
            found.append([compiler])
    if importlib.util.find_spec("ziglang") is not None:
        # An old C library as the target, so that the result loads on older systems too.
        found.append([sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-gnu.2.28"])
    return found


def _link(object_file: Path, library: Path, linkers: list[list[str]]) -> Path:
    # A process may have the old library mapped, so the new one takes its place by a rename.
    part = library.with_name(f".{library.name}.{os.getpid()}.part")
    complaints = []
    try:
        for linker in linkers:
            command = [
                *linker,
                *_FLAGS,
                f"-Wl,-soname,{library.name}",
                "-o",
                str(part),
                str(object_file),
                "-lm",
                "-lpthread",  # empty since glibc 2.34, needed before
                "-lc",
            ]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                complaints.append(f"{linker[0]}: {error}")
                continue
            if done.returncode == 0:
                os.replace(part, library)
                return library
            complaints.append(f"{' '.join(command)}: {done.stderr.strip()}")
    finally:
        part.unlink(missing_ok=True)
    raise LinkError(
        f"{object_file}: cannot be linked: {'; '.join(complaints)}; repair the C compiler, or "
        "install the extra 'link', or remove both: the runtime then loads the object itself"
    )
