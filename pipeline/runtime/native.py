"""The native code of one CPU level: the C ABI's functions, from a shared library or an object.

A library is opened with its symbols kept local, and an object gets a linker of its own, so any
number of packages that export the same names live side by side.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .errors import PackageError
from .manifest import ABI

EntryFunction = Callable[[int, Any, Any], int]
_INT64_P = ctypes.POINTER(ctypes.c_int64)
_POINTER_P = ctypes.POINTER(ctypes.c_void_p)
_ABI = ctypes.CFUNCTYPE(ctypes.c_int32)
_CREATE = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_DESTROY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, _INT64_P, _POINTER_P)


class NativeCode:
    """Functions of the C ABI, each callable; `entries` by symbol.

    The functions hold no state: everything they change hangs on the context that `create` gives.
    """

    def __init__(self, library: Path, object_file: Path, symbols: Iterable[str]) -> None:
        wanted = ["tk_abi", "tk_create", "tk_destroy", *symbols]
        if library.exists():
            self.origin, self._owner, addresses = _open_library(library, wanted)
        else:
            self.origin, self._owner, addresses = _load_object(object_file, library, wanted)
        version = _ABI(addresses["tk_abi"])()
        if version != ABI:
            raise PackageError(
                f"{self.origin}: the code has ABI version {version}, its manifest says {ABI}; "
                "the package is a mixture of two builds: build or install it again"
            )
        self.create: Callable[[int, int], int | None] = _CREATE(addresses["tk_create"])
        self.destroy: Callable[[int], None] = _DESTROY(addresses["tk_destroy"])
        self.entries: dict[str, EntryFunction] = {
            symbol: _ENTRY(addresses[symbol]) for symbol in wanted[3:]
        }


def _open_library(path: Path, symbols: list[str]) -> tuple[Path, object, dict[str, int]]:
    try:
        library = ctypes.CDLL(os.path.abspath(path), mode=os.RTLD_LOCAL | os.RTLD_NOW)
    except OSError as error:
        raise PackageError(
            f"{path}: cannot be loaded ({error}); delete it to load the object beside it "
            "instead, or build the package again"
        ) from None
    addresses = {}
    for symbol in symbols:
        try:
            function = getattr(library, symbol)
        except AttributeError:
            raise _missing(path, symbol) from None
        addresses[symbol] = ctypes.cast(function, ctypes.c_void_p).value or 0
    return path, library, addresses


def _load_object(
    path: Path, library: Path, symbols: list[str]
) -> tuple[Path, object, dict[str, int]]:
    try:
        import llvmlite.binding as llvm
    except ImportError:
        raise PackageError(
            f"{library}: there is no shared library, and loading {path.name} instead needs "
            "llvmlite; install it (pip install llvmlite), or link on a machine with a C "
            f"compiler: cc -shared -o {library} {path} -lm"
        ) from None
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    jit = llvm.create_lljit_compiler()
    builder = llvm.JITLibraryBuilder().add_object_file(os.fspath(path)).add_current_process()
    for symbol in symbols:
        builder.export_symbol(symbol)
    try:
        tracker = builder.link(jit, "package")
    except RuntimeError as error:
        raise PackageError(
            f"{path}: cannot be loaded ({error}); build or install the package again"
        ) from None
    return path, (jit, tracker), {symbol: tracker[symbol] for symbol in symbols}


def _missing(path: Path, symbol: str) -> PackageError:
    return PackageError(
        f"{path}: has no function '{symbol}' although the manifest names it; "
        "the package is damaged: build or install it again"
    )
