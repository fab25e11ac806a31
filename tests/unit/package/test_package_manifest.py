"""The manifest: canonical, checked when made, and understood by the runtime."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from passes.package import manifest
from passes.package.manifest import ManifestError
from pipeline.runtime import manifest as runtime_manifest


@pytest.fixture
def facts(toy: Path) -> dict[str, Any]:
    return json.loads((toy / "manifest.json").read_text(encoding="utf-8"))


def test_text_is_canonical(toy: Path, facts: dict[str, Any]) -> None:
    text = (toy / "manifest.json").read_text(encoding="utf-8")
    assert manifest.build(facts).text() == text
    backwards = dict(reversed(facts.items()))
    assert manifest.build(backwards).text() == text
    assert manifest.read(toy).text() == text


def test_both_sides_agree(toy: Path, facts: dict[str, Any]) -> None:
    assert runtime_manifest.ABI == manifest.ABI
    understood = runtime_manifest.read(toy)
    assert understood.name == facts["name"]
    assert understood.capacity == facts["capacity"]
    assert set(understood.entries) == set(facts["entries"])
    assert set(understood.files) == set(facts["files"])
    assert set(runtime_manifest.DTYPES) == set(manifest.DType.__args__)


def test_records_cover_all_but_the_derived(toy: Path) -> None:
    assert list(manifest.record_files(toy)) == [
        "LICENSES/Apache-2.0.txt",
        "LICENSES/NOTICE.txt",
        "chat_template.jinja",
        "lib/x86-64.o",
        "tokenizer.json",
        "weights.bin",
    ]


def change(facts: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(facts)
    *parents, last = path.split("/")
    node: Any = changed
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    if isinstance(node, list):
        node[int(last)] = value
    else:
        node[last] = value
    return changed


_TOKENS = "entries/prefill/inputs/0"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("colour", 1, "colour: Extra inputs are not permitted"),
        ("name", "../x", "name: String should match pattern"),
        ("arch", "vax", "arch: Input should be 'x86_64' or 'aarch64'"),
        ("dims/n", [5, 1], "dims.n: 5..1 is not a range from 0 on"),
        ("dims", {"n": [1, 2]}, "entries.decode: no bounds for m"),
        ("levels", [], "levels: Tuple should have at least 1 item"),
        ("levels/0/object", "/lib/a.o", "'/lib/a.o' is not a plain path inside the package"),
        ("levels/0/object", "lib/../a.o", "'lib/../a.o' is not a plain path inside the package"),
        ("levels/0/object", "lib/a.o", "files: no record of lib/a.o"),
        (f"{_TOKENS}/dtype", "i33", "entries.prefill.inputs.0.dtype: Input should be 'bool'"),
        (f"{_TOKENS}/values", None, "integer input 'tokens' needs 'values'"),
        (f"{_TOKENS}/values", [9, 1], "values of 'tokens': 9 is above 1"),
        (f"{_TOKENS}/name", "n", "tk_prefill: a name is used twice among n, m, n, logits"),
        (f"{_TOKENS}/shape/1", "b", "'b' of 'tokens' uses b, which is not among its dims (n, m)"),
        (f"{_TOKENS}/shape/1", "n ** 2", "'n ** 2' may hold only names, integers, + - * // and"),
        (f"{_TOKENS}/shape/1", "-n", "'-n' may hold only names, integers, + - * // and ()"),
        (f"{_TOKENS}/shape/1", "f(n)", "'f(n)' may hold only names, integers, + - * // and ()"),
        (f"{_TOKENS}/shape/1", "n +", "'n +' is not an integer expression"),
        (f"{_TOKENS}/shape/1", "0x10", "'0x10' holds a number that is not decimal"),
        ("errors", {"0": "no"}, "errors.0.[key]: String should match pattern"),
        ("weights/size", 8, "weights: size or digest differs from that of weights.bin"),
        ("generate/temperature", -1, "generate.temperature: Input should be greater than or"),
        ("files/weights.bin/digest", "b3:" + "0" * 64, "String should match pattern"),
        (
            "files/lib~1x86-64.so".replace("~1", "\\"),
            {"size": 1, "digest": "sha256:" + "0" * 64},
            "is not a plain path inside the package",
        ),
    ],
)
def test_refused(facts: dict[str, Any], path: str, value: Any, message: str) -> None:
    with pytest.raises(ManifestError) as raised:
        manifest.build(change(facts, path, value))
    assert message in str(raised.value)


def test_derived_files_are_not_recorded(facts: dict[str, Any]) -> None:
    record = {"size": 1, "digest": "sha256:" + "0" * 64}
    facts["files"]["lib/x86-64.so"] = record
    with pytest.raises(ManifestError, match=r"files: lib/x86-64\.so must not be recorded"):
        manifest.build(facts)


def test_writing_checks_the_files(facts: dict[str, Any], tmp_path: Path) -> None:
    checked = manifest.build(facts)
    with pytest.raises(ManifestError, match="recorded in the manifest but not there"):
        checked.write(tmp_path)
    for path in checked.files:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("other", encoding="utf-8")
    with pytest.raises(ManifestError, match="content differs from its manifest record"):
        checked.write(tmp_path)
    assert not (tmp_path / "manifest.json").exists()
