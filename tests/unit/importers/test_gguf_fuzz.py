"""Whatever a file's bytes are, reading it gives a sound file or a GgufError, and stays small."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from passes.importers.gguf_file import GgufError, read_gguf
from tests.reference import gguf_bytes as raw

SOUND = raw.gguf(
    [
        raw.pair("general.architecture", raw.STRING, raw.text("llama")),
        raw.pair("general.alignment", raw.U32, struct.pack("<I", 32)),
        raw.pair("flag", raw.BOOL, b"\1"),
        raw.pair("texts", raw.ARRAY, raw.array(raw.STRING, 3, raw.text("a") * 3)),
        raw.pair("numbers", raw.ARRAY, raw.array(raw.I32, 4, bytes(16))),
        raw.pair("nested", raw.ARRAY, raw.array(raw.ARRAY, 2, raw.array(raw.BOOL, 2, b"\0\1") * 2)),
    ],
    [
        raw.tensor("token_embd.weight", [64, 4], 3, 0),
        raw.tensor("blk.0.attn_norm.weight", [64], 0, 160),
        raw.tensor("output_norm.weight", [64], 0, 416),
    ],
    bytes(160 + 256 + 256),
)

NUMBERS = st.one_of(
    st.integers(0, 64),
    st.sampled_from([2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, len(SOUND)]),
    st.integers(0, 2**64 - 1),
)
OVERWRITES = st.tuples(st.integers(0, len(SOUND) - 1), st.sampled_from([1, 4, 8]), NUMBERS)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    content = bytearray(SOUND)
    for at, width, number in draw(st.lists(OVERWRITES, max_size=4)):
        content[at : at + width] = (number % (1 << (8 * width))).to_bytes(width, "little")
    if draw(st.booleans()):
        del content[draw(st.integers(0, len(content))) :]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(content)))
        content[at:at] = draw(st.binary(max_size=40))
    return bytes(content)


def read_and_touch(path: Path) -> None:
    try:
        file = read_gguf(path)
    except GgufError as error:
        assert str(error).startswith(f"{path}: byte ")
        assert "; " in str(error)
        return
    for name, tensor in file.tensors.items():
        assert file.raw(name).size == tensor.nbytes
        int(file.raw(name).sum())


def test_the_undamaged_file_is_sound(tmp_path: Path) -> None:
    path = tmp_path / "sound.gguf"
    path.write_bytes(SOUND)
    assert len(read_gguf(path).tensors) == 3


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=damaged())
def test_a_damaged_file_is_an_error_or_sound(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.gguf"
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    tracemalloc.start()
    try:
        read_and_touch(path)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", range(0, len(SOUND), 3))
def test_every_truncation_is_an_error(tmp_path: Path, size: int) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(SOUND[:size])
    with pytest.raises(GgufError):
        read_gguf(path)
