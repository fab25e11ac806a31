from pipeline.bench.timing import Spread, in_turns, spread


def test_candidates_take_turns_and_change_who_begins() -> None:
    calls: list[str] = []

    def measure(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    results = in_turns({"a": lambda: measure("a"), "b": lambda: measure("b")}, 3)
    assert "".join(calls) == "baabbaab"
    assert results == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0, 4)
