"""Which modules are the project's."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

import blake3

REPO = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pipeline.workers.imports import import_by_content
from pipeline.workers.stage import _modules

root, cache = sys.argv[1:]
import_by_content([root], cache)
sys.path.insert(0, root)
import blake3, mine
print(_modules([root]))
"""


def test_an_environment_inside_the_project_is_not_the_project(tmp_path: Path) -> None:
    """Its native modules can be imported, and no key has to cover them."""
    root = tmp_path / "project"
    venv.create(root / "env", symlinks=True)
    (site,) = root.glob("env/lib/python*/site-packages")
    shutil.copytree(Path(blake3.__file__).parent, site / "blake3")
    (root / "mine.py").write_text("")
    done = subprocess.run(
        [root / "env" / "bin" / "python", "-c", PROGRAM, root, tmp_path / "cache"],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "['mine']\n"), done.stderr
