import numpy as np
import pytest

from pipeline.runtime import CallError
from pipeline.runtime.sampling import Sampler, Sampling

LOGITS = np.log(np.array([0.1, 0.2, 0.3, 0.4], np.float32))


def draws(count: int = 2000, **settings: float) -> np.ndarray:
    sampler = Sampler(Sampling(**settings))
    chosen = [sampler.choose(LOGITS) for _ in range(count)]
    return np.bincount(chosen, minlength=4) / count


def test_greedy_takes_the_first_of_equals() -> None:
    assert Sampler(Sampling()).choose(np.array([1, 5, 5, 2], np.float32)) == 1


def test_draws_follow_the_distribution() -> None:
    assert np.abs(draws(temperature=1) - [0.1, 0.2, 0.3, 0.4]).max() < 0.04
    sharp = np.array([0.1, 0.2, 0.3, 0.4]) ** 2
    assert np.abs(draws(temperature=0.5) - sharp / sharp.sum()).max() < 0.04


def test_same_seed_same_draws() -> None:
    assert (draws(100, temperature=1, seed=3) == draws(100, temperature=1, seed=3)).all()
    assert (draws(100, temperature=1, seed=3) != draws(100, temperature=1, seed=4)).any()


def test_top_k_and_top_p_cut_the_tail() -> None:
    assert list(draws(temperature=1, top_k=2) > 0) == [False, False, True, True]
    assert list(draws(temperature=1, top_p=0.69) > 0) == [False, False, True, True]
    assert list(draws(temperature=1, top_p=0.71) > 0) == [False, True, True, True]
    assert list(draws(temperature=1, top_p=0.01) > 0) == [False, False, False, True]


def test_forbidden_tokens_are_never_drawn() -> None:
    logits = np.array([-np.inf, 0, -np.inf, 0], np.float32)
    sampler = Sampler(Sampling(temperature=5))
    assert {sampler.choose(logits) for _ in range(200)} == {1, 3}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_logits(value: float) -> None:
    with pytest.raises(CallError, match="logits are not finite numbers"):
        Sampler(Sampling()).choose(np.array([0, value, 1], np.float32))


@pytest.mark.parametrize(
    "settings", [{"temperature": -1}, {"temperature": np.nan}, {"top_k": -1}, {"top_p": 0}]
)
def test_settings_out_of_range(settings: dict[str, float]) -> None:
    with pytest.raises(CallError, match=f"^{next(iter(settings))}: expected"):
        Sampling(**settings)
