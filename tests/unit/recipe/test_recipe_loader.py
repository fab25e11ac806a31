"""The strict loader: places, and everything it refuses."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipe.diagnostics import Source
from pipeline.recipe.loader import MAX_BYTES, MAX_DEPTH, LoadError, load_tree, read_source
from pipeline.recipe.tree import Map, Node, Scalar, Sequence, plain


def reasons(text: str) -> list[str]:
    return [f"{d.span}: {d.reason}" for d in load_tree(Source("f", text)).diagnostics]


def test_every_key_and_value_has_its_place() -> None:
    tree = load_tree(Source("f", "a: 1\nlong:\n  inner: [x, 'y z']\n")).tree
    assert isinstance(tree, Map)
    a, long = tree.entries["a"], tree.entries["long"]
    assert (str(a.key_span), str(a.value.span), a.value.span.end_column) == ("f:1:1", "f:1:4", 5)
    assert str(long.key_span) == "f:2:1" and long.key_span.end_column == 5
    assert isinstance(long.value, Map)
    items = long.value.entries["inner"].value
    assert isinstance(items, Sequence)
    assert [(str(i.span), i.span.end_column) for i in items.items] == [
        ("f:3:11", 12),
        ("f:3:14", 19),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", ["f:2:1: duplicate key `a`, first given in line 1"]),
        ("'a': 1\na: 2", ["f:2:1: duplicate key `a`, first given in line 1"]),
        ("1: x", ["f:1:1: a key must be text"]),
        ("[a]: x", ["f:1:1: a key must be text"]),
        ("on: x", ["f:1:1: `on` is `true` to YAML 1.1 and text to YAML 1.2"]),
        ("a: &b 1", ["f:1:4: anchor `&b`: a recipe has no anchors and aliases"]),
        ("a: *b", ["f:1:4: alias `*b`: a recipe has no anchors and aliases"]),
        ("a: !!int '3'", ["f:1:4: tag `!!int`: a recipe has no tags"]),
        ("a: !x {b: 1}", ["f:1:4: tag `!x`: a recipe has no tags"]),
        ("<<: {a: 1}", ["f:1:1: `<<`: a recipe has no merge keys"]),
        ("a: 1\n---\nb: 1", ["f:2:1: a second document starts here"]),
        ("%YAML 1.1\n---\na: 1", ["f:1:1: YAML directives are not allowed"]),
        ('a: "\\ud800"', ["f:1:4: half of a surrogate pair is no text"]),
        ("a: \x01", ["f:1:4: character U+0001 is not allowed in YAML"]),
        ("a: no\nb: 010\na: 1", [
            "f:1:4: `no` is `false` to YAML 1.1 and text to YAML 1.2",
            "f:2:4: `010` has a leading zero: octal to YAML 1.1, decimal to YAML 1.2",
            "f:3:1: duplicate key `a`, first given in line 1",
        ]),
        ("[" * (MAX_DEPTH + 1), [f"f:1:17: maps and lists nested more than {MAX_DEPTH} deep"]),
    ],
)  # fmt: skip
def test_refused(text: str, expected: list[str]) -> None:
    assert reasons(text) == expected


def test_syntax_errors_leave_no_tree() -> None:
    for text in ("a: [1", "a: b: c", "\ta: 1", 'a: "x', "a: 1\n b: 2"):
        loaded = load_tree(Source("f", text))
        assert loaded.tree is None and len(loaded.diagnostics) == 1, text


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    big = tmp_path / "big.yaml"
    big.write_bytes(b"#" * (MAX_BYTES + 1))
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(LoadError, match="big is larger than 64 KiB"):
        read_source(big, "big")
    with pytest.raises(LoadError, match="folder is not a file"):
        read_source(tmp_path, "folder")
    with pytest.raises(LoadError, match="none does not exist"):
        read_source(tmp_path / "none", "none")
    with pytest.raises(LoadError, match="byte 0xe9 is not UTF-8") as caught:
        read_source(latin, "latin")
    assert str(caught.value.span) == "latin:2:7"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    tree = load_tree(read_source(path, "bom")).tree
    assert isinstance(tree, Map)
    assert str(tree.entries["a"].key_span) == "bom:1:1"
    assert str(tree.entries["b"].value.span) == "bom:2:4"


TEXT = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def scalars(node: Node) -> Iterator[Scalar]:
    match node:
        case Scalar():
            yield node
        case Map():
            for entry in node.entries.values():
                yield from scalars(entry.value)
        case Sequence():
            for item in node.items:
                yield from scalars(item)


@given(VALUES)
def test_json_is_read_back_and_places_point_at_the_text(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    loaded = load_tree(Source("f", text))
    assert loaded.diagnostics == [] and loaded.tree is not None
    assert plain(loaded.tree) == value
    for scalar in scalars(loaded.tree):
        span = scalar.span
        assert json.loads(text[span.column - 1 : span.end_column - 1]) == scalar.value


@given(st.text(st.sampled_from("ab: -[]{}&*!|>'\"\n\t#%,?<=.0y~"), max_size=40))
def test_any_text_gives_a_tree_or_errors(text: str) -> None:
    loaded = load_tree(Source("f", text))
    for found in loaded.diagnostics:
        assert found.render()
