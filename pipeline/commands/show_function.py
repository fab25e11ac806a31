"""All about a loop function: its text, its loop nest, what its loops touch, its trace, the hot
loop of its code.

fuse knows no trace yet, and search no code; codegen adds it to what search shows.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from pipeline.commands.errors import UsageError
from pipeline.commands.stage_files import StageFiles

_SHOWN = 3  # names suggested where none matches
_ALIKE = 0.6


def show_function(files: StageFiles, pattern: str, level: str | None) -> None:
    """Prints all that is known of the functions that match after this stage, for one level or all.

    Raises UsageError if there is no such function or level, BuildError for what is damaged.
    """
    if files.stage.name == "codegen":
        _show_code(files, pattern, level)
        return
    loops = [name for name in files.names if re.search(r"(^|/)loops/\w+\.loop$", name)]
    if not loops:
        raise UsageError(
            f"{files.stage.name} has no loop functions; stages fuse, search and codegen have"
        )
    found = _matching({_function_of(name) for name in loops}, pattern)
    for name in _at_level(loops, level):
        if _function_of(name) in found:
            _print(_parts(files, name))


def _parts(files: StageFiles, name: str) -> Iterator[tuple[str, str]]:
    from passes.ir.loop.outline import outline
    from passes.ir.loop.parse import parse_function
    from passes.schedule.survey import survey

    text = files.text(name)
    function = parse_function(text)
    yield name, text
    yield "loop nest", outline(function)
    yield "what an iteration of each loop touches, what the blocks are", survey(function)
    trace = name.replace("loops/", "traces/").removesuffix(".loop") + ".py"
    if trace in files.names:
        yield "trace, of s = Schedule(function)", files.text(trace)


def _show_code(files: StageFiles, pattern: str, level: str | None) -> None:
    scheduled = StageFiles(files.build, "search")
    texts = [name for name in files.names if name.endswith(".ll")]
    facts = {facts["name"]: facts for facts in files.stage.target["levels"]}
    for name in _at_level(texts, level):
        text, its_level = files.text(name), name.removesuffix(".ll")
        kernels = re.findall(r"^define hidden void @kernel\.(\w+)\(", text, re.M)
        for kernel in _matching(set(kernels), pattern):
            _print(_parts(scheduled, f"{its_level}/loops/{kernel}.loop"))
            _print([_hot_loop(text, kernel, facts[its_level], name)])


def _print(parts: Iterable[tuple[str, str]]) -> None:
    for heading, text in parts:
        print(f"# {heading}\n{text}")


def _hot_loop(library: str, kernel: str, facts: Mapping[str, Any], file: str) -> tuple[str, str]:
    from passes.codegen.host.emit import kernel_symbol
    from passes.codegen.hot import hot_loop, kernel_assembly
    from passes.codegen.native import Machine

    machine = Machine(facts["triple"], facts["cpu"], facts["llvm_features"])
    found = hot_loop(kernel_assembly(library, kernel_symbol(kernel), machine))
    if found is None:
        return f"hot loop in {file}: none, its code has no loop", ""
    counted = f"{found.instructions} instructions, {found.on_vectors} of them on vectors"
    return f"hot loop in {file}, {counted}", "\n".join([*found.lines, ""])


def _function_of(file: str) -> str:
    return file.rpartition("/")[2].removesuffix(".loop")


def _at_level(names: list[str], level: str | None) -> list[str]:
    """The files of a level, which is the first folder or the stem of their name."""
    if level is None:
        return names
    levels = {name: re.split(r"/|\.ll$", name)[0] for name in names}
    found = [name for name in names if levels[name] == level]
    if not found:
        known = sorted(set(levels.values()) - {"loops"})
        hint = f"one of {', '.join(known)}" if known else "here functions are the same for all"
        raise UsageError(f"level={level} is none of the stage's levels; {hint}")
    return found


def _matching(names: set[str], pattern: str) -> list[str]:
    """The functions that match, by name.

    Raises UsageError if none does, with the nearest names.
    """
    found = sorted(name for name in names if fnmatchcase(name, pattern))
    if found:
        return found
    near = sorted(names, key=lambda name: (-_likeness(pattern, name), name))
    near = [name for name in near[:_SHOWN] if _likeness(pattern, name) > _ALIKE]
    listed = " or ".join([f"'{name}'" for name in near])
    hint = f"did you mean {listed}?" if listed else "function='*' shows all"
    raise UsageError(f"function={pattern} is none of the stage's functions; {hint}")


def _likeness(pattern: str, name: str) -> float:
    """How near a function's name is to what was typed, which may be a part of it, or be meant
    without the digest that ends it."""
    if pattern.strip("*") in name:
        return 1.0
    stem = re.sub(r"_[0-9a-f]{8}$", "", name)
    return max(difflib.SequenceMatcher(None, pattern, text).ratio() for text in (stem, name))
