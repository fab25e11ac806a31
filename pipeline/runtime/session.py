"""A conversation with a language model: prompts in, tokens or text out, the cache in between."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from .binding import NEW, TOKENS
from .context import Context
from .errors import CallError
from .package import Package
from .sampling import Sampler, Sampling
from .text import TextStream

Finish = Literal["stop", "tokens", "capacity"]


class Settings(TypedDict, total=False):
    """Options of generation; what is left out comes from the package's manifest.

    `tokens`: at most so many new ones. `temperature`: 0 is greedy. `top_k`, `top_p`: draw among
    the likeliest only. `seed`: of the draws. `stop`: token ids that end the text besides the
    model's own.
    """

    tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int
    stop: Iterable[int]


_KINDS = {
    "tokens": (Integral, "an integer"),
    "temperature": (Real, "a number"),
    "top_k": (Integral, "an integer"),
    "top_p": (Real, "a number"),
    "seed": (Integral, "an integer"),
    "stop": (Iterable, "token ids"),
}


class Session(Context):
    """A context that generates. One session is one conversation; each call continues it.

    `past` counts the cached tokens. `finish` tells why the last generation ended: a "stop" token,
    the number of "tokens" asked for, or the cache's "capacity"; None while it runs or when it was
    abandoned.
    """

    def __init__(self, package: Package, threads: int | None = None) -> None:
        super().__init__(package, threads)
        self.finish: Finish | None = None
        # The last token of a generation is known but not cached yet: the next prompt follows it.
        self._pending: list[int] = []

    def truncate(self, past: int) -> None:
        super().truncate(past)
        self._pending = []

    def call(self, entry: str, /, **arguments: Any) -> dict[str, npt.NDArray[Any]]:
        past = self.past
        try:
            outputs = super().call(entry, **arguments)
        finally:
            # Even an interrupted call may have changed what the pending token follows.
            if self.past != past:
                self._pending = []
        self._pending = []
        return outputs

    def generate(self, prompt: str | Sequence[int], **settings: Unpack[Settings]) -> Iterator[str]:
        """prompt → the text that follows it, piece by piece, in whole characters.

        The prompt is appended to the conversation so far.

        Raises CallError at once, before anything runs: prompt empty or too long for what is left
        of the cache, settings out of range.
        """
        start = self.past == 0 and not self._pending
        encode = self.package.tokenizer.encode
        ids = encode(prompt, start=start) if isinstance(prompt, str) else list(prompt)
        return self._text(ids, self.generate_tokens(ids, **settings))

    def chat(
        self, messages: str | Sequence[Mapping[str, object]], **settings: Unpack[Settings]
    ) -> Iterator[str]:
        """messages → the model's answer, piece by piece.

        `messages` is the whole conversation in the usual form (`{"role": ..., "content": ...}`);
        a text stands for one user message. What the cache already holds of it is not computed
        again, so sending a growing conversation costs only its new part.

        Raises as `generate` does; PackageError where the package has no chat template.
        """
        if isinstance(messages, str):
            messages = [{"role": "user", "content": messages}]
        ids = self.package.tokenizer.chat(messages)
        # One token at least must run, for its logits.
        keep = min(_common_prefix(self._cached, ids), max(len(ids) - 1, 0))
        return self._text(ids, self._prepare(ids[keep:], keep, [], settings))

    def generate_tokens(
        self, prompt: Sequence[int] | npt.NDArray[np.integer[Any]], **settings: Unpack[Settings]
    ) -> Iterator[int]:
        """token ids → the token ids that follow, without the stop token. Raises as `generate`."""
        ids = [int(token) for token in prompt]
        return self._prepare(ids, self.past, self._pending, settings)

    def _prepare(
        self, prompt: list[int], past: int, pending: list[int], settings: Settings
    ) -> Iterator[int]:
        manifest = self.package.manifest
        self._check_open()
        _check_settings(settings)
        self._check_prompt(prompt, past, pending)
        count = settings.get("tokens", manifest.defaults.tokens)
        if count < 0:
            raise CallError(f"tokens: expected an integer from 0 on, found {count}")
        sampling = Sampling(
            temperature=settings.get("temperature", manifest.defaults.temperature),
            top_k=settings.get("top_k", 0),
            top_p=settings.get("top_p", 1.0),
            seed=settings.get("seed", manifest.defaults.seed),
        )
        stop = set(settings.get("stop", ()))
        if manifest.tokenizer is not None:
            stop.update(manifest.tokenizer.eos)
        return self._tokens([*pending, *prompt], past, count, Sampler(sampling), stop)

    def _check_prompt(self, prompt: list[int], past: int, pending: list[int]) -> None:
        manifest = self.package.manifest
        entries = manifest.entries
        if not entries.keys() & {"prefill", "decode"}:
            raise CallError(
                f"generate: {manifest.name} has neither of the entry points prefill and decode; "
                "add one to the recipe's entries and build again"
            )
        if not prompt and not pending:
            raise CallError("generate: the prompt is empty; give at least one token")
        used = past + len(pending)
        if used + len(prompt) > manifest.capacity:
            held = f" beside the {used} of the conversation so far" if used else ""
            raise CallError(
                f"generate: the prompt has {len(prompt)} tokens, which do not fit{held} in the "
                f"cache of {manifest.capacity}; shorten it, "
                + ("reset or truncate the session, " if used else "")
                + f"or build the package with shapes.past.max={used + len(prompt)} or more"
            )
        entry = entries.get("prefill") or entries["decode"]
        for tensor in entry.inputs:
            if tensor.name == TOKENS and tensor.values is not None:
                low, high = tensor.values
                for token in prompt:
                    if not low <= token <= high:
                        raise CallError(
                            f"generate: the prompt holds token {token}, which is outside "
                            f"{low}..{high}"
                        )

    def _tokens(
        self, prompt: list[int], past: int, count: int, sampler: Sampler, stop: set[int]
    ) -> Iterator[int]:
        self.finish = None
        if count == 0:
            # The prompt still joins the conversation, as with any other count.
            self._feed(prompt, past)
            self.finish = "tokens"
            return
        fresh = prompt
        for produced in range(1, count + 1):
            logits = self._feed(fresh, past)
            past += len(fresh)
            token = sampler.choose(logits)
            if token in stop:
                self.finish = "stop"
                return
            self._pending = [token]
            full = past == self.package.manifest.capacity
            if produced == count or full:
                self.finish = "tokens" if produced == count else "capacity"
                yield token
                return
            yield token
            if self.past != past or self._pending != [token]:
                raise CallError(
                    "generate: another call changed this session's cache meanwhile; "
                    "use one session for each conversation"
                )
            fresh = [token]

    def _feed(self, ids: list[int], past: int) -> npt.NDArray[Any]:
        """Runs `ids` at positions past.. in chunks; gives the logits of the last one."""
        entries, bounds = self.package.manifest.entries, self.package.manifest.dims
        low, high = bounds[NEW] if "prefill" in entries and NEW in bounds else (2, 1)
        done = 0
        while True:
            chunk = ids[done : done + high]
            # decode is the kernel for one token; prefill stands in where a package has none.
            if "decode" in entries and (len(chunk) == 1 or len(chunk) < low):
                chunk = chunk[:1]
                entry = "decode"
            else:
                entry = "prefill"
            outputs = self.call(entry, tokens=np.array([chunk], np.int64), m=past + done)
            done += len(chunk)
            if done == len(ids):
                logits: npt.NDArray[Any] = outputs["logits"].reshape(-1)
                return logits

    def _text(self, prompt: Sequence[int], tokens: Iterator[int]) -> Iterator[str]:
        return _pieces(TextStream(self.package.tokenizer, prompt), tokens)


def _pieces(stream: TextStream, tokens: Iterator[int]) -> Iterator[str]:
    for token in tokens:
        if piece := stream.push(token):
            yield piece


def _check_settings(settings: Settings) -> None:
    for name, value in settings.items():
        if name not in _KINDS:
            raise CallError(f"{name}: unknown setting of generation; known are {', '.join(_KINDS)}")
        kind, words = _KINDS[name]
        if not isinstance(value, kind):
            raise CallError(f"{name}: expected {words}, found {value!r:.60}")


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))
