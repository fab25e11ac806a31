"""A tiny model's package, in float32 and on the integer path, against the reference."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.runtime import CallError, Package, Session
from tests.e2e.packages import Floats, Request, best_level, build, error, last, score
from tests.reference.llama import Llama
from tests.reference.llama_int8 import Int8Llama
from tests.reference.tiny_gguf import TinyLlama, write_tiny_gguf

MODEL = TinyLlama(types={"token_embd": "Q8_0", "ffn_down": "F16", "attn_k": "F32",
                         **dict.fromkeys(("attn_q", "attn_v", "attn_output", "ffn_gate",
                                          "ffn_up"), "Q4_1")})  # fmt: skip
NEW, CAPACITY = 16, 40
# The integer path rounds activations. Where float32 sums differ in their last bit a value may
# round to the other side: one step of 1/127 of a block's largest value.
BOUNDS = {"f32": 2e-4, "int8": 8e-3}


@dataclass
class Case:
    package: Package
    reference: Llama
    tokens: list[int]
    want: Floats  # of every position
    bound: float

    def session(self, threads: int = 2) -> Session:
        return Session(self.package, threads)

    def check(self, got: Floats, begin: int, end: int) -> None:
        assert error(got, self.want[begin:end]) < self.bound


@pytest.fixture(scope="module", params=list(BOUNDS))
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp(request.param)
    gguf = write_tiny_gguf(folder / "tiny.gguf", MODEL)
    wanted = Request(request.param, (best_level(),), NEW, CAPACITY)
    package = Package(build(gguf, folder, wanted), verify=True)
    reference = {"f32": Llama, "int8": Int8Llama}[request.param](gguf)
    tokens = np.random.default_rng(3).integers(3, MODEL.vocab, CAPACITY).tolist()
    return Case(package, reference, tokens, reference.forward(tokens), BOUNDS[request.param])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_prompts_of_every_length(case: Case, threads: int) -> None:
    with case.session(threads) as session:
        for length in range(1, NEW + 1):
            session.reset()
            case.check(score(session, case.tokens[:length]), 0, length)
            session.reset()
            case.check(last(session, case.tokens[:length]), length - 1, length)


def test_one_by_one_up_to_the_capacity(case: Case) -> None:
    with case.session() as session:
        for position, token in enumerate(case.tokens):
            case.check(last(session, [token], "decode"), position, position + 1)
        assert session.past == CAPACITY


@given(chunks=st.lists(st.tuples(st.integers(1, NEW), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_any_split(case: Case, chunks: list[tuple[int, bool]]) -> None:
    begin = 0
    with case.session() as session:
        for length, every in chunks:
            end = min(begin + length, CAPACITY)
            part = case.tokens[begin:end]
            if not part:
                break
            if every:
                case.check(score(session, part), begin, end)
            else:
                case.check(last(session, part), end - 1, end)
            begin = end


def test_a_past_that_is_cut_back(case: Case) -> None:
    with case.session() as session:
        score(session, [7, 8, 9, *case.tokens[:5]])
        session.reset()
        score(session, [*case.tokens[:6], 11, 12, 13])
        session.truncate(6)
        case.check(score(session, case.tokens[6:15]), 6, 15)


def clear(logits: Floats) -> bool:
    """Whether the best token is best by more than float32's noise."""
    second, first = np.sort(logits)[-2:]
    return bool(first - second > 1e-3)


def test_greedy_text_is_the_same_in_one_prefill_and_one_at_a_time(case: Case) -> None:
    prompt = case.tokens[:12]
    with case.session() as session:
        whole = list(session.generate_tokens(prompt, tokens=10))
    with case.session() as session:
        for token in prompt:
            logits = last(session, [token], "decode")
        singly: list[int] = []
        while len(singly) < len(whole):
            assert clear(logits), "choose another seed for the model"
            singly.append(int(logits.argmax()))
            logits = last(session, singly[-1:], "decode")
    assert whole == singly == case.reference.greedy(prompt, 10, (2,))


def test_stop_tokens(case: Case) -> None:
    with case.session() as session:
        free = list(session.generate_tokens(case.tokens[:6], tokens=8))
        assert (len(free), session.finish) == (8, "tokens")
        stop = next(token for number, token in enumerate(free) if number > 2)
        session.reset()
        cut = list(session.generate_tokens(case.tokens[:6], tokens=8, stop=[stop]))
        assert cut == free[: free.index(stop)]
        assert session.finish == "stop"


def test_generation_ends_where_the_cache_does(case: Case) -> None:
    with case.session() as session:
        given_ = case.tokens[: CAPACITY - 3]
        made = list(session.generate_tokens(given_, tokens=64))
        # Each token but the last one is read once more, and so has a place in the cache.
        assert (len(made), session.past, session.finish) == (4, CAPACITY, "capacity")
        assert made == case.reference.greedy(given_, 4)


def test_a_conversation_continues_from_its_cache(case: Case) -> None:
    first, second = case.tokens[:7], case.tokens[20:25]
    with case.session() as session:
        answer = list(session.generate_tokens(first, tokens=5))
        past = session.past
        assert past == len(first) + len(answer) - 1
        more = list(session.generate_tokens(second, tokens=5))
        assert session.past == past + 1 + len(second) + len(more) - 1
    assert answer == case.reference.greedy(first, 5)
    assert more == case.reference.greedy([*first, *answer, *second], 5)


def test_text_and_chat(case: Case) -> None:
    tokenizer = case.package.tokenizer
    with case.session() as session:
        text = "".join(session.generate("hello world", tokens=6))
        assert session.past == len(tokenizer.encode("hello world", start=True)) + 5
        session.reset()
        ids = list(session.generate_tokens(tokenizer.encode("hello world", start=True), tokens=6))
        # The end of a text may be half a character, which is not told.
        assert tokenizer.decode(ids).startswith(text)
        session.reset()
        chat = [{"role": "user", "content": "hello"}]
        answer = "".join(session.chat(chat, tokens=4))
        session.reset()
        ids = list(session.generate_tokens(tokenizer.chat(chat), tokens=4))
        assert tokenizer.decode(ids).startswith(answer)


REFUSED = {
    "too many tokens at once": (
        NEW + 1, 0,
        f"score: n = {NEW + 1} (from the shape of 'tokens') is outside 1..{NEW}, the bounds that "
        "the package was built for",
    ),
    "more than the cache holds": (
        8, CAPACITY - 4,
        f"score: {CAPACITY - 4} tokens in the cache and 8 new ones are more than its capacity of "
        f"{CAPACITY}; reset or truncate the session, or build the package with a larger "
        "shapes.past.max",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_call_past_a_bound_changes_nothing(case: Case, name: str) -> None:
    count, past, message = REFUSED[name]
    with case.session() as session:
        for begin in range(0, past, NEW):
            score(session, case.tokens[begin : min(begin + NEW, past)])
        with pytest.raises(CallError) as refusal:
            score(session, case.tokens[:count])
        assert str(refusal.value) == message
        assert session.past == past
        case.check(score(session, case.tokens[past : past + 4]), past, past + 4)


def test_native_code_refuses_what_the_runtime_let_through(case: Case) -> None:
    """Whoever calls the library from elsewhere is told by a code, and the cache stays whole."""
    entry = case.package.manifest.entries["score"]
    function = case.package.native.entries[entry.symbol]
    with case.session() as session:
        score(session, case.tokens[:9])
        tokens = np.zeros((1, NEW + 1), np.int32)
        logits = np.zeros((1, NEW + 1, MODEL.vocab), np.float32)
        pointers = (ctypes.c_void_p * 2)(tokens.ctypes.data, logits.ctypes.data)
        for n, m in ((NEW + 1, 0), (0, 0), (-1, 0), (1, -1), (1, CAPACITY), (4, CAPACITY - 3)):
            code = function(session._handle, (ctypes.c_int64 * 2)(n, m), pointers)
            assert code in case.package.manifest.errors
        assert not logits.any()
        case.check(score(session, case.tokens[9:12]), 9, 12)


def alone(package: Package, tokens: Sequence[int]) -> list[int]:
    with Session(package, 1) as session:
        return list(session.generate_tokens(tokens, tokens=12))


def test_sessions_side_by_side_in_threads(case: Case) -> None:
    """One package opened twice, each with sessions in several threads."""
    packages = [case.package, Package(case.package.folder)]
    prompts = [case.tokens[start : start + 6] for start in range(6)]
    want = [alone(case.package, prompt) for prompt in prompts]
    got: dict[int, list[int]] = {}

    def work(number: int) -> None:
        with Session(packages[number % 2], 1 + number % 2) as session:
            got[number] = list(session.generate_tokens(prompts[number], tokens=12))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(len(prompts))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [got[number] for number in range(len(prompts))] == want


def test_two_models_in_one_process(case: Case, tmp_path: Path) -> None:
    """Libraries with the same symbols; neither sees the other's."""
    other = TinyLlama(layers=1, dim=32, heads=2, kv_heads=1, ffn=64, types="F32", seed=9)
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf", other)
    request = Request("f32", (best_level(),), 8, 16, ("decode",))
    want = Llama(gguf).forward(case.tokens[:6])
    with Session(Package(build(gguf, tmp_path, request)), 2) as two, case.session() as one:
        for position, token in enumerate(case.tokens[:6]):
            case.check(last(one, [token], "decode"), position, position + 1)
            assert error(last(two, [token], "decode"), want[position]) < BOUNDS["f32"]
