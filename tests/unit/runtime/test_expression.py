import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.runtime.expression import parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("n", 5),
        ("n + 2 * m", 11),
        ("(n + 2) * m", 21),
        ("10 - 4 - 3", 3),
        ("(n + 31) // 32 * 32", 32),
        ("100 // 7 // 2", 7),
        (" ( ( n ) ) ", 5),
    ],
)
def test_value(text: str, value: int) -> None:
    assert parse(text).evaluate({"n": 5, "m": 3}) == value


_ATOMS = st.one_of(st.integers(0, 99).map(str), st.sampled_from(["n", "m"]))
_TEXTS = st.recursive(
    _ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner, st.booleans()).map(
        lambda p: f"({p[0]} {p[1]} {p[2]})" if p[3] else f"{p[0]}{p[1]}{p[2]}"
    ),
    max_leaves=12,
)


@given(_TEXTS.filter(lambda text: len(text) <= 256))
def test_agrees_with_python(text: str) -> None:
    dims = {"n": 5, "m": 3}
    assert parse(text).evaluate(dims) == eval(text, {}, dims)


def test_names() -> None:
    assert parse("n * (m + n)").names == {"n", "m"}
    assert parse("n").name == "n"
    assert parse("2 * n").name is None
    assert parse("2").name is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' ends where a name or a number should be"),
        ("n +", "'n +' ends where a name or a number should be"),
        ("-n", "unexpected '-' at column 1 of '-n'"),
        ("n m", "unexpected 'm' at column 3 of 'n m'"),
        ("(n", "'(' is never closed in '(n'"),
        ("n)", "')' without '(' at column 2 of 'n)'"),
        ("n()", "unexpected '(' at column 2 of 'n()'"),
        ("n / 2", "unexpected '/' at column 3 of 'n / 2'"),
        ("n.real", "unexpected '.' at column 2 of 'n.real'"),
        ("(" * 300, "expression of 300 characters; at most 256 are read"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse(text)
    assert str(raised.value) == message


def test_division_by_zero() -> None:
    with pytest.raises(ValueError, match=r"division by zero in 'n // \(m - 3\)'"):
        parse("n // (m - 3)").evaluate({"n": 1, "m": 3})


@given(st.text(max_size=40))
def test_any_text_parses_or_is_a_plain_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        parse(text)
