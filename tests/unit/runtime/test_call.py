"""Entry points called with numpy arrays."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_package

from pipeline.runtime import CallError, Package, PackageError, Session, context


def checksum(outputs: dict[str, np.ndarray]) -> float:
    return -float(outputs["logits"][0, ..., -1].flat[-1])


def test_shapes_dims_and_state(toy: Path) -> None:
    with Session(Package(toy), threads=1) as session:
        first = session.call("prefill", tokens=np.array([[1, 2, 3]], np.int32), m=0)
        assert first["logits"].shape == (1, toy_package.VOCABULARY)
        assert first["logits"].dtype == np.float32
        assert checksum(first) == 6
        assert session.past == 3
        assert checksum(session.call("decode", tokens=[[10]])) == 16
        assert session.past == 4
        every = session.call("score", tokens=[[20, 30]])["logits"]
        assert every.shape == (1, 2, toy_package.VOCABULARY)
        assert [-row[-1] for row in every[0]] == [36, 66]


def test_a_smaller_past_drops_what_follows(toy: Path) -> None:
    with Session(Package(toy)) as session:
        session.call("prefill", tokens=[[1, 2, 3, 4]])
        assert checksum(session.call("decode", tokens=[[50]], m=2)) == 53
        assert session.past == 3
        session.truncate(1)
        assert checksum(session.call("decode", tokens=[[7]])) == 8
        session.reset()
        assert session.past == 0
        assert checksum(session.call("decode", tokens=[[7]])) == 7


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.int16])
def test_integer_arrays_of_any_width_and_layout(toy: Path, dtype: type) -> None:
    with Session(Package(toy)) as session:
        tokens = np.arange(12, dtype=dtype).reshape(2, 6)[:1, ::-2]
        assert checksum(session.call("prefill", tokens=tokens)) == 5 + 3 + 1


def test_native_errors_change_nothing(toy: Path) -> None:
    with Session(Package(toy)) as session:
        session.call("prefill", tokens=[[1, 2]])
        with pytest.raises(CallError) as raised:
            session.call("prefill", tokens=[[3, toy_package.REFUSED]])
        assert str(raised.value) == (
            "prefill: the toy refuses one of the 2 tokens after m = 2 (native error 2)"
        )
        assert session.past == 2
        assert checksum(session.call("decode", tokens=[[5]])) == 8


def test_closed_and_forked_sessions_say_so(toy: Path) -> None:
    session = Session(Package(toy))
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            session.call("decode", tokens=[[1]])
        except CallError as error:
            os.write(writer, str(error).encode())
        session.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(reader, 1000).startswith(b"this session was made before the process forked")
    session.close()
    session.close()
    with pytest.raises(CallError, match=r"^this session is closed; make a new one$"):
        session.call("decode", tokens=[[1]])


def test_a_session_forked_during_a_call_says_so_too(toy: Path) -> None:
    session = Session(Package(toy))
    with session._lock:  # as another thread's call holds it
        if (child := os.fork()) == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(10)
            try:
                session.call("decode", tokens=[[1]])
            except CallError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
    session.close()


def test_an_interrupted_call_forgets_what_it_wrote_over(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Session(Package(toy)) as session:
        a, *_, n = prompt = session.package.tokenizer.encode("abcn")
        assert len(list(session.generate_tokens(prompt, tokens=1))) == 1
        native = context._invoke

        def interrupted(*arguments: Any) -> int:
            native(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(context, "_invoke", interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.call("prefill", tokens=[[50, 60]], m=1)
        assert session.past == 1
        # The token that waited for the next prompt followed the fourth, which is gone.
        assert len(list(session.generate_tokens([n], tokens=1))) == 1
        assert session.past == 2
        assert checksum(session.call("decode", tokens=[[10]])) == a + n + 10


def test_a_dropped_session_is_destroyed(toy: Path) -> None:
    package = Package(toy)
    destroyed: list[int] = []
    native = package.native.destroy
    package.native.destroy = lambda handle: (destroyed.append(handle), native(handle))[1]
    session = Session(package)
    handle = session._handle
    del session
    assert destroyed == [handle]


def test_out_of_memory(toy: Path) -> None:
    with pytest.raises(PackageError, match="not enough memory for a session: it needs about 5 MiB"):
        Session(Package(toy), threads=toy_package.NO_MEMORY)


def test_weights_are_mapped_not_copied(toy: Path) -> None:
    package = Package(toy)
    assert isinstance(package.weights, np.memmap)
    assert not package.weights.flags.writeable


def test_object_without_a_linker(toy_copy: Path) -> None:
    (toy_copy / "lib/x86-64.so").unlink()
    first, second = Package(toy_copy), Package(toy_copy)
    assert first.native.origin.name == "x86-64.o"
    with Session(first) as one, Session(second) as two:
        assert checksum(one.call("prefill", tokens=[[1, 2, 3]])) == 6
        assert checksum(two.call("decode", tokens=[[9]])) == 9
        assert "".join(one.generate("a", tokens=3)) == "bcd"


def test_two_packages_from_several_threads(toy: Path, tmp_path: Path) -> None:
    other = toy_package.make(tmp_path / "other", name="other-cpu", table_shift=1)
    packages = [Package(toy), Package(other), Package(toy), Package(other)]
    results: dict[int, list[str]] = {}

    def converse(index: int) -> None:
        with Session(packages[index], threads=1) as session:
            texts = []
            for _ in range(20):
                session.reset()
                texts.append("".join(session.generate("a", tokens=4)))
            results[index] = texts

    threads = [threading.Thread(target=converse, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {index: set(texts) for index, texts in results.items()} == {
        0: {"bcde"},
        1: {"cegi"},
        2: {"bcde"},
        3: {"cegi"},
    }


def test_one_session_from_several_threads(toy: Path) -> None:
    with Session(Package(toy)) as session:

        def append() -> None:
            for _ in range(10):
                session.call("decode", tokens=[[1]])

        threads = [threading.Thread(target=append) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert session.past == 40
        assert checksum(session.call("decode", tokens=[[1]])) == 41
