"""Options of the test run, and how hypothesis draws its examples."""

import pytest
from hypothesis import settings

# The same examples everywhere, however busy the machine; `--hypothesis-profile=default` explores.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the texts of tests/golden anew"
    )
