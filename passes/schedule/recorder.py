"""Applying steps to a function and keeping them in a trace, decisions among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from passes.ir.arith import substitute, upper_bound
from passes.ir.expr import Const, Dim, Expr, Var
from passes.ir.expr_text import parse_expr
from passes.ir.loop.multiples import spelled_out
from passes.ir.loop.nodes import Buffer, Function
from passes.schedule.arguments import check_arguments
from passes.schedule.decisions import Decision, Location, Place
from passes.schedule.instruction import (
    Instruction,
    Layout,
    Number,
    Recorded,
    decided,
    handles_in,
    numbers,
)
from passes.schedule.locations import locations, place_of
from passes.schedule.queries import QUERIES, asked_for
from passes.schedule.sampling import (
    Categorical,
    Choice,
    ComputeLocation,
    Decide,
    Open,
    PartitionedTile,
    PerfectTile,
    Question,
    Sampling,
    seeded,
)
from passes.schedule.trace import Trace
from passes.schedule.tree import ScheduleError, get_buffer, get_loop, spell

P = ParamSpec("P")
R = TypeVar("R")
Primitive = Callable[..., "Function | tuple[Function, Any]"]
Apply = Callable[[Primitive, Function, tuple[Any, ...], Mapping[str, Any]], Any]


def _directly(
    primitive: Primitive, function: Function, args: tuple[Any, ...], options: Mapping[str, Any]
) -> Any:
    return primitive(function, *args, **options)


class Recorder:
    """`function` is the program so far, `trace` the steps that led to it.

    Loops are handles (the variable), blocks are labels, buffers are names. `decide` makes the
    decisions that a schedule leaves open. `apply` calls a primitive.
    """

    def __init__(
        self,
        function: Function,
        decide: Decide | None = None,
        apply: Apply | None = None,
    ) -> None:
        self.function = function = function.replace(body=spelled_out(function.body))
        self.trace = Trace()
        self.decide = decide if decide is not None else seeded(0)
        self._apply = apply if apply is not None else _directly
        self._programs = [function]  # before the first step, and after each
        self._given: set[Var | str] = set()  # handles that some step gave
        self._choices: dict[Var, Any] = {}  # what was decided: a number, a loop, "inline", "root"
        self._own = frozenset(
            [f"{b.name}{b.ordinal}" for b in (*function.params, *function.allocs)]
        )

    def at(self, step: int) -> Self:
        """A schedule of its own, as this one was after that many steps of the trace."""
        made = type(self)(self._programs[0], self.decide, self._apply)
        made.function = self._programs[step]
        made.trace.steps = self.trace.steps[:step]
        made._programs = self._programs[: step + 1]
        made._given = {handle for one in made.trace for handle in handles_in(one.result)}
        made._choices = {v: value for v, value in self._choices.items() if v in made._given}
        return made

    def undo(self, step: int) -> None:
        """Undoes the steps after that many, as if they had not been taken."""
        del self.trace.steps[step:], self._programs[step + 1 :]
        self.function = self._programs[step]
        self._given = {handle for one in self.trace for handle in handles_in(one.result)}
        self._choices = {v: value for v, value in self._choices.items() if v in self._given}

    def taken(self, step: Instruction) -> tuple[Any, ...]:
        """The arguments of a step of the trace as its primitive took them."""
        return tuple([decided(arg, self._choices) for arg in step.args])

    def loops(self, label: str) -> list[Var]:
        """The loops around a block, outermost first."""
        return list(QUERIES["loops"](self.function, label))

    def buffers(self, label: str) -> list[str]:
        """The names of the buffers that a block stores to, then of those that it reads."""
        return list(QUERIES["buffers"](self.function, label))

    def loop(self, name: str) -> Var:
        """The loop whose variable is spelled so. Raises ScheduleError if there is none."""
        found: Var = QUERIES["loop"](self.function, name)
        return found

    def expr(self, text: str, **values: Var | Decision) -> Expr:
        """An expression over the function's dims and the values, as `n//t*t` with `t=tile`.

        Raises IRError.
        """
        names: dict[str, Any] = {dim.name: dim for dim in self.function.dims}
        names.update({name: Var("value", -1 - k) for k, name in enumerate(values)})
        meant = {
            names[name]: value.expr if isinstance(value, Decision) else value
            for name, value in values.items()
        }
        return substitute(parse_expr(text, names), meant)

    def query(self, name: str, argument: str) -> None:
        """`loops`, `loop` or `buffers` as a step of the trace."""
        result = QUERIES[name](self.function, argument)
        self._note(Instruction(name, (argument,), result), self.function)

    def buffer(self, name: str) -> Buffer:
        """The buffer of that name (with or without its ordinal)."""
        return get_buffer(self.function, name, "buffer")

    def sample_categorical(
        self,
        candidates: Sequence[int],
        probabilities: Sequence[float] | None = None,
        choice: Choice | None = None,
        site: str = "",
        suggested: Choice | None = None,
    ) -> Decision:
        """One of the numbers, drawn with those probabilities (or all alike).

        `choice`, here and below, is the decision where it is made already: here a position. `site`
        names it to whoever decides, who is told what is `suggested`; a name that was asked for
        before gets a number.
        """
        given = tuple(candidates)
        self._check("sample_categorical", given)
        weights = (1.0,) * len(candidates) if probabilities is None else tuple(probabilities)
        if not candidates or len(weights) != len(candidates):
            reason = f"{len(candidates)} candidates and {len(weights)} probabilities do not fit"
            raise ScheduleError("sample_categorical", "a number", reason, self.function)
        sampling = Categorical(given, weights)
        asked = self.asked(sampling, site, suggested)
        chosen = self._chosen("sample_categorical", asked, choice)
        assert isinstance(chosen, int)
        value = given[chosen]
        symbol = self._symbol(value)
        args = (given, None if probabilities is None else weights)
        step = Instruction("sample_categorical", args, symbol, _named(asked), sampling, chosen)
        self._note(step, self.function)
        return Decision(value, symbol)

    def sample_perfect_tile(
        self,
        loop: Var,
        parts: int,
        max_innermost: int = 16,
        choice: Choice | None = None,
        site: str = "",
        suggested: Choice | None = None,
    ) -> tuple[Decision | Dim | None, ...]:
        """Factors, outermost first, whose product is the loop's extent, for `split`.

        Of a symbolic extent the outermost factor is None, what is left; so it is where whoever
        decides leaves the others open: they are dims of the function from then on.
        """
        name = "sample_perfect_tile"
        self._check(name, loop, parts, max_innermost)
        extent, bound = self._extent(name, loop)
        if parts < 1 or max_innermost < 1:
            reason = f"{parts} factors up to {max_innermost} cannot be"
            raise ScheduleError(name, f"loop {spell(loop)}", reason, self.function, loop)
        sampling = PerfectTile(extent, parts, max_innermost, bound)
        asked = self.asked(sampling, site, suggested)
        return self._tile(name, (loop, parts, max_innermost), asked, choice)

    def sample_partitioned_tile(
        self,
        loop: Var,
        parts: int,
        partition: int,
        inner: int,
        choice: Choice | None = None,
        site: str = "",
        suggested: Choice | None = None,
    ) -> tuple[Decision | Dim | None, ...]:
        """The same, where the factors from number `partition` on make up `inner`."""
        name = "sample_partitioned_tile"
        self._check(name, loop, parts, partition, inner)
        extent, bound = self._extent(name, loop)
        fits = 0 < partition < parts and inner >= 1
        if not fits or (extent is not None and extent % inner):
            reason = f"{parts} factors, {inner} from number {partition} on, cannot be"
            raise ScheduleError(name, f"loop {spell(loop)}", reason, self.function, loop)
        sampling = PartitionedTile(extent, parts, partition, inner, bound)
        asked = self.asked(sampling, site, suggested)
        return self._tile(name, (loop, parts, partition, inner), asked, choice)

    def sample_compute_location(
        self,
        label: str,
        choice: Choice | None = None,
        site: str = "",
        suggested: Choice | None = None,
    ) -> Location:
        """Where to compute a block, for `place`: at a loop around its consumers, or no loop."""
        name = "sample_compute_location"
        self._check(name, label)
        sampling = ComputeLocation(locations(self.function, label))
        asked = self.asked(sampling, site, suggested)
        chosen = self._chosen(name, asked, choice)
        assert isinstance(chosen, int)
        place = place_of(self.function, label, chosen)
        symbol = self._symbol(place)
        step = Instruction(name, (label,), symbol, _named(asked), sampling, chosen)
        self._note(step, self.function)
        return Location(symbol, place)

    def _check(self, name: str, *args: Any) -> None:
        """That the first arguments of a sampling step are of the kinds that it takes."""
        check_arguments(name, getattr(Recorder, name), self.function, args, {})

    def _extent(self, name: str, loop: Var) -> tuple[int | None, int | None]:
        """A loop's extent if it is constant, and the most that it can be."""
        extent = get_loop(self.function, loop, name).extent
        if isinstance(extent, Const):
            if extent.value < 1:
                reason = "it has no iterations to divide"
                raise ScheduleError(name, f"loop {spell(loop)}", reason, self.function, loop)
            return int(extent.value), int(extent.value)
        return None, upper_bound(extent)

    def _tile(
        self, name: str, args: tuple[Any, ...], asked: Question, choice: Choice | None
    ) -> tuple[Decision | Dim | None, ...]:
        chosen = self._chosen(name, asked, choice)
        assert isinstance(chosen, tuple)
        queries = self._queries(args)
        dims = [f for f in chosen if isinstance(f, Dim)]
        if dims:
            open_ = self.function.replace(dims=(*self.function.dims, *dims))
            step = Instruction(name, args, None, _named(asked), asked.sampling)
            self._note(step, open_, queries)
            return chosen  # type: ignore[return-value]  # dims and None
        factors = tuple([f if isinstance(f, int) else None for f in chosen])
        symbols = tuple([None if f is None else self._symbol(f) for f in factors])
        step = Instruction(name, args, symbols, _named(asked), asked.sampling, factors)
        self._note(step, self.function, queries)
        pairs = zip(factors, symbols, strict=True)
        return tuple([None if f is None or v is None else Decision(f, v) for f, v in pairs])

    def asked(self, sampling: Sampling, site: str, suggested: Choice | None) -> Question:
        """The question, its site numbered if the same was asked for before."""
        if not site:
            return Question(sampling, "", suggested)
        taken = {dict(step.options).get("site") for step in self.trace}
        names = (site if k == 1 else f"{site} {k}" for k in count(1))
        return Question(sampling, next(n for n in names if n not in taken), suggested)

    def _chosen(self, name: str, asked: Question, choice: Choice | None) -> Choice | Open:
        chosen = self.decide(asked) if choice is None else choice
        is_open = isinstance(chosen, tuple) and any(isinstance(f, Dim) for f in chosen)
        if not is_open and not asked.sampling.fits(chosen):  # type: ignore[arg-type]
            reason = f"the choice {chosen} is none of {asked.sampling}"
            raise ScheduleError(name, "a decision", reason, self.function)
        return chosen

    def _symbol(self, value: int | Place) -> Var:
        """A variable that stands for a decision in the trace."""
        symbol = Var("choice", len(self._choices))
        self._choices[symbol] = value
        return symbol

    def _with(
        self,
        primitive: Callable[Concatenate[Function, P], tuple[Function, R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        made: R = self.run(primitive, args, kwargs)
        return made

    def _do(
        self,
        primitive: Callable[Concatenate[Function, P], Function],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        self.run(primitive, args, kwargs)

    def run(self, primitive: Primitive, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Applies a primitive and notes the step; gives the handles that it gave."""
        noted = tuple([self._noting(arg) for arg in args])
        taken = tuple([decided(arg, self._choices) for arg in noted])
        taken_options = {name: decided(value, self._choices) for name, value in options.items()}
        check_arguments(primitive.__name__, primitive, self.function, taken, taken_options)
        made = self._apply(primitive, self.function, taken, taken_options)
        function, result = made if isinstance(made, tuple) else (made, None)
        kept = tuple([arg.data if isinstance(arg, Recorded) else arg for arg in noted])
        queries = self._queries(kept)
        step = Instruction(primitive.__name__, kept, result, tuple(options.items()))
        self._note(step, function, queries)
        return result

    def _noting(self, arg: Any) -> Any:
        """An argument as the trace keeps it; index maps once they were used."""
        if isinstance(arg, Decision):
            return Number(arg.expr)
        if isinstance(arg, Location):
            return arg.symbol
        if isinstance(arg, tuple | list):
            return tuple([self._noting(item) for item in arg])
        if callable(arg) and not isinstance(arg, Layout):
            return Recorded(arg, numbers(self._choices))
        return arg

    def _queries(self, args: tuple[Any, ...]) -> list[Instruction]:
        """Steps that give the handles among the arguments that no step gave."""
        made: list[Instruction] = []
        given = set(self._given)
        for handle in handles_in(args):
            if handle in given or handle in self._choices or handle in self._own:
                continue
            query = asked_for(self.function, handle)
            if query is not None:
                made.append(query)
                given.update(handles_in(query.result))
        return made

    def _note(
        self, step: Instruction, function: Function, queries: Sequence[Instruction] = ()
    ) -> None:
        for one in (*queries, step):
            self.trace.steps.append(one)
            self._given.update(handles_in(one.result))
            self._programs.append(function if one is step else self.function)
        self.function = function


def _named(asked: Question) -> tuple[tuple[str, Any], ...]:
    """The site of a decision, as an option of its step."""
    return (("site", asked.site),) if asked.site else ()
