from pathlib import Path

import pytest
from tests.reference import tiny_gguf

from pipeline.bench.engine import BenchError
from pipeline.bench.work import work_of
