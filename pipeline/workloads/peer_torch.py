"""The worker that runs a case in PyTorch: `python -m pipeline.workloads.peer_torch`.

It runs under an interpreter that has numpy and torch, and need not have anything else of ours.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pipeline.bench.channel import serve
from pipeline.workloads.arrays import read_array, write_array
from pipeline.workloads.peer_steps import Step, dtype_of, matrix_form, steps_of

Run = Callable[..., Any]
# What torch calls as this project does.
_SAME = ("relu", "add", "sub", "mul", "div", "neg", "exp", "log", "sqrt", "rsqrt", "sin", "cos",
         "tanh", "sigmoid")  # fmt: skip
_NARROW = {"float16": "f16", "bfloat16": "bf16"}  # the last is the least precise
_BLOCK = 32  # numbers that `quantise_blocks` gives one scale


class Torch:
    """One case, its tensors in place, called over and over.

    Tensors have the shapes that the case says. Where windows slide, `channels_last` says how they
    lie in memory, which torch looks at: the better of the two counts.
    """

    def version(self, engine: str) -> str:
        """The version of torch; a refusal where it is not installed."""
        return str(importlib.import_module(engine).__version__)

    def load(
        self,
        case: Mapping[str, Any],
        threads: int,
        inputs: Mapping[str, str],
        sizes: Mapping[str, int],
        channels_last: bool,
    ) -> dict[str, Any]:
        """Reads the inputs and prepares the calls."""
        self.torch: Any = importlib.import_module("torch")
        self.functional: Any = self.torch.nn.functional
        self.torch.set_num_threads(threads)
        self.torch.set_num_interop_threads(1)
        self.torch.set_grad_enabled(False)
        steps = steps_of(case)
        slides = any(step.slides or step.operator == "capsule_conv" for step in steps)
        if channels_last and not slides:
            return {"setting": None}
        self.values: dict[str, Any] = {}
        for name, path in inputs.items():
            tensor = self.torch.from_numpy(read_array(path))
            bits = dtype_of(case, name) == "bf16"
            self.values[name] = tensor.view(self.torch.bfloat16) if bits else tensor
        self.channels_last = channels_last
        self.calls = [(self._prepared(step), step.inputs, step.output) for step in steps]
        self.out = steps[-1].output
        self._once()  # what torch cannot run, it refuses here
        setting = "channels last" if channels_last else "channels first"
        return {"setting": setting if slides else "contiguous"}

    def run(self, count: int) -> float:
        """Seconds of so many calls, one after the other."""
        start = time.perf_counter()
        for _ in range(count):
            self._once()
        return time.perf_counter() - start

    def results(self, paths: Sequence[str]) -> list[str]:
        """Writes the results of a run into files; gives the least precise element type on the way
        to each."""
        result = self._once()
        found = result if isinstance(result, tuple) else (result,)
        for path, tensor in zip(paths, found, strict=True):
            wide = tensor.float() if tensor.is_floating_point() else tensor
            write_array(path, wide.contiguous().numpy())
        made = [self.values[output] for _, _, output in self.calls]
        types = {str(tensor.dtype) for tensor in made if not isinstance(tensor, tuple)}
        narrow = [name for kind, name in _NARROW.items() if f"torch.{kind}" in types]
        return [narrow[-1] if narrow else "f32"] * len(paths)

    def _once(self) -> Any:
        values = self.values
        for function, names, output in self.calls:
            values[output] = function(*[values[name] for name in names])
        return values[self.out]

    def _prepared(self, step: Step) -> Run:
        """The function that runs a step."""
        if step.slides:
            return self._sliding(step)
        if step.operator == "contract":
            return self._contract(step)
        if step.operator == "attention":
            return self._attention(step)
        if step.operator == "capsule_conv":
            return self._capsules(step)
        torch, attributes = self.torch, step.attributes
        if step.operator in _SAME:
            return getattr(torch, step.operator)  # type: ignore[no-any-return]
        if step.operator == "matmul" and step.inputs[0] in self.values:
            # A product has one element type; weights are widened beforehand.
            x, w = step.inputs
            self.values[w] = self.values[w].to(self.values[x].dtype)
        table: dict[str, Run] = {
            "matmul": self.functional.linear,
            "gather": lambda table, ids: self.functional.embedding(
                ids, table[: attributes.get("rows") or len(table)]
            ),
            "scatter_add": lambda x, ids, y: torch.index_add(x, 0, ids, y),
            "quantise_blocks": lambda x: self._quantised(x, attributes.get("sums", _BLOCK)),
            "softmax": lambda x: torch.softmax(x, -1),
            "max": torch.maximum, "min": torch.minimum,
            "rms_norm": lambda x, w: self.functional.rms_norm(
                x, w.shape, w, attributes["eps"]
            ),
            "layer_norm": lambda x, w, b: self.functional.layer_norm(
                x, w.shape, w, b, attributes["eps"]
            ),
            "reduce_sum": lambda x: torch.sum(
                x, attributes["axis"], keepdim=attributes.get("keep", False)
            ),
            "reduce_max": lambda x: torch.amax(
                x, attributes["axis"], keepdim=attributes.get("keep", False)
            ),
            "concat": lambda *parts: torch.cat(parts, attributes.get("axis", 0)),
            "l2_norm": lambda x: torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim))),
            "argmax": lambda x: torch.argmax(x, attributes["axis"]),
            "transpose": lambda x: x.permute(attributes["axes"]).contiguous(),
        }  # fmt: skip
        if step.operator not in table:
            raise RuntimeError(f"torch is not told how to run {step.operator}")
        return table[step.operator]

    def _contract(self, step: Step) -> Run:
        torch, equation = self.torch, step.attributes["equation"]
        form, (a, b) = matrix_form(equation), [self.values[name] for name in step.inputs]
        if form is None or a.dtype == torch.bfloat16:
            # bfloat16 is summed in float32 and rounded once at the end: the nearest there is.
            return lambda a, b: torch.einsum(equation, a, b)
        left, right = (b, a) if form.swapped else (a, b)
        rows, columns = left.shape[form.transpose_a], right.shape[1 - form.transpose_b]
        out = torch.empty((rows, columns), dtype=a.dtype if a.is_floating_point() else torch.int32)
        multiply = torch.mm if a.is_floating_point() else torch._int_mm

        def run(a: Any, b: Any) -> Any:
            left, right = (b, a) if form.swapped else (a, b)
            left = left.t() if form.transpose_a else left
            return multiply(left, right.t() if form.transpose_b else right, out=out)

        return run

    def _attention(self, step: Step) -> Run:
        """Scaled dot products over what the caches hold, heads first, in float32."""
        torch, (q, keys, values, past) = self.torch, [self.values[name] for name in step.inputs]
        (filled,) = past.tolist()
        seen, count = filled + q.shape[1], q.shape[1]
        for name, tensor in zip(step.inputs, (q, keys[:, :seen], values[:, :seen]), strict=False):
            self.values[name] = tensor.float().permute(0, 2, 1, 3).contiguous()
        mask = torch.ones(count, seen, dtype=torch.bool).tril(filled)

        def run(q: Any, keys: Any, values: Any, past: Any) -> Any:
            product = self.functional.scaled_dot_product_attention
            scale = step.attributes["scale"]
            y = product(q, keys, values, attn_mask=mask, scale=scale, enable_gqa=True)
            return y.permute(0, 2, 1, 3)

        return run

    def _quantised(self, x: Any, step: int) -> Any:
        """Codes of 8 bits, the scale of each block, and their products summed `step` at a time."""
        blocks = x.unflatten(1, (-1, _BLOCK))
        scale = blocks.abs().amax(2, keepdim=True) / 127
        codes = (blocks / scale.clamp_min(1e-30)).round()
        sums = (codes * scale).flatten(1).unflatten(1, (-1, step)).sum(2)
        return codes.flatten(1).to(self.torch.int8), scale.squeeze(2), sums

    def _capsules(self, step: Step) -> Run:
        """A convolution of images, one a row of each matrix, with a channel a place in the row."""
        x, w = (self.values[name] for name in step.inputs)
        (batch, _, _, rows, *_), (*_, columns, _, channels) = x.shape, w.shape
        image = x.permute(0, 3, 4, 5, 1, 2).flatten(2, 3).flatten(0, 1)
        window = w.permute(3, 5, 2, 4, 0, 1).flatten(2, 3).flatten(0, 1)
        for name, tensor in zip(step.inputs, (image, window), strict=True):
            self.values[name] = self._placed(tensor, 2)
        call = self._window_call(step, 2)

        def run(image: Any, window: Any) -> Any:
            y = call(image, window)
            y = y.unflatten(0, (batch, rows)).unflatten(2, (columns, channels))
            return y.permute(0, 4, 5, 1, 2, 3)

        return run

    def _sliding(self, step: Step) -> Run:
        """A convolution or pooling: torch's own shapes have the channels first."""
        count = self.values[step.inputs[0]].ndim - 2
        first, back = (0, count + 1, *range(1, count + 1)), (0, *range(2, count + 2), 1)
        name = step.inputs[0]
        x = self.values[name] if step.channels_first else self.values[name].permute(first)
        x = self._placed(x, count)
        self.values[name] = x if step.channels_first else x.permute(back)
        for weight in step.inputs[1:]:
            self.values[weight] = self._placed(self._weights(step, weight, count), count)
        call = self._window_call(step, count)

        def run(x: Any, *weights: Any) -> Any:
            x = x if step.channels_first else x.permute(first)
            y = call(x, *weights)
            return y if step.channels_first else y.permute(back)

        return run

    def _placed(self, tensor: Any, count: int) -> Any:
        """The tensor, channels first, in the memory format of this setting."""
        formats = {2: self.torch.channels_last, 3: self.torch.channels_last_3d}
        if self.channels_last and count in formats:
            return tensor.contiguous(memory_format=formats[count])
        return tensor.contiguous()

    def _weights(self, step: Step, name: str, count: int) -> Any:
        tensor = self.values[name]
        if step.channels_first:
            return tensor
        taps = range(count)
        order = (count + 1, count) if step.operator == "conv" else (count, count + 1)
        return tensor.permute(*order, *taps)

    def _window_call(self, step: Step, count: int) -> Run:
        """torch's function for a step, which has a padding of its own where margins are uneven."""
        margins = step.margins(count)
        if all(before == after for before, after in margins):
            return self._even_call(step, count, [before for before, _ in margins])
        if step.operator == "conv_transposed":
            raise RuntimeError("torch cuts the margins of a transposed convolution evenly")
        call = self._even_call(step, count, [0] * count)
        pads = [pad for pair in reversed(margins) for pad in pair]
        fill = -math.inf if step.operator == "max_pool" else 0.0
        return lambda x, *weights: call(self.functional.pad(x, pads, value=fill), *weights)

    def _even_call(self, step: Step, count: int, padding: list[int]) -> Run:
        f, stride, kind = self.functional, step.numbers("stride", count, 1), f"{count}d"
        if step.operator in ("conv", "capsule_conv"):
            return partial(
                getattr(f, f"conv{kind}"),
                stride=stride,
                padding=padding,
                dilation=step.numbers("dilation", count, 1),
                groups=step.attributes.get("groups", 1),
            )
        if step.operator == "conv_transposed":
            return partial(
                getattr(f, f"conv_transpose{kind}"),
                stride=stride,
                padding=padding,
                output_padding=step.numbers("surplus", count, 0),
            )
        window = list(step.attributes["window"])
        return partial(
            getattr(f, f"{step.operator}{kind}"), kernel_size=window, stride=stride, padding=padding
        )


def main() -> None:
    """Serves the worker's operations."""
    engine = Torch()
    serve(
        {
            "version": engine.version,
            "load": engine.load,
            "run": engine.run,
            "results": engine.results,
        }
    )


if __name__ == "__main__":
    main()
