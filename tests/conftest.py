"""Options of the test run, and how hypothesis draws its examples."""

import signal

import pytest
from hypothesis import settings

# What helper modules assert is shown as fully as in the tests themselves.
pytest.register_assert_rewrite("tests.errors", "tests.property", "tests.toys", "tests.unit")

# A shell's background jobs ignore Ctrl-C, and so would the programs that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples everywhere, however busy the machine; `--hypothesis-profile=default` explores.
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the texts of tests/golden anew"
    )
