"""Mathematical functions become arithmetic that every target has.

    y1[ramp(i2*16, 1, 16)] = rsqrt(x0[…])     →     y1[…] = 1/sqrt(x0[…])

exp, log, pow, sin, cos, tanh, sigmoid and erf become polynomials (see `vector_math`), on as many
lanes as they have. Approximate within a few units in the last place.
"""

from __future__ import annotations

from passes.codegen.vector_math import EXPANDED, expand
from passes.ir.expr import Call
from passes.ir.loop.nodes import Function
from passes.ir.node import Node, rewrite


def lower_math(function: Function) -> Function:
    """The function without calls that take a library. Raises `IRError` for those in f64."""
    return rewrite(function, _expanded)


def _expanded(node: Node) -> Node | None:
    if isinstance(node, Call) and node.name in EXPANDED:
        return expand(node.name, node.args)
    return None
