"""Laws of merging, `extends`, overrides, and where values come from."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recipe import RecipeError, load_recipe
from pipeline.recipe.compose import merge
from pipeline.recipe.diagnostics import Source
from pipeline.recipe.loader import load_tree
from pipeline.recipe.tree import Map, leaves, plain

# As in a schema, a name is always a section or always a value: upper case names are sections.
NAMES = st.sampled_from("abc")
SECTIONS = st.sampled_from("ABC")
LEAVES = st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=3)


def section(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        lambda values, sections: values | sections,
        st.dictionaries(NAMES, LEAVES, max_size=3),
        st.dictionaries(SECTIONS, below, max_size=3),
    )


TREES = section(section(section(st.just({}))))


def tree_of(value: Any, label: str) -> Map:
    tree = load_tree(Source(label, json.dumps(value))).tree
    assert isinstance(tree, Map)
    return tree


def plain_merge(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict):
        both = {k: plain_merge(base[k], over[k]) for k in base.keys() & over.keys()}
        return base | over | both
    return over


@given(TREES, TREES)
def test_merge_is_deep_and_the_upper_wins(base: Any, over: Any) -> None:
    merged = merge(tree_of(base, "base"), tree_of(over, "over"))
    assert plain(merged) == plain_merge(base, over)


@given(TREES, TREES, TREES)
def test_merge_is_associative(a: Any, b: Any, c: Any) -> None:
    x, y, z = tree_of(a, "a"), tree_of(b, "b"), tree_of(c, "c")
    left, right = merge(merge(x, y), z), merge(x, merge(y, z))
    assert plain(left) == plain(right)
    assert dict(leaves(left)) == dict(leaves(right))


@given(TREES, TREES)
def test_every_origin_is_the_last_file_that_wrote_the_value(base: Any, over: Any) -> None:
    lower, upper = tree_of(base, "base"), tree_of(over, "over")
    written = dict(leaves(upper))
    for path, span in leaves(merge(lower, upper)):
        if path in written:
            assert span == written[path]
        else:
            assert span == dict(leaves(lower))[path]


BLOCK = "schema: 1\nkind: model\nmodel: {source: 'file:a.gguf', layers: 3}\n"
TARGET = "target: {arch: x86-64, levels: native}\n"


def write(root: Path, files: dict[str, str]) -> Path:
    (root / "configs").mkdir(exist_ok=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root / "recipes" / "r.yaml"


def test_a_list_of_files_later_ones_win(tmp_path: Path) -> None:
    path = write(tmp_path, {
        "configs/m.yaml": BLOCK,
        "configs/n.yaml": "schema: 1\nkind: model\nextends: m.yaml\nmodel: {layers: 2}\n",
        "configs/s.yaml": "schema: 1\nkind: shapes\nshapes: {new: {max: 7}}\n",
        "recipes/r.yaml": "schema: 1\nextends: [../configs/n.yaml, ../configs/s.yaml]\n"
        + TARGET + "shapes: {past: {max: 9}}\n",
    })  # fmt: skip
    loaded = load_recipe(path)
    assert loaded.recipe.model.source == "file:a.gguf"
    assert loaded.recipe.model.layers == 2
    assert (loaded.recipe.shapes.new.max, loaded.recipe.shapes.past.max) == (7, 9)
    assert {
        k: str(v) for k, v in loaded.origins.items() if not k.startswith(("generate", "tuning"))
    } == {
        "compute": "default",
        "entries": "default",
        "model.digest": "default",
        "model.layers": "configs/n.yaml:4:17",
        "model.source": "configs/m.yaml:3:17",
        "schema": "recipes/r.yaml:1:9",
        "shapes.batch.max": "default",
        "shapes.batch.min": "default",
        "shapes.new.buckets": "default",
        "shapes.new.max": "configs/s.yaml:3:21",
        "shapes.new.min": "default",
        "shapes.past.buckets": "default",
        "shapes.past.max": "recipes/r.yaml:4:22",
        "shapes.past.min": "default",
        "target.arch": "recipes/r.yaml:3:16",
        "target.levels": "recipes/r.yaml:3:32",
        "threads.max": "default",
    }
    assert [file.name for file in loaded.files] == ["r.yaml", "n.yaml", "m.yaml", "s.yaml"]


def test_a_file_reached_twice_is_no_cycle(tmp_path: Path) -> None:
    path = write(tmp_path, {
        "configs/m.yaml": BLOCK,
        "recipes/a.yaml": "schema: 1\nextends: ../configs/m.yaml\n",
        "recipes/b.yaml": "schema: 1\nextends: ../configs/m.yaml\nmodel: {layers: 5}\n",
        "recipes/r.yaml": "schema: 1\nextends: [b.yaml, a.yaml]\n" + TARGET,
    })  # fmt: skip
    assert load_recipe(path).recipe.model.layers == 3  # a.yaml, the later, brings m.yaml's again


def test_a_ladder_of_doubled_extends_is_read_once_each(tmp_path: Path) -> None:
    files = {f"recipes/l{i}.yaml": f"schema: 1\nextends: [l{i + 1}.yaml, l{i + 1}.yaml]\n"
             for i in range(13)}  # fmt: skip
    files["recipes/l13.yaml"] = "schema: 1\nmodel: {source: 'file:a.gguf'}\n" + TARGET
    files["recipes/r.yaml"] = "schema: 1\nextends: l0.yaml\n"
    assert len(load_recipe(write(tmp_path, files)).files) == 15


def test_a_long_chain_is_refused(tmp_path: Path) -> None:
    files = {f"recipes/l{i}.yaml": f"schema: 1\nextends: l{i + 1}.yaml\n" for i in range(40)}
    files["recipes/r.yaml"] = "schema: 1\nextends: l0.yaml\n"
    with pytest.raises(RecipeError, match="more than 16 files extend each other in a row"):
        load_recipe(write(tmp_path, files))


@pytest.mark.parametrize(
    "name", ["../../x.yaml", "/etc/passwd", "..\\x.yaml", '"a\\0b"', "x" * 5000, "link/x.yaml"]
)
def test_extends_stays_inside_the_project(tmp_path: Path, name: str) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (tmp_path / "x.yaml").write_text(BLOCK)
    path = write(root, {"recipes/r.yaml": f"schema: 1\nextends: {name}\n"})
    (root / "recipes" / "link").symlink_to(tmp_path)
    with pytest.raises(RecipeError, match="is no path inside the project"):
        load_recipe(path)


def test_overrides_merge_maps_and_replace_lists(tmp_path: Path) -> None:
    text = "schema: 1\nmodel: {source: 'file:a.gguf'}\n" + TARGET
    path = write(tmp_path, {"recipes/r.yaml": text})
    plain_one = load_recipe(path)
    loaded = load_recipe(
        path, ["shapes.new={max: 8}", "entries=[score]", "model.layers=2", "model.layers=null"]
    )
    assert loaded.recipe.shapes.new.model_dump() == {"min": 1, "max": 8, "buckets": ()}
    assert loaded.recipe.entries == ("score",)
    assert loaded.recipe.model.layers is None
    assert str(loaded.origins["shapes.new.max"]) == "override `shapes.new={max: 8}`"
    assert str(loaded.origins["entries"]) == "override `entries=[score]`"
    assert str(loaded.origins["model.layers"]) == "override `model.layers=null`"
    assert loaded.overridden and not plain_one.overridden
    assert loaded.build_name == f"r@{loaded.digest}" and plain_one.build_name == "r"
    assert loaded.digest != plain_one.digest


def test_the_digest_is_of_the_content_not_of_its_spelling(tmp_path: Path) -> None:
    head = "schema: 1\nmodel: {source: 'file:a.gguf'}\n" + TARGET
    one = load_recipe(write(tmp_path, {"recipes/r.yaml": head}))
    spelled = head + "# a comment\ngenerate: {temperature: 0, tokens: 0x40}\n"
    two = load_recipe(write(tmp_path, {"recipes/r.yaml": spelled}))
    other = load_recipe(write(tmp_path, {"recipes/r.yaml": head + "compute: f32\n"}))
    assert one.digest == two.digest != other.digest
    assert len(one.digest) == 16
