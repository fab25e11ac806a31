"""Loop programs in text, verified and run on arrays."""

import numpy as np

from passes.ir.loop.interpret import interpret
from passes.ir.loop.parse import parse_function
from passes.ir.loop.verify import verify

RANDOM = np.random.default_rng(3)


def run(text, dims, *arrays, kernels=(), **options):
    function = parse_function(text)
    verify(function)
    table = {k.name: k for k in map(parse_function, kernels)}
    with np.errstate(all="raise"):
        interpret(function, dims, arrays, table, **options)
    return arrays


def floats(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)
