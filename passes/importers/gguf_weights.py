"""A GGUF file's tensors and metadata with what an architecture expects of them checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from passes.importers.block_formats import split
from passes.importers.gguf_file import GgufFile
from passes.importers.imported import ImportedTensor, ModelError
from passes.importers.storages import is_plain, storage_of
from passes.ir.dtypes import BF16, F16, F32
from passes.ir.expr import index
from passes.ir.graph.nodes import TensorType, Weight
from passes.ir.quantised import Array, constant
from passes.ir.weights import Transform, transformed

_PLAIN = {"F32": F32, "F16": F16, "BF16": BF16}
_CURE = "convert the model again with a current converter"


class GgufModel:
    """Reads facts and claims tensors of one architecture; what is not claimed can be told."""

    def __init__(self, file: GgufFile, architecture: str) -> None:
        self.file, self.architecture = file, architecture
        self.claimed: dict[str, ImportedTensor] = {}

    def fact(self, name: str, kind: type, default: Any = None) -> Any:
        """Metadata `<architecture>.<name>`. Raises ModelError if it is missing (and there is no
        default) or not of that kind."""
        key = f"{self.architecture}.{name}"
        value = self.file.metadata.get(key, default)
        if value is None:
            raise ModelError(f"metadata '{key}' is missing; {_CURE}")
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise ModelError(f"metadata '{key}' is {_shown(value)}, not {kind.__name__}; {_CURE}")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """A fact that is a positive integer. Raises ModelError."""
        value: int = self.fact(name, int, default)
        if value < 1:
            raise ModelError(f"metadata '{self.architecture}.{name}' is {value}, not above 0")
        return value

    def has(self, name: str) -> bool:
        return name in self.file.tensors

    def weight(self, name: str, *shape: int, transforms: Sequence[Transform] = ()) -> Weight:
        """The tensor of that name as a weight in its stored form, its rows rearranged.

        Raises ModelError if it is missing or has another shape.
        """
        found = self.file.tensors.get(name)
        if found is None:
            raise ModelError(f"tensor '{name}' is missing; the file may be one part of several")
        if found.shape != shape:
            raise ModelError(
                f"tensor '{name}' is {list(found.shape)}, the model's metadata asks for "
                f"{list(shape)}; {_CURE}"
            )
        extents = tuple([index(extent) for extent in shape])
        if is_plain(found.type_name):
            type_ = TensorType(extents, _PLAIN[found.type_name])
        elif len(shape) == 2:
            type_ = TensorType(extents, F32, storage_of(found.type_name, *shape))
        else:
            raise ModelError(
                f"tensor '{name}' is a vector of type {found.type_name}; vectors are F32, F16 or "
                f"BF16; {_CURE}"
            )

        def arrays() -> tuple[Array, ...]:
            fields = split(found.type_name, self.file.raw(name), shape)
            if type_.storage is None:
                return transformed([fields["values"].reshape(shape)], transforms)
            kept = []
            for field in type_.storage.fields:
                sizes = [constant(e, f"field '{field.name}'") for e in field.shape]
                kept.append(fields[field.name].reshape(sizes))
            return transformed(kept, transforms)

        return self.claim(ImportedTensor(name, type_, arrays))

    def claim(self, tensor: ImportedTensor) -> Weight:
        """A tensor, of the file or computed, that the package is to carry."""
        self.claimed[tensor.name] = tensor
        return Weight(tensor.name, tensor.type)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
