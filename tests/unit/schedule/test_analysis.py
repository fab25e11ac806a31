"""What the analyses say of programs that can be read at a glance."""

from __future__ import annotations

import pytest

from passes.ir.expr import Expr, Var, index
from passes.ir.expr_text import print_expr
from passes.ir.loop.nodes import For, Function
from passes.schedule.accesses import accesses, ranges
from passes.schedule.bindings import Bindings, bindings_of
from passes.schedule.dataflow import not_compact, not_complete, not_reduction
from passes.schedule.footprints import Box, footprint, hull, uncovered
from passes.schedule.schedule import Schedule
from passes.schedule.tree import find_loop, get_loop, path_to_block, statements
from tests.unit.schedule.programs import chain, matmul, softmax, triangle
from tests.unit.schedule.steps import program

HEAD = "x: f32[n, 64], y: f32[n, 64], t: f32[n, 64], *, n: dim[1, 64]"
BINDINGS = {
    "plain": ("i, n; j, 64", "i; j", None, (True, True, True, False)),
    "split": ("i, ceil; k, 4; j, 64", "i*4 + k; j", "i*4 + k < n", (True, True, True, True)),
    "fused": ("i, n*64", "i//64; i%64", None, (True, True, True, False)),
    "symbolic": ("i, 64*n", "i%n; i//n", None, (True, True, True, False)),
    "half": ("i, n//2; j, 64", "i*2; j", None, (True, True, False, False)),
    "twice": ("i, n; k, 2; j, 64", "i; j", None, (True, False, True, False)),
    "clipped": ("i, n; j, 80", "i; min(j, 63)", None, (False, False, False, False)),
    "guarded": ("i, n; j, 64", "i; j", "j < 60", (True, True, False, True)),
    "overlapping": ("i, n; k, 8; j, 8", "i; k*4 + j", None, (True, False, False, False)),
    "read": ("i, n; j, 64", "i; cast(x0[i, 0], index)", None, (False, False, False, False)),
}


def bound(loops: str, bindings: str, predicate: str | None) -> Function:
    """One block of two iterators in loops."""
    lines, indent = [], ""
    for loop in loops.replace("ceil", "(n + 3)//4").split(";"):
        name, extent = loop.split(",")
        lines.append(f"{indent}for {name.strip()} in range({extent.strip()}):")
        indent += "    "
    first, second = bindings.split(";")
    lines += [f'{indent}with block("b"):']
    indent += "    "
    lines += [f"{indent}v = spatial(n, {first})", f"{indent}w = spatial(64, {second.strip()})"]
    if predicate is not None:
        lines.append(f"{indent}where({predicate})")
    lines.append(f"{indent}y[v, w] = x[v, w]")
    return program("\n".join(lines).replace("x0", "x"), HEAD)


@pytest.mark.parametrize("name", BINDINGS)
def test_bindings(name: str) -> None:
    loops, bindings, predicate, wanted = BINDINGS[name]
    found = bindings_of(path_to_block(bound(loops, bindings, predicate), "b", "test"))
    assert found == Bindings(*wanted)
    assert found.bijective == (wanted[1] and wanted[2])


def test_bindings_by_some_loops() -> None:
    path = path_to_block(bound(*BINDINGS["split"][:3]), "b", "test")
    inner = [s for s in path if isinstance(s, For)][1:]
    found = bindings_of(path, inner)
    assert found.once
    assert not found.every


def texts(region: Box | None) -> list[tuple[str, str]] | None:
    if region is None:
        return None
    pairs = zip(region.first, region.extents, strict=True)
    return [(print_expr(a), print_expr(n)) for a, n in pairs]


def test_regions_of_a_tile() -> None:
    s = Schedule(matmul())
    i, j = s.loops("out")
    outer, inner = s.split(i, 4)
    panel, lanes = s.split(j, 8)
    s.reorder(outer, panel, inner, lanes)
    s.compute_at("dot", panel)
    body = get_loop(s.function, panel, "test").body
    found = footprint(s.function, body)
    o, p = print_expr(outer), print_expr(panel)
    boxes = {b.name: texts(r) for b, r in found.reads.items()}
    assert boxes["x"] == [(f"{o}*4", "4"), ("0", "12")]
    assert boxes["w"] == [("0", "12"), (f"{p}*8", "8")]
    assert {b.name: texts(r) for b, r in found.writes.items()} == {
        "t": [(f"{o}*4", "4"), (f"{p}*8", "8")], "y": [(f"{o}*4", "4"), (f"{p}*8", "8")],
    }  # fmt: skip


def test_boxes() -> None:
    (x, *_) = matmul().params
    n = matmul().dims[0]

    def box(first: Expr | int, extent: Expr | int) -> Box:
        return Box(x, (index(first), index(0)), (index(extent), index(12)))

    whole = hull([box(0, 4), box(2, 4), box(1, 1)], {})
    assert texts(whole) == [("0", "6"), ("0", "12")]
    assert hull([box(0, n), box(0, 8)], {}) is None
    assert texts(hull([box(0, n), box(n, 8)], {})) == [("0", "n + 8"), ("0", "12")]


def test_what_is_computed_before() -> None:
    for function in (matmul(), chain(), softmax()):
        assert not_compact(function) is None
    turned = program("""
for i in range(n):
    with block("late"):
        v = spatial(n, i)
        y[v, 0] = t[v, 0]
    with block("early"):
        u = spatial(n, i)
        t[u, 0] = x[u, 0]
""", HEAD)  # fmt: skip
    assert [a.buffer.name for a in uncovered(turned, "late")] == ["t"]
    assert uncovered(turned, "early") == []
    assert not_compact(turned) == "block 'late': it may read what is not computed yet"


def test_kinds_of_blocks() -> None:
    assert not_complete(matmul(), "out") is None
    assert not_reduction(matmul(), "dot") is None
    assert not_complete(matmul(), "dot") == "an iterator is not spatial"
    assert not_reduction(matmul(), "out") == "it has no init"
    s = Schedule(matmul())
    s.decompose_reduction("dot", s.loops("dot")[2])
    assert not_reduction(s.function, "dot") == "it has no init"
    assert not_complete(s.function, "dot_init") == "another block writes its output"
    scattered = program("""
for i in range(n):
    with block("b"):
        v = spatial(n, i)
        y[v//2, 0] = x[v, 0]
""", HEAD)  # fmt: skip
    assert not_complete(scattered, "b") == "two instances may store to the same element"


def test_ranges_inside_blocks_speak_of_loops() -> None:
    s = Schedule(triangle())
    i, k = s.loops("sum")
    s.blockize(k)
    known = ranges(s.function)
    assert print_expr(known[k][1]) == f"{print_expr(i)} + 1 - 1"
    assert {a.block.label for a in accesses(s.function.body) if a.block} == {"sum"}


def test_loops_are_found_by_variable() -> None:
    function = matmul()
    for s in statements(function):
        if isinstance(s, For):
            assert find_loop(function, s.var) is s
    assert find_loop(function, Var("zz", 99)) is None
