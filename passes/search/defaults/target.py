"""The facts of a CPU that default schedules choose by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from passes.schedule.instructions import available
from passes.schedule.intrinsics import INTRINSICS, TensorIntrinsic

# Bytes of a thread's stack for temporaries of a kernel: a small part of what threads have.
_STACK = 1 << 20


@dataclass(frozen=True)
class Target:
    """Vector width in bits, how many vector registers, bytes of first and second level cache, and
    what instructions there are (LLVM's names of features)."""

    vector_bits: int
    vector_registers: int
    l1d_bytes: int
    l2_bytes: int
    features: tuple[str, ...] = ()
    arch: str = "x86-64"

    @cached_property
    def intrinsics(self) -> tuple[TensorIntrinsic, ...]:
        """The tensor intrinsics it has, the preferred ones first."""
        names = available(self.arch, self.features, self.vector_bits)
        return tuple([INTRINSICS[name] for name in names])

    @property
    def shared_bytes(self) -> int:
        """What may stay in the cache that cores share; beyond, it comes from memory each time."""
        return 12 * self.l2_bytes

    @property
    def private_bytes(self) -> int:
        """What temporaries a thread may keep to itself: in its own cache, and on its stack."""
        return min(self.l2_bytes, _STACK)

    @property
    def lanes(self) -> int:
        """32-bit lanes of a vector."""
        return self.vector_bits // 32

    @staticmethod
    def of(facts: Mapping[str, Any]) -> Target:
        """From the declared target facts of a stage."""
        return Target(
            vector_bits=int(facts["vector_bits"]),
            vector_registers=int(facts["vector_registers"]),
            l1d_bytes=int(facts["l1d_bytes"]),
            l2_bytes=int(facts["l2_bytes"]),
            features=tuple(facts["features"]),
            arch=str(facts["arch"]),
        )
