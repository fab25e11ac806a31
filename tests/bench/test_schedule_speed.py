"""Steps of a schedule are quick enough for a search to do millions: `pytest -m bench`."""

from __future__ import annotations

import pytest

from tests.bench.schedule_steps import measured, table


@pytest.mark.bench
def test_steps_and_replays_of_a_matrix_product() -> None:
    times = measured(processes=7)
    print(f"\n{table(times)}")
    assert times.median_step < 1.0
    assert times.replays["replay"] < 15.0
    assert times.replays["replay unchanged"] < 1.0
