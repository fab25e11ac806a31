"""What every operator has to bring."""

import pytest

from passes.ir.graph.operator import Operator


def test_an_operator_without_all_its_facets_cannot_be_made() -> None:
    class Half(Operator):
        name = "half"
        operands = ("x",)

    with pytest.raises(TypeError, match=r"infer.*loops.*numpy"):
        Half()  # type: ignore[abstract]
