"""Bad workload files and bad requests, each with the whole of its message."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.bench_workload import Options, read_options
from pipeline.commands.errors import UsageError
from pipeline.recipe import RecipeError
from pipeline.runtime import cpu
from pipeline.workloads.load import find_workload, load_workload

HEAD = "schema: 1\nkind: workload\ncases:\n"
CASE = """\
  - name: one
    operator: contract
    attributes: {equation: "mk,kn->mn"}
    inputs:
      a: f32[4, 8]
      b: f32[8, 4]
"""
ROWS = CASE.replace("[4, 8]", "[rows, 8]")
FIT = "cure: make the operator, its attributes and the inputs' types fit each other"


def message(folder: Path, body: str, head: str = HEAD) -> str:
    path = folder / "my.yaml"
    path.write_text(head + body)
    with pytest.raises(RecipeError) as caught:
        load_workload(path, folder)
    return str(caught.value)


WRONG = {
    "unknown key": (
        CASE.replace("operator", "operater"),
        """\
my.yaml:5:5: error: unknown key `operater` in `cases.0`
   5 |     operater: contract
     |     ^~~~~~~~
cure: did you mean `operator`?""",
    ),
    "unknown key below": (
        CASE + "    epilogue: [{operator: relu, wth: [a]}]\n",
        """\
my.yaml:10:33: error: unknown key `wth` in `cases.0.epilogue.0`
  10 |     epilogue: [{operator: relu, wth: [a]}]
     |                                 ^~~
cure: did you mean `with`?""",
    ),
    "unknown operator": (
        CASE.replace(": contract", ": contrakt"),
        """\
my.yaml:5:15: error: case `one`: unknown operator `contrakt`
   5 |     operator: contrakt
     |               ^~~~~~~~
cure: did you mean `contract`?""",
    ),
    "unknown attribute": (
        CASE.replace("equation", "equasion"),
        """\
my.yaml:6:18: error: case `one`: contract has no attribute `equasion`
   6 |     attributes: {equasion: "mk,kn->mn"}
     |                  ^~~~~~~~
cure: did you mean `equation`? (attributes: equation)""",
    ),
    "attribute too many": (
        CASE + "    epilogue:\n      - operator: relu\n        attributes: {slope: 1.0}\n",
        """\
my.yaml:12:22: error: case `one`: relu has no attribute `slope`
  12 |         attributes: {slope: 1.0}
     |                      ^~~~~
cure: remove it""",
    ),
    "attribute": (
        CASE.replace("kn->", "jn->"),
        f"""\
my.yaml:6:28: error: case `one`: contract: attribute 'equation': 'mk,jn->mn' has axis k in one \
tensor only; it needs it in two
   6 |     attributes: {{equation: "mk,jn->mn"}}
     |                            ^~~~~~~~~~~
{FIT}""",
    ),
    "attribute too few": (
        CASE + "    epilogue:\n      - operator: softmax\n      - operator: reduce_sum\n",
        """\
my.yaml:12:19: error: case `one`: reduce_sum: attribute 'axis' is missing
  12 |       - operator: reduce_sum
     |                   ^~~~~~~~~~
cure: add `attributes: {axis: …}`""",
    ),
    "types that do not fit": (
        CASE + "      c: f32[5]\n    epilogue: [{operator: add, with: [c]}]\n",
        f"""\
my.yaml:11:27: error: case `one`: add: takes shapes that broadcast together, not f32[4, 4] and \
f32[5]
  11 |     epilogue: [{{operator: add, with: [c]}}]
     |                           ^~~
{FIT}""",
    ),
    "no type": (
        CASE.replace("f32[4, 8]", "f33[4, 8]"),
        """\
my.yaml:8:10: error: case `one`: f33[4, 8]: unknown element type 'f33'; known: f64, f32, f16, \
bf16, i64, i32, i16, i8, u64, u32, u16, u8, bool, index
   8 |       a: f33[4, 8]
     |          ^~~~~~~~~
cure: write a type such as `f32[rows, 64]`""",
    ),
    "negative extent": (
        CASE.replace("f32[4, 8]", "f32[-3, 8]"),
        """\
my.yaml:8:10: error: case `one`: f32[-3, 8]: extent -3 is less than 1
   8 |       a: f32[-3, 8]
     |          ^~~~~~~~~~
cure: write extents that are at least 1 for all values of the dims""",
    ),
    "extent that may be negative": (
        ROWS.replace("[rows,", "[rows - 2,")
        + "    dims: {rows: {min: 2, max: 8}}\n    sizes: [{rows: 4}]\n",
        """\
my.yaml:8:10: error: case `one`: f32[rows - 2, 8]: extent rows - 2 may be less than 1
   8 |       a: f32[rows - 2, 8]
     |          ^~~~~~~~~~~~~~~~
cure: write extents that are at least 1 for all values of the dims""",
    ),
    "no inputs": (
        CASE.replace("inputs:\n      a: f32[4, 8]\n      b: f32[8, 4]\n", "inputs: {}\n"),
        """\
my.yaml:7:13: error: `cases.0.inputs` must be a map of at least 1, found an empty map
   7 |     inputs: {}
     |             ^~
cure: write a map of at least 1, for example `{'x': 'f32[n, 64]'}`""",
    ),
    "dim that is no text": (
        CASE + "    dims: {n: {min: 1, max: 8}}\n",
        """\
my.yaml:10:12: error: `n` is `false` to YAML 1.1 and text to YAML 1.2
  10 |     dims: {n: {min: 1, max: 8}}
     |            ^
cure: write `false`, or "n" if the text is meant""",
    ),
    "quantised input": (
        CASE.replace("f32[4, 8]", "Q4_1[4, 32]"),
        """\
my.yaml:8:10: error: case `one`: Q4_1[4, 32]: a quantised tensor is a constant matrix
   8 |       a: Q4_1[4, 32]
     |          ^~~~~~~~~~~
cure: write a type such as `f32[rows, 64]`""",
    ),
    "unknown dim": (
        ROWS,
        """\
my.yaml:8:10: error: case `one`: f32[rows, 8]: 'rows' is not defined here
   8 |       a: f32[rows, 8]
     |          ^~~~~~~~~~~~
cure: declare the dim in the case's `dims`, with its bounds""",
    ),
    "no sizes": (
        ROWS + "    dims: {rows: {min: 1, max: 8}}\n",
        """\
my.yaml:10:11: error: `cases.0`: a case with symbolic dims needs sizes to measure at
  10 |     dims: {rows: {min: 1, max: 8}}
     |           ^~~~~~~~~~~~~~~~~~~~~~~~
cure: add `sizes: [{rows: 8}]`""",
    ),
    "size out of bounds": (
        ROWS + "    dims: {rows: {min: 1, max: 8}}\n    sizes: [{rows: 9}]\n",
        """\
my.yaml:11:20: error: `cases.0`: rows = 9 is outside 1..8
  11 |     sizes: [{rows: 9}]
     |                    ^
cure: widen the dim's bounds, or choose another size""",
    ),
    "size of no dim": (
        ROWS + "    dims: {rows: {min: 1, max: 8}}\n    sizes: [{row: 1}]\n",
        """\
my.yaml:11:13: error: `cases.0`: `row` is no dim of the case
  11 |     sizes: [{row: 1}]
     |             ^~~~~~~~
cure: did you mean `rows`? (dims: rows)""",
    ),
    "size without a dim": (
        ROWS + "    dims: {rows: {min: 1, max: 8}}\n    sizes: [{}]\n",
        """\
my.yaml:11:13: error: `cases.0`: no value of dim `rows`
  11 |     sizes: [{}]
     |             ^~
cure: add `rows: …`""",
    ),
    "constant": (
        CASE + "    constant: [c]\n",
        """\
my.yaml:10:15: error: `cases.0`: `c` is no input of the case
  10 |     constant: [c]
     |               ^~~
cure: inputs: a, b""",
    ),
    "no operator": (
        CASE.replace("    operator: contract\n", ""),
        """\
my.yaml:4:5: error: missing key `operator` in `cases.0`
   4 |   - name: one
     |     ^~~~~~~~~
cure: add `operator: contract`""",
    ),
    "one bound": (
        CASE.replace("f32", "i8") + "    values: {a: [3]}\n",
        """\
my.yaml:10:17: error: `cases.0.values.a` has no item 2
  10 |     values: {a: [3]}
     |                 ^~~
cure: add it""",
    ),
    "bounds the wrong way round": (
        CASE.replace("f32", "i8") + "    values: {a: [3, 1]}\n",
        """\
my.yaml:10:17: error: case `one`: lowest value 3 is above highest value 1
  10 |     values: {a: [3, 1]}
     |                 ^~~~~~
cure: write the lowest value, then the highest""",
    ),
    "values beyond the type": (
        CASE.replace("f32", "i8") + "    values: {a: [0, 200]}\n",
        """\
my.yaml:10:17: error: case `one`: i8 holds -128..127, not 0..200
  10 |     values: {a: [0, 200]}
     |                 ^~~~~~~~
cure: choose values that the type holds""",
    ),
    "values of floats": (
        CASE + "    values: {a: [0, 1]}\n",
        """\
my.yaml:10:14: error: case `one`: `a` is f32, and values are given to integers only
  10 |     values: {a: [0, 1]}
     |              ^
cure: remove it""",
    ),
    "constant of unknown extents": (
        ROWS + "    constant: [a]\n    dims: {rows: {min: 2, max: 8}}\n    sizes: [{rows: 4}]\n",
        """\
my.yaml:8:10: error: case `one`: f32[rows, 8]: a constant has extents that are numbers
   8 |       a: f32[rows, 8]
     |          ^~~~~~~~~~~~
cure: write numbers, or take it out of `constant`""",
    ),
    "everything constant": (
        CASE + "    constant: [b, a]\n",
        """\
my.yaml:10:15: error: `cases.0`: every input is constant, so there is nothing to compute
  10 |     constant: [b, a]
     |               ^~~~~~
cure: take one out""",
    ),
    "dim and input of a name": (
        ROWS.replace("a:", "rows:")
        + "    dims: {rows: {min: 2, max: 8}}\n    sizes: [{rows: 4}]\n",
        """\
my.yaml:8:13: error: `cases.0`: `rows` is a dim as well
   8 |       rows: f32[rows, 8]
     |             ^~~~~~~~~~~~
cure: give the input another name""",
    ),
    "input called as the result": (
        CASE.replace("a:", "out:"),
        """\
my.yaml:8:12: error: `cases.0`: `out` is what results are called
   8 |       out: f32[4, 8]
     |            ^~~~~~~~~
cure: give the input another name""",
    ),
    "type of nothing in memory": (
        CASE.replace("f32[4", "index[4"),
        """\
my.yaml:8:10: error: case `one`: index[4, 8]: index is the type of dims, of no size in memory
   8 |       a: index[4, 8]
     |          ^~~~~~~~~~~
cure: write a type such as `f32[rows, 64]`""",
    ),
    "type that is no text": (
        CASE + "    epilogue: [{operator: cast, attributes: {dtype: 3}}]\n",
        f"""\
my.yaml:10:53: error: case `one`: cast: attribute 'dtype' must be an element type, not 3
  10 |     epilogue: [{{operator: cast, attributes: {{dtype: 3}}}}]
     |                                                     ^
{FIT}""",
    ),
    "expression": (
        CASE + "    epilogue: [{operator: reshape, attributes: {shape: [rows, 1]}}]\n",
        """\
my.yaml:10:56: error: case `one`: 'rows' is not defined here
  10 |     epilogue: [{operator: reshape, attributes: {shape: [rows, 1]}}]
     |                                                        ^~~~~~~~~
cure: declare the dim in the case's `dims`, with its bounds""",
    ),
    "two of a name": (
        CASE + CASE,
        """\
my.yaml:10:11: error: `cases`: two cases are called `one`
  10 |   - name: one
     |           ^~~
cure: rename one""",
    ),
    "name": (
        CASE.replace("one", "a-b"),
        """\
my.yaml:4:11: error: `cases.0.name` must be a name of letters, digits and `_`, found the text "a-b"
   4 |   - name: a-b
     |           ^~~
cure: write a name of letters, digits and `_`""",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_cases(tmp_path: Path, name: str) -> None:
    body, wanted = WRONG[name]
    assert message(tmp_path, body) == wanted


def test_other_files(tmp_path: Path) -> None:
    assert (
        message(tmp_path, CASE, "schema: 1\nkind: model\ncases:\n")
        == """\
my.yaml:2:1: error: a workload file says `kind: workload`
   2 | kind: model
     | ^~~~
cure: write `kind: workload` below `schema: 1`"""
    )
    with pytest.raises(RecipeError) as caught:
        load_workload(find_workload("some/where.yaml", tmp_path), tmp_path)
    assert str(caught.value).startswith("error: some/where.yaml does not exist")


def test_unknown_workloads_and_cases(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        find_workload("gem", Path(__file__).parents[2])
    assert str(caught.value).splitlines()[1].startswith("cure: did you mean `gemm`? (workloads: ")
    (tmp_path / "my.yaml").write_text(HEAD + CASE)
    loaded = load_workload(tmp_path / "my.yaml", tmp_path)
    assert loaded.chosen(["o*"]) == loaded.chosen([]) == loaded.cases
    with pytest.raises(RecipeError) as caught:
        loaded.chosen(["on"])
    assert str(caught.value) == (
        "error: workload my has no case `on`\ncure: did you mean `one`? (cases: one)"
    )


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 2)
    made = read_options({"workload": "gemm", "against": "torch", "case": "a,b", "peer_python": "p"})
    assert made == Options("gemm", "native", (1, 2), ("torch",), ("a", "b"), 7, "p", 32)
    wrong = {
        "agianst": "unknown variable 'agianst'; did you mean 'against'? (a workload has no values "
        "to override: write a file of your own)",
        "against": "against=touch is no engine to compare with; did you mean 'torch'?",
        "threads": "threads=touch is no whole number from 1 on",
        "peer_python": "peer_python= is for comparisons: add against=torch or leave it out",
        "tvm_trials": "tvm_trials= is for MetaSchedule: add against=tvm or leave it out",
    }
    for name, text in wrong.items():
        with pytest.raises(UsageError) as caught:
            read_options({"workload": "gemm", name: "touch"})
        assert str(caught.value) == text
