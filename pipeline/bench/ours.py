"""The worker that runs a package: `python -m pipeline.bench.ours`."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from pipeline.bench.channel import peak_bytes, serve
from pipeline.runtime import Package, Session


class Ours:
    """One package, loaded once in this process; what `peer` does, with our runtime."""

    def load(self, folder: str, threads: int) -> dict[str, Any]:
        """From nothing to a session that can take text: code, weights, cache, tokenizer."""
        start = time.perf_counter()
        package = Package(folder)
        session = Session(package, threads=threads)
        if package.manifest.tokenizer is not None:
            _ = package.tokenizer
        seconds = time.perf_counter() - start
        self.session = session
        entry = package.manifest.entries["prefill"]
        self.longest = package.manifest.dims["n"][1]
        return {
            "seconds": seconds,
            "capacity": package.manifest.capacity,
            "vocabulary": entry.outputs[0].shape[-1].evaluate({}),
            "setting": package.level.level,
        }

    def prefill(self, ids: list[int]) -> float:
        """Seconds from an empty cache to the last token's logits."""
        tokens = np.array([ids], np.int32)
        self.session.reset()
        start = time.perf_counter()
        for first in range(0, len(ids), self.longest):
            chunk = tokens[:, first : first + self.longest]
            self.last = self.session.call("prefill", tokens=chunk)["logits"].reshape(-1)
        return time.perf_counter() - start

    def decode(self, context: int, steps: int) -> float:
        """Seconds for greedy steps behind the first `context` tokens of the last prefill."""
        token = int(self.last.argmax())
        start = time.perf_counter()
        for past in range(context, context + steps):
            step = np.array([[token]], np.int32)
            logits = self.session.call("decode", tokens=step, m=past)["logits"]
            token = int(logits.argmax())
        return time.perf_counter() - start

    def logits(self) -> list[float]:
        """What the last prefill gave."""
        values: list[float] = self.last.tolist()
        return values


def main() -> None:
    """Serves the worker's operations."""
    engine = Ours()
    serve(
        {
            "load": engine.load,
            "prefill": engine.prefill,
            "decode": engine.decode,
            "logits": engine.logits,
            "peak_bytes": peak_bytes,
        }
    )


if __name__ == "__main__":
    main()
