"""x86: VPDPBUSD and its stand-ins, VDPBF16PS and its stand-in.

dot4_u8_i8          VPDPBUSD (VNNI)
dot4_u8_i8_words    two PMADDWD on widened bytes: exact, where the maddubs pair saturates
dot4_u8_i8_pairs    PMADDUBSW and PMADDWD: exact as long as unsigned operands are below 128
dot4_i8_i8…         the same of signed bytes, by the unsigned instruction and a correction
dot2_bf16           VDPBF16PS: rounds after each product, subnormal numbers are zeros
dot2_bf16_fma       two fused multiply-adds in its order, with subnormal numbers
"""

from __future__ import annotations

from passes.schedule.instructions.dots import Dot
from passes.schedule.instructions.entry import need

_ARCH = "x86-64"
_VNNI = (
    need(512, "avx512vnni"),
    need(256, "avx512vnni", "avx512vl"),
    need(256, "avxvnni"),
)
_WORDS = (need(512, "avx512bw"), need(256, "avx2"))
_FMA = (need(512, "avx512f"), need(256, "avx2", "fma"))
_BF16 = (need(512, "avx512bf16"), need(256, "avx512bf16", "avx512vl"))

_U8 = ("u8", "i8", "i32", 4, ("u32", "i32"), _ARCH)
_VPDPBUSD = Dot("dot4_u8_i8", "dot4", *_U8, _VNNI)
_PMADDWD = Dot("dot4_u8_i8_words", "dot4_words", *_U8, _WORDS)
_PMADDUBSW = Dot("dot4_u8_i8_pairs", "dot4_pairs", *_U8, _WORDS, (("a", 0, 127),))
_PAIR = ("bf16", "bf16", "f32", 2, ("u32", "u32"), _ARCH)
_VDPBF16PS = Dot("dot2_bf16", "dot2_bf16", *_PAIR, _BF16)
_TWO_FMAS = Dot("dot2_bf16_fma", "dot2_bf16_fma", *_PAIR, _FMA)

ENTRIES = (
    *[dot.lane() for dot in (_VPDPBUSD, _PMADDWD, _PMADDUBSW, _VDPBF16PS, _TWO_FMAS)],
    *[dot.signed_lane() for dot in (_VPDPBUSD, _PMADDWD)],
    *[
        dot.tile(lanes)
        for dot in (_VPDPBUSD, _PMADDWD, _PMADDUBSW, _VDPBF16PS, _TWO_FMAS)
        for lanes in (16, 8)
    ],
    *[dot.signed_tile(lanes) for dot in (_VPDPBUSD, _PMADDWD) for lanes in (16, 8)],
)
