import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import toy_package


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy package, shared: tests only read it."""
    return toy_package.make(tmp_path_factory.mktemp("toy") / "package")


@pytest.fixture
def toy_copy(toy: Path, tmp_path: Path) -> Path:
    """A toy package of one's own, to damage."""
    return Path(shutil.copytree(toy, tmp_path / "copy"))
