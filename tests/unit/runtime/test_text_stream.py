from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_package import write_tokenizer

from pipeline.runtime.manifest import TokenizerFacts
from pipeline.runtime.text import TextStream, Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder / "tokenizer.json")
    return Tokenizer(folder, TokenizerFacts("tokenizer.json", None, (), False, None))


def streamed(tokenizer: Tokenizer, ids: list[int], context: list[int]) -> list[str]:
    stream = TextStream(tokenizer, context)
    return [stream.push(token) for token in ids]


@given(text=st.text(max_size=12), prompt=st.text(max_size=4))
def test_pieces_join_to_the_text(tokenizer: Tokenizer, text: str, prompt: str) -> None:
    pieces = streamed(tokenizer, tokenizer.encode(text), tokenizer.encode(prompt))
    assert "".join(pieces) == text


def test_pieces_are_whole_characters(tokenizer: Tokenizer) -> None:
    pieces = streamed(tokenizer, tokenizer.encode("aé🙂b"), [])
    assert pieces == ["a", "", "é", "", "", "", "🙂", "b"]


def test_bytes_that_are_no_text_do_not_hold_up_what_follows(tokenizer: Tokenizer) -> None:
    first_of_two = tokenizer.encode("é")[0]
    pieces = streamed(tokenizer, [first_of_two, *tokenizer.encode("ab")], [])
    assert pieces == ["", "\N{REPLACEMENT CHARACTER}a", "b"]


def test_a_prompt_cut_amid_a_character(tokenizer: Tokenizer) -> None:
    pieces = streamed(tokenizer, tokenizer.encode("ab"), tokenizer.encode("é")[:1])
    assert pieces == ["a", "b"]


def test_decoders_that_drop_a_leading_space(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Implementation
    from tokenizers import decoders, models

    vocabulary = {"▁Hello": 0, "▁world": 1, "!": 2}
    implementation = Implementation(models.WordLevel(vocabulary, "!"))
    implementation.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    implementation.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path, TokenizerFacts("tokenizer.json", None, (), False, None))
    assert streamed(tokenizer, [0, 1, 2], []) == ["Hello", " world", "!"]
    assert streamed(tokenizer, [1, 2], [0]) == [" world", "!"]
