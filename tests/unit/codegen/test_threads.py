"""What a thread block's private buffers may hold once each thread has its own."""

from __future__ import annotations

import pytest

from passes.codegen.lower.device import split_device
from passes.ir.loop.parse import parse_function
from passes.ir.node import IRError

PROGRAM = """
def f(x: i32[8], y: i32[64]):
    c = alloc(i32[1], scope="local")
    for b in block.x(2):
        c[0] = x[b]
        WAY
            for t in thread.x(32):
                y[b*32 + t] = x[t%8]
"""


@pytest.mark.parametrize(
    "way", ["if c[0] < i32(1):", "for k in range(cast(c[0], index)):", "while c[0] < i32(1):"]
)
def test_the_way_to_a_loop_over_threads_is_known_to_all_of_them(way: str) -> None:
    """Thread 0 alone stores what is outside the loops over threads."""
    with pytest.raises(IRError) as caught:
        split_device(parse_function(PROGRAM.replace("WAY", way)))
    assert "buffer 'c2' is private to a thread but carries data between threads" in str(
        caught.value
    )
