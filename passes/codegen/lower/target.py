"""What a CPU cannot run is refused before anything is lowered."""

from __future__ import annotations

from passes.ir.expr_text import name_of
from passes.ir.loop.nodes import BLOCK_AXES, THREAD_AXES, For, Function
from passes.ir.loop.traverse import in_text_order
from passes.ir.node import IRError

_ALIGN = 64
"""Bytes that every buffer is aligned to; the arena and the stack give no more."""


def check_target(function: Function) -> None:
    """Raises `IRError` for thread blocks, their scopes, and alignments beyond a cache line."""
    for stmt in in_text_order(function.body):
        if isinstance(stmt, For) and stmt.kind in (*BLOCK_AXES, *THREAD_AXES):
            raise IRError(
                f"'{function.name}': loop {name_of(stmt.var)} is bound to {stmt.kind}; a CPU has"
                " no thread blocks, bind it on a GPU target or make it parallel"
            )
    for buffer in (*function.params, *function.allocs):
        if buffer.scope in ("shared", "warp", "fragment"):
            raise IRError(
                f"'{function.name}': buffer {name_of(buffer)} has scope '{buffer.scope}'; a CPU has"
                " global, local and register buffers"
            )
        if buffer.align is not None and buffer.align > _ALIGN:
            raise IRError(
                f"'{function.name}': buffer {name_of(buffer)} is aligned to {buffer.align} bytes;"
                f" a CPU's buffers are to {_ALIGN}"
            )
