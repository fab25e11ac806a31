"""A builder whose candidates may be anything: `{"tamper": "crash"}` as decisions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from passes.codegen.abi import library_text, plan_library
from passes.codegen.lower.facts import Facts
from passes.codegen.native import Machine, compile_object
from passes.ops import OPERATORS
from passes.schedule.schedule import Schedule
from pipeline.bench.channel import serve
from pipeline.tuning.builder import Builder
from pipeline.tuning.folds import folds_data
from pipeline.tuning.kernel import graph_of, object_of
from pipeline.tuning.process import bound_to_parent
from tests.unit.tuning.programs import FACTS, paneled, product, task

_ENTRY = "define i32 @tk_kernel(ptr %ctx, ptr %dims, ptr %args)"
_BODIES = {
    "crash": "  call void @llvm.trap()\n  unreachable",
    "hang": "  br label %again\nagain:\n  br label %again",
    "refuse": "  ret i32 7",
    "past the end": "  %p = getelementptr ptr, ptr %args, i64 3\n  %y = load ptr, ptr %p\n"
    "  %q = getelementptr float, ptr %y, i64 241\n  store float 0.0, ptr %q\n  ret i32 0",
    "inputs": "  %x = load ptr, ptr %args\n  store float 0.0, ptr %x\n  ret i32 0",
}


class Tampering(Builder):
    def build(self, task: str, decisions: dict[str, Any], path: str) -> dict[str, Any]:
        how = decisions.pop("tamper", None)
        if how == "die":
            os.abort()
        if how in _BODIES:
            Path(path).write_bytes(_tampered(_BODIES[how]))
            return {"trace": "[]\n", "object": path, "folds": [], "cpu_seconds": 0.0}
        make = {"endless": _endless, "panels": paneled, "large": _large, "defect": _defect}
        if how in make:
            return self._built(task, make[how], path)
        made = super().build(task, decisions, path)
        if how == "wrong":
            wrong = Schedule(_other())
            Path(path).write_bytes(object_of(wrong.function, FACTS))
            made["folds"] = folds_data(wrong)
        return made


def _tampered(body: str) -> bytes:
    """The product's library with another entry."""
    text = library_text(plan_library([graph_of(product())], OPERATORS), Facts.of(FACTS))
    assert text.count("@tk_kernel(") == 1
    text = text.replace("@tk_kernel(", "@tk_other(")
    text += f"{_ENTRY} {{\n{body}\n}}\ndeclare void @llvm.trap()\n"
    machine = Machine(FACTS["triple"], FACTS["cpu"], FACTS["llvm_features"])
    return compile_object(text, machine)


def _other() -> Any:
    return task(product(combine=lambda a, b: a - b)).function


def _endless(one: Any) -> Any:
    while True:
        try:
            sum(range(1000))
        except Exception:  # what a limit raises is no error of the candidate
            return Schedule(one.function)


def _large(one: Any) -> Any:
    s = Schedule(one.function)
    for loop in s.loops("dot"):
        s.unroll(loop)
    return s


def _defect(one: Any) -> Any:
    return {}["no such rule"]


if __name__ == "__main__":
    bound_to_parent()
    builder = Tampering()
    operations = (builder.limit, builder.task, builder.build, builder.build_trace, builder.plain)
    serve({operation.__name__: operation for operation in operations})
