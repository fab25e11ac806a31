"""Plain scalars: YAML 1.2's meaning, an error where YAML 1.1 reads something else."""

import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipe.scalars import ScalarError, plain_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("FALSE", False),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("9223372036854775807", 2**63 - 1),
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5E+3", -1500.0),
        ("llama", "llama"),
        ("nul", "nul"),
        ("sha256:00ff", "sha256:00ff"),
        ("pypi:a==1.0#b/c.gguf", "pypi:a==1.0#b/c.gguf"),
        ("x86-64-v3", "x86-64-v3"),
        ("0.1.2", "0.1.2"),
    ],
)
def test_meaning(text: str, value: object) -> None:
    got = plain_value(text)
    assert (type(got), got) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no", "`no` is `false` to YAML 1.1 and text to YAML 1.2"),
        ("On", "`On` is `true` to YAML 1.1 and text to YAML 1.2"),
        ("y", "`y` is `true` to YAML 1.1 and text to YAML 1.2"),
        ("010", "`010` has a leading zero: octal to YAML 1.1, decimal to YAML 1.2"),
        ("-09", "`-09` has a leading zero: octal to YAML 1.1, decimal to YAML 1.2"),
        ("1_000", "`1_000` is a number to YAML 1.1 and text to YAML 1.2"),
        ("0b11", "`0b11` is a number to YAML 1.1 and text to YAML 1.2"),
        ("1:30", "`1:30` is a number to YAML 1.1 and text to YAML 1.2"),
        ("1:30.5", "`1:30.5` is a number to YAML 1.1 and text to YAML 1.2"),
        ("2026-01-31", "`2026-01-31` is a date to YAML 1.1 and text to YAML 1.2"),
        ("<<", "`<<` is a merge key to YAML 1.1 and text to YAML 1.2"),
        ("=", "`=` is a default value key to YAML 1.1 and text to YAML 1.2"),
        (".inf", "`.inf` is not a finite number"),
        (".NaN", "`.NaN` is not a finite number"),
        ("1e999", "`1e999` is too large"),
        ("9223372036854775808", "`9223372036854775808` does not fit in 64 bits"),
        ("9" * 5000, f"`{'9' * 39}…` does not fit in 64 bits"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(ScalarError) as caught:
        plain_value(text)
    assert caught.value.reason == reason


SCALARS = st.one_of(
    st.text("0123456789+-._:xobeEnyf", min_size=1, max_size=12),
    st.from_regex(
        r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9]){0,2}(\.[0-9]*)?([eE][-+]?[0-9]+)?", fullmatch=True
    ),
    st.sampled_from(["yes", "No", "off", "TRUE", "~", "2001-12-14 21:59:43", "0x_1", "-0x1F"]),
)


@given(SCALARS)
def test_never_silently_unlike_yaml_1_1(text: str) -> None:
    """What YAML 1.1 reads as a number, boolean, null or date is the same here, or refused."""
    tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    loader = yaml.SafeLoader("")
    try:
        old = loader.construct_object(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError):
        return
    try:
        new = plain_value(text)
    except ScalarError:
        return
    if isinstance(old, str):
        assert new == text or isinstance(new, int | float)
    elif isinstance(old, float):
        assert isinstance(new, float) and math.isclose(new, old, rel_tol=1e-12)
    else:
        assert (type(new), new) == (type(old), old)
