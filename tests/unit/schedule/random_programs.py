"""Random programs to schedule."""

from __future__ import annotations

from random import Random

from passes.ir.dtypes import I32, INDEX
from passes.ir.expr import Dim, Expr, IntLike, Var, cast, const, index, maximum, minimum
from passes.ir.loop.builder import LoopBuilder, load
from passes.ir.loop.nodes import Buffer, Function
from tests.unit.schedule.programs import N

MAYBE_NONE = Dim("n", 0, 64)


def random_program(r: Random) -> Function:
    """A few nests of blocks that load and store integer arrays here and there.

    Blocks may touch their neighbours' elements or update in place: kinds of iterators tell the
    truth about what is stored where, and no more.
    """
    return _Drawn(r).function()


class _Drawn:
    """A program being drawn; `pool` are the buffers that hold something."""

    def __init__(self, r: Random) -> None:
        self.r = r
        self.n = r.choice([N, N, MAYBE_NONE])
        self.b = LoopBuilder("random", dims=(self.n,))
        self.pool: list[Buffer] = [self.b.param(x, (self.n, 6), I32) for x in ("a", "b", "c")]
        self.made: list[Buffer] = [self.b.local(x, (self.n, 6), I32) for x in ("s", "t", "u")]

    def function(self) -> Function:
        kinds = [self.plain] * 8 + [
            self.tuples, self.again, self.copies, self.waits, self.guarded, self.scattered,
            self.ragged, self.shifted, self.restarting,
        ]  # fmt: skip
        for letter in "abcd"[: self.r.randint(1, 4)]:
            target = self.made.pop(0) if self.made and self.r.random() < 0.5 else None
            self.r.choice(kinds)(target, letter)
            if target is not None:
                self.pool.append(target)
        if self.r.random() < 0.8:
            first, last = self.pool[0], self.pool[-1]
            self.b.map(first, lambda i, j: load(last, i, j) + load(first, i, j), label="last")
        return self.b.function()

    # Each of these adds a nest; a `target` is filled over its whole shape before it is read.

    def plain(self, target: Buffer | None, letter: str) -> None:
        r, b = self.r, self.b
        reduce = r.random() < 0.5
        with b.loop("i", self.n) as i, b.loop("j", 6) as j:
            if target is not None and not reduce:
                with b.block(f"fill_{letter}", [(self.n, i), (6, j)]) as (u, v):
                    b.store(target, (u, v), self.value(u, v))
            for part in range(r.randint(0 if target is not None else 1, 2)):
                self.block(i, j, f"{letter}{'xyz'[part]}")
        if target is not None and reduce:
            self.sums(target, f"sum_{letter}")

    def tuples(self, target: Buffer | None, letter: str) -> None:
        """The target and a buffer of the pool, reduced as a tuple."""
        if target is None:
            return self.plain(target, letter)
        combiner = self.b.combiner(
            "pairs", [const(0, I32)] * 2, lambda a, c: [a[0] + c[0], a[1] + c[1] + a[0] * c[0]]
        )
        r, others = self.r, list(self.pool)
        second = others.pop(r.randrange(len(others)))
        targets = r.choice([(target, second), (second, target)])

        def values(u: Var, v: Var, w: Var) -> list[Expr]:
            first = self.value(u, v, others) + load(r.choice(others), u, w)
            return [first, self.value(u, w, others)]

        return self.b.reduce_tuple(
            targets, [r.choice([1, 4, 6])], values, combiner, f"pair_{letter}"
        )

    def again(self, target: Buffer | None, letter: str) -> None:
        """A nest that runs a few times, counted in memory."""
        left = self.b.local("left", (1,), I32)
        self.b.store(left, (0,), self.r.randint(0, 3))
        with self.b.loop_while(load(left, 0) > 0):
            self.plain(target, letter)
            self.b.store(left, (0,), load(left, 0) - 1)
        self.filled(target, letter)  # the loop may not have run

    def copies(self, target: Buffer | None, letter: str) -> None:
        """The target filled by asynchronous copies through views, with or without other work
        before they land."""
        if target is None:
            return self.plain(target, letter)
        b, queue = self.b, f"q{letter}"
        with b.async_group(queue), b.loop("i", self.n) as i, b.loop("j", 6) as j:
            copied = b.block(f"copy_{letter}", [(self.n, i), (6, j)])
            with copied as (u, v):
                row = b.view(target, (u, 0), (None, 6))
                b.store(row, (v,), self.value(u, v))
        if self.r.random() < 0.5:
            beside = b.local("beside", (self.n, 6), I32)
            b.map(beside, lambda i, j: self.value(i, j), label=f"beside_{letter}")
        return b.async_wait(queue, 0, [target])

    def waits(self, target: Buffer | None, letter: str) -> None:
        """Two buffers filled by groups of one queue; the first is used before the second lands."""
        if target is None:
            return self.behind(letter)
        queue, more = f"q{letter}", self.b.local("more", (self.n, 6), I32)
        used = self.r.choice(self.pool)
        kept = [buffer for buffer in self.pool if buffer is not used]  # sources on the way
        self.group(queue, target, f"copy_{letter}", kept)
        later = self.group(queue, more, f"copy_more_{letter}", kept)
        self.b.async_wait(queue, later, [target, more])
        self.b.map(used, lambda i, j: load(target, i, 5 - j) + self.value(i, j), f"use_{letter}")
        return self.b.async_wait(queue, 0, [target, more])

    def group(self, queue: str, target: Buffer, label: str, pool: list[Buffer]) -> IntLike:
        """Fills the target by a group of copies, or by one a row; gives how many."""
        if self.r.random() < 0.5:
            with self.b.async_group(queue), self.b.loop("i", self.n) as i:
                self.row(target, i, label, pool)
            return 1
        with self.b.loop("i", self.n) as i, self.b.async_group(queue):
            self.row(target, i, label, pool)
        return self.n

    def behind(self, letter: str) -> None:
        """Rows copied one by one, each of them used while the next is on its way."""
        b, queue, used = self.b, f"q{letter}", self.r.choice(self.pool)
        rows = b.local("rows", (self.n, 6), I32)
        kept = [buffer for buffer in self.pool if buffer is not used]
        with b.loop("i", self.n) as i:
            with b.async_group(queue):
                self.row(rows, i, f"copy_{letter}", kept)
            b.async_wait(queue, 1, [rows])
            with b.loop("j", 6) as j:
                axes = [(self.n, i), (6, j)]
                with b.block(f"use_{letter}", axes, where=i >= 1) as (u, v):
                    b.store(used, (u, v), load(rows, u - 1, 5 - v) + 1)
        b.async_wait(queue, 0, [rows])

    def guarded(self, target: Buffer | None, letter: str) -> None:
        """A block that runs where memory says so, memory that it may store to."""
        self.filled(target, letter)
        r, b, stored = self.r, self.b, target or self.r.choice(self.pool)
        with b.loop("i", self.n) as i, b.loop("j", 6) as j, b.loop("k", 4) as k:
            asked = load(r.choice([stored, *self.pool]), i, r.choice([j, 5 - j, k]))
            where = asked > r.choice([-50, 0, 3])
            self.update(stored, [(self.n, i), (6, j)], (4, k), f"if_{letter}", where)

    def ragged(self, target: Buffer | None, letter: str) -> None:
        """A loop as long as memory, which it may store to, or another loop says; maybe empty."""
        self.filled(target, letter)
        r, b, stored = self.r, self.b, target or self.r.choice(self.pool)
        with b.loop("i", self.n) as i, b.loop("j", 6) as j:
            asked = load(r.choice([stored, *self.pool]), i, r.choice([j, index(0)]))
            length = r.choice([i, j, cast(asked, INDEX)])
            with b.loop("k", minimum(maximum(length, 0), 4)) as k:
                self.update(stored, [(self.n, i), (6, j)], (4, k), f"ragged_{letter}")

    def scattered(self, target: Buffer | None, letter: str) -> None:
        """A block that stores where memory, which it may store to, says."""
        self.filled(target, letter)
        r, b, stored = self.r, self.b, target or self.r.choice(self.pool)
        with b.loop("i", self.n) as i, b.loop("j", 6) as j:
            asked = load(r.choice([stored, *self.pool]), i, r.choice([j, index(0)]))
            row = minimum(maximum(cast(asked, INDEX), 0), self.n - 1)
            axes = [(self.n, row), (self.n, i), (6, j)]
            kind = r.choice(["ordered", "opaque"])
            with b.block(f"scatter_{letter}", **{kind: axes}) as (p, u, v):
                b.store(stored, (p, v), self.value(u, v))

    def shifted(self, target: Buffer | None, letter: str) -> None:
        """A reduction whose first instance is not that of its loops, or one of several."""
        self.filled(target, letter)
        r, b, stored = self.r, self.b, target or self.r.choice(self.pool)
        with b.loop("i", self.n) as i, b.loop("j", 6) as j:
            axes, label = [(self.n, i), (6, j)], f"shifted_{letter}"
            with b.loop("k", 4) as k:
                match r.choice(["backwards", "offset", "late", "overlapping"]):
                    case "backwards":
                        self.update(stored, axes, (4, 3 - k), label)
                    case "offset":
                        self.update(stored, axes, (6, k + 2), label)
                    case "late":
                        self.update(stored, axes, (4, k), label, k >= r.choice([0, 1, 2]))
                    case "overlapping":
                        with b.loop("l", 3) as l_:
                            at = k * 2 + l_ - 2
                            self.update(stored, axes, (8, at), label, at >= 0)

    def restarting(self, target: Buffer | None, letter: str) -> None:
        """Sums that start anew at each step of an ordered loop, around them or inside."""
        self.filled(target, letter)
        r, b, stored = self.r, self.b, target or self.r.choice(self.pool)
        outer, inner = r.choice([("k", "j"), ("j", "k")])
        sizes = {"j": r.choice([4, 6]), "k": 3}
        nest = b.loop("i", self.n), b.loop(outer, sizes[outer]), b.loop(inner, sizes[inner])
        with nest[0] as i, nest[1] as x, nest[2] as y:
            j, k = (x, y) if outer == "j" else (y, x)
            with b.block(f"anew_{letter}", [(self.n, i)], [(6, j)], [(3, k)]) as (u, v, w):
                with b.init():
                    b.store(stored, (u, 0), r.choice([0, 2]))
                b.store(stored, (u, 0), load(stored, u, 0) + self.value(u, r.choice([v, w])))

    # Parts of nests

    def filled(self, target: Buffer | None, letter: str) -> None:
        if target is not None:
            self.b.map(target, lambda i, j: 7, label=f"sure_{letter}")

    def row(self, target: Buffer, i: Var, label: str, pool: list[Buffer]) -> None:
        """Fills a row of the target."""
        b = self.b
        with b.loop("j", 6) as j, b.block(label, [(self.n, i), (6, j)]) as (u, v):
            b.store(target, (u, v), self.value(u, v, pool))

    def sums(self, target: Buffer, label: str) -> None:
        """Fills the target with sums."""
        r, b, steps = self.r, self.b, self.r.choice([1, 4, 6])
        with b.loop("i", self.n) as i, b.loop("j", 6) as j, b.loop("k", steps) as k:
            summed = b.block(label, [(self.n, i), (6, j)], [(6, k)])
            with summed as (u, v, w):
                with b.init():
                    b.store(target, (u, v), r.choice([0, 3]))
                term = self.value(u, w) * load(r.choice(self.pool), u, v)
                b.store(target, (u, v), load(target, u, v) + term)

    def update(
        self,
        target: Buffer,
        axes: list[tuple[Dim | int, Var]],
        last: tuple[int, Expr],
        label: str,
        where: Expr | None = None,
    ) -> None:
        """A block that adds to elements of the target along its last axis, a reduction or not."""
        r, b, reduces = self.r, self.b, self.r.random() < 0.7
        kinds = {"reduce" if reduces else "ordered": [last]}
        with b.block(label, axes, where=where, **kinds) as (u, v, w):
            if reduces and r.random() < 0.7:
                with b.init():
                    b.store(target, (u, v), r.choice([const(0, I32), load(target, u, v) * 2]))
            b.store(target, (u, v), load(target, u, v) + self.value(u, minimum(w, 5)))

    def block(self, i: Var, j: Var, name: str) -> None:
        b, n, target = self.b, self.n, self.r.choice(self.pool)
        pattern = self.r.choice(["ij", "ij", "ij", "i", "j", "half", "next"])
        if pattern in ("ij", "half", "next"):
            with b.block(name, [(n, i), (6, j)]) as (u, v):
                place = {"ij": (u, v), "half": (u, v // 2), "next": (u, minimum(v + 1, 5))}[pattern]
                b.store(target, place, self.value(u, v))
        elif pattern == "i":
            with b.block(name, [(n, i)], ordered=[(6, j)]) as (u, v):
                b.store(target, (u, 0), self.value(u, v))
        else:
            with b.block(name, [(6, j)], [(n, i)]) as (v, u):
                with b.init():
                    b.store(target, (0, v), 0)
                b.store(target, (0, v), load(target, 0, v) + self.value(u, v))

    def value(self, u: Expr, v: Expr, pool: list[Buffer] | None = None) -> Expr:
        """Something of the pool, at that place or near it."""
        r, known = self.r, pool or self.pool
        places: list[tuple[IntLike, IntLike]] = [
            (u, v), (u, v), (u, v), (u, 0), (0, v), (u, maximum(v - 1, 0)),
            (u, minimum(v + 1, 5)), (u, v // 3), (maximum(u - 1, 0), v), (u, 5 - v),
        ]  # fmt: skip
        one = load(r.choice(known), *r.choice(places))
        return one + load(r.choice(known), *r.choice(places)) if r.random() < 0.5 else one + 1
