"""The search stage keeps how each kernel was scheduled."""

from __future__ import annotations

from pathlib import Path

from passes.fuse.fuse import FuseCalls
from passes.ir.dtypes import F32
from passes.ir.expr import Dim, index
from passes.ir.graph.nodes import GraphFunction, Input, TensorType
from passes.ir.loop.text import print_function
from passes.ir.module import Module
from passes.ops import apply
from passes.schedule.schedule import Schedule
from passes.search.stage import run
from pipeline.recipe.diagnostics import Report
from pipeline.recipe.target import load_level

FACTS = load_level("x86-64-v3", Path(), Report()).facts()


def test_traces_repeat_the_schedules(tmp_path: Path) -> None:
    n = Dim("n", 1, 64)
    x = Input("x", TensorType((n, index(64)), F32))
    w = Input("w", TensorType((index(32), index(64)), F32))
    product = apply("matmul", apply("softmax", x), w)
    graph = GraphFunction("main", (n,), (x, w), (("y", apply("relu", product)),))
    module = FuseCalls().run(Module({"main": graph}, {}))
    module.save(tmp_path / "fuse")
    (tmp_path / "out").mkdir()
    run(
        inputs={"fuse": tmp_path / "fuse"},
        sources={},
        options={},
        target={"levels": [FACTS]},
        out=tmp_path / "out",
        progress=lambda done, text: None,
    )
    made = tmp_path / "out" / "x86-64-v3"
    before = Module.load(tmp_path / "fuse").functions
    assert len(before) >= 2
    for name, function in before.items():
        s = Schedule(function)
        exec((made / "traces" / f"{name}.py").read_text(), {"s": s})
        assert print_function(s.function) == (made / "loops" / f"{name}.loop").read_text()
