import sys

import pytest

from pipeline.commands.bench import Options, read_options
from pipeline.commands.errors import UsageError
from pipeline.runtime import cpu


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 4)


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_options({}) == Options(None, (1, 2), 5, sys.executable)
    own = {"against": "llama.cpp", "threads": "4,1,4", "repeats": "3", "peer_python": "python"}
    assert read_options(own) == Options("llama.cpp", (4, 1), 3, "python")
    monkeypatch.setattr(cpu, "usable_cpus", lambda: 1)
    assert read_options({}).threads == (1,)


WRONG = {
    "against=lama.cpp": "against=lama.cpp is no engine to compare with; did you mean 'llama.cpp'?",
    "against=torch": "against=torch is no engine to compare with; known is llama.cpp",
    "threads=": "threads= is no whole number from 1 on",
    "threads=1,0": "threads=0 is no whole number from 1 on",
    "threads=2,8": "threads=8 is more than the 4 CPUs that this process may use: threads would "
    "wait for each other",
    "repeats=no": "repeats=no is no whole number from 1 on",
    "peer_python=python": "peer_python= is for comparisons: add against=llama.cpp or leave it out",
}


@pytest.mark.parametrize("word", WRONG)
def test_wrong_options(word: str) -> None:
    with pytest.raises(UsageError) as error:
        read_options(dict([word.split("=")]))
    assert str(error.value) == WRONG[word]
