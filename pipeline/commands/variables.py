"""The variables of the command line: `name=value`, checked, because doit itself accepts any."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.commands.errors import UsageError

BUILD_VARIABLES = ("recipe", "locked")
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Request:
    """What was asked for: a recipe, overrides of its values, and the command's own variables."""

    recipe: str | None
    locked: bool
    overrides: tuple[str, ...]
    own: Mapping[str, str]


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuses what doit would stumble over (an empty argument) or pass over in silence (a variable
    given twice).

    Raises UsageError.
    """
    seen: set[str] = set()
    for argument in arguments:
        if not argument:
            raise UsageError("an argument is empty: remove the '' from the command line")
        name, equals, _ = argument.partition("=")
        if not equals or argument.startswith("-"):
            continue
        if name in seen:
            raise UsageError(f"variable '{name}' is given twice: keep one of the two")
        seen.add(name)


def given_variables() -> Mapping[str, str]:
    """The variables of this call, in their order."""
    from doit import doit_cmd

    return dict(doit_cmd._CMDLINE_VARS or {})


def read_request(
    given: Mapping[str, str], own: Sequence[str] = (), others: Sequence[str] = ()
) -> Request:
    """Sorts variables into the recipe, overrides and those of a command; `own` come first.

    A dotted name is an override, and so is the name of a value or section of the recipe. What was
    meant by an unknown name may also be one of the `others`, which the command takes elsewhere.

    Raises UsageError for a name that is none of these.
    """
    from pipeline.recipe.schema import Recipe, keys_of

    sections = [key for key in keys_of(Recipe) if key != "schema"]
    known = list(dict.fromkeys([*BUILD_VARIABLES, *own, *others]))
    overrides: list[str] = []
    mine: dict[str, str] = {}
    for name, value in given.items():
        if name in own:
            mine[name] = value
        elif name in BUILD_VARIABLES:
            continue
        elif "." in name or name in sections:
            overrides.append(f"{name}={value}")
        else:
            raise UsageError(_unknown(name, known, sections))
    recipe = given.get("recipe")
    if recipe == "":
        raise UsageError("recipe= names no recipe; `doit list` shows what there is")
    locked = _switch("locked", given.get("locked", "0"))
    if locked and overrides:
        raise UsageError(
            f"locked=1 builds the recipe as its lock has it, so {overrides[0]!r} cannot be "
            "overridden: drop one of the two"
        )
    return Request(recipe, locked, tuple(overrides), mine)


def _unknown(name: str, known: Sequence[str], sections: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:100], [*known, *sections], n=1, cutoff=0.7)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    return f"unknown variable '{name}'; {hint} (a value of the recipe is overridden as a.b=value)"


def _switch(name: str, text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise UsageError(f"{name}={text} is neither on nor off: write {name}=1 or leave it out")
    return _SWITCH[text.lower()]


def whole_number(name: str, text: str, least: int) -> int:
    """The value of a variable that counts something.

    Raises UsageError.
    """
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"{name}={text} is no whole number from {least} on")
    return number
