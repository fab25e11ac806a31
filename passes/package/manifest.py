"""manifest.json: what a package holds and how its entry points are called.

Written here, read by the runtime, which shares no code with us: this module is the strict side (an
unknown or missing key is an error), the runtime the tolerant one.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

ABI: Final = 1
FILE = "manifest.json"

DType = Literal[
    "bool", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "f16", "bf16", "f32", "f64"
]  # fmt: skip


class ManifestError(ValueError):
    """The facts given for a manifest do not make one."""


def _expression(text: str) -> str:
    """Accepts integer expressions of names, decimals, `+ - * //` and parentheses."""
    if len(text) > 256:
        raise ValueError(f"'{text[:32]}...' has {len(text)} characters; the runtime reads 256")
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        raise ValueError(f"'{text}' is not an integer expression") from None
    for node in ast.walk(tree.body):
        match node:
            case ast.Name() | ast.Load() | ast.BinOp():
                pass
            case ast.Add() | ast.Sub() | ast.Mult() | ast.FloorDiv():
                pass
            case ast.Constant() if type(node.value) is int:
                pass
            case _:
                raise ValueError(f"'{text}' may hold only names, integers, + - * // and ()")
    # Python writes integers in more ways (0x10, 1_000) than the runtime reads.
    if re.search(r"[0-9][A-Za-z_]", text):
        raise ValueError(f"'{text}' holds a number that is not decimal")
    return text


def _relative(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or "\\" in text or str(path) != text:
        raise ValueError(f"'{text}' is not a plain path inside the package")
    return text


Identifier = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
RelativePath = Annotated[str, Field(min_length=1), AfterValidator(_relative)]
Digest = Annotated[str, Field(pattern=r"^(sha256|b3):[0-9a-f]{64}$")]
FileDigest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Span = tuple[int, int]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tensor(_Part):
    """An output of an entry point, or an input without bounds on its values."""

    name: Identifier
    dtype: DType
    shape: tuple[Annotated[str, AfterValidator(_expression)], ...]


class Input(Tensor):
    """`values` bounds, inclusively, what an integer input may hold; kernels index with it."""

    values: Span | None = None

    @model_validator(mode="after")
    def _integers_are_bounded(self) -> Input:
        if self.dtype[0] in "iu" and self.values is None:
            raise ValueError(f"integer input '{self.name}' needs 'values', its lowest and highest")
        if self.values is not None and self.values[0] > self.values[1]:
            raise ValueError(f"values of '{self.name}': {self.values[0]} is above {self.values[1]}")
        return self


class Entry(_Part):
    symbol: Identifier
    dims: tuple[Identifier, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Tensor, ...]

    @model_validator(mode="after")
    def _names_agree(self) -> Entry:
        tensors = (*self.inputs, *self.outputs)
        names = [*self.dims, *(tensor.name for tensor in tensors)]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.symbol}: a name is used twice among {', '.join(names)}")
        for tensor in tensors:
            for axis in tensor.shape:
                strange = set(re.findall(r"[A-Za-z_]\w*", axis)) - set(self.dims)
                if strange:
                    raise ValueError(
                        f"{self.symbol}: '{axis}' of '{tensor.name}' uses {', '.join(strange)}, "
                        f"which is not among its dims ({', '.join(self.dims)})"
                    )
        return self


class Level(_Part):
    """Code for one CPU level; `cpu_flags` in the words of /proc/cpuinfo."""

    level: Annotated[str, Field(min_length=1)]
    cpu_flags: tuple[str, ...]
    object: RelativePath
    library: RelativePath


class Model(_Part):
    architecture: str
    name: str
    digest: Digest
    license: str | None
    context_length: Count


class FileRecord(_Part):
    size: Count
    digest: FileDigest


class Weights(_Part):
    file: RelativePath
    size: Annotated[Count, Field(ge=1)]
    digest: FileDigest


class Memory(_Part):
    """Upper bounds over all dims and threads; for reports and for the out-of-memory message."""

    arena_bytes_max: Count
    state_bytes: Count


class Threads(_Part):
    max: Annotated[int, Field(ge=1)]


class Tokenizer(_Part):
    file: RelativePath
    bos: Count | None
    eos: tuple[Count, ...]
    add_bos: bool
    chat_template: RelativePath | None


class Generate(_Part):
    tokens: Count
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    seed: Count


class Manifest(_Part):
    """The whole manifest; making one checks it."""

    abi: Literal[1] = ABI
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    arch: Literal["x86_64", "aarch64"]
    model: Model
    capacity: Annotated[Count, Field(ge=1)]
    dims: dict[Identifier, Span]
    levels: Annotated[tuple[Level, ...], Field(min_length=1)]
    entries: Annotated[dict[Identifier, Entry], Field(min_length=1)]
    errors: dict[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,8}$")], str]
    weights: Weights
    memory: Memory
    threads: Threads
    tokenizer: Tokenizer | None
    generate: Generate
    files: dict[RelativePath, FileRecord]

    @model_validator(mode="after")
    def _parts_agree(self) -> Manifest:
        for name, (low, high) in self.dims.items():
            if not 0 <= low <= high:
                raise ValueError(f"dims.{name}: {low}..{high} is not a range from 0 on")
        for name, entry in self.entries.items():
            if strange := set(entry.dims) - self.dims.keys():
                raise ValueError(f"entries.{name}: no bounds for {', '.join(sorted(strange))}")
        named = [self.weights.file, *(level.object for level in self.levels)]
        if self.tokenizer is not None:
            named.append(self.tokenizer.file)
            if self.tokenizer.chat_template is not None:
                named.append(self.tokenizer.chat_template)
        if missing := [path for path in named if path not in self.files]:
            raise ValueError(f"files: no record of {', '.join(missing)}")
        record = self.files[self.weights.file]
        if (record.size, record.digest) != (self.weights.size, self.weights.digest):
            raise ValueError(f"weights: size or digest differs from that of {self.weights.file}")
        derived = {level.library for level in self.levels} | {FILE}
        if covered := derived & self.files.keys():
            raise ValueError(
                f"files: {', '.join(sorted(covered))} must not be recorded: linked libraries and "
                "the manifest itself are not covered by digests"
            )
        return self

    def text(self) -> str:
        """The canonical text: keys sorted, one value a line, the same for equal manifests."""
        document = self.model_dump(mode="json")
        for entry in document["entries"].values():
            for tensor in entry["inputs"]:
                if tensor["values"] is None:
                    del tensor["values"]
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def write(self, folder: Path) -> Path:
        """Writes manifest.json into `folder`, beside the files that it records.

        Raises ManifestError when those files are not there or are others.
        """
        for path, record in self.files.items():
            if not (folder / path).is_file():
                raise ManifestError(f"{folder / path}: recorded in the manifest but not there")
            if file_record(folder / path) != record:
                raise ManifestError(f"{folder / path}: content differs from its manifest record")
        target = folder / FILE
        target.write_text(self.text(), encoding="utf-8", newline="\n")
        return target


def file_record(path: Path) -> FileRecord:
    """A file → its size and digest.

    SHA-256 rather than the store's BLAKE3, so that a package can be verified where there is
    nothing but the standard library.
    """
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileRecord(size=path.stat().st_size, digest=f"sha256:{digest}")


def record_files(folder: Path) -> dict[str, FileRecord]:
    """All files below `folder` that digests cover → their records, by path.

    The manifest itself and shared libraries, which are derivatives of the objects, are left out.
    """
    return {
        path.relative_to(folder).as_posix(): file_record(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".so" and path != folder / FILE
    }


def build(facts: Mapping[str, Any]) -> Manifest:
    """Plain facts → a checked manifest.

    Raises ManifestError that lists every fact out of place, by its path.
    """
    try:
        return Manifest.model_validate(facts)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'manifest'}: {problem['msg']}"
            for problem in error.errors()
        )
        raise ManifestError(f"{FILE}: {problems}") from None


def read(folder: Path) -> Manifest:
    """`folder`/manifest.json → the manifest.

    Raises ManifestError when it is not there or not one.
    """
    path = folder / FILE
    try:
        return build(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(
            f"{path}: cannot be read ({error.strerror}); build the package first"
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ManifestError(f"{path}: not JSON ({error}); build the package again") from None
