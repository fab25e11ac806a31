"""Code closures: what changes a key and what does not."""

import os
from pathlib import Path

import pytest

from pipeline.stages.code import Closure, CodeError, CodeIndex
from pipeline.stages.module import module_facts

FILES = {
    "toy/__init__.py": "",
    "toy/stage.py": "from toy import near\nimport toy.deep.far\ndef run():\n    import toy.lazy\n",
    "toy/near.py": "from .deep import sub\nREGISTRY = {'x': 'toy.named:Class'}\n",
    "toy/named.py": "import numpy.linalg\n",
    "toy/deep/__init__.py": "X = 1\n",
    "toy/deep/far.py": "import json\n",
    "toy/deep/sub.py": "from ..other import *\n",
    "toy/other.py": "import yaml, no_such_distribution\n",
    "toy/lazy.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import toy.types\n",
    "toy/types.py": "",
    "toy/stranger.py": "",
}


def closure(root: Path, entry: str = "toy.stage:run") -> Closure:
    return CodeIndex([root], root / "memo.json").closure(entry)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_all_ways_to_reach_a_module(root: Path) -> None:
    found = closure(root)
    assert sorted(found.modules) == [
        "toy", "toy.deep", "toy.deep.far", "toy.deep.sub", "toy.lazy", "toy.named", "toy.near",
        "toy.other", "toy.stage",
    ]  # fmt: skip
    assert set(found.distributions) == {"PyYAML", "numpy", "no_such_distribution"}
    assert found.distributions["no_such_distribution"] == "absent"


SAME = [
    ("x = 1", "x = 1  # why"),
    ("x = 1", '"""Doc."""\nx   =   1\n\n\n'),
    ("def f(): return 1", 'def f():\n    """Doc."""\n    return 1'),
    ("class A:\n  '''a'''\n  x = 1", "class A:\n  '''b'''\n  x = 1"),
    ("x = 'a' 'b'", "x = ('ab')"),
    ("x = 0x10", "x = 16"),
]
DIFFERENT = [
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("x = 'a'", "x = b'a'"),
    ("x = None", "x = False"),
    ("x = 'a'", "x = 'b'"),
    ("def f(a, b): pass", "def f(b, a): pass"),
    ("f(a, b)", "f((a, b))"),
    ("f(a)(b)", "f(a, b)"),
    ("return_ = 0.0", "return_ = -0.0"),
    ("x: int = 1", "x = 1"),
    ("if a:\n  b\nc", "if a:\n  b\n  c"),
    ("def f(): 'a'", "def f(): 1"),
]


@pytest.mark.parametrize(("first", "second"), SAME)
def test_what_does_not_count(first: str, second: str) -> None:
    assert _digest(first) == _digest(second)


@pytest.mark.parametrize(("first", "second"), DIFFERENT)
def test_what_counts(first: str, second: str) -> None:
    assert _digest(first) != _digest(second)


def _digest(text: str) -> str:
    return module_facts(text.encode(), "m", is_package=False).digest


def test_a_very_long_sum_is_no_trouble() -> None:
    text = "x = " + " + ".join(["a"] * 700)
    assert _digest(text) != _digest(text + " + b")


def test_edits_are_seen_through_the_memo(root: Path) -> None:
    before = closure(root)
    for path in root.rglob("*.py"):
        os.utime(path, ns=(10**18, 10**18))
    index = CodeIndex([root], root / "memo.json")
    assert index.closure("toy.stage:run") == before
    index.save()
    assert closure(root) == before
    (root / "toy/deep/far.py").write_text("import json\nX = 2\n")
    changed = closure(root)
    differing = [name for name in before.modules if before.modules[name] != changed.modules[name]]
    assert differing == ["toy.deep.far"]


def test_an_edit_within_one_tick_of_the_clock_is_seen(root: Path) -> None:
    path = root / "toy/other.py"
    path.write_text("X = 1\n")
    status = path.stat()
    index = CodeIndex([root], root / "memo.json")
    before = index.closure("toy.stage:run")
    index.save()
    path.write_text("X = 2\n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert closure(root) != before


def test_a_stranger_does_not_count(root: Path) -> None:
    before = closure(root)
    (root / "toy/stranger.py").write_text("X = 2")
    (root / "toy/types.py").write_text("X = 2")
    assert closure(root) == before


@pytest.mark.parametrize("memo", ["", "[]", "{}", '{"tag": 1}', '{"files": {"x": 1}}'])
def test_a_damaged_memo_is_forgotten(root: Path, memo: str) -> None:
    before = closure(root)
    (root / "memo.json").write_text(memo)
    assert closure(root) == before


def test_code_that_cannot_be_read(root: Path) -> None:
    with pytest.raises(CodeError, match=r"there is no module toy\.gone below "):
        closure(root, "toy.gone:run")
    (root / "toy/near.py").write_text("x = (\n")
    with pytest.raises(CodeError, match=r"toy/near\.py:1: '\(' was never closed"):
        closure(root)
