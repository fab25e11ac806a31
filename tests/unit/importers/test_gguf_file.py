"""Reading sound GGUF files: the same things as the `gguf` package reads, and mapped, not copied."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from passes.importers.gguf_file import read_gguf
from tests.reference import gguf_bytes as raw
from tests.reference.tiny_gguf import MATRICES, TinyLlama, write_tiny_gguf

EACH_ITS_TYPE = dict(
    zip(
        MATRICES,
        ("F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q8_0", "Q6_K"),
        strict=True,
    )
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = TinyLlama(layers=1, dim=256, ffn=256, types=EACH_ITS_TYPE, tied=False)
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", model)


def test_tensors_are_those_of_the_reference_reader(tiny: Path) -> None:
    ours, theirs = read_gguf(tiny), gguf.GGUFReader(tiny)
    assert list(ours.tensors) == [tensor.name for tensor in theirs.tensors]
    for tensor in theirs.tensors:
        found = ours.tensors[tensor.name]
        assert found.shape == tuple(tensor.shape[::-1].tolist())
        assert (found.type_name, found.offset, found.nbytes) == (
            tensor.tensor_type.name,
            tensor.data_offset,
            tensor.n_bytes,
        )
        assert np.array_equal(ours.raw(tensor.name), tensor.data.view(np.uint8).ravel())
    assert {tensor.type_name for tensor in ours.tensors.values()} >= {"F32", "Q4_K", "Q6_K", "BF16"}


def test_metadata_is_that_of_the_reference_reader(tiny: Path) -> None:
    ours = read_gguf(tiny).metadata
    theirs = gguf.GGUFReader(tiny).fields
    assert set(ours) == {key for key in theirs if not key.startswith("GGUF.")}
    for key, value in ours.items():
        expected = theirs[key].contents()
        assert (list(value) if isinstance(value, (tuple, np.ndarray)) else value) == expected
    assert type(ours["llama.block_count"]) is int
    assert ours["tokenizer.ggml.add_bos_token"] is False
    assert isinstance(ours["tokenizer.ggml.tokens"], tuple)
    assert ours["tokenizer.ggml.token_type"].dtype == np.int32


def test_raw_bytes_are_a_read_only_view_of_the_file(tiny: Path) -> None:
    bytes_ = read_gguf(tiny).raw("blk.0.attn_q.weight")
    assert bytes_.dtype == np.uint8
    assert bytes_.base is not None
    with pytest.raises(ValueError, match="read-only"):
        bytes_[0] = 1


def test_version_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.gguf"
    path.write_bytes(raw.gguf([raw.pair("a", raw.STRING, raw.text("é"))], version=2))
    file = read_gguf(path)
    assert (file.version, dict(file.metadata), dict(file.tensors)) == (2, {"a": "é"}, {})


def test_another_alignment_moves_the_data(tmp_path: Path) -> None:
    path = tmp_path / "aligned.gguf"
    pairs = [raw.pair("general.alignment", raw.U32, (256).to_bytes(4, "little"))]
    content = raw.gguf(pairs, [raw.tensor("x", [2, 3], 0, 0)])
    path.write_bytes(content.ljust(256, b"\0") + bytes(24))
    tensor = read_gguf(path).tensors["x"]
    assert (tensor.shape, tensor.offset, tensor.nbytes) == ((3, 2), 256, 24)


def test_nested_arrays_become_tuples(tmp_path: Path) -> None:
    path = tmp_path / "nested.gguf"
    inner = raw.array(raw.U8, 2, b"\1\2") + raw.array(raw.BOOL, 1, b"\1")
    path.write_bytes(raw.gguf([raw.pair("a", raw.ARRAY, raw.array(raw.ARRAY, 2, inner))]))
    first, second = read_gguf(path).metadata["a"]
    assert first.tolist() == [1, 2]
    assert second.tolist() == [True]
