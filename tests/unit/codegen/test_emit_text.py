"""What the emitter writes: where values are computed, and what is left out."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from passes.codegen.emit import emit_module
from passes.ir.loop.parse import parse_function
from passes.ir.node import IRError


def emitted(text: str) -> str:
    return emit_module([parse_function(text)])


def body_of_innermost_loop(text: str) -> list[str]:
    """The lines from the last loop label to the branch that closes the loop."""
    lines = text.splitlines()
    start = max(i for i, line in enumerate(lines) if line.startswith("loop."))
    end = next(i for i in range(start, len(lines)) if lines[i].startswith("  br i1"))
    return lines[start : end + 1]


def test_the_whole_text_of_a_small_kernel() -> None:
    text = emitted("""
def axpy(x: f32[n*16], y: f32[n*16], *, n: dim[1, 64]):
    for i, p in multiples(range(n), 16):
        y[ramp(p, 1, 16)] = fma(broadcast(f32(2.0), 16), x[ramp(p, 1, 16)], y[ramp(p, 1, 16)])
""")
    assert (
        text
        == """\
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)

define hidden void @axpy(i64 %dim.n, ptr noalias %at.x0, ptr noalias %at.y1, \
i64 %tid, i64 %nt, ptr %pool) nounwind {
entry:
  br label %loop.1
loop.1:
  %i2.3 = phi i64 [ 0, %entry ], [ %.10, %loop.1 ]
  %p3.4 = phi i64 [ 0, %entry ], [ %.11, %loop.1 ]
  %.5 = getelementptr float, ptr %at.x0, i64 %p3.4
  %.6 = load <16 x float>, ptr %.5, align 4
  %.7 = getelementptr float, ptr %at.y1, i64 %p3.4
  %.8 = load <16 x float>, ptr %.7, align 4
  %.9 = call <16 x float> @llvm.fma.v16f32(<16 x float> splat (float 0x4000000000000000), \
<16 x float> %.6, <16 x float> %.8)
  store <16 x float> %.9, ptr %.7, align 4
  %.10 = add nuw nsw i64 %i2.3, 1
  %.11 = add nsw i64 %p3.4, 16
  %.12 = icmp slt i64 %.10, %dim.n
  br i1 %.12, label %loop.1, label %done.2
done.2:
  ret void
}
"""
    )


def test_register_slots_are_phis_and_never_memory() -> None:
    text = emitted("""
def f(x: f32[n], y: f32[1], *, n: dim[1, 64]):
    t = alloc(f32[1], scope="register")
    t[0] = f32(0.0)
    for i in range(n):
        t[0] = t[0] + x[i]
    y[0] = t[0]
""")
    assert "alloca" not in text
    assert text.count("phi float") == 1
    assert text.count("store") == 1


def test_a_slot_that_is_always_written_first_needs_no_phi() -> None:
    text = emitted("""
def f(x: f32[n], y: f32[n], *, n: dim[1, 64]):
    t = alloc(f32[1], scope="register")
    for i in range(n):
        t[0] = x[i]*f32(2.0)
        y[i] = t[0] + t[0]
""")
    assert "phi float" not in text


def test_what_does_not_change_is_computed_outside() -> None:
    text = emitted("""
def f(x: f32[n*m], s: f32[n], y: f32[n*m], *, n: dim[1, 64], m: dim[1, 64]):
    for i in range(n):
        for j in range(m):
            y[i*m + j + 3] = x[i*m + j]*(s[i]*f32(0.5))
""")
    inner = "\n".join(body_of_innermost_loop(text))
    assert "mul nsw" not in inner
    assert inner.count("load float") == 1
    assert inner.count("fmul") == 1
    assert re.search(r"getelementptr float, ptr %\S+, i64 3\n", inner), "the constant comes last"


def test_decoded_vectors_leave_loops_that_do_not_move_them() -> None:
    text = emitted("""
def f(w: u8[16], x: f32[n*16], y: f32[n*16], *, n: dim[1, 64]):
    for i in range(n):
        y[ramp(i*16, 1, 16)] = x[ramp(i*16, 1, 16)]*cast(w[ramp(0, 1, 16)], f32x16)
""")
    entry = text[: text.index("loop.")]
    assert entry.count("load <16 x i8>") == 1
    assert entry.count("uitofp") == 1


def test_a_scalar_in_bounds_leaves_the_guard_of_a_loop() -> None:
    loops = """
def f(s: f32[4], x: f32[m], y: f32[n], *, n: dim[1, 64], m: dim[0, 64], p: dim[0, {}]):
    for i in range(n):
        for k in range(m):
            y[i] = y[i] + x[k]*s[p]
"""
    inside, beyond = (emitted(loops.format(most)) for most in (3, 4))
    assert "ptr %at.s0" in inside[: inside.index("loop.")]
    assert "load float, ptr" in inside[: inside.index("loop.")]
    assert "load float, ptr" not in beyond[: beyond.index("loop.")]


def test_a_load_stays_behind_stores_to_its_buffer() -> None:
    text = emitted("""
def f(x: f32[8], y: f32[8]):
    for i in range(8):
        y[i] = x[0] + y[0]
        y[1] = x[0] + y[0]
""")
    inner = "\n".join(body_of_innermost_loop(text))
    assert "%at.x0" not in inner
    assert inner.count("load float, ptr %at.y1") == 2


def test_a_load_does_not_leave_its_branch() -> None:
    text = emitted("""
def f(x: f32[n], y: f32[n], *, n: dim[0, 8], m: dim[0, 8]):
    for i in range(n):
        if 3 < m:
            y[i] = x[3]
""")
    entry = text[: text.index("loop.")]
    assert "load" not in entry


def test_a_stored_value_is_not_loaded_again() -> None:
    text = emitted("""
def f(x: f32[8], y: f32[8], z: f32[8]):
    y[2] = x[1]
    z[0] = y[2]
""")
    assert text.count("load") == 1


def test_only_loops_that_may_not_run_are_guarded() -> None:
    loop = "def f(y: f32[n], *, n: dim[{}, 8]):\n    for i in range(n):\n        y[i] = f32(1.0)\n"
    assert "icmp slt i64 0, %dim.n" in emitted(loop.format(0))
    assert "icmp slt i64 0, %dim.n" not in emitted(loop.format(1))


def test_division_by_a_power_of_two_is_a_shift() -> None:
    text = emitted("""
def f(y: i64[n], *, n: dim[1, 8]):
    for i in range(n):
        y[i] = cast((i - 5)//4 + (i - 5)%8 + i//3 + (i - 5)%3, i64)
""")
    assert text.count("ashr i64") == 1
    assert text.count("and i64") == 1
    assert text.count("udiv i64") == 1
    assert text.count("sdiv i64") == 1
    assert "rem" not in text


def test_quotient_and_rest_are_one_division() -> None:
    text = emitted("""
def f(y: i64[n], *, n: dim[1, 8], m: dim[1, 8]):
    for i in range(n):
        if i%2 == 0:
            y[i] = cast(i//m, i64)
        else:
            y[i] = cast(i%m, i64) + cast(n//m, i64)
""")
    entry, inner = text[: text.index("loop.")], "\n".join(body_of_innermost_loop(text))
    assert entry.count("udiv") == 1, "n//m is known before the loop, as m is not zero"
    assert text.count("udiv") == 2
    assert inner.count("udiv") == 1


def test_multiples_are_counted_along() -> None:
    text = emitted("""
def f(a: u8[n*320], s: f16[n*160], *, n: dim[1, 64], m: dim[1, 8]):
    for j in range(m):
        for i, p in multiples(range(n), m*20):
            s[p + j] = cast(a[p*2 + j], f16)
""")
    inner = "\n".join(body_of_innermost_loop(text))
    assert "mul nsw i64 %i" not in inner
    (stride,) = re.findall(r"= add nsw i64 %p\S+, (%\S+)", inner)
    assert f"{stride} = mul nsw i64 %dim.m, 20" in text[: text.index("loop.")]


def test_multiples_start_where_a_share_of_the_work_does() -> None:
    text = emitted("""
def f(a: f32[n*24], y: f32[n], *, n: dim[1, 64]):
    for i, p in multiples(parallel(n), 24):
        y[i] = a[p]
""")
    (first,) = re.findall(r"%p\S+ = phi i64 \[ (%\S+),", text)
    assert re.search(rf"{first} = mul nsw i64 %\S+, 24", text)


def test_bits_of_a_broadcast_word_change_in_the_vector() -> None:
    text = emitted("""
def f(x: i8[n], k: u32[n], y: u32[16], z: u32[16], *, n: dim[4, 8]):
    y[ramp(0, 1, 16)] = broadcast(
        reinterpret(x[ramp(n - 4, 1, 4)], u32) ^ u32(2155905152), 16)
    z[ramp(0, 1, 16)] = broadcast(k[n - 1] & u32(255), 16)
""")
    assert "xor <16 x i32>" in text and "and <16 x i32>" in text
    assert "xor i32" not in text and "and i32" not in text


def test_bytes_are_broadcast_as_words() -> None:
    text = emitted("""
def f(x: i8[n], y: i8[64], *, n: dim[4, 8]):
    y[ramp(0, 1, 64)] = broadcast(x[ramp(n - 4, 1, 4)], 16)
""")
    assert "load i32, ptr" in text
    assert "shufflevector <16 x i32>" in text
    assert "bitcast <16 x i32>" in text


def test_lanes_that_read_a_contiguous_run_in_another_order_are_shuffled() -> None:
    text = emitted("""
def f(x: f32[16], y: f32[64]):
    y[ramp(0, 1, 64)] = x[ramp(0, 1, 64)//broadcast(4, 64)]
    y[ramp(0, 1, 16)] = x[ramp(15, -1, 16)]
""")
    assert text.count("load <16 x float>") == 1
    assert text.count("shufflevector") == 2


def test_constants_are_spelled_by_their_bits() -> None:
    text = emitted("""
def f(a: f32[4], b: f16[2], c: bf16[2], d: u8[1], e: bool[1]):
    a[0] = f32(0.1)
    a[1] = f32(1e39)
    a[2] = f32("nan")
    a[3] = f32(-0.0)
    b[0] = f16(65504.0)
    b[1] = f16(1e6)
    c[0] = bf16(1.00390625)
    c[1] = bf16("-inf")
    d[0] = u8(255)
    e[0] = True
""")
    stored = re.findall(r"store (\S+ \S+),", text)
    assert stored == [
        "float 0x3FB99999A0000000", "float 0x7FF0000000000000", "float 0x7FF8000000000000",
        "float 0x8000000000000000", "half 0xH7BFF", "half 0xH7C00", "bfloat 0xR3F80",
        "bfloat 0xRFF80", "i8 -1", "i8 %.6",
    ]  # fmt: skip


def test_the_text_is_the_same_in_another_process() -> None:
    script = (
        "from tests.unit.codegen.programs import PROGRAMS\n"
        "from passes.codegen.emit import emit_module\n"
        "from passes.codegen.lower import lower\n"
        "from passes.ir.loop.parse import parse_function\n"
        "for text, _ in PROGRAMS.values():\n"
        "    print(emit_module([lower(parse_function(text))]))\n"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert len(texts[0]) > 10_000
    assert texts[0] == texts[1]


def test_kernels_share_declarations() -> None:
    one = parse_function("def f(x: f32[1]):\n    x[0] = sqrt(x[0])\n")
    text = emit_module([one, one.replace(name="g")])
    assert text.count("declare float @llvm.sqrt.f32(float)") == 1
    assert text.count("define hidden void") == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def f(x: f32[4, 4]):\n    x[1, 2] = f32(0.0)\n",
            "'x0' has 2 axes; 'flatten' makes it 1-D",
        ),
        (
            "def f(x: f32[4]):\n    for i in vectorized(4):\n        x[i] = f32(0.0)\n",
            "loop i1 is vectorized; it must be gone before emission",
        ),
        (
            "def f(x: f32[1]):\n    x[0] = exp(x[0])\n",
            "no instruction for 'exp' giving f32; functions like exp are expanded to arithmetic "
            "by the lowering pass 'math'",
        ),
        (
            "def f(x: f32[1]):\n    t = alloc(f32[1], scope='register')\n    x[0] = t[0]\n",
            "register buffer 't1' is read before anything is stored there",
        ),
    ],
)
def test_what_is_not_lowered_is_refused(text: str, message: str) -> None:
    with pytest.raises(IRError) as caught:
        emitted(text)
    assert str(caught.value) == message
