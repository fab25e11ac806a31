"""What is said of loop programs that go wrong when run, or that a CPU cannot run, in full."""

import numpy as np

from passes.codegen.lower import lower
from passes.ir.loop.interpret import interpret
from passes.ir.loop.memory import ExecutionError
from passes.ir.loop.parse import parse_function
from passes.ir.node import IRError
from tests.errors.loop_texts import GRID, HEAD, SUM, message


def run(body: str, n: int = 3, **options):
    function = parse_function(HEAD + body)
    arrays = [np.zeros((n, 4), np.float32), np.zeros(n, np.float32)]
    return message(ExecutionError, lambda: interpret(function, {"n": n}, arrays, **options))


def test_out_of_bounds():
    assert run("    for i2 in range(n + 1):\n        y1[i2 - 1] = x0[i2, 3]\n") == (
        "function 'f': y1[i2 - 1] (where i2 = 0) touches element [-1], outside the buffer's"
        " shape [3]; tighten the loop's extent or guard the access by a predicate"
    )
    block = "    for i2 in range(n + 1):\n        with block('b'):\n            "
    assert run(f"{block}i3 = spatial(n + 1, i2)\n            y1[0] = x0[i3, 3]\n") == (
        "function 'f', block 'b': x0[i3, 3] (where i3 = 3) touches element [3, 3], outside the"
        " buffer's shape [3, 4]; tighten the loop's extent or guard the access by a predicate"
    )
    assert run(f"{block}i3 = spatial(n, i2)\n            y1[i3] = x0[i3, 3]\n") == (
        "function 'f', block 'b': i2 (where i2 = 3) gives iterator i3 the value 3, outside 0..2;"
        " guard the block by a predicate"
    )


def test_reads_of_nothing():
    text = "    t2 = alloc(f32[n])\n    for i3 in range(n):\n        y1[i3] = t2[i3]\n"
    assert run(text) == (
        "function 'f': t2[i3] (where i3 = 0) is read before anything is stored there;"
        " store to it first"
    )


def test_races():
    assert run(
        "    for i2 in parallel(n):\n        y1[i2] = y1[(i2 + 1)%3]\n", check_races=True
    ) == (
        "function 'f': y1[i2] (where i2 = 1) is stored to here and touched at the same time by"
        " another thread or parallel iteration; put a barrier between the two, or make the loop"
        " serial"
    )
    waiting = "    for i2 in range(thread_id() + 1):\n        barrier()\n"
    assert run(waiting, threads=2) == (
        "function 'f': threads disagree about a loop or condition around a barrier ([1, 2]),"
        " so some would wait for ever"
    )


def test_arguments():
    function = parse_function(SUM)
    x, y = np.zeros((3, 4), np.float32), np.zeros(3, np.float32)

    def said(dims, *arrays):
        return message(ExecutionError, lambda: interpret(function, dims, arrays))

    assert said({"n": 3}, x) == "function 'f' takes 2 arrays, not 1"
    assert said({"m": 3}, x, y) == "function 'f' takes dims (n), not {'m': 3}"
    assert said({"n": 10}, x, y) == "function 'f': dim n = 10 is outside its declared bounds 1..9"
    assert said({"n": 2}, x, y) == ("function 'f': parameter x0 takes f32[2, 4], not float32[3, 4]")
    assert said({"n": 3}, x, x[0, :3]) == (
        "function 'f': parameters y and x share memory, but y is stored to"
    )
    host = parse_function('@kernel(kind="host")\ndef g(x0: f32[4]):\n    launch("k", [], [x0])\n')
    assert message(ExecutionError, lambda: interpret(host, {}, [x[0]])) == (
        "function 'g' launches 'k', which is not among the kernels given (none)"
    )


def test_division_by_zero():
    assert run("    y1[0] = cast(n%(n - 3), f32)\n") == (
        "function 'f': n%(n - 3) (where n = 3) divides by zero"
    )


def test_a_view_that_reaches_too_far():
    body = (
        "    for i2 in range(n):\n        with block('b'):\n            i3 = spatial(n, i2)\n"
        "            v4 = view(x0[i3:+2, 3])\n            y1[i3] = v4[0]\n"
    )
    assert run(body) == (
        "function 'f', block 'b': x0[i3, 3] (where i3 = 2) is where a view begins that reaches 4,"
        " outside the buffer's shape [3, 4]; guard the block by a predicate"
    )
    within = body.replace("v4[0]", "v4[2]").replace("i3:+2", "0:+2")
    assert run(within) == (
        "function 'f', block 'b': v4[2] touches element [2], outside the buffer's shape [2];"
        " tighten the loop's extent or guard the access by a predicate"
    )


def test_what_a_cpu_does_not_have():
    assert message(IRError, lambda: lower(parse_function(GRID))) == (
        "'f': loop b3 is bound to block.x; a CPU has no thread blocks, bind it on a GPU target or"
        " make it parallel"
    )
    text = GRID.replace("block.x", "range").replace("thread.x", "range")
    text = text.replace("        barrier()\n", "")
    assert message(IRError, lambda: lower(parse_function(text))) == (
        "'f': buffer s2 has scope 'shared'; a CPU has global, local and register buffers"
    )
    text = text.replace(', scope="shared"', "").replace("f32[32]", "f32[32](align=128)")
    assert message(IRError, lambda: lower(parse_function(text))) == (
        "'f': buffer s2 is aligned to 128 bytes; a CPU's buffers are to 64"
    )
