"""The documents keep their word: their commands run, and what they show is what comes.

A ```sh block is run by bash, a ```python block by python, one after the other in one folder; a
```text block right after shows the output, where `...` stands for anything. A block whose output
shows an error has to fail, every other one to succeed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
README = (REPO / "README.md").read_text("utf-8")
ADDING = (REPO / "passes" / "README.md").read_text("utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.M | re.S)


@dataclass(frozen=True)
class Example:
    """A block to run, and what it shows (None: nothing in particular)."""

    language: str
    text: str
    shown: str | None

    @property
    def fails(self) -> bool:
        return self.shown is not None and re.search(r"error: |Error: ", self.shown) is not None


def examples(document: str, *languages: str) -> list[Example]:
    """The blocks of a document in those languages."""
    found = [Example(*match.groups()) for match in _BLOCK.finditer(document)]
    return [example for example in found if example.language in languages]


def section(document: str, heading: str) -> str:
    """The part of a document under a heading, up to the next one of that level."""
    _, _, rest = document.partition(f"\n## {heading}\n")
    assert rest, f"there is no heading '{heading}'"
    return rest.partition("\n## ")[0]


def matches(shown: str, came: str) -> bool:
    """Whether the output is as shown; a line `...` stands for any number of lines."""
    pattern = ""
    for line in shown.splitlines():
        if line == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
    return re.fullmatch(pattern, came) is not None


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents speak of, copied: a reader's checkout."""
    root = tmp_path_factory.mktemp("readme")
    leave = shutil.ignore_patterns("__pycache__", "*.lock.yaml")
    for name in ("pipeline", "passes", "configs", "recipes", "tests/reference"):
        shutil.copytree(REPO / name, root / name, ignore=leave)
    shutil.copyfile(REPO / "pyproject.toml", root / "pyproject.toml")
    (root / "artifacts").mkdir()
    return root


def run(example: Example, project: Path) -> subprocess.CompletedProcess[str]:
    command = {
        "sh": ["bash", "-euo", "pipefail", "-c", example.text],
        "python": [sys.executable, "-c", example.text],
    }[example.language]
    places = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    return subprocess.run(
        command,
        cwd=project,
        env={**os.environ, **places, "PYTHONPATH": str(project), "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )


def check(example: Example, project: Path) -> None:
    done = run(example, project)
    fits = example.shown is None or matches(example.shown, done.stdout)
    if (done.returncode != 0) != example.fails or not fits:
        pytest.fail(
            f"{example.text}\nended with {done.returncode} and gave\n\n{done.stdout}\n"
            f"where the document shows\n\n{example.shown}",
            pytrace=False,
        )


def test_the_tour(project: Path) -> None:
    tour = examples(section(README, "Five-minute tour"), "sh", "python")
    assert len(tour) >= 10
    for example in tour:
        check(example, project)
    assert not list((project / "recipes").glob("tiny*"))


def test_a_workload_of_ones_own(project: Path) -> None:
    (example,) = examples(section(README, "Workloads"), "sh")
    check(example, project)


@pytest.mark.parametrize(
    "what", ["An operator", "A pass", "A target", "A schedule by hand", "A schedule rule"]
)
def test_a_section_of_passes(what: str, project: Path) -> None:
    for example in examples(section(ADDING, what), "sh"):
        check(example, project)
    parts = examples(section(ADDING, what), "python")
    shown = "".join(part.shown or "" for part in parts)
    check(Example("python", "\n".join(part.text for part in parts), shown), project)


def test_the_two_commands_come_first() -> None:
    first, second = [example.text for example in examples(README, "sh")[:2]]
    assert first.count("\n") == second.count("\n") == 1, "each is one line to copy"
    start = "python3 -m venv .venv && .venv/bin/pip install -e "
    assert first.startswith(f"{start}. && .venv/bin/doit generate recipe=llama-cpu prompt=")
    assert second == f'{start}".[test]" && .venv/bin/pytest\n'
    assert README.index(first) < README.index("## What you can type")


def test_every_command_is_told_of(project: Path) -> None:
    listed = run(Example("sh", "doit list", None), project).stdout.split("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    told = section(README, "What you can type")
    assert {"build", "plan", "generate", "wheel"} <= set(names)
    assert [name for name in names if f"`doit {name} recipe=" not in told] == []


def test_what_the_documents_name_is_there() -> None:
    for document, base in ((README, REPO), (ADDING, REPO / "passes")):
        for link in re.findall(r"\]\(([\w./-]+)\)", document):
            assert (base / link).exists(), link
        for path in re.findall(
            r"`((?:passes|pipeline|configs|recipes|tests|\.ci)/[\w./-]+)`", document
        ):
            assert (REPO / path).exists() or path.endswith((".lock.yaml", ".records.jsonl")), path
