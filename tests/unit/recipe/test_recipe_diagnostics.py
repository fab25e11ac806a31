"""How an error looks: carets under their text, long lines, order, control characters."""

import pickle

import pytest

from pipeline.recipe.diagnostics import (
    MAX_ERRORS_SHOWN,
    Diagnostic,
    Phase,
    RecipeError,
    Report,
    Source,
    Span,
)


def render(line: str, column: int, end: int) -> list[str]:
    span = Span(Source("f.yaml", f"first\n{line}\n"), 2, column, 2, end)
    return Diagnostic("reason", "cure", span).render().splitlines()


def test_caret_stands_under_the_text() -> None:
    assert render("key: value", 6, 11) == [
        "f.yaml:2:6: error: reason",
        "   2 | key: value",
        "     |      ^~~~~",
        "cure: cure",
    ]


def test_wide_combining_and_tab_characters() -> None:
    assert render("模型: 値x", 5, 7)[1:3] == ["   2 | 模型: 値x", "     |       ^~~"]
    assert render("e\u0301: ab", 5, 7)[2] == "     |    ^~"
    assert render("a:\tb", 4, 5)[1:3] == ["   2 | a:\tb", "     |   \t^"]


def test_control_characters_never_reach_the_terminal() -> None:
    assert render("a: \x1b[31mred\u202e", 4, 5)[1] == "   2 | a: �[31mred�"


def test_long_lines_are_cut_around_the_place() -> None:
    line, caret = render("x" * 5000 + "HERE" + "y" * 5000, 5001, 5005)[1:3]
    assert len(line) < 120
    start = caret.index("^")
    assert line[start : start + 4] == "HERE" and caret.endswith("^~~~")


@pytest.mark.parametrize("column", [1, 50, 101, 199, 200, 201])
def test_a_place_anywhere_in_a_long_line_has_a_caret(column: int) -> None:
    text = "".join(chr(ord("a") + i % 26) for i in range(200))
    line, caret = render(text, column, column + 1)[1:3]
    start = caret.index("^")
    assert line[start : start + 1] == text[column - 1 : column]


def test_a_place_past_the_end_of_the_text() -> None:
    span = Span(Source("f", "a: [1\n"), 2, 1, 2, 1)
    assert Diagnostic("reason", "cure", span).render().splitlines()[1:3] == ["   2 |", "     | ^"]


def test_causes_come_before_their_effects_and_nothing_is_said_twice() -> None:
    report = Report()
    one, two = Source("one", "a\nb\n"), Source("two", "a\n")
    report.saw(one)
    report.saw(two)
    report.add(Phase.MEANING, Span.start_of(one), "meaning", "c")
    report.add(Phase.STRUCTURE, Span.start_of(two), "second file", "c")
    report.add(Phase.STRUCTURE, Span(one, 2, 1, 2, 2), "second line", "c")
    report.add(Phase.STRUCTURE, Span.start_of(one), "first line", "c")
    report.add(Phase.STRUCTURE, Span.start_of(one), "first line", "c")
    report.add(Phase.SYNTAX, Span.start_of(two), "syntax", "c")
    with pytest.raises(RecipeError) as caught:
        report.raise_errors()
    assert [d.reason for d in caught.value.diagnostics] == [
        "syntax", "first line", "second line", "second file", "meaning",
    ]  # fmt: skip


def test_a_flood_of_errors_is_cut() -> None:
    error = RecipeError([Diagnostic(f"number {i}", "cure") for i in range(MAX_ERRORS_SHOWN + 7)])
    assert str(error).endswith("\n\nand 7 more errors")
    assert len(error.diagnostics) == MAX_ERRORS_SHOWN + 7


def test_errors_cross_processes() -> None:
    error = RecipeError([Diagnostic("reason", "cure", Span.start_of(Source("f", "a")))])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
