"""One instruction as data: two programs in text, over the same parameters."""

from __future__ import annotations

from dataclasses import dataclass

ANY_STRIDE = "dim[0, 1099511627776]"


@dataclass(frozen=True)
class Need:
    """Features (LLVM's names) that give an instruction on vectors of up to `bits`."""

    bits: int
    features: frozenset[str]


@dataclass(frozen=True)
class Entry:
    """What `TensorIntrinsic` reads: `params` is the head of both programs, as between the
    parentheses of a function.

    `arch` and any one of `needs` are what a target must have. An entry of `lanes` 0 computes one
    lane, which `vectorize` puts side by side; the others have a vector of so many 32-bit lanes.
    `where` are conditions on the dims, `within` the values that elements of a parameter may have.
    """

    name: str
    params: str
    description: str
    implementation: str
    arch: str
    needs: tuple[Need, ...]
    lanes: int = 0
    where: tuple[str, ...] = ()
    within: tuple[tuple[str, int, int], ...] = ()

    def fits(self, arch: str, has: frozenset[str], vector_bits: int) -> bool:
        """Whether a target has it; one of lane by lane entries at the full width of its vectors."""
        bits = self.lanes * 32 or vector_bits
        wide = any(need.bits >= bits and need.features <= has for need in self.needs)
        return self.arch == arch and bits <= vector_bits and wide


def need(bits: int, *features: str) -> Need:
    return Need(bits, frozenset(features))
