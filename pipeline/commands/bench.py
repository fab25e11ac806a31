"""`doit bench recipe=NAME` or `workload=NAME`: how fast a package is, or operators are."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from doit.cmd_base import Command

from pipeline.commands.errors import FAILED, UsageError, leave, plain_errors

if TYPE_CHECKING:
    from pipeline.bench.compare import Candidate
    from pipeline.commands.variables import Request
    from pipeline.stages.build import Build

VARIABLES = ("against", "threads", "repeats", "peer_python")
_PEERS = ("llama.cpp",)
_THREADS = (1, 2)
_REPEATS = 5


@dataclass(frozen=True)
class Options:
    """The variables, checked."""

    against: str | None
    threads: tuple[int, ...]
    repeats: int
    peer_python: str


class Bench(Command):  # type: ignore[misc]  # doit has no types
    """Builds what is missing (told on standard error), measures, shows a table, keeps JSON."""

    name = "bench"
    doc_purpose = "measure a recipe's package or a workload's operators, alone or against others"
    doc_usage = (
        "recipe=NAME [against=llama.cpp] [threads=1,2] [repeats=N] [peer_python=PATH] "
        "[KEY.KEY=VALUE ...], or workload=NAME|FILE.yaml [case=NAME,...] [target=LEVEL] "
        "[against=torch,onnxruntime,openvino,tvm] [threads=1,2] [repeats=N] [peer_python=PATH] "
        "[tvm_trials=N]"
    )

    def execute(self, opt_values: Any, pos_args: list[str]) -> int:
        from pipeline.bench.engine import BenchError
        from pipeline.commands.session import open_build
        from pipeline.commands.variables import given_variables
        from pipeline.workers.progress import Progress

        with plain_errors():
            if pos_args:
                raise UsageError(
                    f"bench does not know '{pos_args[0]}': `doit bench recipe=NAME` or "
                    "`doit bench workload=NAME`"
                )
            if "workload" in given_variables():
                return self._workload(given_variables())
            request = _request(given_variables())
            options = read_options(request.own)
            build = open_build(request, "bench")
            try:
                if options.against is not None:
                    _check_peer(options.peer_python)
                    _check_whole(build)
                progress = Progress(sys.stderr)
                try:
                    folder = build.build_all(progress)
                finally:
                    progress.close()
                _measure(build, folder, options)
            except BenchError as error:
                leave(f"error: {error}", FAILED)
        return 0

    def _workload(self, given: Mapping[str, str]) -> int:
        from pipeline.bench.engine import BenchError
        from pipeline.commands.bench_workload import run

        if "recipe" in given:
            raise UsageError("recipe= and workload= are two things to measure: give one of them")
        try:
            return 0 if run(given) else FAILED
        except BenchError as error:
            leave(f"error: {error}", FAILED)


def _request(given: Mapping[str, str]) -> Request:
    """The request to measure a recipe's package. Raises UsageError."""
    from pipeline.commands import bench_workload
    from pipeline.commands.session import recipe_names
    from pipeline.commands.variables import read_request
    from pipeline.workloads.load import workload_names

    if "case" in given:
        raise UsageError("case= is for workloads: add workload=NAME or leave it out")
    request = read_request(given, VARIABLES, bench_workload.VARIABLES)
    if request.recipe is None:
        recipes = ", ".join(recipe_names(Path.cwd())) or "none"
        workloads = ", ".join(workload_names(Path.cwd())) or "none"
        raise UsageError(
            "say what to measure: `doit bench recipe=NAME` or `doit bench workload=NAME`; "
            f"recipes: {recipes}; workloads: {workloads}"
        )
    return request


def read_options(own: Mapping[str, str]) -> Options:
    """Raises UsageError."""
    from pipeline.commands.variables import whole_number

    against = own.get("against")
    if against is not None and against not in _PEERS:
        near = difflib.get_close_matches(against.lower(), _PEERS, n=1, cutoff=0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"known is {', '.join(_PEERS)}"
        raise UsageError(f"against={against} is no engine to compare with; {hint}")
    if against is None and "peer_python" in own:
        raise UsageError("peer_python= is for comparisons: add against=llama.cpp or leave it out")
    repeats = whole_number("repeats", own.get("repeats", str(_REPEATS)), 1)
    return Options(against, read_threads(own), repeats, own.get("peer_python", sys.executable))


def read_threads(own: Mapping[str, str]) -> tuple[int, ...]:
    """The thread counts of `threads=1,2`, by default one and two. Raises UsageError."""
    from pipeline.commands.variables import whole_number
    from pipeline.runtime.cpu import usable_cpus

    cpus = usable_cpus()
    threads = tuple(count for count in _THREADS if count <= cpus)
    if "threads" in own:
        words = own["threads"].split(",")
        threads = tuple(dict.fromkeys(whole_number("threads", word, 1) for word in words))
        if max(threads) > cpus:
            raise UsageError(
                f"threads={max(threads)} is more than the {cpus} CPUs that this process may use: "
                "threads would wait for each other"
            )
    return threads


def _measure(build: Build, folder: Path, options: Options) -> None:
    from pipeline.bench.compare import OURS, Candidate, Cases, Comparison
    from pipeline.bench.report import table, write_records
    from pipeline.bench.work import work_of
    from pipeline.commands.session import ARTIFACTS

    model = _model(build, fetch=options.against is not None)
    candidates = [Candidate(OURS, "pipeline.bench.ours", sys.executable, {"folder": str(folder)})]
    if options.against is not None:
        assert model is not None
        candidates += _peers(folder, model, options.peer_python)
    layers = build.stage("import").options["layers"]
    comparison = Comparison(
        candidates,
        Cases(threads=options.threads, repeats=options.repeats),
        work=None if model is None else work_of(model, layers),
        int8=build.stage("fuse").options["compute"] == "int8",
        note=lambda text: print(f"bench: {text}", file=sys.stderr, flush=True),
    )
    records = comparison.run()
    path = ARTIFACTS / "bench" / f"{build.name}.json"
    write_records(path, records)
    print(table(build.name, records))
    print(f"records: {path.as_posix()}")


def _peers(folder: Path, model: Path, python: str) -> list[Candidate]:
    """llama.cpp in the settings of which the best counts."""
    from pipeline.bench.compare import LLAMA_CPP, Candidate
    from pipeline.runtime.manifest import read

    load = {"model": str(model), "capacity": read(folder).capacity}
    return [
        Candidate(LLAMA_CPP, "pipeline.bench.peer", python, load | {"flash": flash})
        for flash in (True, False)
    ]


def _model(build: Build, *, fetch: bool) -> Path | None:
    """The model file that the package is built from; None if it is not here and not needed."""
    from pipeline.stages.sources import SourceMissing

    try:
        return build.sources.file(build.stage("import").sources["model"], fetch=fetch).path
    except SourceMissing:
        return None


def _check_whole(build: Build) -> None:
    """Raises BenchError where the recipe cuts layers off, which the peer cannot do."""
    from pipeline.bench.engine import BenchError

    layers = build.stage("import").options["layers"]
    if layers is not None:
        raise BenchError(
            f"llama.cpp runs the whole model and this recipe only {layers} of its layers: "
            "leave out against=, or model.layers"
        )


def _check_peer(python: str) -> None:
    """Raises BenchError, before a build, where the interpreter has no llama_cpp."""
    from pipeline.bench.engine import BenchError, Engine

    with Engine("llama.cpp", "pipeline.bench.peer", python) as engine:
        try:
            engine.ask("version")
        except BenchError as error:
            raise BenchError(
                f"llama.cpp is measured through llama-cpp-python, which {python} cannot import "
                f"({error}): pip install -e '.[bench]', or give peer_python=PATH of a Python "
                "that has it"
            ) from None
