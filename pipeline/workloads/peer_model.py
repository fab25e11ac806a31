"""A case as an ONNX model. It needs numpy and onnx, and nothing of ours but `peer_steps`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.workloads.peer_steps import Step, dtype_of, matrix_form, steps_of

Array = npt.NDArray[Any]
_OPSET = 21
_PLAIN = {
    "relu": "Relu", "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max",
    "min": "Min", "neg": "Neg", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin",
    "cos": "Cos", "tanh": "Tanh", "sigmoid": "Sigmoid", "gather": "Gather",
}  # fmt: skip
_WINDOWS = {"conv": "Conv", "conv_transposed": "ConvTranspose", "max_pool": "MaxPool",
            "avg_pool": "AveragePool"}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A serialised model with its inputs, and how its tensors differ from the case's: ONNX has
    the channels first where windows slide."""

    text: bytes
    inputs: Mapping[str, Array]
    channels_first: bool
    bf16: bool

    def restored(self, result: Array) -> Array:
        """A result of the model in the layout that the case has."""
        return np.moveaxis(result, 1, -1) if self.channels_first else result


def build(case: Mapping[str, Any], arrays: Mapping[str, Array]) -> Model:
    """Raises RuntimeError for an operator that ONNX has no form of, as far as this module knows."""
    steps = steps_of(case)
    moved = any(step.slides and not step.channels_first for step in steps)
    bf16 = any(dtype_of(case, name) == "bf16" for name in arrays)
    rank = max(array.ndim for array in arrays.values())
    given = dict(arrays)
    if moved:
        weights = {name for step in steps if step.slides for name in step.inputs[1:]}
        for name, array in arrays.items():
            if name in weights:
                step = next(step for step in steps if name in step.inputs)
                given[name] = _weights(step.operator, array)
            elif array.ndim == rank:
                given[name] = np.moveaxis(array, -1, 1)
            elif array.ndim == 1:  # of the channels
                given[name] = array.reshape(-1, *[1] * (rank - 2))
        given = {name: np.ascontiguousarray(array) for name, array in given.items()}
    return _Builder(case, given, moved, bf16).model(steps)


def _weights(operator: str, w: Array) -> Array:
    """[taps.., ci, co] as ONNX has them."""
    if operator == "conv":
        return np.moveaxis(w, (-1, -2), (0, 1))
    return np.moveaxis(w, (-2, -1), (0, 1))


class _Builder:
    def __init__(
        self, case: Mapping[str, Any], arrays: Mapping[str, Array], moved: bool, bf16: bool
    ) -> None:
        self.onnx: Any = importlib.import_module("onnx")
        self.case, self.arrays, self.moved, self.bf16 = case, arrays, moved, bf16
        self.nodes: list[Any] = []

    def model(self, steps: list[Step]) -> Model:
        helper, proto = self.onnx.helper, self.onnx.TensorProto
        for step in steps:
            self.step(step)
        constants, inputs = [], []
        for name, array in self.arrays.items():
            kind = self.kind(name)
            if name in self.case["constant"]:
                constants.append(
                    helper.make_tensor(name, kind, array.shape, array.tobytes(), raw=True)
                )
            else:
                inputs.append(helper.make_tensor_value_info(name, kind, array.shape))
        whole = self.bytes_only()
        out = helper.make_tensor_value_info("out", proto.INT32 if whole else proto.FLOAT, None)
        graph = helper.make_graph(self.nodes, self.case["name"], inputs, [out], constants)
        opsets = [helper.make_opsetid("", _OPSET)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        free = {n: a for n, a in self.arrays.items() if n not in self.case["constant"]}
        return Model(made.SerializeToString(), free, self.moved, self.bf16)

    def kind(self, name: str) -> int:
        proto = self.onnx.TensorProto
        kinds = {
            "f32": proto.FLOAT, "bf16": proto.BFLOAT16, "f16": proto.FLOAT16, "i8": proto.INT8,
            "u8": proto.UINT8, "i32": proto.INT32,
        }  # fmt: skip
        return int(kinds[dtype_of(self.case, name)])

    def bytes_only(self) -> bool:
        return all(dtype_of(self.case, name) in ("i8", "u8") for name in self.arrays)

    def node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output

    def widened(self, name: str) -> str:
        """An input of 16 bits in 32: a product has one element type."""
        if name not in self.arrays or dtype_of(self.case, name) != "f16":
            return name
        return self.node("Cast", [name], f"{name} in float", to=self.onnx.TensorProto.FLOAT)

    def step(self, step: Step) -> None:
        inputs, attributes, rank = list(step.inputs), step.attributes, 0
        if step.slides:
            self.sliding(step)
        elif step.operator in _PLAIN:
            self.node(_PLAIN[step.operator], inputs, step.output)
        elif step.operator == "contract":
            self.contract(step)
        elif step.operator == "matmul":
            widened = [self.widened(name) for name in inputs]
            self.node("Gemm", widened, step.output, transB=1)
        elif step.operator == "softmax":
            self.node("Softmax", inputs, step.output, axis=-1)
        elif step.operator == "layer_norm":
            self.node("LayerNormalization", inputs, step.output, epsilon=attributes["eps"])
        elif step.operator == "transpose":
            self.node("Transpose", inputs, step.output, perm=attributes["axes"])
        elif step.operator == "l2_norm":
            rank = self.arrays[inputs[0]].ndim
            axes = self.node("Constant", [], "axes", value_ints=list(range(1, rank)))
            self.node("ReduceL2", [*inputs, axes], step.output, keepdims=0)
        else:
            raise RuntimeError(f"the model is not told how to write {step.operator}")

    def contract(self, step: Step) -> None:
        a, b = step.inputs
        equation = step.attributes["equation"]
        form = matrix_form(equation)
        result = f"{step.output} in bfloat16" if self.bf16 else step.output
        if self.bytes_only():
            if form is None or form.swapped or form.transpose_a or form.transpose_b:
                raise RuntimeError(f"ONNX multiplies bytes as mk,kn->mn only, not {equation}")
            self.node("MatMulInteger", [a, b], result)
        elif form is not None and not self.bf16:
            left, right = (b, a) if form.swapped else (a, b)
            transposed = {"transA": int(form.transpose_a), "transB": int(form.transpose_b)}
            self.node("Gemm", [left, right], result, **transposed)
        elif equation.replace(" ", "") in ("mk,kn->mn", "bmk,bkn->bmn"):
            self.node("MatMul", [a, b], result)
        else:
            self.node("Einsum", [a, b], result, equation=equation)
        if self.bf16:
            self.node("Cast", [result], step.output, to=self.onnx.TensorProto.FLOAT)

    def sliding(self, step: Step) -> None:
        count = self.arrays[step.inputs[0]].ndim - 2
        pads = step.margins(count)
        attributes: dict[str, Any] = {
            "strides": step.numbers("stride", count, 1),
            "pads": [before for before, _ in pads] + [after for _, after in pads],
        }
        kind = _WINDOWS[step.operator]
        if step.operator == "conv":
            attributes["dilations"] = step.numbers("dilation", count, 1)
            attributes["group"] = step.attributes.get("groups", 1)
            kind = "ConvInteger" if self.bytes_only() else kind
        elif step.operator == "conv_transposed":
            attributes["output_padding"] = step.numbers("surplus", count, 0)
        else:
            attributes["kernel_shape"] = list(step.attributes["window"])
            if step.operator == "avg_pool":
                attributes["count_include_pad"] = 1
        self.node(kind, list(step.inputs), step.output, **attributes)
