"""Which instructions the processor that runs the tests has."""

from __future__ import annotations

from passes.codegen import native
from passes.schedule.instructions import available

HOST = native.host_machine().features


def host_has(name: str) -> bool:
    """Whether this CPU has what the tensor intrinsic of that name calls."""
    has = [f[1:] for f in HOST.split(",") if f.startswith("+")]
    return name in available("x86-64", has, 512 if "avx512f" in has else 256)
