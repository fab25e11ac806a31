"""The worker that runs llama.cpp: `python -m pipeline.bench.peer`, with numpy and llama_cpp alone.

It calls llama.cpp's own interface as llama_cpp declares it, without llama_cpp's Python on top.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import numpy as np

from pipeline.bench.channel import peak_bytes, serve

_BATCH = 512  # tokens: llama.cpp's default for a physical batch, and the longest prompt measured


class Peer:
    """One model file, loaded once in this process; what `ours` does, with llama.cpp."""

    def version(self) -> str:
        """The version of llama-cpp-python; a refusal where it is not installed."""
        return str(importlib.import_module("llama_cpp").__version__)

    def load(self, model: str, threads: int, capacity: int, flash: bool) -> dict[str, Any]:
        """From nothing to a context that can take text: weights mapped, cache, vocabulary."""
        self.api: Any = importlib.import_module("llama_cpp")
        api = self.api
        start = time.perf_counter()
        api.llama_backend_init()
        options = api.llama_model_default_params()
        options.n_gpu_layers = 0
        if hasattr(options, "use_mmap"):
            options.use_mmap = True
        else:
            options.load_mode = api.LLAMA_LOAD_MODE_MMAP
        self.model = api.llama_model_load_from_file(model.encode(), options)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {model}")
        settings = api.llama_context_default_params()
        settings.n_ctx = capacity
        settings.n_batch = settings.n_ubatch = _BATCH
        settings.n_threads = settings.n_threads_batch = threads
        settings.flash_attn_type = (
            api.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self.context = api.llama_init_from_model(self.model, settings)
        if not self.context:
            raise RuntimeError(f"llama.cpp makes no context of {capacity} tokens")
        seconds = time.perf_counter() - start
        self.memory = api.llama_get_memory(self.context)
        self.batch = api.llama_batch_init(_BATCH, 0, 1)
        vocabulary = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.vocabulary = int(vocabulary)
        return {
            "seconds": seconds,
            "capacity": int(api.llama_n_ctx(self.context)),
            "vocabulary": self.vocabulary,
            "setting": f"flash attention {'on' if flash else 'off'}",
            "version": f"llama-cpp-python {self.version()}",
        }

    def prefill(self, ids: list[int]) -> float:
        """Seconds from an empty cache to the last token's logits."""
        self.api.llama_memory_clear(self.memory, True)
        start = time.perf_counter()
        for first in range(0, len(ids), _BATCH):
            self._run(ids[first : first + _BATCH], first, len(ids))
        self.last = self._logits().copy()
        return time.perf_counter() - start

    def decode(self, context: int, steps: int) -> float:
        """Seconds for greedy steps behind the first `context` tokens of the last prefill."""
        self.api.llama_memory_seq_rm(self.memory, 0, context, -1)
        token = int(self.last.argmax())
        start = time.perf_counter()
        for past in range(context, context + steps):
            self._run([token], past, past + 1)
            token = int(self._logits().argmax())
        return time.perf_counter() - start

    def logits(self) -> list[float]:
        """What the last prefill gave."""
        values: list[float] = self.last.tolist()
        return values

    def _run(self, ids: list[int], first: int, end: int) -> None:
        """Appends tokens at positions first..; logits are asked for position end - 1 alone."""
        batch = self.batch
        batch.n_tokens = len(ids)
        for index, token in enumerate(ids):
            batch.token[index] = token
            batch.pos[index] = first + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = first + index == end - 1
        code = self.api.llama_decode(self.context, batch)
        if code:
            raise RuntimeError(f"llama_decode gave {code} for {len(ids)} tokens after {first}")

    def _logits(self) -> Any:
        pointer = self.api.llama_get_logits_ith(self.context, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.vocabulary,))


def main() -> None:
    """Serves the worker's operations."""
    engine = Peer()
    serve(
        {
            "version": engine.version,
            "load": engine.load,
            "prefill": engine.prefill,
            "decode": engine.decode,
            "logits": engine.logits,
            "peak_bytes": peak_bytes,
        }
    )


if __name__ == "__main__":
    main()
