"""Loops are cut where the conditions inside them change, so that their main part has none.

    for i2 in range((n + 3)//4):               for i2 in range(n//4):
        for j3 in range(4):                        for j3 in range(4):
            if i2*4 + j3 < n:                          y1[i2*4 + j3] = x0[i2*4 + j3]
                y1[i2*4 + j3] = x0[…]      →   for i4 in range((n + 3)//4 - n//4):
                                                   for j3 in range(4):
                                                       if i4*4 + n//4*4 + j3 < n: …

The parts of a serial loop run one after the other. A loop whose iterations run at the same time
stays whole: it chooses between the parts in each iteration, ahead of the loops inside it. Exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from passes.codegen.lower.conditions import Span, atoms, span
from passes.codegen.lower.walk import NOTHING, Walk, branch, constant
from passes.ir.arith import Env, free_vars, prove, simplify, upper_bound
from passes.ir.dtypes import INDEX
from passes.ir.expr import FALSE, TRUE, Expr, Le, Lt, Max, Min, Var, const
from passes.ir.loop.nodes import CONCURRENT, For, Function, If, Load, Stmt, Store, seq
from passes.ir.loop.traverse import stored_in
from passes.ir.node import Node, postorder, rewrite

LARGEST = 128
"""Most stores in the parts of a loop together; unrolled ones count as often as they are written."""


def partition(function: Function) -> Function:
    """The function with loops cut at the points where conditions of theirs begin or cease."""
    return function.replace(body=_Partition(function).stmt(function.body))


@dataclass(frozen=True)
class _Cut:
    """A point of a loop. What comes after it is at or after all `lows`, what comes before it (up
    to the cut before, if the two are not `ordered`) before all `highs`."""

    at: Expr
    lows: tuple[Expr, ...]
    highs: tuple[Expr, ...]
    ordered: bool = True


@dataclass
class _Part:
    """Iterations start … stop-1, and what is known of conditions there."""

    start: Expr
    stop: Expr
    known: dict[Node, Node] = field(default_factory=dict)


class _Partition(Walk):
    def expr(self, e: Expr) -> Expr:
        return self.simplified(e)

    def loop(self, loop: For) -> Stmt:
        loop = loop.replace(extent=self.expr(loop.extent))
        parts = self._parts(loop)
        if len(parts) * _stores(loop.body) > LARGEST or not any(part.known for part in parts):
            return self.rebuilt(loop, loop.extent, self.inside(loop))
        if loop.kind in CONCURRENT:
            return self._choosing(loop, parts)
        return seq(*[self._alone(loop, part) for part in parts])

    def _alone(self, loop: For, part: _Part) -> Stmt:
        """One part as a loop of its own."""
        var, extent = self.renamed(loop.var), self.expr(part.stop - part.start)
        most = upper_bound(extent, self.ranges(free_vars(extent)))
        once = most is not None and most <= 1
        place = part.start if once else part.start + var
        body = self.copy(rewrite(loop.body, part.known.get), {loop.var: place})
        if once:
            runs = self.expr(Lt(const(0), extent))
            return NOTHING if runs is FALSE else branch(runs, self.stmt(body))
        piece = loop.replace(var=var, extent=extent, body=body)
        return self.rebuilt(piece, extent, self.inside(piece))

    def _choosing(self, loop: For, parts: list[_Part]) -> Stmt:
        """The whole loop, each iteration taking the body of its part."""
        bodies = [self.copy(rewrite(loop.body, part.known.get), {}) for part in parts]
        body = bodies.pop()
        for part in reversed(parts[:-1]):
            body = branch(Lt(loop.var, part.stop), bodies.pop(), body)
        return self.rebuilt(loop, loop.extent, self.inside(loop.replace(body=body)))

    def _parts(self, loop: For) -> list[_Part]:
        """The parts into which conditions inside divide a loop."""
        if loop.kind not in ("serial", *CONCURRENT) or loop.var.dtype != INDEX:
            return []
        stored = stored_in(loop.body)
        if any(isinstance(n, Load) and n.buffer in stored for n in postorder(loop.extent)):
            return []
        spans = self._spans(loop)
        outside = self.ranges(free_vars(loop))
        cuts = _cuts(list(spans.values()), loop.extent, outside)
        ends = [const(0), *[_within(cut.at, loop.extent, outside) for cut in cuts], loop.extent]
        parts = []
        for number in range(len(cuts) + 1):
            part = _Part(ends[number], ends[number + 1])
            lows: list[Expr] = [const(0)]
            highs = [loop.extent]
            for cut in cuts[:number]:
                lows += cut.lows
            for place, cut in enumerate(cuts[number:]):
                highs += cut.highs if place == 0 or cut.ordered else ()
            for cond, one in spans.items():
                holds = one.known(lows, highs, outside)
                if holds is not None:
                    part.known[cond] = TRUE if holds else FALSE
            parts.append(part)
        return parts

    def _spans(self, loop: For) -> dict[Expr, Span]:
        """Where conditions inside a loop hold, as far as that is known before it runs."""
        nested = [node for node in postorder(loop) if isinstance(node, For)]
        env = {**self.ranges(free_vars(loop)), **{n.var: (const(0), n.extent - 1) for n in nested}}
        inner = {node.var: node.extent for node in nested if node is not loop}
        around = {one.var for one in self.loops}
        found: dict[Expr, Span] = {}
        for cond in _worthwhile(loop):
            one = span(cond, loop.var, inner, env) if loop.var in free_vars(cond) else None
            if one is None:
                continue
            nodes = postorder(one.sure, one.never)
            if all(n in around for n in nodes if isinstance(n, Var)) and not any(
                isinstance(n, Load) for n in nodes
            ):
                found[cond] = one
        return found


def _cuts(spans: list[Span], extent: Expr, env: Env) -> list[_Cut]:
    """Where to cut a loop: at up to two points in a known order, else around the part in which
    all conditions hold."""
    points: list[Expr] = []
    for one in spans:
        for point in (one.sure, one.never):
            outside = prove(Le(point, const(0)), env) or prove(Le(extent, point), env)
            if not outside and point not in points:
                points.append(point)
    if len(points) == 2 and prove(Le(points[1], points[0]), env):
        points.reverse()
    if len(points) < 2 or (len(points) == 2 and prove(Le(points[0], points[1]), env)):
        return [_Cut(point, (point,), (point,)) for point in points]
    lows = tuple([one.sure for one in spans if one.late and one.sure in points])
    highs = tuple([one.sure for one in spans if not one.late and one.sure in points])
    cuts = []
    if lows:
        latest = lows[0]
        for point in lows[1:]:
            latest = simplify(Max(latest, point), env)
        cuts.append(_Cut(latest, lows, lows[:1] if len(lows) == 1 else ()))
    if highs:
        earliest = highs[0]
        for point in highs[1:]:
            earliest = simplify(Min(earliest, point), env)
        ordered = not lows or prove(Le(latest, earliest), env)
        at = earliest if ordered else simplify(Max(latest, earliest), env)
        cuts.append(_Cut(at, highs if len(highs) == 1 else (), highs, ordered))
    return cuts


def _within(point: Expr, extent: Expr, env: Env) -> Expr:
    """The point, or the end of the loop that it lies beyond."""
    if not prove(Le(point, extent), env):
        point = Min(point, extent)
    if not prove(Le(const(0), point), env):
        point = Max(point, const(0))
    return simplify(point, env)


def _worthwhile(loop: For) -> list[Expr]:
    """The conditions inside. An iteration that chooses its part tests as often as one that tests
    a condition of its own, so that one must stand inside further loops, or several times."""
    tests = [node for node in postorder(loop.body) if isinstance(node, If)]
    nested = [
        node
        for node in postorder(loop.body)
        if isinstance(node, For) and node.kind in ("serial", "unrolled")
    ]
    if loop.kind in CONCURRENT and len(tests) < 2 and not any(atoms(node) for node in nested):
        return []
    return atoms(loop.body)


def _stores(stmt: Stmt) -> int:
    """How many stores a statement becomes."""
    if isinstance(stmt, Store):
        return 1
    count = sum(_stores(child) for child in stmt.children if isinstance(child, Stmt))
    if isinstance(stmt, For) and stmt.kind == "unrolled":
        return count * (constant(stmt.extent) or 1)
    return count
