"""The full text of what the reader of GGUF files says about each kind of damage."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from passes.importers.gguf_file import GgufError, read_gguf
from tests.reference import gguf_bytes as raw

DAMAGED = "; the file is damaged or incomplete: fetch it again and compare its digest"
TYPES = "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q6_K"
X = raw.tensor("x", [64], 0, 0)


def nested(depth: int) -> bytes:
    if depth == 0:
        return raw.array(raw.U8, 0, b"")
    return raw.array(raw.ARRAY, 1, nested(depth - 1))


CASES = {
    "empty": (b"", "byte 0: the file is empty" + DAMAGED),
    "magic": (
        raw.gguf(magic=b"PK\3\4"),
        "byte 0: a GGUF file begins with b'GGUF', this one with b'PK\\x03\\x04'; "
        "give the path of a .gguf file",
    ),
    "cut short": (
        raw.gguf()[:10],
        "byte 8: the count of tensors takes 8 bytes, but the file has 2 more" + DAMAGED,
    ),
    "version": (
        raw.gguf(version=1),
        "byte 4: the file is GGUF version 1; little-endian versions 2 and 3 can be read; "
        "convert the model again with a current converter",
    ),
    "big-endian": (
        raw.gguf(version=3 << 24),
        "byte 4: the file is GGUF big-endian (version 3); little-endian versions 2 and 3 can be "
        "read; convert the model again with a current converter",
    ),
    "count of tensors": (
        raw.gguf(n_tensors=2**60),
        "byte 8: 1152921504606846976 tensors and 0 metadata pairs do not fit into the 8 bytes left"
        + DAMAGED,
    ),
    "count of pairs": (
        raw.gguf(n_pairs=2**63),
        "byte 8: 0 tensors and 9223372036854775808 metadata pairs do not fit into the 8 bytes left"
        + DAMAGED,
    ),
    "key length": (
        raw.gguf([struct.pack("<Q", 2**40) + bytes(16)]),
        "byte 32: a metadata key takes 1099511627776 bytes, but the file has 32 more" + DAMAGED,
    ),
    "empty key": (
        raw.gguf([raw.pair("", raw.U8, b"\1")]),
        "byte 24: a metadata key has 0 characters" + DAMAGED,
    ),
    "not UTF-8": (
        raw.gguf([raw.pair("name", raw.STRING, raw.text(b"\xff\xfe"))]),
        "byte 40: the value of 'name' is not UTF-8 text (invalid start byte)" + DAMAGED,
    ),
    "duplicate key": (
        raw.gguf([raw.pair("a", raw.U8, b"\1")] * 2),
        "byte 38: a metadata key 'a' appears twice; ask the file's maker for a sound one",
    ),
    "value type": (
        raw.gguf([raw.pair("a", 99, b"\1")]),
        "byte 33: the value of 'a' has an unknown type, number 99" + DAMAGED,
    ),
    "bool": (
        raw.gguf([raw.pair("a", raw.BOOL, b"\2")]),
        "byte 37: the value of 'a' is a bool with value 2, not 0 or 1" + DAMAGED,
    ),
    "array count": (
        raw.gguf([raw.pair("a", raw.ARRAY, raw.array(raw.STRING, 2**50, b""))]),
        "byte 41: 1125899906842624 strings in the value of 'a' take at least 9007199254740992 "
        "bytes, but the file has 15 more" + DAMAGED,
    ),
    "array type": (
        raw.gguf([raw.pair("a", raw.ARRAY, raw.array(77, 1, b"\0"))]),
        "byte 37: the value of 'a' has elements of an unknown type, number 77" + DAMAGED,
    ),
    "nesting": (
        raw.gguf([raw.pair("a", raw.ARRAY, nested(4))]),
        "byte 85: the value of 'a' nests arrays deeper than 4 levels" + DAMAGED,
    ),
    "alignment": (
        raw.gguf([raw.pair("general.alignment", raw.U32, struct.pack("<I", 24))]),
        "byte 57: general.alignment is 24, not a power of two from 8 to 65536" + DAMAGED,
    ),
    "duplicate tensor": (
        raw.gguf([], [X, X], bytes(256)),
        "byte 57: a tensor's name 'x' appears twice; ask the file's maker for a sound one",
    ),
    "rank": (
        raw.gguf([], [raw.tensor("x", [1] * 5, 0, 0)]),
        "byte 33: the rank of tensor 'x' is 5, not 1 to 4" + DAMAGED,
    ),
    "empty shape": (
        raw.gguf([], [raw.tensor("x", [32, 0], 0, 0)]),
        "byte 37: the shape of tensor 'x' is [0, 32], which is empty" + DAMAGED,
    ),
    "tensor type": (
        raw.gguf([], [raw.tensor("blk.0.ffn_up.weight", [256], 13, 0)]),
        "byte 63: tensor 'blk.0.ffn_up.weight' has unsupported tensor type Q5_K (number 13); "
        f"quantise the model to one of {TYPES}",
    ),
    "unknown tensor type": (
        raw.gguf([], [raw.tensor("x", [256], 9999, 0)]),
        "byte 45: tensor 'x' has unsupported tensor type unknown (number 9999); "
        f"quantise the model to one of {TYPES}",
    ),
    "row": (
        raw.gguf([], [raw.tensor("x", [48, 2], 3, 0)]),
        "byte 53: tensor 'x': a row of 48 values is not a whole number of Q4_1 blocks "
        "(32 values each)" + DAMAGED,
    ),
    "offset": (
        raw.gguf([], [raw.tensor("x", [64], 0, 7)], bytes(512)),
        "byte 49: the offset of tensor 'x' is 7, not a multiple of the alignment 32" + DAMAGED,
    ),
    "beyond the end": (
        raw.gguf([], [X], bytes(255)),
        "byte 64: tensor 'x' takes bytes 64 to 320, but the file has 319" + DAMAGED,
    ),
    "far beyond the end": (
        raw.gguf([], [raw.tensor("x", [2**62, 2**62], 0, 0)], bytes(32)),
        "byte 96: tensor 'x' takes bytes 96 to 85070591730234615865843651857942052960, "
        "but the file has 128" + DAMAGED,
    ),
    "overlap": (
        raw.gguf([], [X, raw.tensor("y", [64], 0, 224)], bytes(512)),
        "byte 320: tensor 'y' begins inside tensor 'x', which ends at 352" + DAMAGED,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_message(tmp_path: Path, case: str) -> None:
    content, message = CASES[case]
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(GgufError) as caught:
        read_gguf(path)
    assert str(caught.value) == f"{path}: {message}"


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    with pytest.raises(GgufError) as caught:
        read_gguf(path)
    assert str(caught.value) == (
        f"{path}: byte 0: cannot read the file: No such file or directory; "
        "check the path and its permissions"
    )


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(GgufError, match="cannot read the file: Is a directory"):
        read_gguf(tmp_path)
