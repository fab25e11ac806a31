"""Bad recipes, each with the whole of its message."""

from pathlib import Path

import pytest

from tests.errors.recipe_projects import LLAMA, message, shipped


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return shipped(tmp_path)


def test_unknown_key_hides_the_missing_key_it_caused(project: Path) -> None:
    text = """\
schema: 1
model:
  sorce: file:model.gguf
target: {arch: x86-64, levels: native}
"""
    assert (
        message(project, text)
        == """\
recipes/my.yaml:3:3: error: unknown key `sorce` in `model`
   3 |   sorce: file:model.gguf
     |   ^~~~~
cure: did you mean `source`?
"""
    )


def test_a_key_in_the_wrong_place(project: Path) -> None:
    text = """\
schema: 1
source: file:model.gguf
target: {arch: x86-64, levels: native}
"""
    assert (
        message(project, text)
        == """\
recipes/my.yaml:2:1: error: unknown key `source`
   2 | source: file:model.gguf
     | ^~~~~~
cure: did you mean `model.source`? Move it there
"""
    )


def test_an_unknown_key_like_no_other(project: Path) -> None:
    assert (
        message(project, LLAMA + "shapes: {new: {max: 8, qux: 1}}\n")
        == """\
recipes/my.yaml:3:24: error: unknown key `qux` in `shapes.new`
   3 | shapes: {new: {max: 8, qux: 1}}
     |                        ^~~
cure: the keys known here are min, max, buckets
"""
    )


def test_missing_keys(project: Path) -> None:
    assert (
        message(project, "schema: 1\ntarget:\n  levels: native\n")
        == """\
recipes/my.yaml:1:1: error: missing key `model`
   1 | schema: 1
     | ^~~~~~~~~
cure: add a section `model:` with `source`

recipes/my.yaml:2:1: error: missing key `arch` in `target`
   2 | target:
     | ^~~~~~
cure: add `arch: x86-64`
"""
    )


def test_wrong_types_all_at_once(project: Path) -> None:
    text = (
        LLAMA
        + """\
compute: int4
shapes:
  new: {max: '5'}
  past: 7
threads:
  max: 0
generate:
  temperature: true
entries:
  - prefill
  - 3
"""
    )
    assert (
        message(project, text)
        == """\
recipes/my.yaml:3:10: error: `compute` must be `int8` or `f32`, found the text "int4"
   3 | compute: int4
     |          ^~~~
cure: did you mean `int8`?

recipes/my.yaml:5:14: error: `shapes.new.max` must be a whole number, found the text "5"
   5 |   new: {max: '5'}
     |              ^~~
cure: write a whole number

recipes/my.yaml:6:9: error: `shapes.past` must be a map, found the number 7
   6 |   past: 7
     |         ^
cure: write a map

recipes/my.yaml:8:8: error: `threads.max` must be at least 1, found the number 0
   8 |   max: 0
     |        ^
cure: write at least 1

recipes/my.yaml:10:16: error: `generate.temperature` must be a number, found true
  10 |   temperature: true
     |                ^~~~
cure: write a number

recipes/my.yaml:13:5: error: `entries.1` must be `prefill`, `decode` or `score`, found the number 3
  13 |   - 3
     |     ^
cure: write `prefill`, `decode` or `score`
"""
    )


def test_values_out_of_bounds(project: Path) -> None:
    text = LLAMA + "target: {levels: [../x]}\ngenerate: {tokens: 9999999, temperature: -0.5}\n"
    assert (
        message(project, text)
        == """\
recipes/my.yaml:3:19: error: `target.levels.0` must be a name of lower-case letters, digits, \
`.`, `_`, `-`, found the text "../x"
   3 | target: {levels: [../x]}
     |                   ^~~~
cure: write a name of lower-case letters, digits, `.`, `_`, `-`

recipes/my.yaml:4:20: error: `generate.tokens` must be at most 1048576, found the number 9999999
   4 | generate: {tokens: 9999999, temperature: -0.5}
     |                    ^~~~~~~
cure: write at most 1048576

recipes/my.yaml:4:42: error: `generate.temperature` must be at least 0, found the number -0.5
   4 | generate: {tokens: 9999999, temperature: -0.5}
     |                                          ^~~~
cure: write at least 0
"""
    )


def test_yaml_1_1_surprises(project: Path) -> None:
    text = LLAMA + "generate:\n  tokens: 010\n  seed: 1_000\ncompute: no\n"
    assert (
        message(project, text)
        == """\
recipes/my.yaml:4:11: error: `010` has a leading zero: octal to YAML 1.1, decimal to YAML 1.2
   4 |   tokens: 010
     |           ^~~
cure: write `10`, or "010" if the text is meant

recipes/my.yaml:5:9: error: `1_000` is a number to YAML 1.1 and text to YAML 1.2
   5 |   seed: 1_000
     |         ^~~~~
cure: put it in quotes if the text is meant, or write a plain decimal number

recipes/my.yaml:6:10: error: `no` is `false` to YAML 1.1 and text to YAML 1.2
   6 | compute: no
     |          ^~
cure: write `false`, or "no" if the text is meant
"""
    )


def test_duplicate_key(project: Path) -> None:
    assert (
        message(project, LLAMA + "compute: f32\ncompute: int8\n")
        == """\
recipes/my.yaml:4:1: error: duplicate key `compute`, first given in line 3
   4 | compute: int8
     | ^~~~~~~
cure: keep one of the two
"""
    )


def test_no_yaml(project: Path) -> None:
    assert (
        message(project, LLAMA + "entries: [prefill, decode\ncompute: f32\n")
        == """\
recipes/my.yaml:4:8: error: not YAML: expected ',' or ']', but got ':' (while parsing a flow \
sequence)
   4 | compute: f32
     |        ^
cure: check the quotes, brackets and indentation up to here
"""
    )


def test_empty_file(project: Path) -> None:
    assert (
        message(project, "# nothing yet\n")
        == """\
recipes/my.yaml:1:1: error: the file is empty
   1 | # nothing yet
     | ^
cure: start it with the line `schema: 1`
"""
    )


def test_schema_missing_and_newer(project: Path) -> None:
    assert (
        message(project, "extends: llama-cpu.yaml\n")
        == """\
recipes/my.yaml:1:1: error: missing key `schema`
   1 | extends: llama-cpu.yaml
     | ^~~~~~~~~~~~~~~~~~~~~~~
cure: add `schema: 1` as the first line
"""
    )
    assert (
        message(project, "schema: 2\nnew_things: {}\n")
        == """\
recipes/my.yaml:1:9: error: `schema` must be the number 1, found the number 2
   1 | schema: 2
     |         ^
cure: write `schema: 1`; a newer schema needs a newer tensorkiln
"""
    )


def test_unknown_target(project: Path) -> None:
    text = LLAMA + "target:\n  levels: [x86-64-v3, x86-64-v5]\n"
    assert (
        message(project, text)
        == """\
recipes/my.yaml:4:23: error: `target.levels.1`: unknown target level `x86-64-v5`
   4 |   levels: [x86-64-v3, x86-64-v5]
     |                       ^~~~~~~~~
cure: did you mean `x86-64-v4`? (levels of configs/targets: x86-64-v3, x86-64-v4, \
x86-64-v4-bf16, x86-64-v4-vnni)
"""
    )
    assert (
        message(project, LLAMA + "target: {arch: sparc, levels: x86-64-v3}\n")
        == """\
recipes/my.yaml:3:16: error: `target.arch` must be `x86-64`, found the text "sparc"
   3 | target: {arch: sparc, levels: x86-64-v3}
     |                ^~~~~
cure: write `x86-64`

recipes/my.yaml:3:31: error: `target.levels` must be `native` or a list, found the text "x86-64-v3"
   3 | target: {arch: sparc, levels: x86-64-v3}
     |                               ^~~~~~~~~
cure: write `native` or a list, for example `[x86-64-v3]`
"""
    )


def test_bounds_that_contradict_each_other(project: Path) -> None:
    assert (
        message(project, LLAMA + "shapes:\n  past: {max: 100}\n")
        == """\
recipes/my.yaml:4:15: error: `shapes`: the cache's capacity past.max 100 is below new.max 512
   4 |   past: {max: 100}
     |               ^~~
cure: raise `past.max` or lower `new.max`: a whole prompt must fit in the cache
"""
    )
    assert (
        message(project, LLAMA, "shapes.new.max=4096")
        == """\
override `shapes.new.max=4096`: error: `shapes`: the cache's capacity past.max 1536 is below \
new.max 4096
   1 | shapes.new.max=4096
     |                ^~~~
cure: raise `past.max` or lower `new.max`: a whole prompt must fit in the cache
"""
    )


def test_bad_overrides_all_at_once(project: Path) -> None:
    overrides = [
        "shape.past.max=2048",
        "past.max=2048",
        "shapes.past.max=lots",
        "shapes.past.max=010",
        "generate.tokens=",
        "generate.seed=#7",
        "compute",
        "compute.kind=f32",
        "target.levels.0=x86-64-v4",
        "extends=other.yaml",
        "entries=[score",
        "=3",
    ]
    assert (
        message(project, LLAMA, *overrides)
        == """\
override `shapes.past.max=010`: error: `010` has a leading zero: octal to YAML 1.1, decimal to \
YAML 1.2
   1 | shapes.past.max=010
     |                 ^~~
cure: write `10`, or "010" if the text is meant

override `generate.tokens=`: error: an override has the form KEY.KEY=VALUE
   1 | generate.tokens=
     | ^~~~~~~~~~~~~~~
cure: write a key and its value, for example `shapes.past.max=2048`

override `generate.seed=#7`: error: an override has the form KEY.KEY=VALUE
   1 | generate.seed=#7
     | ^~~~~~~~~~~~~
cure: write a key and its value, for example `shapes.past.max=2048`

override `compute`: error: an override has the form KEY.KEY=VALUE, here is no `=`
   1 | compute
     | ^~~~~~~
cure: write a key and its value, for example `shapes.past.max=2048`

override `entries=[score`: error: not YAML: expected ',' or ']', but got '<stream end>' (while \
parsing a flow sequence)
   1 | entries=[score
     |               ^
cure: check the quotes, brackets and indentation up to here

override `=3`: error: an override has the form KEY.KEY=VALUE
   1 | =3
     | ^
cure: write a key and its value, for example `shapes.past.max=2048`

override `shape.past.max=2048`: error: unknown key `shape.past.max`
   1 | shape.past.max=2048
     | ^~~~~~~~~~~~~~
cure: did you mean `shapes.past.max`?

override `past.max=2048`: error: unknown key `past.max`
   1 | past.max=2048
     | ^~~~~~~~
cure: did you mean `shapes.past.max`?

override `shapes.past.max=lots`: error: `shapes.past.max` must be a whole number, found the \
text "lots"
   1 | shapes.past.max=lots
     |                 ^~~~
cure: write a whole number

override `compute.kind=f32`: error: `compute` is a value without parts, `compute.kind` is not \
in it
   1 | compute.kind=f32
     | ^~~~~~~~~~~~
cure: give the whole value: `compute=…`

override `target.levels.0=x86-64-v4`: error: `target.levels` is a value without parts, \
`target.levels.0` is not in it
   1 | target.levels.0=x86-64-v4
     | ^~~~~~~~~~~~~~~
cure: give the whole value: `target.levels=…`

override `extends=other.yaml`: error: `extends` belongs to a file and cannot be overridden
   1 | extends=other.yaml
     | ^~~~~~~
cure: write a recipe of your own that extends this one
"""
    )
