"""A module: graph functions, the loop functions they call, their weights' origins, and facts.

    module.json         weights, storages, meta, the names of the functions
    graphs/<name>.graph
    loops/<name>.loop

Dims, storages and loop functions are shared by all graphs of a module and known by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from passes.ir.expr import Dim
from passes.ir.graph.nodes import CallLoops, GraphFunction, Operation, TensorType, Value, Weight
from passes.ir.graph.operator import Operators
from passes.ir.graph.parse import parse_graph, parse_type
from passes.ir.graph.text import print_graph, type_text
from passes.ir.graph.verify import values_of, verify
from passes.ir.loop.nodes import Function
from passes.ir.loop.parse import parse_function
from passes.ir.loop.text import print_function
from passes.ir.node import IRError
from passes.ir.storage import Storage
from passes.ir.storage_text import storage_from_json, storage_to_json
from passes.ir.weights import Transform, WeightEntry

_FORMAT = 1
T = TypeVar("T")


@dataclass(frozen=True)
class Module:
    """Graph functions by name, loop functions by name, weights by name, JSON-able facts."""

    graphs: Mapping[str, GraphFunction]
    weights: Mapping[str, WeightEntry]
    functions: Mapping[str, Function] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def verify(self, operators: Operators) -> None:
        """Raises IRError at the first broken rule: in a graph, or between graph and tables."""
        dims: dict[str, Dim] = {}
        for name, graph in self.graphs.items():
            if name != graph.name:
                raise IRError(f"graph '{graph.name}' is filed under '{name}'")
            verify(graph, operators)
            for dim in graph.dims:
                if dims.setdefault(dim.name, dim) is not dim:
                    raise IRError(f"dim '{dim.name}' has different bounds in two graphs")
            for value in values_of(graph):
                if isinstance(value, Weight):
                    entry = self.weights.get(value.name)
                    if entry is None or entry.type is not value.type:
                        raise IRError(
                            f"graph '{name}' reads weight '{value.name}' as "
                            f"{type_text(value.type)}, the module has "
                            f"{type_text(entry.type) if entry else 'none of that name'}"
                        )
        _named_functions(self)
        _named_storages(self)

    def save(self, folder: Path) -> None:
        """Writes the module below `folder`; equal modules give equal bytes.

        Raises IRError if two storages or loop functions share a name, or a name cannot be a
        file's.
        """
        functions = _named_functions(self)
        storages = _named_storages(self)
        data = {
            "format": _FORMAT,
            "graphs": list(self.graphs),
            "functions": sorted(functions),
            "weights": {name: _entry_to_json(entry) for name, entry in self.weights.items()},
            "storages": {name: storage_to_json(storages[name]) for name in sorted(storages)},
            "meta": self.meta,
        }
        for kind in ("graphs", "loops"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, graph in self.graphs.items():
            _write(folder / "graphs" / f"{_file_name(name)}.graph", print_graph(graph))
        for name, function in functions.items():
            _write(folder / "loops" / f"{_file_name(name)}.loop", print_function(function))
        _write(folder / "module.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Module:
        """The module that `save` wrote, its loop functions canonical. Raises IRError."""
        try:
            data = json.loads((folder / "module.json").read_text("utf-8"))
            if data["format"] != _FORMAT:
                raise IRError(f"format {data['format']} is not {_FORMAT}; build it again")
            storages = {n: storage_from_json(n, s) for n, s in data["storages"].items()}
            functions = {
                name: _read(folder / "loops", f"{_file_name(name)}.loop", parse_function)
                for name in data["functions"]
            }

            def graph(text: str) -> GraphFunction:
                return parse_graph(text, storages, functions)

            graphs = {
                name: _read(folder / "graphs", f"{_file_name(name)}.graph", graph)
                for name in data["graphs"]
            }
            weights = {n: _entry_from_json(e, storages) for n, e in data["weights"].items()}
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise IRError(f"module {folder.name} cannot be read: {error}") from None
        return cls(graphs, weights, functions, data["meta"])


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode())


def _read(folder: Path, file: str, parse: Callable[[str], T]) -> T:
    try:
        return parse((folder / file).read_text("utf-8"))
    except IRError as error:
        raise IRError(f"{folder.name}/{file}: {error}") from None


def _file_name(name: str) -> str:
    if not name.isidentifier():
        raise IRError(f"'{name}' names a function and a file: it must be an identifier")
    return name


def _entry_to_json(entry: WeightEntry) -> dict[str, Any]:
    data: dict[str, Any] = {"type": type_text(entry.type), "sources": list(entry.sources)}
    if entry.transforms:
        data["transforms"] = [[t.name, *t.args] for t in entry.transforms]
    return data


def _entry_from_json(data: Mapping[str, Any], storages: Mapping[str, Storage]) -> WeightEntry:
    transforms = [Transform(name, tuple(args)) for name, *args in data.get("transforms", [])]
    type_ = parse_type(data["type"], storages, {})
    return WeightEntry(type_, tuple(data["sources"]), tuple(transforms))


def _named_functions(module: Module) -> dict[str, Function]:
    """The loop functions of the table and of the graphs' calls by name."""
    called = [
        value.function
        for graph in module.graphs.values()
        for value in values_of(graph)
        if isinstance(value, CallLoops)
    ]
    named: dict[str, Function] = {}
    for function in (*module.functions.values(), *called):
        if named.setdefault(function.name, function) is not function:
            raise IRError(f"two loop functions are called '{function.name}'")
    return named


def _named_storages(module: Module) -> dict[str, Storage]:
    named: dict[str, Storage] = {}
    for type_ in _types(module):
        storage = type_.storage
        if storage is not None and named.setdefault(storage.name, storage) is not storage:
            raise IRError(f"two storages are called '{storage.name}'")
    return named


def _types(module: Module) -> Iterable[TensorType]:
    for entry in module.weights.values():
        yield entry.type
    for graph in module.graphs.values():
        for value in (*graph.params, *values_of(graph)):
            yield from _types_of(value)


def _types_of(value: Value) -> tuple[TensorType, ...]:
    return value.types if isinstance(value, Operation) else (value.type,)
