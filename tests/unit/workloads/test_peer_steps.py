"""What peers are told of a case."""

from __future__ import annotations

import pytest

from pipeline.workloads.peer_steps import MatrixForm, Step, dtype_of, matrix_form, steps_of
from pipeline.workloads.schema import Case

CASE = Case.model_validate(
    {
        "name": "one",
        "operator": "conv",
        "attributes": {"padding": [1, [0, 2]], "stride": [2, 1]},
        "inputs": {"x": "f32[1, 8, 8, 3]", "w": "f32[3, 3, 3, 4]", "shift": "bf16[4]"},
        "constant": ["w"],
        "epilogue": [{"operator": "add", "with": ["shift"]}, {"operator": "relu"}],
    }
).data()


def test_steps_chain_results() -> None:
    conv, add, relu = steps_of(CASE)
    assert (conv.operator, conv.inputs, conv.output) == ("conv", ("x", "w"), "result 0")
    assert (add.inputs, relu.inputs, relu.output) == (("result 0", "shift"), ("result 1",), "out")
    assert conv.slides and not add.slides and not conv.channels_first
    assert conv.numbers("stride", 2, 1) == [2, 1] and conv.numbers("dilation", 2, 1) == [1, 1]
    assert conv.margins(2) == [(1, 1), (0, 2)] and relu.margins(2) == [(0, 0), (0, 0)]
    assert dtype_of(CASE, "shift") == "bf16"
    assert Step("conv", (), {"layout": "first"}, "out").channels_first


@pytest.mark.parametrize(
    ("equation", "form"),
    [
        ("mk,kn->mn", MatrixForm(False, False, False)),
        ("mk,nk->mn", MatrixForm(False, True, False)),
        ("km, kn -> mn", MatrixForm(True, False, False)),
        ("mk,kn->nm", MatrixForm(True, True, True)),
        ("bmk,bkn->bmn", None),
        ("mk,kn->mnk", None),
        ("mn,mn->mn", None),
    ],
)
def test_matrix_forms(equation: str, form: MatrixForm | None) -> None:
    assert matrix_form(equation) == form
