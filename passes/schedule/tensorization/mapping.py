"""A way to compute a block by an instruction, as data."""

from __future__ import annotations

from dataclasses import dataclass

from passes.ir.expr import Expr, Var
from passes.ir.expr_text import name_of, print_expr


@dataclass(frozen=True)
class Axis:
    """Iterators of the block, outermost first, that become one: together the digits of the
    instruction's iterators `names`, which go as far as `tile` says. No iterator: one instance.

    `extent` is how many values they take together, `padding` how many are missing to a whole
    number of tiles.
    """

    names: tuple[str, ...]
    tile: tuple[Expr, ...]
    group: tuple[Var, ...]
    extent: Expr
    padding: Expr

    def __str__(self) -> str:
        group = "*".join([name_of(v) for v in self.group]) or "1"
        tile = " ".join(
            [f"{n}={print_expr(e)}" for n, e in zip(self.names, self.tile, strict=True)]
        )
        padded = print_expr(self.padding)
        return f"{group} → {tile}" + (f" padded by {padded}" if padded != "0" else "")


@dataclass(frozen=True)
class Operand:
    """What of the block plays a parameter of the instruction.

    `reindexed` says why it must be put in another order first, None where it lies as described;
    `padded` whether it goes along an axis that is padded.
    """

    param: str
    value: Expr
    reindexed: str | None
    padded: bool

    def __str__(self) -> str:
        how = ("" if self.reindexed is None else f" reindexed ({self.reindexed})") + (
            " padded" if self.padded else ""
        )
        return f"{self.param} = {print_expr(self.value)}{how}"


@dataclass(frozen=True)
class Mapping:
    """Iterators of block `label` and operands by name of the intrinsic's; those `outer` stay loops
    around the instruction.

    `turned` says of each commutative operation of the description, in order, whether the block has
    its operands the other way round. `cost` is a rough number of cycles, to compare mappings by.

        i → m=8; j → n=16; k → k=4 padded by 2; a = x[i, k] padded; b = w[k, j] reindexed (…)
    """

    label: str
    intrinsic: str
    axes: tuple[Axis, ...]
    operands: tuple[Operand, ...]
    outer: tuple[Var, ...]
    turned: tuple[bool, ...]
    cost: float

    def __str__(self) -> str:
        outer = [f"outer {' '.join([name_of(v) for v in self.outer])}"] if self.outer else []
        return "; ".join([*map(str, self.axes), *map(str, self.operands), *outer])
