"""`doit bench workload=NAME|path.yaml`: how fast operators are, alone or beside other engines."""

from __future__ import annotations

import difflib
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.errors import UsageError

if TYPE_CHECKING:
    from pipeline.bench.compare import Record
    from pipeline.recipe.target import TargetLevel
    from pipeline.workloads.load import LoadedWorkload
    from pipeline.workloads.measure import Limits
    from pipeline.workloads.schema import Case

VARIABLES = ("workload", "target", "threads", "against", "case", "repeats", "peer_python",
             "tvm_trials")  # fmt: skip
_REPEATS = 7
_TVM_TRIALS = 32


@dataclass(frozen=True)
class Options:
    """The variables, checked."""

    workload: str
    target: str
    threads: tuple[int, ...]
    against: tuple[str, ...]
    cases: tuple[str, ...]
    repeats: int
    peer_python: str
    tvm_trials: int


def read_options(given: Mapping[str, str]) -> Options:
    """Raises UsageError."""
    from pipeline.commands.bench import read_threads
    from pipeline.commands.variables import whole_number
    from pipeline.recipe.native import NATIVE
    from pipeline.workloads.peers import PEERS

    for name in given:
        if name not in VARIABLES:
            raise UsageError(
                f"unknown variable '{name}'; {_hint(name, VARIABLES)} (a workload has no values "
                "to override: write a file of your own)"
            )
    if not given["workload"]:
        raise UsageError("workload= names no workload; `doit list` shows what there is")
    against = _words(given, "against")
    for peer in against:
        if peer not in PEERS:
            raise UsageError(f"against={peer} is no engine to compare with; {_hint(peer, PEERS)}")
    if not against and "peer_python" in given:
        raise UsageError("peer_python= is for comparisons: add against=torch or leave it out")
    if "tvm" not in against and "tvm_trials" in given:
        raise UsageError("tvm_trials= is for MetaSchedule: add against=tvm or leave it out")
    return Options(
        given["workload"],
        given.get("target", NATIVE),
        read_threads(given),
        against,
        _words(given, "case"),
        whole_number("repeats", given.get("repeats", str(_REPEATS)), 1),
        given.get("peer_python", sys.executable),
        whole_number("tvm_trials", given.get("tvm_trials", str(_TVM_TRIALS)), 1),
    )


def run(given: Mapping[str, str]) -> bool:
    """Builds and measures every case, shows a table, keeps JSON; whether all results of ours were
    right.

    Raises UsageError, RecipeError, BenchError, BuildError.
    """
    from pipeline.bench.machine import facts
    from pipeline.commands.session import ARTIFACTS
    from pipeline.workloads.load import find_workload, load_workload
    from pipeline.workloads.measure import Limits
    from pipeline.workloads.peers import versions

    options = read_options(given)
    root = Path.cwd()
    loaded = load_workload(find_workload(options.workload, root), root)
    level = level_of(options.target, root)
    peers = versions(options.against, options.peer_python)
    limits = Limits(_note)
    records = _records(loaded, level, options, limits, root / ARTIFACTS)
    machine = [{"engine": "machine", "name": "cpu"} | facts(), *limits.facts()]
    machine += [{"engine": n, "name": "version", "value": v} for n, v in peers.items()]
    return _shown(loaded.name, records, machine)


def _records(
    loaded: LoadedWorkload, level: TargetLevel, options: Options, limits: Limits, artifacts: Path
) -> list[Record]:
    from pipeline.bench.engine import BenchError
    from pipeline.commands.session import code_root
    from pipeline.stages.build import PLAIN_ERRORS
    from pipeline.workers.progress import Progress
    from pipeline.workloads.build import open_case
    from pipeline.workloads.measure import Measurement
    from pipeline.workloads.peers import peers_of

    records: list[Record] = []
    for case in loaded.chosen(options.cases):
        build = open_case(loaded, case, level, artifacts, code_root())
        _note(f"{case.name}: build")
        try:
            folder = build.build_all(Progress(StringIO()))
        except PLAIN_ERRORS as error:
            records.append(_left_out(case, case.name, error))
            continue
        for sizes in case.sizes or ({},):
            peers = peers_of(options.against, options.peer_python, options.tvm_trials)
            one = Measurement(case, sizes, folder, peers, options.repeats, limits, _note)
            _note(one.title)
            with tempfile.TemporaryDirectory() as space:
                try:
                    records += one.run(options.threads, Path(space))
                except (BenchError, MemoryError) as error:
                    records.append(_left_out(case, one.title, error))
    return records


def _left_out(case: Case, title: str, error: BaseException) -> Record:
    from pipeline.bench.compare import OURS

    _note(f"{title} is left out: {error}")
    return {"case": case.name, "engine": OURS, "error": str(error)}


def _shown(name: str, records: Sequence[Record], machine: Sequence[Record]) -> bool:
    from pipeline.bench.compare import OURS
    from pipeline.bench.report import write_records
    from pipeline.commands.session import ARTIFACTS
    from pipeline.workloads.table import failed, table

    path = ARTIFACTS / "bench" / f"{name}.json"
    write_records(path, records)
    write_records(path.with_suffix(".machine.json"), machine)
    print(table(name, records, machine))
    print(f"records: {path.as_posix()}")
    return not any(failed(record) for record in records if record["engine"] == OURS)


def level_of(name: str, root: Path) -> TargetLevel:
    """A described CPU level, or this machine's own. Raises UsageError, RecipeError."""
    from pipeline.recipe.diagnostics import Report
    from pipeline.recipe.native import NATIVE, NativeError, detect_host, native_level
    from pipeline.recipe.target import level_names, load_level

    known = level_names(root)
    if name != NATIVE and name not in known:
        raise UsageError(f"target={name} is no CPU level; {_hint(name, [NATIVE, *known])}")
    report = Report()
    wanted = known if name == NATIVE else [name]
    levels = [level for one in wanted if (level := load_level(one, root, report)) is not None]
    report.raise_errors()
    if name != NATIVE:
        return levels[0]
    try:
        return native_level(detect_host(), levels)
    except NativeError as error:
        raise UsageError(f"target=native: {error}") from None


def _words(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word for word in given.get(name, "").split(",") if word))


def _hint(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"


def _note(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
