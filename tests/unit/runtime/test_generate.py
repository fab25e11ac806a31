"""Prompts in, text out: chunks, stop tokens, conversations, chat."""

from pathlib import Path

import numpy as np
import pytest
import toy_package

from pipeline.runtime import CallError, Package, Session


@pytest.fixture
def session(toy: Path) -> Session:
    return Session(Package(toy), threads=1)


def ids(session: Session, text: str) -> list[int]:
    return session.package.tokenizer.encode(text)


def test_streams_until_the_stop_token(session: Session) -> None:
    pieces = list(session.generate("w"))
    assert pieces == ["x", "y", "z"]
    assert session.finish == "stop"
    assert session.past == 4  # w, x, y, z: the stop token itself is not cached


def test_tokens_limit_and_own_stop_tokens(session: Session) -> None:
    assert "".join(session.generate("a", tokens=3)) == "bcd"
    assert session.finish == "tokens"
    assert "".join(session.generate("a", stop=ids(session, "e"))) == "bcd"
    assert session.finish == "stop"


def test_conversation_continues_as_if_never_interrupted(session: Session) -> None:
    whole = list(session.generate_tokens(ids(session, "a"), tokens=10))
    assert session.past == 10
    session.reset()
    first = list(session.generate_tokens(ids(session, "a"), tokens=4))
    rest = list(session.generate_tokens([], tokens=6))
    assert first + rest == whole
    assert session.past == 10


def test_an_abandoned_generation_leaves_a_usable_session(session: Session) -> None:
    stream = session.generate("a", tokens=10)
    assert [next(stream), next(stream)] == ["b", "c"]
    stream.close()
    assert session.finish is None
    assert "".join(session.generate("", tokens=2)) == "de"


@pytest.mark.parametrize("length", [1, 15, 16, 17, 33, 63, 64])
def test_long_prompts_are_chunked(session: Session, length: int) -> None:
    prompt = np.arange(length) % 7
    assert list(session.generate_tokens(prompt, tokens=0)) == []
    assert session.past == length
    session.truncate(length - 1)
    logits = session.call("decode", tokens=[[int(prompt[-1])]])["logits"]
    assert -logits[0, -1] == prompt.sum()


def test_packages_with_fewer_entries(toy_copy: Path) -> None:
    for dropped in ("decode", "prefill"):
        package = Package(toy_copy)
        del package.manifest.entries[dropped]
        with Session(package) as session:
            assert "".join(session.generate("abcdefghijklmnopqrs", tokens=3)) == "tuv"
            assert session.past == 21


def test_generation_stops_at_capacity(session: Session) -> None:
    prompt = "01" * 30
    assert "".join(session.generate(prompt, tokens=40)) == "01010"
    assert session.finish == "capacity"
    assert session.past == toy_package.CAPACITY


def test_prompts_that_do_not_fit_run_nothing(session: Session) -> None:
    list(session.generate("010", tokens=1))
    with pytest.raises(CallError) as raised:
        session.generate("0" * 61, tokens=1)
    assert str(raised.value) == (
        "generate: the prompt has 61 tokens, which do not fit beside the 4 of the conversation "
        "so far in the cache of 64; shorten it, reset or truncate the session, or build the "
        "package with shapes.past.max=65 or more"
    )
    assert session.past == 3
    with pytest.raises(CallError, match="the prompt is empty"):
        Session(session.package).generate("")
    with pytest.raises(CallError, match=r"token 259, which is outside 0\.\.258"):
        session.generate_tokens([0] * 20 + [259])
    assert session.past == 3


def test_two_generations_on_one_session_notice_each_other(session: Session) -> None:
    first = session.generate("a", tokens=10)
    next(first)
    list(session.generate("m", tokens=2))
    with pytest.raises(CallError, match="another call changed this session's cache meanwhile"):
        next(first)


def test_half_characters_are_never_shown(session: Session) -> None:
    assert list(session.generate("E", tokens=3)) == ["é", "!"]
    session.reset()
    assert list(session.generate("E", tokens=1)) == []


def test_chat_reuses_the_cache(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [{"role": "user", "content": "hi"}]
    answer = "".join(session.chat(messages))
    assert answer == "xyz"
    assert session.finish == "stop"
    cached = session.past
    fed: list[int] = []
    call = Session.call

    def counting(self: Session, entry: str, /, **arguments: object) -> dict[str, np.ndarray]:
        fed.append(np.size(arguments["tokens"]))
        return call(self, entry, **arguments)

    monkeypatch.setattr(Session, "call", counting)
    messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "w"}]
    assert "".join(session.chat(messages, tokens=1)) == "x"
    assert sum(fed) == session.past - cached
    # The same conversation again: one token must run for its logits.
    fed.clear()
    assert "".join(session.chat(messages, tokens=1)) == "x"
    assert fed == [1]


def test_special_tokens_of_the_text(session: Session) -> None:
    assert session.package.tokenizer.chat([{"role": "user", "content": "é"}]) == [
        toy_package.START,
        *ids(session, "user\né"),
        toy_package.END,
        *ids(session, "\n"),
        toy_package.START,
        *ids(session, "assistant\n"),
    ]
    assert session.package.tokenizer.decode([toy_package.START, *ids(session, "é")]) == "é"


def test_beginning_token_once(toy_copy: Path) -> None:
    toy_package.edit(toy_copy, "tokenizer.add_bos", True)
    with Session(Package(toy_copy)) as session:
        list(session.generate("a", tokens=1))
        assert session.past == 2
        list(session.generate("b", tokens=1))
        assert session.past == 4
