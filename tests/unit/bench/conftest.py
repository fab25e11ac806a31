from pathlib import Path

import pytest

from tests.unit.runtime import toy_package


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_package.make(tmp_path_factory.mktemp("bench") / "toy")


@pytest.fixture(scope="session")
def slow_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with a decode that takes its time."""
    return toy_package.make(tmp_path_factory.mktemp("bench") / "slow", sleep_us=3000)


@pytest.fixture(scope="session")
def other_toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy with other weights."""
    return toy_package.make(tmp_path_factory.mktemp("bench") / "other", table_shift=1)
