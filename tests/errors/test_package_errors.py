"""Every way in which a package or a call to it can be wrong, with the full message."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit/runtime"))

import toy_package

from pipeline.runtime import CallError, Package, PackageError, Session, cpu, manifest

DAMAGED = "the package is damaged: build or install it again"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_package.make(tmp_path_factory.mktemp("toy") / "package")


@pytest.fixture
def folder(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "copy"))


def refusal(folder: Path, **options: Any) -> str:
    """The message with which the package refuses to load, its folder written as FOLDER."""
    with pytest.raises(PackageError) as raised:
        Package(folder, **options)
    return str(raised.value).replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    ("abi", "cure"),
    [
        (2, "install a newer tensorkiln, or build the package again with this one"),
        (0, "build the package again with this tensorkiln: doit build recipe=<recipe>"),
    ],
)
def test_another_abi(folder: Path, abi: int, cure: str) -> None:
    toy_package.edit(folder, "abi", abi)
    assert refusal(folder) == (
        f"FOLDER/manifest.json: the package has ABI version {abi}, this runtime speaks version 1; "
        f"{cure}"
    )


def test_code_of_another_abi(tmp_path: Path) -> None:
    folder = toy_package.make(tmp_path / "package", native_abi=7)
    assert refusal(folder) == (
        "FOLDER/lib/x86-64.so: the code has ABI version 7, its manifest says 1; the package is a "
        "mixture of two builds: build or install it again"
    )


def test_features_that_this_cpu_lacks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    level = {"object": "lib/x86-64.o", "library": "lib/x86-64.so"}
    toy_package.edit(
        folder,
        "levels",
        [
            level | {"level": "x86-64-v4-vnni", "cpu_flags": ["avx512_vnni", "avx512f", "avx2"]},
            level | {"level": "x86-64-v3", "cpu_flags": ["fma", "avx2"]},
        ],
    )
    monkeypatch.setattr(cpu, "flags", lambda: frozenset({"sse2", "avx2"}))
    assert refusal(folder) == (
        "FOLDER: this CPU lacks features that the package's code uses: x86-64-v4-vnni needs "
        "avx512_vnni, avx512f; x86-64-v3 needs fma; build the package for this machine: "
        "doit build recipe=<recipe> target.levels=native"
    )


def test_another_architecture(folder: Path) -> None:
    toy_package.edit(folder, "arch", "aarch64")
    assert refusal(folder) == (
        "FOLDER: the package is for aarch64 and this machine is x86_64; build it for this "
        "machine: doit build recipe=<recipe> target.levels=native"
    )


def test_no_package_there(tmp_path: Path) -> None:
    assert refusal(tmp_path) == (
        "FOLDER/manifest.json: cannot be read (No such file or directory); give the folder that "
        "holds manifest.json, for example artifacts/builds/<recipe>"
    )


def test_missing_and_truncated_files(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    weights = folder / "weights.bin"
    size = weights.stat().st_size
    with weights.open("r+b") as stream:
        stream.truncate(size - 1)
    assert refusal(folder) == (
        f"FOLDER: tokenizer.json: cannot be read (No such file or directory); weights.bin: has "
        f"{size - 1} bytes, should have {size}; {DAMAGED}"
    )


def test_changed_content(folder: Path) -> None:
    for name in ("weights.bin", "tokenizer.json"):
        data = bytearray((folder / name).read_bytes())
        data[5] ^= 1
        (folder / name).write_bytes(data)
    assert refusal(folder, verify=True) == (
        "FOLDER: tokenizer.json, weights.bin: content differs from the digest in manifest.json; "
        f"{DAMAGED}"
    )


def test_a_library_that_is_none(folder: Path) -> None:
    (folder / "lib/x86-64.so").write_bytes(b"not a library")
    library = str(folder / "lib/x86-64.so")
    assert refusal(folder).replace(library, "LIBRARY") == (
        "FOLDER/lib/x86-64.so: cannot be loaded (FOLDER/lib/x86-64.so: file too short); delete it "
        "to load the object beside it instead, or build the package again"
    )


def test_a_function_that_the_code_lacks(folder: Path) -> None:
    toy_package.edit(folder, "entries.score.symbol", "tk_train")
    assert refusal(folder) == (
        "FOLDER/lib/x86-64.so: has no function 'tk_train' although the manifest names it; "
        f"{DAMAGED}"
    )
    (folder / "lib/x86-64.so").unlink()
    message = refusal(folder)
    assert message.startswith("FOLDER/lib/x86-64.o: cannot be loaded (")
    assert "tk_train" in message


def test_no_library_and_no_llvmlite(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lib/x86-64.so").unlink()
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.setitem(sys.modules, "llvmlite.binding", None)
    assert refusal(folder) == (
        "FOLDER/lib/x86-64.so: there is no shared library, and loading x86-64.o instead needs "
        "llvmlite; install it (pip install llvmlite), or link on a machine with a C compiler: "
        "cc -shared -o FOLDER/lib/x86-64.so FOLDER/lib/x86-64.o -lm"
    )


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("capacity", "64", 'capacity: expected an integer in 0..9223372036854775807, found "64"'),
        ("capacity", True, "capacity: expected an integer in 0..9223372036854775807, found true"),
        ("dims.n", [3, 2], "dims.n[1]: expected an integer in 3..9223372036854775807, found 2"),
        ("levels", [], "levels: expected at least one level, found []"),
        (
            "levels.0.library",
            "../evil.so",
            'levels[0].library: expected a path inside the package, found "../evil.so"',
        ),
        ("levels.0.object", "lib/b.o", "files.lib/b.o: missing"),
        ("weights", {}, "weights.file: missing"),
        (
            "entries.prefill.inputs.0.dtype",
            "f8",
            "entries.prefill.inputs[0].dtype: expected one of bool, i8, i16, i32, i64, u8, u16, "
            'u32, u64, f16, f32, f64, bf16, found "f8"',
        ),
        (
            "entries.prefill.inputs.0.shape",
            ["1", "n +"],
            "entries.prefill.inputs[0].shape[1]: expected an integer expression ('n +' ends where "
            'a name or a number should be), found "n +"',
        ),
        (
            "entries.decode.inputs.0.shape",
            ["1", "n"],
            "entries.decode.inputs[0].shape[1]: expected an expression over the entry's dims (m), "
            'found "n"',
        ),
        ("entries.score.symbol", "a b", None),
        ("errors", {"x": "y"}, "errors.x: expected a key that is an error code from 1 on"),
        ("generate.temperature", -1, "generate.temperature: expected a number that is not"),
    ],
)
def test_a_manifest_out_of_order(folder: Path, path: str, value: Any, message: str | None) -> None:
    toy_package.edit(folder, path, value)
    message = message or (
        'entries.score.symbol: expected a name of letters, digits and _, found "a b"'
    )
    found = refusal(folder)
    assert found.startswith(f"FOLDER/manifest.json: {message}")
    assert found.endswith(f"; {DAMAGED}")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "nul", '{"abi": 1', "\xff\xfe"])
def test_a_manifest_that_is_no_json(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    message = refusal(folder)
    assert message.startswith("FOLDER/manifest.json: not JSON (")
    assert message.endswith(f"; {DAMAGED}")


def test_a_manifest_that_never_ends(folder: Path) -> None:
    with (folder / "manifest.json").open("r+b") as stream:
        stream.truncate(manifest.MAX_BYTES + 1)
    assert refusal(folder) == ("FOLDER/manifest.json: larger than 16 MiB; this is not a manifest")


def call_refusal(toy: Path, entry: str, **arguments: Any) -> str:
    with Session(Package(toy), threads=1) as session:
        session.call("prefill", tokens=[[1, 2, 3]])
        with pytest.raises(CallError) as raised:
            session.call(entry, **arguments)
        assert session.past == 3
        assert session.call("decode", tokens=[[4]])["logits"][0, -1] == -10
    return str(raised.value)


@pytest.mark.parametrize(
    ("entry", "arguments", "message"),
    [
        ("encode", {}, "encode: no such entry point; toy-cpu has decode, prefill, score"),
        ("prefill", {}, "prefill: tokens: missing; expected i32 [1, n]"),
        (
            "prefill",
            {"token": [[1]]},
            "prefill: 2 problems with the arguments:\n"
            "  token: unknown argument; did you mean 'tokens'?\n"
            "  tokens: missing; expected i32 [1, n]",
        ),
        (
            "prefill",
            {"tokens": [[1]], "zzz": 1},
            "prefill: zzz: unknown argument; known are tokens, n, m",
        ),
        (
            "prefill",
            {"tokens": [1, 2]},
            "prefill: tokens: has shape (2,), expected 2 axes for i32 [1, n]",
        ),
        (
            "prefill",
            {"tokens": [[1], [2]]},
            "prefill: tokens: has shape (2, 1), expected (1, 1) for i32 [1, n]",
        ),
        (
            "prefill",
            {"tokens": [[1.0]]},
            "prefill: tokens: has dtype float64, expected int32 for i32 [1, n]",
        ),
        (
            "prefill",
            {"tokens": [[1], [2, 3]]},
            "prefill: tokens: not an array (setting an array element with a sequence. The "
            "requested array has an inhomogeneous shape after 1 dimensions. The detected shape "
            "was (2,) + inhomogeneous part.); expected i32 [1, n]",
        ),
        (
            "prefill",
            {"tokens": [[1, 2]], "n": 3, "m": "x"},
            "prefill: 2 problems with the arguments:\n"
            "  m: expected an integer, found 'x'\n"
            "  tokens: has shape (1, 2), which gives n = 2, but the argument gives n = 3",
        ),
        (
            "prefill",
            {"tokens": np.zeros((1, 17), np.int32)},
            "prefill: n = 17 (from the shape of 'tokens') is outside 1..16, the bounds that the "
            "package was built for",
        ),
        (
            "prefill",
            {"tokens": np.zeros((1, 0), np.int32)},
            "prefill: n = 0 (from the shape of 'tokens') is outside 1..16, the bounds that the "
            "package was built for",
        ),
        (
            "decode",
            {"tokens": [[1]], "m": 64},
            "decode: m = 64 (from the argument) is outside 0..63, the bounds that the package was "
            "built for",
        ),
        (
            "decode",
            {"tokens": [[1]], "m": 4},
            "decode: m = 4 (from the argument) is more than the 3 tokens in the session's cache",
        ),
        (
            "decode",
            {"tokens": [[-1]]},
            "decode: tokens: holds -1, which is outside 0..258",
        ),
        (
            "decode",
            {"tokens": [[2**40]]},
            "decode: tokens: holds 1099511627776, which is outside 0..258",
        ),
        (
            "prefill",
            {"tokens": [[toy_package.REFUSED]]},
            "prefill: the toy refuses one of the 1 tokens after m = 3 (native error 2)",
        ),
    ],
)
def test_calls(toy: Path, entry: str, arguments: dict[str, Any], message: str) -> None:
    assert call_refusal(toy, entry, **arguments) == message


def test_a_full_cache(toy: Path) -> None:
    with Session(Package(toy)) as session:
        for _ in range(4):
            session.call("score", tokens=[[1] * 16])
        with pytest.raises(CallError) as raised:
            session.call("prefill", tokens=[[1, 2]], m=63)
        assert str(raised.value) == (
            "prefill: 63 tokens in the cache and 2 new ones are more than its capacity of 64; "
            "reset or truncate the session, or build the package with a larger shapes.past.max"
        )
        assert session.past == 64
        with pytest.raises(CallError) as raised:
            session.truncate(65)
        assert (
            str(raised.value) == "truncate: 65 is outside 0..64, the tokens in the session's cache"
        )


def test_a_prompt_longer_than_the_capacity(toy: Path) -> None:
    with Session(Package(toy)) as session:
        with pytest.raises(CallError) as raised:
            session.generate("0" * 65)
        assert str(raised.value) == (
            "generate: the prompt has 65 tokens, which do not fit in the cache of 64; shorten it, "
            "or build the package with shapes.past.max=65 or more"
        )
        assert session.past == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"temprature": 1},
            "temprature: unknown setting of generation; known are tokens, temperature, top_k, "
            "top_p, seed, stop",
        ),
        ({"tokens": 1.5}, "tokens: expected an integer, found 1.5"),
        ({"tokens": -1}, "tokens: expected an integer from 0 on, found -1"),
        ({"temperature": "hot"}, "temperature: expected a number, found 'hot'"),
        ({"seed": None}, "seed: expected an integer, found None"),
        ({"stop": 5}, "stop: expected token ids, found 5"),
    ],
)
def test_settings(toy: Path, settings: dict[str, Any], message: str) -> None:
    with Session(Package(toy)) as session:
        for method in (session.generate, session.chat):
            with pytest.raises(CallError) as raised:
                method("a", **settings)
            assert str(raised.value) == message


def test_a_prompt_that_is_no_unicode(toy: Path) -> None:
    with Session(Package(toy)) as session:
        for method in (session.generate, session.chat):
            with pytest.raises(CallError) as raised:
                method("caf\udce9")
            assert str(raised.value).startswith("the text has no Unicode character at place ")
            assert str(raised.value).endswith(" ('\\udce9'); give it in UTF-8")
        assert session.past == 0


@pytest.mark.parametrize(
    ("module", "method", "message"),
    [
        (
            "tokenizers",
            "generate",
            "text needs the distribution 'tokenizers', which is not installed: pip install "
            "tokenizers (or give token ids instead of text)",
        ),
        (
            "jinja2",
            "chat",
            "chat needs the distribution 'jinja2', which is not installed: pip install jinja2 "
            "(or give the whole prompt as text)",
        ),
    ],
)
def test_what_text_needs(
    toy: Path, monkeypatch: pytest.MonkeyPatch, module: str, method: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with Session(Package(toy)) as session, pytest.raises(PackageError) as raised:
        getattr(session, method)("a")
    assert str(raised.value) == message


def test_packages_without_text(folder: Path) -> None:
    toy_package.edit(folder, "tokenizer.chat_template", None)
    with Session(Package(folder)) as session, pytest.raises(PackageError) as raised:
        session.chat("a")
    assert str(raised.value) == (
        f"{folder}: the package has no chat template; give the whole prompt as text"
    )
    toy_package.edit(folder, "tokenizer", None)
    with Session(Package(folder)) as session, pytest.raises(PackageError) as raised:
        session.generate("a")
    assert str(raised.value) == (
        f"{folder}: the package has no tokenizer; give token ids instead of text"
    )


def test_a_tokenizer_that_is_none(folder: Path) -> None:
    size = (folder / "tokenizer.json").stat().st_size
    (folder / "tokenizer.json").write_text("{" + " " * (size - 1), encoding="utf-8")
    with pytest.raises(PackageError) as raised:
        _ = Package(folder).tokenizer
    assert str(raised.value).startswith(f"{folder}/tokenizer.json: not a tokenizer (")
    assert str(raised.value).endswith(f"; {DAMAGED}")


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        (["hi"], "messages[0]: expected a mapping with 'role' and 'content', found 'hi'"),
        (
            [{"role": "user"}],
            "messages[0]: expected a mapping with 'role' and 'content', found {'role': 'user'}",
        ),
    ],
)
def test_messages_of_the_wrong_form(toy: Path, messages: Any, message: str) -> None:
    with Session(Package(toy)) as session, pytest.raises(CallError) as raised:
        session.chat(messages)
    assert str(raised.value) == message
