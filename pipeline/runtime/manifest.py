"""manifest.json → typed facts about a package. Nothing in it is trusted.

Keys that this runtime does not know are left alone: a newer writer may add facts without changing
the ABI. Everything that is used is checked, and an error names the key's path in the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .errors import PackageError
from .expression import Expression, parse

ABI = 1
FILE = "manifest.json"
MAX_BYTES = 16 << 20
INT64 = 2**63 - 1

DTYPES: dict[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    **{f"i{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"u{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    **{f"f{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)},
    "bf16": np.dtype(np.uint16),  # its bits: numpy has no such type
}
_SYMBOL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Tensor:
    """One input or output of an entry point; `values` bounds what an integer input may hold."""

    name: str
    dtype: str
    shape: tuple[Expression, ...]
    values: tuple[int, int] | None

    @property
    def signature(self) -> str:
        return f"{self.dtype} [{', '.join(axis.text for axis in self.shape)}]"


@dataclass(frozen=True)
class Entry:
    """An entry point: its symbol in the library and its symbolic signature."""

    name: str
    symbol: str
    dims: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Level:
    """The code for one CPU level: the features it needs and where object and library lie."""

    level: str
    cpu_flags: frozenset[str]
    object: str
    library: str


@dataclass(frozen=True)
class FileRecord:
    size: int
    digest: str


@dataclass(frozen=True)
class TokenizerFacts:
    file: str
    bos: int | None
    eos: tuple[int, ...]
    add_bos: bool
    chat_template: str | None


@dataclass(frozen=True)
class Defaults:
    """What `generate` does when the caller does not say."""

    tokens: int
    temperature: float
    seed: int


@dataclass(frozen=True)
class Manifest:
    name: str
    arch: str
    capacity: int
    dims: dict[str, tuple[int, int]]
    levels: tuple[Level, ...]
    entries: dict[str, Entry]
    errors: dict[int, str]
    weights: str
    memory: int
    threads_max: int | None
    tokenizer: TokenizerFacts | None
    defaults: Defaults
    files: dict[str, FileRecord]


class _Value:
    """A JSON value that knows its path, so that every complaint can say where."""

    def __init__(self, value: Any, file: Path, path: str) -> None:
        self.value, self.file, self.path = value, file, path

    def refuse(self, expected: str) -> PackageError:
        found = json.dumps(self.value)
        found = found if len(found) <= 60 else found[:57] + "..."
        return PackageError(
            f"{self.file}: {self.path}: expected {expected}, found {found}; "
            "the package is damaged: build or install it again"
        )

    def has(self, key: str) -> bool:
        return self.mapping().get(key) is not None

    def at(self, key: str) -> _Value:
        mapping = self.mapping()
        path = f"{self.path}.{key}" if self.path else key
        if key not in mapping:
            raise PackageError(
                f"{self.file}: {path}: missing; the package is damaged: build or install it again"
            )
        return _Value(mapping[key], self.file, path)

    def mapping(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            raise self.refuse("a mapping")
        return self.value

    def fields(self) -> Iterator[tuple[str, _Value]]:
        return ((key, self.at(key)) for key in self.mapping())

    def items(self) -> list[_Value]:
        if not isinstance(self.value, list):
            raise self.refuse("a list")
        return [_Value(v, self.file, f"{self.path}[{i}]") for i, v in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self.refuse("text")
        return self.value

    def integer(self, low: int = 0, high: int = INT64) -> int:
        if type(self.value) is not int or not low <= self.value <= high:
            raise self.refuse(f"an integer in {low}..{high}")
        return self.value

    def number(self) -> float:
        if type(self.value) not in (int, float) or not 0 <= self.value < float("inf"):
            raise self.refuse("a number that is not negative")
        return float(self.value)

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.refuse("true or false")
        return self.value

    def symbol(self) -> str:
        if not _SYMBOL.fullmatch(self.text()):
            raise self.refuse("a name of letters, digits and _")
        return self.text()

    def relative_path(self) -> str:
        text = self.text()
        pure = PurePosixPath(text)
        if not text or pure.is_absolute() or ".." in pure.parts or "\\" in text or "\0" in text:
            raise self.refuse("a path inside the package")
        return text

    def span(self, low: int) -> tuple[int, int]:
        items = self.items()
        if len(items) != 2:
            raise self.refuse("[lowest, highest]")
        first = items[0].integer(low)
        return first, items[1].integer(first)


def read(folder: Path) -> Manifest:
    """Reads and checks `folder`/manifest.json.

    Raises PackageError: no such file, not JSON, another ABI version, or a value out of place.
    """
    file = folder / FILE
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise PackageError(
            f"{file}: cannot be read ({error.strerror}); give the folder that holds "
            f"{FILE}, for example artifacts/builds/<recipe>"
        ) from None
    if len(data) > MAX_BYTES:
        raise PackageError(f"{file}: larger than {MAX_BYTES >> 20} MiB; this is not a manifest")
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise PackageError(
            f"{file}: not JSON ({error}); the package is damaged: build or install it again"
        ) from None
    root = _Value(document, file, "")
    _check_abi(root.at("abi").integer(), file)
    return _manifest(root)


def _check_abi(abi: int, file: Path) -> None:
    if abi > ABI:
        raise PackageError(
            f"{file}: the package has ABI version {abi}, this runtime speaks version {ABI}; "
            "install a newer tensorkiln, or build the package again with this one"
        )
    if abi < ABI:
        raise PackageError(
            f"{file}: the package has ABI version {abi}, this runtime speaks version {ABI}; "
            "build the package again with this tensorkiln: doit build recipe=<recipe>"
        )


def _manifest(root: _Value) -> Manifest:
    dims = {_checked_name(name, v): v.span(0) for name, v in root.at("dims").fields()}
    levels = tuple(_level(value) for value in root.at("levels").items())
    if not levels:
        raise root.at("levels").refuse("at least one level")
    files = {
        _Value(path, root.file, "files").relative_path(): FileRecord(
            value.at("size").integer(), value.at("digest").text()
        )
        for path, value in root.at("files").fields()
    }
    manifest = Manifest(
        name=root.at("name").text(),
        arch=root.at("arch").text(),
        capacity=root.at("capacity").integer(),
        dims=dims,
        levels=levels,
        entries={name: _entry(name, value, dims) for name, value in root.at("entries").fields()},
        errors={_code(code, value): value.text() for code, value in root.at("errors").fields()},
        weights=root.at("weights").at("file").relative_path(),
        memory=sum(value.integer() for _, value in root.at("memory").fields()),
        threads_max=root.at("threads").at("max").integer(1) if root.has("threads") else None,
        tokenizer=_tokenizer(root.at("tokenizer")) if root.has("tokenizer") else None,
        defaults=Defaults(
            tokens=root.at("generate").at("tokens").integer(),
            temperature=root.at("generate").at("temperature").number(),
            seed=root.at("generate").at("seed").integer(),
        ),
        files=files,
    )
    needed = [manifest.weights, *(level.object for level in levels)]
    if manifest.tokenizer is not None:
        needed.append(manifest.tokenizer.file)
        if manifest.tokenizer.chat_template is not None:
            needed.append(manifest.tokenizer.chat_template)
    for path in needed:
        root.at("files").at(path)
    return manifest


def _checked_name(name: str, value: _Value) -> str:
    if not _SYMBOL.fullmatch(name):
        raise value.refuse("a key of letters, digits and _")
    return name


def _code(text: str, value: _Value) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise value.refuse("a key that is an error code from 1 on")
    return int(text)


def _level(value: _Value) -> Level:
    return Level(
        level=value.at("level").text(),
        cpu_flags=frozenset(flag.text() for flag in value.at("cpu_flags").items()),
        object=value.at("object").relative_path(),
        library=value.at("library").relative_path(),
    )


def _tokenizer(value: _Value) -> TokenizerFacts:
    return TokenizerFacts(
        file=value.at("file").relative_path(),
        bos=value.at("bos").integer() if value.has("bos") else None,
        eos=tuple(token.integer() for token in value.at("eos").items()),
        add_bos=value.at("add_bos").boolean(),
        chat_template=(
            value.at("chat_template").relative_path() if value.has("chat_template") else None
        ),
    )


def _entry(name: str, value: _Value, dims: dict[str, tuple[int, int]]) -> Entry:
    _checked_name(name, value)
    used = tuple(dim.symbol() for dim in value.at("dims").items())
    for dim in used:
        if dim not in dims:
            raise value.at("dims").refuse(f"dims out of {', '.join(dims)}")
    inputs = tuple(_tensor(v, used, given=True) for v in value.at("inputs").items())
    outputs = tuple(_tensor(v, used, given=False) for v in value.at("outputs").items())
    names = [*used, *(tensor.name for tensor in (*inputs, *outputs))]
    if len(set(names)) < len(names):
        raise value.refuse("different names for dims, inputs and outputs")
    return Entry(name, value.at("symbol").symbol(), used, inputs, outputs)


def _tensor(value: _Value, dims: tuple[str, ...], *, given: bool) -> Tensor:
    dtype = value.at("dtype")
    if dtype.text() not in DTYPES:
        raise dtype.refuse(f"one of {', '.join(DTYPES)}")
    shape = []
    for axis in value.at("shape").items():
        try:
            expression = parse(axis.text())
        except ValueError as error:
            raise axis.refuse(f"an integer expression ({error})") from None
        if not expression.names <= set(dims):
            raise axis.refuse(f"an expression over the entry's dims ({', '.join(dims)})")
        shape.append(expression)
    values = None
    if given and dtype.text()[0] in "iu":
        # Kernels index tables with integer inputs, so an unbounded one could read anywhere.
        values = value.at("values").span(-INT64)
    return Tensor(value.at("name").symbol(), dtype.text(), tuple(shape), values)
