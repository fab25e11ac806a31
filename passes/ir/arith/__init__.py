"""Facts about index expressions: substitution, normal form, bounds and proofs.

symbols     free variables, dims, substitution
terms       expressions as polynomials
intervals   constant bounds, what is known of variables
least       the proof core: lower bounds by elimination
divide, recombine, compare, vectors -> simplify     the normal form
divisor     what divides an expression
narrow      ranges of dims in which conditions can hold
query       bounds, prove, linear, symbolic extremes
"""

from passes.ir.arith.divisor import divisor
from passes.ir.arith.intervals import Env, Interval, Narrowed
from passes.ir.arith.narrow import narrowed
from passes.ir.arith.query import (
    bounds,
    linear,
    lower_bound,
    prove,
    symbolic_max,
    symbolic_min,
    upper_bound,
)
from passes.ir.arith.simplify import simplify
from passes.ir.arith.symbols import dims_of, free_vars, substitute

__all__ = [
    "Env",
    "Interval",
    "Narrowed",
    "bounds",
    "dims_of",
    "divisor",
    "free_vars",
    "linear",
    "lower_bound",
    "narrowed",
    "prove",
    "simplify",
    "substitute",
    "symbolic_max",
    "symbolic_min",
    "upper_bound",
]
