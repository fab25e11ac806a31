"""Text ⇄ token ids, and the stream of text that a stream of tokens makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CallError, PackageError
from .manifest import TokenizerFacts

if TYPE_CHECKING:
    from .template import ChatTemplate

_HALF = "\N{REPLACEMENT CHARACTER}"
_CONTEXT = 4  # tokens before a stream that decoders with word-start rules look back on


class Tokenizer:
    """The tokenizer of a package, with its beginning and end tokens and its chat template."""

    def __init__(self, folder: Path, facts: TokenizerFacts) -> None:
        try:
            from tokenizers import Tokenizer as Implementation
        except ImportError:
            raise PackageError(
                "text needs the distribution 'tokenizers', which is not installed: "
                "pip install tokenizers (or give token ids instead of text)"
            ) from None
        path = folder / facts.file
        try:
            self._implementation = Implementation.from_file(str(path))
        except Exception as error:
            # The library raises bare Exception for everything that a file can have wrong.
            raise PackageError(
                f"{path}: not a tokenizer ({error}); "
                "the package is damaged: build or install it again"
            ) from None
        self._folder, self.facts = folder, facts

    def encode(self, text: str, *, start: bool = False) -> list[int]:
        """text → token ids; `start` puts the model's beginning token first where it wants one.

        Raises CallError for text that holds halves of surrogate pairs: Python keeps what it could
        not decode, such as an argument of a command line, as these.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CallError(
                f"the text has no Unicode character at place {error.start} "
                f"({text[error.start]!a}); give it in UTF-8"
            ) from None
        ids: list[int] = self._implementation.encode(text, add_special_tokens=False).ids
        if start and self.facts.add_bos and self.facts.bos is not None:
            return [self.facts.bos, *ids]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """token ids → text, without special tokens."""
        return str(self._implementation.decode(list(ids), skip_special_tokens=True))

    def chat(self, messages: Sequence[Mapping[str, object]]) -> list[int]:
        """messages → token ids of the conversation, up to where the model is to answer.

        Raises CallError for messages of the wrong form or that the template refuses, PackageError
        where the package has no chat template.
        """
        for index, message in enumerate(messages):
            if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
                raise CallError(
                    f"messages[{index}]: expected a mapping with 'role' and 'content', "
                    f"found {message!r:.60}"
                )
        return self.encode(self._template.render(messages, self._special_tokens()))

    @cached_property
    def _template(self) -> ChatTemplate:
        from .template import ChatTemplate

        if self.facts.chat_template is None:
            raise PackageError(
                f"{self._folder}: the package has no chat template; give the whole prompt as text"
            )
        path = self._folder / self.facts.chat_template
        try:
            return ChatTemplate(path.read_text(encoding="utf-8"), path)
        except (OSError, UnicodeDecodeError) as error:
            raise PackageError(
                f"{path}: cannot be read ({error}); build or install the package again"
            ) from None

    def _special_tokens(self) -> dict[str, str]:
        ids = {"bos_token": self.facts.bos, "eos_token": next(iter(self.facts.eos), None)}
        return {
            name: self._implementation.id_to_token(token) or ""
            for name, token in ids.items()
            if token is not None
        }


class TextStream:
    """tokens, one by one → pieces of text that are whole characters.

    A character may be spread over several tokens, and a decoder may treat the first token of a
    text differently. So a window of tokens is decoded behind some that were already printed, and
    what could still be the beginning of a character is held back; a text that is cut amid a
    character ends before it.
    """

    def __init__(self, tokenizer: Tokenizer, context: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._ids = list(context[-_CONTEXT:])
        self._before = tokenizer.decode(self._ids)
        if self._before.endswith(_HALF):
            self._ids, self._before = [], ""  # no whole text to measure the window against
        self._printed_ids = len(self._ids)  # ids before this one are printed entirely
        self._printed = 0  # characters of the window that are printed already

    def push(self, token: int) -> str:
        """The text that `token` completes; empty when it ends amid a character."""
        self._ids.append(token)
        window = self._window()
        # Three bytes at most can be an unfinished character, each shown as one mark.
        tail = len(window) - len(window.rstrip(_HALF))
        piece = window[self._printed : len(window) - min(tail, 3)]
        self._printed += len(piece)
        if window and not tail:
            self._ids = self._ids[self._printed_ids :]
            self._printed_ids = len(self._ids)
            self._before = self._tokenizer.decode(self._ids)
            self._printed = 0
        return piece

    def _window(self) -> str:
        return self._tokenizer.decode(self._ids)[len(self._before) :]
