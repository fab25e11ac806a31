"""Rebuilding a tokenizer from a GGUF file's metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from passes.importers.gguf_file import read_gguf
from passes.importers.tokenizer import TokenizerError, TokenizerFiles, build_tokenizer
from tests.reference.tiny_gguf import (
    CHAT_TEMPLATE,
    MERGES,
    SPECIALS,
    TinyLlama,
    byte_alphabet,
    write_tiny_gguf,
)

TRICKY = [
    "",
    " ",
    "    four spaces",
    "trailing   ",
    "\n\n\t x\r\n",
    "1234567 3.14 ½ Ⅷ ٣٤ ¹²³",
    "don't I'LL we've 'tis",
    "def f(x):\n    return x**2  # ok\n",
    "<|im_start|>user\nhi<|im_end|>\n",
    "x<|endoftext|>y <|im_star",
    "emoji 😀👩‍👩‍👧‍👦 🇫🇷",
    "日本語テキスト Ελληνικά हिन्दी",
    "naïve cafe\u0301 \u00a0\u3000\u200b",
    "!!!???... ${x}|`~^<=> a_b-c/d\\e",
    "hello the world and the rings of Otheron",
    "\x00\x07\x7f",
]


def metadata(pre: str = "smollm", **changes: Any) -> dict[str, Any]:
    """The tables of a small tokenizer; a change of None takes the key away."""
    tokens = (*SPECIALS, *byte_alphabet(), *(merge.replace(" ", "") for merge in MERGES))
    types = np.ones(len(tokens), np.int32)
    types[: len(SPECIALS)] = 3
    tables = {
        "model": "gpt2",
        "pre": pre,
        "tokens": tokens,
        "token_type": types,
        "merges": MERGES,
        "eos_token_id": 2,
    } | changes
    return {f"tokenizer.ggml.{key}": value for key, value in tables.items() if value is not None}


def load(files: TokenizerFiles) -> Tokenizer:
    return Tokenizer.from_str(files.tokenizer_json.decode())


@pytest.fixture(scope="module")
def smollm() -> Tokenizer:
    return load(build_tokenizer(metadata()))


@pytest.mark.parametrize("pre", ["default", "gpt-2", "smollm", "llama-bpe", "starcoder"])
@pytest.mark.parametrize("text", TRICKY)
def test_round_trip(pre: str, text: str) -> None:
    tokenizer = load(build_tokenizer(metadata(pre)))
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


@given(text=st.text(max_size=60))
def test_round_trip_of_any_text(smollm: Tokenizer, text: str) -> None:
    assert smollm.decode(smollm.encode(text).ids, skip_special_tokens=False) == text


@given(text=st.text(alphabet="ab1٣ 2\n\t'sé日😀.,!½\u00a0", max_size=40))
def test_smollm_is_digits_then_byte_level(smollm: Tokenizer, text: str) -> None:
    """What the model's own tokenizer.json says, built with the library's classes."""
    vocabulary = smollm.get_vocab(with_added_tokens=False)
    pairs = [tuple(merge.split(" ")) for merge in MERGES]
    own = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    own.decoder = decoders.ByteLevel()
    assert smollm.encode(text).ids == own.encode(text).ids


PIECES = {
    "default": ["It", "'", "s", "Ġ", "123", "45", "Ġ", "??", "Ġok", "ĠĠĊ"],
    "gpt-2": ["It", "'s", "Ġ12345", "Ġ??", "Ġok", "ĠĠĊ"],
    "smollm": ["It", "'s", "Ġ", "1", "2", "3", "4", "5", "Ġ??", "Ġok", "ĠĠĊ"],
    "llama-bpe": ["It", "'s", "Ġ", "123", "45", "Ġ??", "Ġok", "ĠĠĊ"],
    "qwen2": ["It", "'s", "Ġ", "1", "2", "3", "4", "5", "Ġ??", "Ġok", "ĠĠĊ"],
}


@pytest.mark.parametrize("pre", PIECES)
def test_pieces(pre: str) -> None:
    tokenizer = load(build_tokenizer(metadata(pre)))
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str("It's 12345 ?? ok  \n")
    assert [piece for piece, _ in pieces] == PIECES[pre]


def test_merges_join_by_rank(smollm: Tokenizer) -> None:
    assert smollm.encode("hello the world").tokens == ["hello", "Ġthe", "Ġworld"]


def test_a_whole_word_is_a_token_where_the_family_says_so() -> None:
    """llama-bpe takes a piece that is a token whole, even where no merge leads to it."""
    tables = metadata("llama-bpe")["tokenizer.ggml.tokens"]
    changes = {"tokens": (*tables, "zq"), "token_type": None}
    assert load(build_tokenizer(metadata("llama-bpe", **changes))).encode("zq").tokens == ["zq"]
    assert load(build_tokenizer(metadata("smollm", **changes))).encode("zq").tokens == ["z", "q"]


def test_control_and_user_defined_tokens() -> None:
    tokens = metadata()["tokenizer.ggml.tokens"]
    types = np.concatenate([metadata()["tokenizer.ggml.token_type"], [4, 5]]).astype(np.int32)
    files = build_tokenizer(metadata(tokens=(*tokens, "<tool>", "<unused0>"), token_type=types))
    tokenizer = load(files)
    ids = tokenizer.encode("<|im_start|>a<tool><unused0>").ids
    assert ids[0] == 1
    assert ids[2] == len(tokens)
    assert len(tokens) + 1 not in ids
    assert tokenizer.decode(ids) == "a<tool><unused0>"


def test_nothing_is_added_to_a_text() -> None:
    files = build_tokenizer(metadata("llama-bpe", bos_token_id=1))
    assert (files.bos, files.add_bos) == (1, True)
    assert load(files).encode("a", add_special_tokens=True).tokens == ["a"]


def test_the_file_of_a_model(tmp_path: Path) -> None:
    model = TinyLlama(layers=1, vocab=300)
    tables = read_gguf(write_tiny_gguf(tmp_path / "tiny.gguf", model)).metadata
    files = build_tokenizer(tables)
    assert files.chat_template == CHAT_TEMPLATE
    assert (files.bos, files.add_bos) == (1, False)
    assert files.eos == (2, 0)
    assert load(files).get_vocab_size() == 300
    assert build_tokenizer(tables) == files


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (2, 0)),
        ({"eos_token_id": None}, (0, 2)),
        ({"eos_token_id": 5, "eot_token_id": 6, "eom_token_id": 5}, (5, 6, 0, 2)),
        ({"token_type": None}, (2,)),
    ],
)
def test_ends(changes: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert build_tokenizer(metadata(**changes)).eos == expected


CASES: dict[str, tuple[dict[str, Any], str]] = {
    "kind": (
        {"model": "llama"},
        "unsupported tokenizer 'llama' (tokenizer.ggml.model); supported: 'gpt2' "
        "(byte-level BPE); take a model with a byte-level BPE tokenizer, such as SmolLM2, "
        "Llama 3 or Qwen2",
    ),
    "pre-tokenizer": (
        {"pre": "viking"},
        "unknown pre-tokenizer 'viking' (tokenizer.ggml.pre); known: default, gpt-2, llama-bpe, "
        "llama-v3, llama3, qwen2, refact, smollm, starcoder",
    ),
    "no tokens": (
        {"tokens": None},
        "tokenizer.ggml.tokens is missing or not a list of texts; convert the model again",
    ),
    "duplicate": (
        {"tokens": ("a", "b", "a")},
        "tokens 0 and 2 are both 'a' (tokenizer.ggml.tokens); convert the model again",
    ),
    "types": (
        {"token_type": np.ones(2, np.int32)},
        "284 tokens have 2 types (tokenizer.ggml.token_type); convert the model again",
    ),
    "merge": (
        {"merges": ("a b",)},
        "merge 0 is 'a b', which does not join two tokens into a third (tokenizer.ggml.merges); "
        "convert the model again",
    ),
    "token id": (
        {"bos_token_id": 1000},
        "tokenizer.ggml.bos_token_id is 1000, not a token from 0 to 283; convert the model again",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_error(case: str) -> None:
    changes, message = CASES[case]
    with pytest.raises(TokenizerError) as caught:
        build_tokenizer(metadata(**changes))
    assert str(caught.value) == message
