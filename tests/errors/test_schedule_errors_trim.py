"""Refusals of trim."""

from __future__ import annotations

from tests.unit.schedule.steps import Case, program, refusals
from tests.unit.schedule.test_trim import HEAD, WINDOW

BLOCK = 'with block("sum"):'
UPDATE = "y[w] = y[w] + t[w + u]*b[u]"
BELOW = WINDOW.replace("in range(3)", "in range(3)", 1)


def _trim(reason: str, text: str = WINDOW, head: str = HEAD, at: str = "k8") -> Case:
    place = f"trim of block 'sum' at loop {at}"
    return program(text, head), lambda t: t.s.trim("sum", t.k), place, reason, BLOCK


def _idle(text: str, head: str = HEAD, at: str = "k8") -> Case:
    return _trim("each of its iterations may change something", text, head, at)


CASES: dict[str, Case] = {
    "loop": _trim("the loop is not around it alone", WINDOW.replace(
        '        with block("sum")', '        with block("other"):\n            o = ordered(3, k)\n'
        '            x[0] = f32(1.0)\n        with block("sum")')),
    "kind": _trim("the loop is unrolled, not serial",
        WINDOW.replace("k in range", "k in unrolled")),
    "update": _trim("it does not combine one element by +, max or min",
        WINDOW.replace(UPDATE, "y[w] = y[w]*t[w + u]")),
    "init": _trim("its init would not run where it changes nothing; decompose_reduction first",
        WINDOW.replace("            y[w] = y[w] + ", "            with init():\n"
        "                y[w] = f32(0.0)\n            y[w] = y[w] + ")),
    "other value": _idle(WINDOW.replace("f32(0.0))\nfor", "f32(1.0))\nfor")),
    "other combiner": _idle(WINDOW.replace(UPDATE, "y[w] = max(y[w], t[w + u]*b[u])")),
    "sum with something else": _idle(WINDOW.replace("t[w + u]*", "(t[w + u] + b[0])*")),
    "another store": _idle(WINDOW.replace("for j", "t[0] = f32(1.0)\nfor j", 1)),
    "store of several instances": _idle(WINDOW.replace("t[v] =", "t[v//2] =")),
    "parameter": _idle(WINDOW.replace("t = alloc(f32[n + 2])\n", ""),
        HEAD.replace("b:", "t: f32[n + 2], b:")),
    "what the store reads": _idle(WINDOW.replace("1 <= v and v < n + 1", "p[v] < i32(1)"),
        HEAD.replace("b:", "p: i32[n + 2], b:"), at="k9"),
    "inner loop": _idle(WINDOW.replace("    for k in range(3):\n", "    for k in range(1):\n"
        "      for l in range(3):\n").replace("reduce(3, k)", "reduce(3, k*3 + l)"), at="k8"),
    "condition of inner loops": _idle(WINDOW.replace("    for k in range(3):\n",
        "    for k in range(3):\n      for l in range(3):\n").replace("t[w + u]", "t[w + q]")
        .replace("u = reduce(3, k)", "u = reduce(3, k)\n            q = reduce(3, l)")),
}  # fmt: skip

test_refusal = refusals(CASES)
