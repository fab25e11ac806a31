"""The methods of a schedule: one for each primitive, with its text."""

from __future__ import annotations

from inspect import isfunction

import pytest

from passes.schedule import primitives
from passes.schedule.recorder import Recorder
from passes.schedule.schedule import Schedule

PRIMITIVES = [name for name in primitives.__all__ if isfunction(getattr(primitives, name))]
METHODS = [
    (cls, name)
    for cls in (Schedule, Recorder)
    for name, method in vars(cls).items()
    if isfunction(method) and not name.startswith("_")
]


# The method `fuse` takes any number of loops, not two: it has a text of its own
@pytest.mark.parametrize("name", [name for name in PRIMITIVES if name != "fuse"])
def test_a_method_has_the_text_of_its_primitive(name: str) -> None:
    text = getattr(Schedule, name).__doc__
    assert text
    assert text == getattr(primitives, name).__doc__


def test_every_public_method_has_a_text() -> None:
    assert [name for cls, name in METHODS if not getattr(cls, name).__doc__] == []
