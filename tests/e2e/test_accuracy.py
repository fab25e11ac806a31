"""What computing in int8 costs: perplexity against the same model in float32, both built here.

TENSORKILN_TEXT names a text of 8,000 tokens or more. TENSORKILN_LLAMA_GGUF names the recipes'
model file on machines that cannot fetch it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.bench.perplexity import Perplexity, perplexity, text_ids
from pipeline.recipe import find_recipe, load_recipe
from pipeline.runtime import Package, Session

REPO = Path(__file__).resolve().parents[2]
ENGLISH = REPO / "tests" / "data" / "english.txt"
TEXT = os.environ.get("TENSORKILN_TEXT")
MODEL = os.environ.get("TENSORKILN_LLAMA_GGUF")
# Some override in any case: such a build leaves the recipe's lock alone.
OVERRIDE = "generate.seed=1" if MODEL is None else f"model.source=file:{Path(MODEL).resolve()}"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packages() -> dict[str, Package]:
    """compute → the package, built where it is missing."""
    found = {}
    for recipe, compute in (("llama-cpu", "int8"), ("llama-cpu-f32", "f32")):
        command = [sys.executable, "-m", "doit", "build", f"recipe={recipe}", OVERRIDE]
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        loaded = load_recipe(find_recipe(recipe, REPO), [OVERRIDE], root=REPO)
        assert loaded.recipe.compute == compute
        found[compute] = Package(REPO / "artifacts" / "builds" / loaded.build_name)
    return found


def measure(package: Package, text: str, tokens: int) -> Perplexity:
    with Session(package) as session:
        return perplexity(session, text_ids(package, text, tokens))


def without_repeats(text: str) -> str:
    """Each line once: a collection of questions quotes a sentence once for each question, and a
    model that has just read a sentence predicts it far too well."""
    return "\n".join(dict.fromkeys(text.splitlines()))


def test_a_short_text(packages: dict[str, Package]) -> None:
    """Few tokens, so a looser bound; and plain English is predicted well by a sound model."""
    text = ENGLISH.read_text(encoding="utf-8")
    found = {compute: measure(package, text, 8000) for compute, package in packages.items()}
    assert found["f32"].predicted > 800
    assert found["f32"].value < 40
    assert found["int8"].value == pytest.approx(found["f32"].value, rel=0.02)


@pytest.mark.skipif(
    TEXT is None, reason="TENSORKILN_TEXT names no file with 8,000 tokens of English"
)
def test_8000_tokens(packages: dict[str, Package]) -> None:
    assert TEXT is not None
    text = without_repeats(Path(TEXT).read_text(encoding="utf-8"))
    found = {compute: measure(package, text, 8000) for compute, package in packages.items()}
    assert (found["f32"].predicted, found["f32"].windows) == (8000 - 16, 16)
    assert found["int8"].value == pytest.approx(found["f32"].value, rel=0.01)
