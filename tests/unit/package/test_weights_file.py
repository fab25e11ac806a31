from pathlib import Path

import numpy as np
import pytest

from passes.package import weights


def test_arrays_lie_where_the_layout_says(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(25, dtype=np.float32),
        "empty": np.empty((0, 4), np.float16),
        "b": np.arange(12, dtype=np.int8).reshape(3, 4),
        "scalar": np.float64(0.5).reshape(()),
    }
    plan = weights.layout({name: array.nbytes for name, array in arrays.items()})
    assert plan.offsets == {"a": 0, "empty": 128, "b": 128, "scalar": 192}
    assert plan.size == 256
    weights.write(tmp_path / "w", plan, arrays.items())
    data = (tmp_path / "w").read_bytes()
    assert len(data) == plan.size
    covered = np.zeros(plan.size, bool)
    for name, array in arrays.items():
        start = plan.offsets[name]
        assert data[start : start + array.nbytes] == array.tobytes()
        covered[start : start + array.nbytes] = True
    assert not np.frombuffer(data, np.uint8)[~covered].any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([("b", np.zeros(8, np.uint8))], "weight 'b' given where the layout has 'a'"),
        ([("a", np.zeros(7, np.uint8))], "weight 'a': 7 bytes; the layout has 8 contiguous"),
        ([("a", np.zeros(16, np.uint8)[::2])], "weight 'a': 8 bytes, not contiguous; the layout"),
        ([("a", np.zeros(8, np.uint8))], "weight 'b' of the layout was not given"),
        (
            [(name, np.zeros(8, np.uint8)) for name in "abc"],
            "weight 'c' given where the layout has 'None'",
        ),
    ],
)
def test_what_does_not_fit_the_layout(
    tmp_path: Path, given: list[tuple[str, np.ndarray]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        weights.write(tmp_path / "w", weights.layout({"a": 8, "b": 8}), given)
