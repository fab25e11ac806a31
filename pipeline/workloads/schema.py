"""Schema 1 of a workload file: cases, each an operator on tensors of given types."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.recipe.diagnostics import name_cure, shown
from pipeline.recipe.schema import Bounds, Section, wrong

WORKLOAD_KIND = "workload"
NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
Name = Annotated[str, Field(pattern=NAME)]
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Span = Annotated[tuple[int, int], Field(strict=False)]
Plain = int | float | bool | str
Attribute = Plain | Annotated[list[Plain | list[Plain]], Field(strict=False)]


class DimBounds(Bounds):
    """An inclusive range of a symbolic dim."""

    min: Annotated[int, Field(ge=1)]
    max: Annotated[int, Field(le=1 << 40)]


class Step(Section):
    """An operator applied to the result so far, then to the inputs `with` names."""

    operator: Name
    operands: Names = Field(default=(), alias="with", description="Inputs after the result.")
    attributes: dict[str, Attribute] = Field(default={}, description="As the operator has them.")


class Case(Section):
    """One operator, or one with an epilogue, on tensors of given types."""

    name: Name = Field(description="Names the entry point of the package.")
    dims: dict[Name, DimBounds] = Field(default={}, description="Symbolic dims and their bounds.")
    sizes: Annotated[tuple[dict[Name, int], ...], Field(strict=False)] = Field(
        default=(), description="Values of the dims to measure at, each dim in each.",
        examples=[[{"n": 1}, {"n": 16}]],
    )  # fmt: skip
    inputs: Annotated[dict[Name, str], Field(min_length=1)] = Field(
        description="The inputs' types by name, such as `f32[n, 64]` or `Q4_1[576, 576]`.",
        examples=[{"x": "f32[n, 64]"}],
    )
    constant: Names = Field(
        default=(), description="Inputs that are weights: known, and laid out, at build time."
    )
    values: dict[Name, Span] = Field(
        default={}, description="The lowest and highest value of integer inputs."
    )
    operator: Name = Field(description="An operator of this project.", examples=["contract"])
    operands: Names = Field(
        default=(), alias="of", description="Its inputs; by default all that no epilogue names."
    )
    attributes: dict[str, Attribute] = Field(default={}, description="As the operator has them.")
    epilogue: Annotated[tuple[Step, ...], Field(strict=False)] = Field(
        default=(), description="What is applied to the result, in order."
    )
    compute: Literal["f32", "int8"] = Field(
        default="f32", description="int8: products with quantised weights on the integer path."
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        places = [("constant", self.constant), ("of", self.operands), ("values", self.values)]
        places += [(f"epilogue.{k}.with", step.operands) for k, step in enumerate(self.epilogue)]
        for place, names in places:
            for name in names:
                if name not in self.inputs:
                    cure = name_cure(name, self.inputs, "inputs")
                    raise wrong(f"`{shown(name)}` is no input of the case", cure, place)
        return self

    @model_validator(mode="after")
    def _inputs_are_inputs(self) -> Self:
        for name in self.inputs:
            reason = None
            if name in self.dims:
                reason = f"`{name}` is a dim as well"
            elif re.fullmatch(r"out\d*", name):
                reason = f"`{name}` is what results are called"
            if reason is not None:
                raise wrong(reason, "give the input another name", f"inputs.{name}")
        if set(self.constant) == set(self.inputs):
            reason = "every input is constant, so there is nothing to compute"
            raise wrong(reason, "take one out", "constant")
        return self

    @model_validator(mode="after")
    def _sizes_give_each_dim(self) -> Self:
        if self.dims and not self.sizes:
            example = ", ".join(f"{name}: {bounds.max}" for name, bounds in self.dims.items())
            raise wrong(
                "a case with symbolic dims needs sizes to measure at",
                f"add `sizes: [{{{example}}}]`",
                "dims",
            )
        for number, size in enumerate(self.sizes):
            at = f"sizes.{number}"
            for name, value in size.items():
                bounds = self.dims.get(name)
                if bounds is None:
                    cure = name_cure(name, self.dims, "dims") if self.dims else "remove it"
                    raise wrong(f"`{shown(name)}` is no dim of the case", cure, at)
                if not bounds.min <= value <= bounds.max:
                    raise wrong(
                        f"{name} = {value} is outside {bounds.min}..{bounds.max}",
                        "widen the dim's bounds, or choose another size",
                        f"{at}.{name}",
                    )
            missing = [name for name in self.dims if name not in size]
            if missing:
                raise wrong(f"no value of dim `{missing[0]}`", f"add `{missing[0]}: …`", at)
        return self

    def data(self) -> dict[str, Any]:
        """The case as JSON-able data, all that its package depends on."""
        return self.model_dump(mode="json", by_alias=True, exclude={"sizes"})


def _distinct(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    names = [case.name for case in cases]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise wrong(f"two cases are called `{name}`", "rename one", f"{number}.name")
    return cases


class Workload(Section):
    """A whole workload file."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this format.")
    kind: Literal["workload"] = Field(description="What the file describes.")
    cases: Annotated[tuple[Case, ...], Field(strict=False, min_length=1), AfterValidator(_distinct)]
