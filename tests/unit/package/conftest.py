import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

import toy_package


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy package, shared: tests only read it."""
    return toy_package.make(tmp_path_factory.mktemp("toy") / "package")
