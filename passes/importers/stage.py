"""The import stage: a model file → module, weights in their stored formats, tokenizer.

module.json, graphs/       graph functions with shapes as wide as the model's context
weights.bin, weights.json  each tensor's fields, contiguous and aligned
tokenizer.json, chat_template.jinja (if the model has one)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from passes.importers.gguf_file import GgufFile, read_gguf
from passes.importers.imported import Imported, ImportedTensor, ModelError
from passes.importers.tokenizer import build_tokenizer
from passes.ir.graph.nodes import TensorType
from passes.ir.module import Module
from passes.ir.weights import WeightEntry, write_weights
from passes.ops import OPERATORS
from passes.plugins import PluginError, load, names

Progress = Callable[[float, str], None]


def run(
    *,
    inputs: Mapping[str, Path],
    sources: Mapping[str, Path],
    options: Mapping[str, Any],
    target: Mapping[str, Any],
    out: Path,
    progress: Progress,
) -> None:
    """Imports `sources["model"]`; option `layers` keeps the model's first layers.

    Module meta: `model` (architecture, name, license, context_length …) and `tokenizer` (files,
    special tokens). Raises GgufError, ModelError or TokenizerError.
    """
    progress(0.0, "reading the model file")
    file = read_gguf(sources["model"])
    imported = import_gguf(file, options.get("layers"))
    tokenizer = build_tokenizer(file.metadata)
    (out / "tokenizer.json").write_bytes(tokenizer.tokenizer_json)
    template = None
    if tokenizer.chat_template is not None:
        template = "chat_template.jinja"
        (out / template).write_bytes(tokenizer.chat_template.encode())
    meta = {
        "model": {**imported.meta, "digest": _digest(sources["model"])},
        "tokenizer": {
            "file": "tokenizer.json",
            "chat_template": template,
            "bos": tokenizer.bos,
            "eos": list(tokenizer.eos),
            "add_bos": tokenizer.add_bos,
        },
    }
    write_weights(out, _reported(imported.tensors, progress))
    module_of(imported, meta).save(out)


def import_gguf(file: GgufFile, layers: int | None) -> Imported:
    """The model by the importer of its architecture. Raises ModelError if there is none."""
    architecture = file.metadata.get("general.architecture")
    try:
        importer = load("importers", f"gguf.{architecture}")
    except PluginError:
        prefix = "gguf."
        known = [n.removeprefix(prefix) for n in names("importers") if n.startswith(prefix)]
        raise ModelError(
            f"{file.path}: architecture {architecture!r} (general.architecture) is not "
            f"supported; supported: {', '.join(sorted(known))}"
        ) from None
    try:
        imported: Imported = importer(file, layers)
    except ModelError as error:
        raise ModelError(f"{file.path}: {error}") from None
    return imported


def module_of(imported: Imported, meta: Mapping[str, Any]) -> Module:
    """The imported graphs as a verified module whose weights are the tensors as written."""
    weights = {t.name: WeightEntry(t.type, (t.name,)) for t in imported.tensors}
    module = Module({graph.name: graph for graph in imported.graphs}, weights, meta=meta)
    module.verify(OPERATORS)
    return module


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def _reported(
    tensors: tuple[ImportedTensor, ...], progress: Progress
) -> Iterable[tuple[str, TensorType, Any]]:
    for number, tensor in enumerate(tensors):
        progress(0.05 + 0.9 * number / len(tensors), f"writing {tensor.name}")
        yield tensor.name, tensor.type, tensor.arrays()
