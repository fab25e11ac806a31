"""Distributions: linear maps over bits, from places (register, lane, warp) to coordinates.

    register bits →  [(0, 1), (8, 0)]            register r of lane l holds element
    lane bits     →  [(0, 2), (0, 4),            i = (l // 4) ^ 8*(r // 2)
                      (1, 0), (2, 0), (4, 0)]    j = (r % 2) ^ 2*(l % 4)

Every bit of a place flips some bits of the coordinates: its *basis*; a place's coordinates are the
exclusive or of the bases of its bits that are set. Operands of matrix instructions, swizzles of
shared memory and the layouts that vectors are loaded in are all values of this form; one from the
other is found by `then` and `inverse`. Names of places and of coordinates are free, so that a
coordinate of one map may be a place of the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from passes.ir.expr import BitXor, Expr, IntLike, index
from passes.ir.node import IRError, Node

Basis: TypeAlias = tuple[int, ...]
Places: TypeAlias = tuple[tuple[str, tuple[Basis, ...]], ...]
Sizes: TypeAlias = tuple[tuple[str, int], ...]


class Distribution(Node):
    """A linear map over bits. Text: `distribution({"i": 16, "j": 8}, {"lane": [(0, 1), …], …})`.

    `outputs` are the coordinates with their sizes, which are powers of two. `inputs` are the
    places with a basis for each of their bits, the lowest first: how the bit changes each
    coordinate.
    """

    outputs: Sizes
    inputs: Places

    def check(self) -> None:
        for what, names in (("coordinate", self.outputs), ("place", self.inputs)):
            given = [name for name, _ in names]
            if not all(name.isidentifier() for name in given) or len(set(given)) != len(given):
                raise IRError(f"a distribution needs a name of its own for each {what}: {given}")
        for name, size in self.outputs:
            if size < 1 or size & (size - 1):
                raise IRError(f"coordinate '{name}' has size {size}, not a power of two")
        for name, bases in self.inputs:
            for basis in bases:
                sizes = [size for _, size in self.outputs]
                if len(basis) != len(sizes) or any(
                    not 0 <= b < size for b, size in zip(basis, sizes, strict=False)
                ):
                    raise IRError(f"a bit of '{name}' has basis {basis} for coordinates of {sizes}")

    @property
    def rank(self) -> int:
        """The number of coordinates."""
        return len(self.outputs)

    def size(self, place: str) -> int:
        """How many values a place has; 1 for one the map does not speak of."""
        return 1 << len(dict(self.inputs).get(place, ()))

    # Values

    def at(self, **places: int) -> tuple[int, ...]:
        """The coordinates of a place; places not given are 0.

        Raises `IRError` for a place that the map does not have.
        """
        known = dict(self.inputs)
        found = [0] * self.rank
        for name, value in places.items():
            if not 0 <= value < self.size(name):
                raise IRError(f"'{name}' is {value}; a place is 0..{self.size(name) - 1}")
            for bit, basis in enumerate(known.get(name, ())):
                if value >> bit & 1:
                    found = [a ^ b for a, b in zip(found, basis, strict=True)]
        return tuple(found)

    def coordinates(self, **places: IntLike) -> tuple[Expr, ...]:
        """The coordinates as index expressions of places; those not given are 0.

        Runs of bits that are only moved become digits (`x // 4 % 8 * 2`), added up where no two
        of them meet in a bit, else joined by `^`.
        """
        known = dict(self.inputs)
        unknown = sorted(set(places) - set(known))
        if unknown:
            raise IRError(f"the distribution has no place '{unknown[0]}', but {list(known)}")
        whole: list[Expr] = []
        for axis in range(self.rank):
            terms: list[tuple[int, Expr]] = []
            for name, value in places.items():
                terms += _digits(index(value), [basis[axis] for basis in known[name]])
            whole.append(_joined(terms))
        return tuple(whole)

    # Questions

    def is_injective(self) -> bool:
        """Whether no two places hold the same element."""
        columns = self._columns()
        return len(_Eliminated(columns).pivots) == len(columns)

    def is_surjective(self) -> bool:
        """Whether every element has a place."""
        return len(_Eliminated(self._columns()).pivots) == sum(_bits(self.outputs))

    # Maps from maps

    def then(self, after: Distribution) -> Distribution:
        """`after` of this: places of this one to coordinates of `after`.

        Raises `IRError` if the places of `after` are not the coordinates of this one.
        """
        sizes = {name: after.size(name) for name, _ in after.inputs}
        if sizes != dict(self.outputs):
            raise IRError(f"a map to {dict(self.outputs)} does not fit one from {sizes}")
        names = [name for name, _ in self.outputs]
        inputs = [
            (name, tuple([after.at(**dict(zip(names, b, strict=True))) for b in bases]))
            for name, bases in self.inputs
        ]
        return Distribution(after.outputs, tuple(inputs))

    def inverse(self) -> Distribution:
        """Coordinates to places: where an element is; of several such places, that of which the
        later bits are 0. Raises `IRError` if an element has no place."""
        solved = _Eliminated(self._columns())
        bits = [len(bases) for _, bases in self.inputs]
        inputs = []
        for axis, (name, size) in enumerate(self.outputs):
            bases = []
            for bit in range(size.bit_length() - 1):
                found = solved.solve(_packed(self._unit(axis, bit), self.outputs))
                if found is None:
                    raise IRError(f"bit {bit} of coordinate '{name}' has no place")
                bases.append(_unpacked(found, bits))
            inputs.append((name, tuple(bases)))
        outputs = tuple([(name, 1 << len(bases)) for name, bases in self.inputs])
        return Distribution(outputs, tuple(inputs))

    def beside(self, other: Distribution) -> Distribution:
        """Both maps at once: a place or coordinate of both has the bits of this one below those
        of `other`.

            identity("lane", 4, "j").beside(identity("lane", 8, "i"))     l holds (l % 4, l // 4)
        """
        mine, theirs = dict(self.outputs), dict(other.outputs)
        names = list(dict.fromkeys([*mine, *theirs]))
        outputs = tuple([(n, mine.get(n, 1) * theirs.get(n, 1)) for n in names])
        bits: dict[str, list[Basis]] = {}
        for source, shifts in ((self, dict.fromkeys(names, 1)), (other, mine)):
            own = [name for name, _ in source.outputs]
            for name, bases in source.inputs:
                for basis in bases:
                    at = dict(zip(own, basis, strict=True))
                    moved = tuple([at.get(n, 0) * shifts.get(n, 1) for n in names])
                    bits.setdefault(name, []).append(moved)
                bits.setdefault(name, [])
        return Distribution(outputs, tuple([(n, tuple(b)) for n, b in bits.items()]))

    def _columns(self) -> list[int]:
        return [_packed(basis, self.outputs) for _, bases in self.inputs for basis in bases]

    def _unit(self, axis: int, bit: int) -> Basis:
        return tuple([1 << bit if a == axis else 0 for a in range(self.rank)])


def distribution(
    outputs: Mapping[str, int], inputs: Mapping[str, Iterable[Iterable[int]]]
) -> Distribution:
    """The map with these coordinates and these bases of each place's bits."""
    places = [(n, tuple([tuple(b) for b in bases])) for n, bases in inputs.items()]
    return Distribution(tuple(outputs.items()), tuple(places))


def identity(place: str, size: int, coordinate: str) -> Distribution:
    """`size` values of a place, each of which is the coordinate."""
    bits = range(max(size, 1).bit_length() - 1)
    return distribution({coordinate: size}, {place: [(1 << bit,) for bit in bits]})


def swizzle(
    rows: int, columns: int, vector: int = 1, phases: int = 1, rows_a_phase: int = 1
) -> Distribution:
    """Where a row-major tile of shared memory keeps its elements so that a column of vectors is
    spread over the banks: at `offset` stands element

        i = offset // columns,   j = (offset % columns) ^ (i // rows_a_phase % phases)*vector

    Raises `IRError` unless all are powers of two and the phases fit a row.
    """
    if phases * vector > columns or phases * rows_a_phase > rows:
        raise IRError(f"{phases} phases of {vector} do not fit a tile of {rows} x {columns}")
    bits: list[Basis] = [(0, 1 << bit) for bit in range(columns.bit_length() - 1)]
    for bit in range(rows.bit_length() - 1):
        phase = (1 << bit) // rows_a_phase % phases
        bits.append((1 << bit, phase * vector))
    return distribution({"i": rows, "j": columns}, {"offset": bits})


def mma_m16n8k16() -> tuple[Distribution, Distribution, Distribution]:
    """The operands of the matrix instruction m16n8k16 for 16-bit numbers: a (16 x 16, row by
    row), b (16 x 8), and the f32 sum c (16 x 8), each over the registers of a warp's 32 lanes."""
    a = distribution(
        {"i": 16, "k": 16},
        {"register": [(0, 1), (8, 0), (0, 8)], "lane": _quads((0, 2), (1, 0))},
    )
    b = distribution(
        {"k": 16, "j": 8}, {"register": [(1, 0), (8, 0)], "lane": _quads((2, 0), (0, 1))}
    )
    c = distribution(
        {"i": 16, "j": 8}, {"register": [(0, 1), (8, 0)], "lane": _quads((0, 2), (1, 0))}
    )
    return a, b, c


def _quads(inner: Basis, outer: Basis) -> list[Basis]:
    """The bits of a lane: four lanes along one axis from `inner`, eight along another."""
    return [
        *[tuple([x << bit for x in inner]) for bit in range(2)],
        *[tuple([x << bit for x in outer]) for bit in range(3)],
    ]


def _bits(sizes: Sizes) -> list[int]:
    return [size.bit_length() - 1 for _, size in sizes]


def _packed(basis: Basis, outputs: Sizes) -> int:
    """All coordinates of a basis as one number."""
    whole, at = 0, 0
    for value, bits in zip(basis, _bits(outputs), strict=True):
        whole |= value << at
        at += bits
    return whole


def _unpacked(whole: int, bits: Iterable[int]) -> Basis:
    parts = []
    for count in bits:
        parts.append(whole & ((1 << count) - 1))
        whole >>= count
    return tuple(parts)


class _Eliminated:
    """Columns over two elements, reduced so that each pivot bit stands in one of them only."""

    def __init__(self, columns: list[int]) -> None:
        self.pivots: dict[int, tuple[int, int]] = {}  # bit → column, and which ones it is made of
        for number, column in enumerate(columns):
            value, made = self._reduced(column, 1 << number)
            if value:
                bit = value.bit_length() - 1
                for other, (old, of) in self.pivots.items():
                    if old >> bit & 1:
                        self.pivots[other] = old ^ value, of ^ made
                self.pivots[bit] = value, made

    def _reduced(self, value: int, made: int) -> tuple[int, int]:
        for bit, (column, of) in self.pivots.items():
            if value >> bit & 1:
                value, made = value ^ column, made ^ of
        return value, made

    def solve(self, wanted: int) -> int | None:
        """The set of columns whose exclusive or is `wanted`; None if there is none."""
        rest, made = self._reduced(wanted, 0)
        return None if rest else made


def _digits(value: Expr, moves: list[int]) -> list[tuple[int, Expr]]:
    """What the bits of `value` give, bit b flipping `moves[b]`: (bits that may be set, term)."""
    terms: list[tuple[int, Expr]] = []
    whole = 0
    while whole < len(moves):
        run = 1
        move = moves[whole]
        while whole + run < len(moves) and move and moves[whole + run] == move << run:
            run += 1
        if move:
            digit = value // (1 << whole)
            if whole + run < len(moves):
                digit = digit % (1 << run)
            reach = 0
            for step in range(run):
                reach |= move << step
            terms += _spread(digit, move, run)
        whole += run
    return terms


def _spread(digit: Expr, move: int, run: int) -> list[tuple[int, Expr]]:
    """`digit` (of `run` bits) at each bit that is set in `move`."""
    places = [bit for bit in range(move.bit_length()) if move >> bit & 1]
    return [(((1 << run) - 1) << at, digit * (1 << at)) for at in places]


def _joined(terms: list[tuple[int, Expr]]) -> Expr:
    """Terms added where no bit is set in two of them, else joined by exclusive or."""
    whole: Expr = index(0)
    reach = 0
    for bits, term in terms:
        whole = whole + term if not reach & bits else BitXor(whole, term)
        reach |= bits
    return whole
