from pathlib import Path

import pytest

from pipeline.bench.engine import BenchError
from pipeline.bench.work import work_of
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf

# A layer of the tiny model: q and o 64 x 64, k and v 32 x 64, gate, up and down 96 x 64.
LAYER = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 96 * 64
HEAD = 320 * 64
Q4_1 = 20 / 32  # bytes a value
NORMS = 2 * 64 * 4  # bytes a layer, and half of it before the head


@pytest.mark.parametrize(("layers", "count"), [(None, 2), (1, 1)])
def test_work(tmp_path: Path, layers: int | None, count: int) -> None:
    work = work_of(write_tiny_gguf(tmp_path / "tiny.gguf"), layers)
    assert (work.products, work.head_products) == (count * LAYER, HEAD)
    assert work.bytes_read == (count * LAYER + HEAD) * Q4_1 + count * NORMS + NORMS // 2
    assert work.operations(10) == 2 * (10 * count * LAYER + HEAD)


def test_an_embedding_that_is_no_head_is_hardly_read(tmp_path: Path) -> None:
    tied = work_of(write_tiny_gguf(tmp_path / "tied.gguf"), None)
    loose = work_of(write_tiny_gguf(tmp_path / "loose.gguf", TinyLlama(tied=False)), None)
    assert loose == tied


def test_no_model(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(BenchError, match=r"text\.gguf"):
        work_of(tmp_path / "text.gguf", None)
