"""What an importer gives: graph functions, and the tensors they read as a plan to be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from passes.ir.graph.nodes import GraphFunction, TensorType
from passes.ir.quantised import Array


class ModelError(ValueError):
    """A model that cannot be imported: the message names the model's part, the cause, the cure."""


@dataclass(frozen=True, eq=False)
class ImportedTensor:
    """A weight to write: `arrays` makes the arrays of its fields when its turn comes."""

    name: str
    type: TensorType
    arrays: Callable[[], Sequence[Array]]


@dataclass(frozen=True, eq=False)
class Imported:
    """A model in our terms. `meta` are JSON-able facts about it."""

    graphs: tuple[GraphFunction, ...]
    tensors: tuple[ImportedTensor, ...]
    meta: Mapping[str, Any]
