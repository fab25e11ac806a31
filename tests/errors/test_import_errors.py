"""Models that cannot be imported: the whole message each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from passes.importers.gguf_file import GgufFile, GgufTensor, read_gguf
from passes.importers.imported import ModelError
from passes.importers.llama import import_llama
from passes.importers.stage import import_gguf
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> GgufFile:
    return read_gguf(write_tiny_gguf(tmp_path_factory.mktemp("m") / "tiny.gguf", TinyLlama()))


class Changed:
    """A file with some metadata (None: without it) and tensors changed."""

    def __init__(
        self,
        file: GgufFile,
        metadata: Mapping[str, Any] | None = None,
        tensors: Mapping[str, GgufTensor | None] | None = None,
    ) -> None:
        self.path, self.file = Path("tiny.gguf"), file
        given = {**file.metadata, **(metadata or {})}
        self.metadata = {k: v for k, v in given.items() if v is not None}
        changed = {**file.tensors, **(tensors or {})}
        self.tensors = {k: v for k, v in changed.items() if v is not None}

    def raw(self, name: str) -> np.ndarray:
        return self.file.raw(name)


def wrong(file: Any, layers: int | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        import_llama(file, layers)
    return str(caught.value)


CURE = "convert the model again with a current converter"


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"llama.block_count": None},
            f"metadata 'llama.block_count' is missing; {CURE}",
        ),
        (
            {"llama.feed_forward_length": "wide"},
            f"metadata 'llama.feed_forward_length' is 'wide', not int; {CURE}",
        ),
        (
            {"llama.context_length": 0},
            "metadata 'llama.context_length' is 0, not above 0",
        ),
        (
            {"llama.expert_count": 8},
            "metadata 'llama.expert_count' is 8, which is not supported",
        ),
        (
            {"llama.rope.scaling.type": "yarn"},
            "metadata 'llama.rope.scaling.type' is 'yarn', which is not supported",
        ),
        (
            {"llama.attention.head_count_kv": 3},
            "4 heads of size 16 with 3 key heads: heads must be whole groups of an even size",
        ),
        (
            {"llama.rope.dimension_count": 8},
            "metadata 'llama.rope.dimension_count' is 8, but the head size is 16; "
            "other sizes are not supported",
        ),
        (
            {"llama.embedding_length": 32, "llama.attention.key_length": 16,
             "llama.rope.dimension_count": 16},
            f"tensor 'token_embd.weight' is [320, 64], the model's metadata asks for [320, 32]; "
            f"{CURE}",
        ),
        (
            {"llama.rope.freq_base": float("nan")},
            "rotary base nan or scaling factor 1.0 is out of range",
        ),
    ],
)  # fmt: skip
def test_metadata(tiny: GgufFile, metadata: dict[str, Any], message: str) -> None:
    if "llama.embedding_length" in metadata:
        metadata = {**metadata, "llama.vocab_size": 320}
    assert wrong(Changed(tiny, metadata)) == message


def test_tensors(tiny: GgufFile) -> None:
    assert wrong(Changed(tiny, tensors={"blk.1.ffn_up.weight": None})) == (
        "tensor 'blk.1.ffn_up.weight' is missing; the file may be one part of several"
    )
    bias = GgufTensor("blk.0.attn_q.bias", (64,), "F32", 0, 256)
    assert wrong(Changed(tiny, tensors={bias.name: bias})) == (
        "tensor 'blk.0.attn_q.bias' is not part of the llama architecture as it is known here; "
        "such a model is not supported"
    )
    norm = GgufTensor("output_norm.weight", (64,), "Q8_0", 0, 68)
    assert wrong(Changed(tiny, tensors={norm.name: norm})) == (
        "tensor 'output_norm.weight' is a vector of type Q8_0; vectors are F32, F16 or BF16; "
        f"{CURE}"
    )


def test_layers(tiny: GgufFile) -> None:
    assert wrong(tiny, 3) == "model.layers is 3, but the model has 2 layers"


def test_architecture(tiny: GgufFile) -> None:
    file: Any = Changed(tiny, {"general.architecture": "mamba"})
    with pytest.raises(ModelError) as caught:
        import_gguf(file, None)
    assert str(caught.value) == (
        "tiny.gguf: architecture 'mamba' (general.architecture) is not supported; supported: llama"
    )
    file = Changed(tiny, {"llama.block_count": None})
    with pytest.raises(ModelError, match=r"^tiny\.gguf: metadata 'llama\.block_count' is missing"):
        import_gguf(file, None)
