"""Measures a package, and other engines on the same model, in one run and in turns."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipeline.bench.engine import BenchError, Engine
from pipeline.bench.timing import Spread, in_turns, spread
from pipeline.bench.work import Work

Record = dict[str, Any]
OURS = "ours"
LLAMA_CPP = "llama.cpp"
_ALIKE = 0.95  # cosine of two engines' logits below which they hardly run the same model
_BUSY = 0.5  # CPUs that others may use before figures are not to be trusted


@dataclass(frozen=True)
class Candidate:
    """An engine in one of its settings: the worker's module, its interpreter, how it loads. Of
    several settings of an engine the best counts, case by case."""

    engine: str
    module: str
    python: str
    load: Mapping[str, Any]

    def start(self) -> Engine:
        """A process of its own, with nothing loaded."""
        return Engine(self.engine, self.module, self.python)


@dataclass(frozen=True)
class Cases:
    """What is measured: prompts of `tokens`, `steps` greedy steps behind `contexts`."""

    tokens: Sequence[int] = (128, 512)
    contexts: Sequence[int] = (16, 128, 1024)
    steps: int = 32
    threads: Sequence[int] = (1, 2)
    repeats: int = 5


@dataclass
class Comparison:
    """One run; the first candidate is ours. `work` gives the fractions of the machine's limits,
    where it is known; `int8` says whether the package computes in int8, which the limit of prefill
    is about."""

    candidates: Sequence[Candidate]
    cases: Cases
    work: Work | None
    int8: bool
    note: Callable[[str], None]
    _limits: dict[str, float] = field(init=False, default_factory=dict)

    def run(self) -> list[Record]:
        """The records of everything, machine first.

        Raises BenchError.
        """
        from pipeline.bench.machine import facts

        busy = os.getloadavg()[0]
        if busy > _BUSY:
            self.note(f"other work is running (load {busy:.1f}): the figures will be off")
        records: list[Record] = [{"engine": "machine", "name": "cpu"} | facts()]
        for threads in self.cases.threads:
            records += self._machine(threads)
            records += self._loads(threads)
            records += self._speeds(threads, check=threads == self.cases.threads[0])
        return records

    def _machine(self, threads: int) -> Iterator[Record]:
        self.note(f"threads={threads}: the machine's limits")
        with Engine("machine", "pipeline.bench.machine") as machine:
            for name, scale, unit in (
                ("read_rate", 1e9, "GB/s"),
                ("int8_rate", 1e9, "Gop/s"),
            ):
                rate = machine.ask(name, threads=threads)
                self._limits.pop(name, None)
                if rate is not None:
                    self._limits[name] = rate
                    yield _record("machine", name, threads, _figure(rate / scale), unit)

    def _loads(self, threads: int) -> Iterator[Record]:
        self.note(f"threads={threads}: load")

        def load(candidate: Candidate) -> float:
            with candidate.start() as engine:
                return float(engine.ask("load", threads=threads, **candidate.load)["seconds"])

        measures = {
            str(index): partial(load, candidate) for index, candidate in enumerate(self.candidates)
        }
        results = in_turns(measures, self.cases.repeats)
        yield from self._best(
            "load_s", threads, "s", [spread(values) for values in results.values()], higher=False
        )

    def _speeds(self, threads: int, check: bool) -> Iterator[Record]:
        cases = self.cases
        with ExitStack() as stack:
            engines = [stack.enter_context(candidate.start()) for candidate in self.candidates]
            loaded = [
                engine.ask("load", threads=threads, **candidate.load)
                for engine, candidate in zip(engines, self.candidates, strict=True)
            ]
            settings = [facts["setting"] for facts in loaded]
            capacity = min(facts["capacity"] for facts in loaded)
            vocabulary = min(facts["vocabulary"] for facts in loaded)
            # Any tokens do: time does not depend on them. These are spread over the vocabulary.
            ids = [(7919 * index + 11) % vocabulary for index in range(capacity)]
            for tokens in cases.tokens:
                if tokens > capacity:
                    self._too_long(f"tokens={tokens}", tokens, capacity)
                    continue
                self.note(f"threads={threads}: prefill of {tokens} tokens")
                rates = _rates(engines, tokens, "prefill", cases.repeats, ids=ids[:tokens])
                yield from self._best(
                    "prefill_tok_s",
                    threads,
                    "tok/s",
                    rates,
                    settings=settings,
                    case={"tokens": tokens},
                    limit=self._prefill_limit(tokens),
                )
            for context in cases.contexts:
                if context + cases.steps > capacity:
                    self._too_long(f"context={context}", context + cases.steps, capacity)
                    continue
                self.note(f"threads={threads}: decode behind {context} tokens")
                for engine in engines:
                    engine.ask("prefill", ids=ids[:context])
                rates = _rates(
                    engines,
                    cases.steps,
                    "decode",
                    cases.repeats,
                    context=context,
                    steps=cases.steps,
                )
                yield from self._best(
                    "decode_tok_s",
                    threads,
                    "tok/s",
                    rates,
                    settings=settings,
                    case={"context": context},
                    limit=self._decode_limit(),
                )
            peaks = [spread([engine.ask("peak_bytes") / 2**20]) for engine in engines]
            yield from self._best(
                "peak_rss_mib", threads, "MiB", peaks, settings=settings, higher=False
            )
            if check:
                yield from self._agreement(engines, ids[: min(*cases.tokens, capacity)])
                versions = {
                    candidate.engine: facts["version"]
                    for candidate, facts in zip(self.candidates, loaded, strict=True)
                    if "version" in facts
                }
                for name, version in versions.items():
                    yield {"engine": name, "name": "version", "value": version, "unit": ""}

    def _best(
        self,
        name: str,
        threads: int,
        unit: str,
        spreads: Sequence[Spread],
        *,
        settings: Sequence[str] | None = None,
        higher: bool = True,
        case: Mapping[str, int] | None = None,
        limit: float | None = None,
    ) -> Iterator[Record]:
        """One record an engine: of its best setting in this case."""
        for engine in dict.fromkeys(candidate.engine for candidate in self.candidates):
            mine = [i for i, other in enumerate(self.candidates) if other.engine == engine]
            choose = max if higher else min
            best = choose(mine, key=lambda index: spreads[index].median)
            value = spreads[best]
            record = _record(engine, name, threads, _figure(value.median), unit, case)
            record |= {
                "min": _figure(value.low),
                "max": _figure(value.high),
                "repeats": value.repeats,
            }
            if settings is not None:
                record["setting"] = settings[best]
            if limit is not None:
                record["of_limit"] = _figure(value.median / limit)
            yield record

    def _prefill_limit(self, tokens: int) -> float | None:
        rate = self._limits.get("int8_rate")
        if self.work is None or rate is None or not self.int8:
            return None
        return tokens * rate / self.work.operations(tokens)

    def _decode_limit(self) -> float | None:
        rate = self._limits.get("read_rate")
        return None if self.work is None or rate is None else rate / self.work.bytes_read

    def _too_long(self, case: str, needed: int, capacity: int) -> None:
        self.note(
            f"{case} is left out: it needs a cache of {needed} tokens and the package has "
            f"{capacity}; give shapes.past.max={needed} or more"
        )

    def _agreement(self, engines: Sequence[Engine], ids: list[int]) -> Iterator[Record]:
        """Whether another engine runs the same model: a wrong one may be quick."""
        others = [e for e in engines if e.name != OURS]
        if not others:
            return
        ours, theirs = engines[0], others[0]
        for engine in (ours, theirs):
            engine.ask("prefill", ids=ids)
        alike = _cosine(ours.ask("logits"), theirs.ask("logits"))
        if not alike >= _ALIKE:
            self.note(
                f"{ours.name} and {theirs.name} give different logits (cosine {alike:.3f}): "
                "they hardly run the same model, so do not compare their speed"
            )
        case = {"tokens": len(ids)}
        record = _record(OURS, "logits_cosine", self.cases.threads[0], _figure(alike), "", case)
        yield record | {"against": theirs.name}


def _rates(
    engines: Sequence[Engine], count: int, operation: str, repeats: int, **arguments: Any
) -> list[Spread]:
    """Tokens a second, of all engines in turns; only one of them is awake at a time."""

    def measure(index: int) -> float:
        for other in engines:
            if other is not engines[index]:
                other.settle()
        return count / float(engines[index].ask(operation, **arguments))

    results = in_turns({str(i): partial(measure, i) for i in range(len(engines))}, repeats)
    return [spread(values) for values in results.values()]


def _record(
    engine: str,
    name: str,
    threads: int,
    value: float,
    unit: str,
    case: Mapping[str, int] | None = None,
) -> Record:
    record: Record = {"engine": engine, "name": name, **(case or {}), "threads": threads}
    return record | {"value": value, "unit": unit}


def _figure(value: float) -> float:
    """Six digits: more than repeats agree on."""
    return float(f"{value:.6g}")


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    if len(left) != len(right):
        raise BenchError(
            f"the engines' vocabularies differ: {len(left)} and {len(right)} tokens; "
            "they do not run the same model"
        )
    lengths = math.sqrt(_product(left, left) * _product(right, right))
    return _product(left, right) / lengths if lengths else math.nan


def _product(left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b for a, b in zip(left, right, strict=True))
