import pytest

from pipeline.bench import machine


def test_limits_are_of_this_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops that were folded away would be far above, broken ones far below."""
    monkeypatch.setattr(machine, "_REPEATS", 2)
    monkeypatch.setattr(machine, "_BUFFER", 64 << 20)
    assert 1e8 < machine.read_rate(1) < 1e12
    rate = machine.int8_rate(2)
    assert rate is None or 1e10 < rate < 1e13


def test_facts() -> None:
    facts = machine.facts()
    assert facts["value"] and facts["cpus"] >= 1 and facts["memory_mib"] > 0
