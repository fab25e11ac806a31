"""Entries of dot-product instructions: each 32-bit lane adds up products of a few small numbers.

A lane alone (`vectorize` composes lanes), or rows by columns:

    c[i, j] += Σ_q a[i, q] * b[j, q]          b in panels [columns, numbers of a word]
"""

from __future__ import annotations

from dataclasses import dataclass

from passes.schedule.instructions.entry import ANY_STRIDE, Entry, Need

_FLIPPED = "u32(2155905152)"  # 0x80 in each byte: turns the sign of a byte over


@dataclass(frozen=True)
class Dot:
    """`call(acc, a, b)` of words with `count` numbers of `a` and `b` each, summed as `acc`."""

    name: str
    call: str
    a: str
    b: str
    acc: str
    count: int
    words: tuple[str, str]
    arch: str
    needs: tuple[Need, ...]
    within: tuple[tuple[str, int, int], ...] = ()

    def lane(self) -> Entry:
        """One lane: `a[count]` and `b[count]` into one number."""
        n, (u, v) = self.count, self.words
        term = f"cast(a[v], {self.acc})*cast(b[v], {self.acc})"
        word = f"ramp(0, 1, {n})"
        return Entry(
            name=self.name,
            params=f"a: {self.a}[{n}], b: {self.b}[{n}], c: {self.acc}[()]",
            description=f"""
for k in range({n}):
    with block("dot"):
        v = reduce({n}, k)
        c[()] = c[()] + {term}
""",
            implementation=self._stored(
                "c[()]", f"reinterpret(a[{word}], {u})", f"reinterpret(b[{word}], {v})"
            ),
            arch=self.arch,
            needs=self.needs,
            within=self.within,
        )

    def tile(self, lanes: int) -> Entry:
        """Rows by whole vectors of columns, one word deep."""
        n, (u, v) = self.count, self.words
        word = f"ramp(0, 1, {n})"
        stored = self._stored(
            "c[i, j*{0} + l]", f"reinterpret(a[i, {word}], {u})",
            f"reinterpret(b[j*{{0}} + l, {word}], {v})",
        ).format(lanes)  # fmt: skip
        return Entry(
            name=f"{self.name}_x{lanes}",
            params=f"a: {self.a}[m, {n}](strides=[s, 1]), b: {self.b}[n, {n}], "
            f"c: {self.acc}[m, n](strides=[t, 1]), *, m: dim[1, 64], "
            f"n: dim[{lanes}, 1024], s: {ANY_STRIDE}, t: {ANY_STRIDE}",
            description=f"""
for i in range(m):
    for j in range(n):
        for k in range({n}):
            with block("dot"):
                r = spatial(m, i)
                l = spatial(n, j)
                v = reduce({n}, k)
                c[r, l] = c[r, l] + cast(a[r, v], {self.acc})*cast(b[l, v], {self.acc})
""",
            implementation=f"""
for i in unrolled(m):
    for j in unrolled(n//{lanes}):
        for l in vectorized({lanes}):
            {stored}
""",
            arch=self.arch,
            needs=self.needs,
            lanes=lanes,
            where=(f"n%{lanes} == 0",),
            within=self.within,
        )

    def _stored(self, place: str, a: str, b: str) -> str:
        return f"{place} = {self.call}({place}, {a}, {b})"

    # Both operands signed: (a ^ 0x80)*b is (a + 128)*b, so 128 times the sum of b is taken off

    def signed_lane(self) -> Entry:
        """One lane of two signed operands. What is taken off is the same for all rows, and the
        emitter computes equal values of an unrolled tile once."""
        name = self.name.replace("u8", "i8")
        a = f"reinterpret(a[ramp(0, 1, 4)], u32) ^ {_FLIPPED}"
        b = "reinterpret(b[ramp(0, 1, 4)], i32)"
        flipped = f"{self.call}(c[()], {a}, {b}) - {self.call}(i32(0), {_FLIPPED}, {b})"
        signed = Dot(name, self.call, "i8", "i8", "i32", 4, self.words, self.arch, self.needs)
        lane = signed.lane()
        return Entry(**{**lane.__dict__, "implementation": f"c[()] = {flipped}"})

    def signed_tile(self, lanes: int) -> Entry:
        """Rows by whole vectors of columns, as deep as may be; what is taken off is added up
        along the depth, once for all rows."""
        name = f"{self.name.replace('u8', 'i8')}_x{lanes}"
        b = f"reinterpret(b[q, j*{lanes} + l, ramp(0, 1, 4)], i32)"
        a = f"reinterpret(a[i, q, ramp(0, 1, 4)], u32) ^ {_FLIPPED}"
        c, t = f"c[i, j*{lanes} + l]", f"z[j*{lanes} + l]"
        return Entry(
            name=name,
            params=f"a: i8[m, k, 4](strides=[s, 4, 1]), b: i8[k, n, 4](strides=[w, 4, 1]), "
            f"c: i32[m, n](strides=[t, 1]), *, m: dim[1, 64], n: dim[{lanes}, 1024], "
            f"k: dim[1, 1048576], s: {ANY_STRIDE}, t: {ANY_STRIDE}, w: {ANY_STRIDE}",
            description="""
for i in range(m):
    for j in range(n):
        for q in range(k):
            for p in range(4):
                with block("dot"):
                    r = spatial(m, i)
                    l = spatial(n, j)
                    u = reduce(k, q)
                    v = reduce(4, p)
                    c[r, l] = c[r, l] + cast(a[r, u, v], i32)*cast(b[u, l, v], i32)
""",
            implementation=f"""
z = alloc(i32[n], scope="register")
for j in unrolled(n//{lanes}):
    for l in vectorized({lanes}):
        {t} = i32(0)
for q in range(k):
    for j in unrolled(n//{lanes}):
        for l in vectorized({lanes}):
            {t} = {self.call}({t}, {_FLIPPED}, {b})
    for i in unrolled(m):
        for j in unrolled(n//{lanes}):
            for l in vectorized({lanes}):
                {c} = {self.call}({c}, {a}, {b})
for i in unrolled(m):
    for j in unrolled(n//{lanes}):
        for l in vectorized({lanes}):
            {c} = {c} - {t}
""",
            arch=self.arch,
            needs=self.needs,
            lanes=lanes,
            where=(f"n%{lanes} == 0",),
        )
