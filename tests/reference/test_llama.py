"""The oracle's own sanity: its past is right, its writer deterministic, every tensor type loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.reference.llama import Llama, Past
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf

TOKENS = [5, 17, 80, 250, 260, 3, 1, 2, 0, 99, 100, 101]


@pytest.mark.parametrize("tied", [True, False])
def test_chunks_give_what_the_whole_gives(tmp_path: Path, tied: bool) -> None:
    model = Llama(write_tiny_gguf(tmp_path / "tiny.gguf", TinyLlama(tied=tied)))
    past = Past()
    chunks = [model.forward(TOKENS[a:b], past) for a, b in [(0, 1), (1, 6), (6, 12)]]
    assert past.length == len(TOKENS)
    assert np.allclose(np.concatenate(chunks), model.forward(TOKENS), rtol=0, atol=1e-4)


def test_a_token_sees_no_later_one(tmp_path: Path) -> None:
    model = Llama(write_tiny_gguf(tmp_path / "tiny.gguf"))
    assert np.allclose(model.forward(TOKENS)[:4], model.forward(TOKENS[:4]), rtol=0, atol=1e-4)


def test_layers_can_be_dropped(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", TinyLlama(layers=3))
    assert Llama(path, layers=1).layers == 1
    assert not np.allclose(Llama(path, layers=1).forward(TOKENS), Llama(path).forward(TOKENS))


@pytest.mark.parametrize(
    "name", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q6_K"]
)
def test_every_type_gives_lively_logits(tmp_path: Path, name: str) -> None:
    model = TinyLlama(layers=1, dim=256, heads=4, ffn=256, types=name, tied=False)
    logits = Llama(write_tiny_gguf(tmp_path / "tiny.gguf", model)).forward(TOKENS)
    assert logits.shape == (len(TOKENS), model.vocab)
    assert 1 < logits.std() < 4


def test_the_same_model_is_the_same_file(tmp_path: Path) -> None:
    first, second = (write_tiny_gguf(tmp_path / f"{i}.gguf").read_bytes() for i in range(2))
    assert first == second
    other = write_tiny_gguf(tmp_path / "other.gguf", TinyLlama(seed=1)).read_bytes()
    assert first != other
