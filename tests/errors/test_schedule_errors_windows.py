"""Refusals of the steps that pad, roll and pipeline."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.schedule.steps import Case, Steps, program, refusals
from tests.unit.schedule.texts import PRODUCT, STREAM, where

PAD = """
for i in range(n):
    with block("pad"):
        v = spatial(n, i)
        y[v] = select(1 <= v and v < 4, x[v], f32(0.0))
"""
COLUMN = """
t = alloc(f32[n, 2])
for j in range(n):
    with block("fill"):
        w = spatial(n, j)
        t[w, 0] = x[w]
""" + PRODUCT.replace("b[u]", "t[v, 0]")
ROLL = """
t = alloc(f32[n + 2])
for j in range(n):
    for r in range(3):
        with block("one"):
            v = spatial(n + 2, j + r)
            t[v] = x[v//2]
    for k in range(3):
        with block("two"):
            w = spatial(n, j)
            u = reduce(3, k)
            with init():
                y[w] = f32(0.0)
            y[w] = y[w] + t[w + u]
"""
ROWS = """
t = alloc(f32[n + 2, 10])
for j in range(n):
    for r in range(3):
        for c in range(8):
            with block("one"):
                v = spatial(n + 2, j + r)
                q = spatial(10, c)
                t[v, q] = a[v//4, q]
    for k in range(3):
        for c in range(8):
            with block("two"):
                w = spatial(n, j)
                q = spatial(10, c)
                u = reduce(3, k)
                with init():
                    a[w, q] = f32(0.0)
                a[w, q] = a[w, q] + t[w + u, q]
"""
SUMS = """
t = alloc(f32[n + 2])
for k in range(10):
    for j in range(n):
        for r in range(3):
            with block("one"):
                v = spatial(n + 2, j + r)
                u = reduce(10, k)
                with init():
                    t[v] = f32(0.0)
                t[v] = t[v] + a[v//4, u]
        for r in range(3):
            with block("two"):
                w = ordered(n, j)
                q = ordered(3, r)
                o = ordered(10, k)
                y[w] = t[w + q]
"""
HEAD = "x: f32[n], y: f32[n], a: f32[n, 10], b: f32[10], p: i32[n], *, n: dim[1, 64]"
At = Callable[[Steps], object]


def _case(text: str, step: At, place: str, reason: str, marked: str) -> Case:
    return program(text, HEAD), step, place, reason, marked


def _pad(reason: str, text: str = PAD, step: At | None = None, at: str = "i5") -> Case:
    take = step or (lambda t: t.s.decompose_padding("pad", t.i))
    place = f"decompose_padding of block 'pad' at loop {at}"
    return _case(text, take, place, reason, 'with block("pad"):')


def _einsum(reason: str, text: str = PRODUCT, *padding: int) -> Case:
    given = padding or (4, 4)
    step: At = lambda t: t.s.pad_einsum("sum", given)  # noqa: E731
    return _case(text, step, "pad_einsum of block 'sum'", reason, 'with block("sum"):')


def _roll(reason: str, text: str = ROLL, axis: int = 0, step: At | None = None) -> Case:
    take = step or (lambda t: t.s.rolling_buffer("one", axis))
    place = f"rolling_buffer of block 'one', axis {axis}"
    return _case(text, take, place, reason, 'with block("one"):')


def _pipe(
    reason: str,
    text: str = STREAM,
    stages: tuple[int, ...] = (0, 1),
    order: tuple[int, ...] = (0, 1),
    copies: tuple[int, ...] = (),
    loop: str = "i6",
) -> Case:
    step: At = lambda t: t.s.software_pipeline(t.i, stages, order, copies)  # noqa: E731
    return _case(text, step, f"software_pipeline of loop {loop}", reason, f"for {loop}")


def _piped(reason: str, place: str, step: At, marked: str, text: str = STREAM) -> Case:
    """A step after which the pipeline of loop i could not be carried out any more."""

    def both(t: Steps) -> None:
        t.s.software_pipeline(t.i, (0, 1), (0, 1))
        step(t)

    why = f"the pipeline of loop i6 could not be carried out: {reason}"
    return _case(text, both, place, why, marked)


CASES: dict[str, Case] = {
    "padding loop": _pad("the loop is not around it alone",
        PAD.replace("    with", '    with block("other"):\n        w = spatial(n, i)\n'
        "        x[w] = f32(0.0)\n    with", 1)),
    "padding copies": _pad("it is part of a group of asynchronous copies",
        'with async_group("q"):\n    ' + PAD.strip().replace("\n", "\n    ")
        + '\nasync_wait("q", 0, [y])\n'),
    "padding store": _pad("its body is not one plain store", PAD + "        x[v] = f32(0.0)\n"),
    "padding select": _pad("it does not store a select between a value and padding",
        PAD.replace("select(1 <= v and v < 4, x[v], f32(0.0))", "x[v]")),
    "padding kinds": _pad("it has iterators that are not spatial and of type index",
        PAD.replace("spatial", "ordered")),
    "padding places": _pad("two of its instances may store to one place",
        PAD.replace("y[v] =", "y[v//2] =")),
    "padding itself": _pad("it reads what it stores", PAD.replace("x[v]", "y[v]")),
    "padding instances": _pad("the loops may not run each of its instances once",
        PAD.replace("spatial(n, i)", "spatial(n, min(i, 3))")),
    "einsum combiner": _einsum("it does not combine by +, max or min, or has no init", PAD.replace(
        '"pad"', '"sum"')),
    "einsum predicate": _einsum("it has a predicate or views",
        PRODUCT.replace("            with init",
            "            where(k < 9)\n            with init")),
    "einsum places": _einsum("it does not store at its own spatial iterators, each once",
        PRODUCT.replace("y[v]", "y[v//2]")),
    "einsum kinds": _einsum("it has iterators that are neither spatial nor reduce",
        PRODUCT.replace("reduce", "ordered")),
    "einsum init": _einsum("its init reads what it stores", PRODUCT.replace("f32(0.0)", "y[v]")),
    "einsum divisor": _einsum("the divisor p4[v7] may be 0 in the padding",
        PRODUCT.replace("b[u]", "cast(i32(4)//p[v], f32)")),
    "einsum loops": _einsum("iterator v7 has no loop of its own over its extent",
        PRODUCT.replace("spatial(n, i)", "spatial(n, i//2)")),
    "einsum extent": _einsum("the extent cast(p4[0], index) is not known at the start",
        PRODUCT.replace("range(10)", "range(cast(p[0], index))").replace(
        "reduce(10,", "reduce(cast(p[0], index),")),
    "einsum spare loops": _einsum("it has loops that drive no iterator alone",
        PRODUCT.replace("    for k", "    for z in range(2):\n     for k")),
    "einsum numbers": _einsum("its 2 iterators need as many positive numbers, not (4,)",
        PRODUCT, 4),
    "einsum zero": _einsum("its 2 iterators need as many positive numbers, not (4, 0)",
        PRODUCT, 4, 0),
    "einsum infinite": _einsum("a2[v7, u9]*x0[v7] may not be f32(0.0) in the padding along reduce"
        " iterator u9", PRODUCT.replace("b[u]", "x[v]")),
    "einsum maximum": _einsum("abs(a2[v7, u9]) may not be f32(\"-inf\") in the padding along"
        " reduce iterator u9", PRODUCT.replace("f32(0.0)", 'f32("-inf")').replace(
        "y[v] + a[v, u]*b[u]", "max(y[v], abs(a[v, u]))")),
    "einsum reach": _einsum("the reach of index v7//2 in the padding is unknown",
        PRODUCT.replace("a[v, u]", "a[v//2, u]")),
    "einsum empty": (program(PRODUCT.replace("b[u]", "x[v + 1]").replace("10", "12"),
        "x: f32[m], y: f32[n], a: f32[n, 12], *, n: dim[1, 64], m: dim[0, 65]"),
        lambda t: t.s.pad_einsum("sum", (4, 4)), "pad_einsum of block 'sum'",
        "'x0' may be empty along v5 + 1", 'with block("sum"):'),
    "einsum temporary": _einsum("temporary 't5' may not be all computed before it", COLUMN, 4, 5),
    "roll store": _roll("its body is not one store", ROLL.replace(
        "            t[v] = x[v//2]", "            p[v//4] = i32(0)\n            t[v] = x[v//2]")),
    "roll axes": _roll("its output has 1 axes", ROLL, 1),
    "roll parameter": _roll("it stores to a parameter", ROLL.replace("t[", "a[0, ").replace(
        "t = alloc(f32[n + 2])\n", "")),
    "roll writers": _roll("its output has other writers", ROLL + "t[0] = f32(0.0)\n"),
    "roll kinds": _roll("it has iterators that are neither spatial nor reduce",
        ROLL.replace("v = spatial", "v = ordered")),
    "roll places": _roll("two of its instances may store to one place",
        ROLL.replace("t[v] =", "t[v//2] =")),
    "roll itself": _roll("it touches elements of its output other than the one it stores",
        ROLL.replace("x[v//2]", "select(v < 1, x[0], t[max(v - 1, 0)])")),
    "roll reader": _roll("a reader may use what another iteration computed",
        ROLL.replace("t[w + u]", "t[max(w + u - 1, 0)]")),
    "roll loop": _roll("no loop around the block and all readers moves what it stores there",
        ROWS, 1),
    "roll windows": _roll("the windows of loop j6, 3 elements, 3 apart, may not overlap",
        ROLL.replace("j + r", "j*3 + r").replace("n + 2", "n*3").replace("w + u", "w*3 + u")
        .replace("v//2", "v//4")),
    "roll kind": _roll("loop j6 is parallel", ROLL.replace("j in range", "j in parallel")
        .replace("alloc(f32[n + 2])", 'alloc(f32[n + 2], scope="local")')),
    "roll gaps": _roll("an iteration of loop j6 may not store to all of its window",
        ROLL.replace("r in range(3):", "r in range(2):\n     for s in range(2):")
        .replace("j + r", "j + r + s")),
    "roll moves": _roll("loop j6 moves or sizes other loops or axes too", ROWS.replace(
        "n + 2, 10]", "n + 2, n + 8]").replace("q = spatial(10, c)\n                t[v, q]",
        "q = spatial(n + 8, j + c)\n                t[v, q]").replace("a[v//4, q]", "x[v//4]")
        .replace("t[w + u, q]", "t[w + u, w + q]")),
    "roll sums": _roll("a loop around the windows drives its reduction", SUMS),
    "roll predicate": _roll("its predicate says more than bounds of its iterators",
        where(ROLL, "j%2 < 1").replace("            t[v]",
        "            where(j%2 < 1)\n            t[v]")),
    "roll inputs": _roll("it reads 'a2', which loop j6 stores to", ROWS),
    "pipeline one": _pipe("its body is one statement, with nothing to overlap", PRODUCT, loop="i5"),
    "pipeline counts": _pipe("its body has 2 statements, each with one stage and place in the"
        " order", STREAM, (0, 1, 1)),
    "pipeline order": _pipe("its body has 2 statements, each with one stage and place in the"
        " order", STREAM, (0, 1), (0, 0)),
    "pipeline stages": _pipe("stages are numbered from 0", STREAM, (1, 2)),
    "pipeline kind": _pipe("it is parallel; a pipeline needs a serial or an unrolled loop",
        STREAM.replace("i in range", "i in parallel").replace("[8])", '[8], scope="local")')),
    "pipeline registers": _pipe("'t5' is in registers and needs 2 versions, of which each iteration"
        " takes another; split the loop and unroll the part that is pipelined, or set_scope the"
        " buffer to memory", STREAM.replace("[8])", '[8], scope="register")')),
    "pipeline barrier": _pipe("it holds barriers or asynchronous copies already",
        STREAM.replace("    for j in range(8):\n        with block(\"use\")",
        "    barrier()\n    for j in range(8):\n        with block(\"use\")"), (0, 0, 1),
        (0, 1, 2)),
    "pipeline extent": _pipe("its extent reads memory that it stores to",
        STREAM.replace("for i in range(n)", "for i in range(cast(p[0], index))")
        .replace("y[v]", "p[v]").replace("f32(0.0)", "i32(0)").replace(
        "+ t[w]", "+ cast(t[w], i32)")),
    "pipeline early": _pipe("a statement would use 't5' before it is computed, or change it before"
        " it is used", STREAM, (1, 0)),
    "pipeline parameter": _pipe("parameter 'b3' would be used in another order",
        STREAM.replace("t = alloc(f32[8])\n", "").replace("t[w]", "b[w]"), loop="i5"),
    "pipeline outside": _pipe("'t5' is used outside the loop too, and in another order inside",
        STREAM + "y[0] = t[0]\n"),
    "pipeline left": _pipe("an iteration may read what another one left in 't5'",
        STREAM.replace("a[v, w]", "select(v < 1, a[v, w], t[w])").replace(
        "            t[w] = sel", "            where(i < 4)\n            t[w] = sel")),
    "pipeline layout": _pipe("'t5' has a layout of its own; it cannot have versions",
        STREAM.replace("alloc(f32[8])", "alloc(f32[8](strides=[2]))")),
    "pipeline threads": _pipe("asynchronous copies cannot be issued in thread.x loop z6; iterations"
        " of parallel loops issue them, and thread blocks",
        "t = alloc(f32[8], scope=\"local\")\nfor z in thread.x(1):\n    "
        + STREAM.split("\n", 2)[2].strip().replace("\n", "\n    ") + "\n", copies=(0,), loop="i7"),
    "pipeline no stage": _pipe("no statement is of the asynchronous stage 3", copies=(3,)),
    "pipeline apart": _pipe("the statements of asynchronous stage 0 do not follow one another",
        STREAM.replace("    for j in range(8):\n        with block(\"use\")",
        "    with block(\"more\"):\n        o = ordered(n, i)\n        p[o] = i32(0)\n"
        "    for j in range(8):\n        with block(\"use\")"), (0, 0, 1), (0, 2, 1), (0,)),
    "pipeline sources": _pipe("an asynchronous copy reads 'y1', which the loop stores to",
        STREAM.replace("a[v, w]", "a[v, w] + y[v]"), (0, 0), copies=(0,)),
    "pipeline waits": _pipe("no later stage alone waits for the copy to 't5'", STREAM, (0, 0),
        copies=(0,)),
    "pipeline stored": _pipe("'t5' is copied asynchronously and stored to", STREAM
        + "    with block(\"clear\"):\n        o = ordered(n, i)\n        t[o%8] = f32(0.0)\n",
        (0, 1, 1), (0, 1, 2), (0,)),
    "inlined in a pipeline": _piped("its body is one statement, with nothing to overlap",
        "compute_inline of block 'load'", lambda t: t.s.compute_inline("load"),
        'with block("load"):', STREAM.replace("f32[8]", "f32[n, 8]").replace("t[w]", "t[v, w]")),
    "threads of a pipeline": _piped("it is parallel; a pipeline needs a serial or an unrolled loop",
        "parallel of loop i6", lambda t: t.s.parallel(t.i), "for i6",
        STREAM.replace("alloc(f32[8])", 'alloc(f32[8], scope="local")').replace(
            "ordered", "spatial")),
    "rows of a pipeline": _piped("'t5' has a layout of its own; it cannot have versions",
        "storage_align of buffer 't'", lambda t: t.s.storage_align("t", 0, 8, 3), "t5 = alloc("),
    "division of a pipeline": _piped("its body has 3 statements, each with one stage and place in"
        " the order", "decompose_reduction of block 'use' at loop j10",
        lambda t: t.s.decompose_reduction("use", t.s.loop("j10")), 'with block("use"):'),
    "copy in a pipeline": _piped("its body has 3 statements, each with one stage and place in the"
        " order", "cache_read of block 'use', buffer 't'",
        lambda t: t.s.cache_read("use", "t", "global"), 'with block("use"):'),
}  # fmt: skip

test_refusal = refusals(CASES)
