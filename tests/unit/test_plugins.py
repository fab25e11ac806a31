"""Entry points: found, loaded when asked for, and never two of one name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from passes import plugins
from passes.importers.llama import import_llama


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    plugins.plugins.cache_clear()
    yield
    plugins.plugins.cache_clear()


def offer(folder: Path, distribution: str, lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with entry points."""
    info = folder / f"{distribution}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(str(folder))


def test_ours_are_there() -> None:
    assert "gguf.llama" in plugins.names("importers")
    assert plugins.load("importers", "gguf.llama") is import_llama


def test_a_plugin_joins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "extra", "[tensorkiln.formats]\nzip = json:dumps\n", monkeypatch)
    import json

    assert "zip" in plugins.names("formats") and plugins.load("formats", "zip") is json.dumps


def test_clashes_name_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "[tensorkiln.importers]\ngguf.llama = json:loads\n"
    offer(tmp_path, "extra", lines, monkeypatch)
    with pytest.raises(plugins.PluginError) as caught:
        plugins.load("importers", "gguf.llama")
    ours = "tensorkiln (passes.importers.llama:import_llama)"
    first, second = "extra (json:loads)", ours
    assert any(d.name == "extra" for d in metadata.distributions(path=[str(tmp_path)]))
    assert str(caught.value) in (
        f"importers plugin 'gguf.llama' is offered by {first} and by {second}; uninstall one",
        f"importers plugin 'gguf.llama' is offered by {second} and by {first}; uninstall one",
    )


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "broken", "[tensorkiln.targets]\nz80 = no.such:thing\n", monkeypatch)
    with pytest.raises(plugins.PluginError, match="no targets plugin 'z81'; known: z80"):
        plugins.load("targets", "z81")
    with pytest.raises(plugins.PluginError) as caught:
        plugins.load("targets", "z80")
    assert str(caught.value) == (
        "targets plugin 'z80' of broken cannot be loaded from no.such:thing: No module named 'no'"
    )
    with pytest.raises(plugins.PluginError, match="no plugin group 'cooks'; known: passes, "):
        plugins.names("cooks")
