"""Arm: SDOT, of four signed bytes a lane."""

from __future__ import annotations

from passes.schedule.instructions.dots import Dot
from passes.schedule.instructions.entry import need

_SDOT = Dot(
    "dot4_i8_i8_sdot", "dot4_signed", "i8", "i8", "i32", 4, ("i32", "i32"),
    "aarch64", (need(128, "dotprod"),),
)  # fmt: skip

ENTRIES = (_SDOT.lane(), _SDOT.tile(4))
