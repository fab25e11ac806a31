"""The tokenizer inside a GGUF file, rebuilt as a `tokenizer.json` of the `tokenizers` library.

GGUF keeps a byte-level BPE tokenizer as bare tables (tokens, their types, merges) and the *name* of
its pre-tokenizer; the splitting rules behind that name are in `_FAMILIES`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# The token types of the file format that tell anything here.
_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4

# Texts of control tokens that end a turn or a document whatever the file's ids say: many files name
# only one stop token, and their models write another.
_ENDS = frozenset({
    "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>",
    "<end_of_turn>", "<end_of_utterance>", "<EOT>", "</s>",
})  # fmt: skip


class TokenizerError(ValueError):
    """The file's tokenizer is missing, unsound or of a kind that cannot be rebuilt."""


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer as a package carries it.

    `tokenizer_json` adds no tokens of its own: who encodes puts `bos` first where `add_bos` says
    so. Any token of `eos` ends generation; the file's own end-of-sequence token is the first.
    """

    tokenizer_json: bytes
    chat_template: str | None
    bos: int | None
    eos: tuple[int, ...]
    add_bos: bool


def _byte_level(use_regex: bool) -> dict[str, Any]:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


def _isolate(pattern: str) -> dict[str, Any]:
    """Each match becomes a piece of its own; what lies between matches stays."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }


def _cased_pattern(digits: str) -> str:
    """Llama 3's splitting rule and its kin, which differ in how they group digits."""
    return (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+"
        r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


_GPT2_WITHOUT_LAST_SPACES = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
)


@dataclass(frozen=True)
class _Family:
    """How text is cut into the pieces within which merges act.

    `whole_words`: a piece that is a token is that token, whatever the merges would make of it.
    """

    steps: tuple[dict[str, Any], ...]
    normaliser: str | None = None
    whole_words: bool = False
    add_bos: bool = False


_GPT2 = _Family((_byte_level(True),))
_SINGLE_DIGITS = _Family(({"type": "Digits", "individual_digits": True}, _byte_level(True)))
_LLAMA3 = _Family(
    (_isolate(_cased_pattern(r"\p{N}{1,3}")), _byte_level(False)), whole_words=True, add_bos=True
)
_QWEN2 = _Family((_isolate(_cased_pattern(r"\p{N}")), _byte_level(False)), normaliser="NFC")
_DEFAULT = _Family(
    (
        _isolate(r"[\p{P}\$\+<=>\^~\|]+"),
        _isolate(_GPT2_WITHOUT_LAST_SPACES),
        _isolate(r"\p{N}+"),
        _isolate("[0-9][0-9][0-9]"),
        _byte_level(False),
    )
)

_FAMILIES: dict[str, _Family] = {
    "default": _DEFAULT,
    "gpt-2": _GPT2,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "qwen2": _QWEN2,
    "refact": _SINGLE_DIGITS,
    "smollm": _SINGLE_DIGITS,
    "starcoder": _SINGLE_DIGITS,
}


def _family(metadata: Mapping[str, Any]) -> _Family:
    name = metadata.get("tokenizer.ggml.pre", "default")
    if name not in _FAMILIES:
        raise TokenizerError(
            f"unknown pre-tokenizer {name!r} (tokenizer.ggml.pre); "
            f"known: {', '.join(sorted(_FAMILIES))}"
        )
    return _FAMILIES[name]


def _texts(metadata: Mapping[str, Any], key: str) -> Sequence[str]:
    values = metadata.get(key)
    if not isinstance(values, tuple) or not all(isinstance(value, str) for value in values):
        raise TokenizerError(f"{key} is missing or not a list of texts; convert the model again")
    return values


def _vocabulary(metadata: Mapping[str, Any]) -> dict[str, int]:
    tokens = _texts(metadata, "tokenizer.ggml.tokens")
    vocabulary: dict[str, int] = {}
    for number, token in enumerate(tokens):
        first = vocabulary.setdefault(token, number)
        if first != number:
            raise TokenizerError(
                f"tokens {first} and {number} are both {token!r} (tokenizer.ggml.tokens); "
                "convert the model again"
            )
    return vocabulary


def _token_types(metadata: Mapping[str, Any], count: int) -> list[int]:
    types = metadata.get("tokenizer.ggml.token_type")
    if types is None:
        return [1] * count
    if len(types) != count:
        raise TokenizerError(
            f"{count} tokens have {len(types)} types (tokenizer.ggml.token_type); "
            "convert the model again"
        )
    return [int(kind) for kind in types]


def _merges(metadata: Mapping[str, Any], vocabulary: Mapping[str, int]) -> list[list[str]]:
    merges = []
    for number, merge in enumerate(_texts(metadata, "tokenizer.ggml.merges")):
        # A token is at least one character, so a separating space is never the first one.
        space = merge.find(" ", 1)
        left, right = merge[:space], merge[space + 1 :]
        if space < 0 or not {left, right, left + right} <= vocabulary.keys():
            raise TokenizerError(
                f"merge {number} is {merge!r}, which does not join two tokens into a third "
                "(tokenizer.ggml.merges); convert the model again"
            )
        merges.append([left, right])
    return merges


def _token_id(metadata: Mapping[str, Any], role: str, count: int) -> int | None:
    key = f"tokenizer.ggml.{role}_token_id"
    number = metadata.get(key)
    if number is None:
        return None
    if type(number) is not int or not 0 <= number < count:
        raise TokenizerError(
            f"{key} is {number!r}, not a token from 0 to {count - 1}; convert the model again"
        )
    return number


def _ends(
    metadata: Mapping[str, Any], vocabulary: Mapping[str, int], types: Sequence[int]
) -> tuple[int, ...]:
    named = [_token_id(metadata, role, len(types)) for role in ("eos", "eot", "eom")]
    known = [
        number
        for token, number in vocabulary.items()
        if token in _ENDS and types[number] == _CONTROL
    ]
    return tuple(dict.fromkeys(number for number in (*named, *known) if number is not None))


def _added_token(number: int, token: str, kind: int) -> dict[str, Any]:
    return {
        "id": number,
        "content": token,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": kind != _USER_DEFINED,
    }


def build_tokenizer(metadata: Mapping[str, Any]) -> TokenizerFiles:
    """The tokenizer of a GGUF file's metadata; the same metadata gives the same bytes.

    Raises TokenizerError if there is none, its tables contradict each other, or its kind or
    pre-tokenizer is not supported.
    """
    model = metadata.get("tokenizer.ggml.model")
    if model != "gpt2":
        raise TokenizerError(
            f"unsupported tokenizer {model!r} (tokenizer.ggml.model); supported: 'gpt2' "
            "(byte-level BPE); take a model with a byte-level BPE tokenizer, such as SmolLM2, "
            "Llama 3 or Qwen2"
        )
    family = _family(metadata)
    vocabulary = _vocabulary(metadata)
    types = _token_types(metadata, len(vocabulary))
    added = [
        _added_token(number, token, types[number])
        for token, number in vocabulary.items()
        if types[number] in (_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]
    steps = list(family.steps)
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": family.normaliser} if family.normaliser else None,
        "pre_tokenizer": (
            steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}
        ),
        "post_processor": None,
        "decoder": _byte_level(True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": family.whole_words,
            "vocab": vocabulary,
            "merges": _merges(metadata, vocabulary),
        },
    }
    template = metadata.get("tokenizer.chat_template")
    bos = _token_id(metadata, "bos", len(vocabulary))
    return TokenizerFiles(
        tokenizer_json=json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n",
        chat_template=template if isinstance(template, str) else None,
        bos=bos,
        eos=_ends(metadata, vocabulary, types),
        add_bos=bos is not None
        and bool(metadata.get("tokenizer.ggml.add_bos_token", family.add_bos)),
    )
