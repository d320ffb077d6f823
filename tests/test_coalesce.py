"""Calls from many threads share a batch, and none of them can tell, but by the time it saves."""

import copy
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fipo_model import Completion, FipoError, Generator, Message, Sampling
from fipo_model.backends import coalesce
from fipo_model.backends.coalesce import CoalescingGenerator
from fipo_model.errors import ModelError, PromptTooLongError
from fipo_model.testing import GeneratorContract, ScriptedGenerator

GREEDY = Sampling(max_new_tokens=9)
PATIENCE = 10  # seconds after which a caller counts as left waiting for ever


def ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def echo(conversation: list[Message]) -> str:
    return f"Re: {conversation[-1]['content']}"


class Gate(ScriptedGenerator):
    """Keeps each batch until it is let go, so that a test decides who arrives meanwhile."""

    def __init__(self, script=echo, **options) -> None:
        super().__init__(script, **options)
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)

    def generate(self, conversations, sampling):
        self.entered.release()
        assert self.leave.acquire(timeout=PATIENCE)
        return super().generate(conversations, sampling)


def start(generator: Generator, *texts: str, sampling: Sampling = GREEDY) -> "Future[list[Completion]]":
    """Call the generator in a thread that does not keep a failed test from ending."""
    future: Future[list[Completion]] = Future()

    def run() -> None:
        try:
            future.set_result(generator.generate([ask(text) for text in texts], sampling))
        except BaseException as error:  # noqa: BLE001 - the future tells the test
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Callers:
    """Threads that call one generator, each for one list of texts."""

    def __init__(self, generator: CoalescingGenerator) -> None:
        self.generator = generator

    def call(self, *texts: str, sampling: Sampling = GREEDY) -> "Future[list[Completion]]":
        """Start a call, and return when it waits for its turn or leads."""
        known = len(self.generator._waiting)
        future = start(self.generator, *texts, sampling=sampling)
        until(lambda: len(self.generator._waiting) > known)
        return future


@pytest.fixture
def gate() -> Gate:
    return Gate(context_tokens=100)


@pytest.fixture
def callers(gate: Gate) -> Iterator[Callers]:
    yield Callers(CoalescingGenerator(gate, gathering_seconds=0))
    gate.leave.release(1000)  # a test that failed leaves no thread behind


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.0005)


def texts(future: "Future[list[Completion]]") -> list[str]:
    return [completion.text for completion in future.result(PATIENCE)]


def enter(gate: Gate) -> None:
    assert gate.entered.acquire(timeout=PATIENCE)


class TestCoalescingGenerator(GeneratorContract):
    oversized_words = 500

    def make(self) -> Generator:
        return CoalescingGenerator(ScriptedGenerator(echo, context_tokens=200))


def test_it_goes_by_the_name_of_what_it_wraps() -> None:
    assert CoalescingGenerator(ScriptedGenerator(echo, name="inner")).name == "inner"


@pytest.mark.parametrize(("late", "first_batch"), [(4, 5), (30, 11)], ids=["a few", "no end of them"])
def test_a_leader_waits_until_nobody_came_for_a_moment_but_not_for_ever(monkeypatch, late, first_batch) -> None:
    inner = ScriptedGenerator(echo)
    generator = CoalescingGenerator(inner, gathering_seconds=1.0)
    futures: list[Future[list[Completion]]] = []
    now = 0.0

    def moment(seconds: float) -> None:
        """Another caller comes, as long as there are any."""
        nonlocal now
        now += seconds
        if len(futures) < late:
            known = len(generator._waiting)
            futures.append(start(generator, f"late {len(futures)}"))
            until(lambda: len(generator._waiting) > known)

    monkeypatch.setattr(coalesce, "time", SimpleNamespace(sleep=moment, monotonic=lambda: now))
    assert texts(start(generator, "first")) == ["Re: first"]
    assert [texts(future) for future in futures] == [[f"Re: late {number}"] for number in range(len(futures))]
    assert inner.batch_sizes[0] == first_batch


def test_threads_started_together_share_few_batches_and_each_gets_its_own_answer() -> None:
    inner = ScriptedGenerator(echo)
    generator = CoalescingGenerator(inner, gathering_seconds=0.05)
    together = threading.Barrier(16)

    def work(number: int) -> list[str]:
        together.wait(PATIENCE)
        return [c.text for c in generator.generate([ask(f"{number}a"), ask(f"{number}b")], GREEDY)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(16)))
    assert answers == [[f"Re: {number}a", f"Re: {number}b"] for number in range(16)]
    assert sum(inner.batch_sizes) == 32
    assert len(inner.batch_sizes) <= 3


def test_under_a_crowd_every_call_is_answered_and_nothing_is_generated_twice() -> None:
    inner = ScriptedGenerator(echo)
    generator = CoalescingGenerator(inner, gathering_seconds=0)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda number: generator.generate([ask(f"{number}")], GREEDY), range(600)))
    finally:
        sys.setswitchinterval(interval)
    assert [answer[0].text for answer in answers] == [f"Re: {number}" for number in range(600)]
    assert sum(inner.batch_sizes) == 600
    assert len(inner.batch_sizes) < 600


def test_calls_that_arrive_while_the_model_is_busy_share_the_next_batch(gate: Gate, callers: Callers) -> None:
    first = callers.call("one")
    enter(gate)
    others = [callers.call("two"), callers.call("three", "four"), callers.call("five")]
    gate.leave.release(2)
    assert [texts(future) for future in (first, *others)] == [
        ["Re: one"],
        ["Re: two"],
        ["Re: three", "Re: four"],
        ["Re: five"],
    ]
    assert gate.batch_sizes == [1, 4]


def test_calls_one_after_the_other_are_batches_of_their_own() -> None:
    inner = ScriptedGenerator(echo)
    generator = CoalescingGenerator(inner, gathering_seconds=0)
    for text in ("one", "two"):
        assert generator.generate([ask(text)], GREEDY)[0].text == f"Re: {text}"
    assert inner.batch_sizes == [1, 1]


def test_an_empty_call_asks_nothing_and_waits_for_nobody(gate: Gate, callers: Callers) -> None:
    callers.call("one")
    enter(gate)
    assert callers.generator.generate([], GREEDY) == []
    gate.leave.release()


def test_calls_that_decode_differently_are_not_merged(gate: Gate, callers: Callers) -> None:
    first = callers.call("zero")
    enter(gate)
    others = [
        callers.call("one"),
        callers.call("two", sampling=Sampling(max_new_tokens=8)),
        callers.call("three", sampling=Sampling(max_new_tokens=9, temperature=1.0)),
        callers.call("four", sampling=Sampling(max_new_tokens=9, temperature=1.0, seed=1)),
        callers.call("five"),
    ]
    gate.leave.release(5)
    wait_for_all([first, *others], PATIENCE)
    assert texts(others[3]) == ["Re: four (sample-1.0)"]
    together = {frozenset(conversation[-1]["content"] for conversation in call) for call in gate.calls}
    assert together == {frozenset(names.split()) for names in ("zero", "one five", "two", "three", "four")}


@pytest.mark.parametrize("calls", [[["x"], ["x"]], [["x", "x"], ["x"]], [["x", "y"], ["y", "x"], ["z"]], [["x"]] * 4])
def test_samples_are_those_a_call_would_get_alone(gate: Gate, callers: Callers, calls: list[list[str]]) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=1.0, seed=7)
    alone = [
        [c.text for c in ScriptedGenerator(echo).generate([ask(text) for text in call], sampling)] for call in calls
    ]
    callers.call("zero")
    enter(gate)
    together = [callers.call(*call, sampling=sampling) for call in calls]
    gate.leave.release(1 + len(calls))
    assert [texts(future) for future in together] == alone


def test_sampling_calls_that_share_no_conversation_are_merged(gate: Gate, callers: Callers) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=1.0)
    first = callers.call("zero", sampling=sampling)
    enter(gate)
    others = [callers.call(text, sampling=sampling) for text in ("x", "y", "x", "z")]
    gate.leave.release(3)
    wait_for_all([first, *others], PATIENCE)
    assert gate.batch_sizes == [1, 3, 1]


def test_equal_greedy_calls_are_merged(gate: Gate, callers: Callers) -> None:
    first = callers.call("zero")
    enter(gate)
    others = [callers.call("x"), callers.call("x")]
    gate.leave.release(2)
    assert [texts(future) for future in (first, *others)] == [["Re: zero"], ["Re: x"], ["Re: x"]]
    assert gate.batch_sizes == [1, 2]


def test_a_failure_of_the_model_reaches_every_call_of_the_batch_and_no_other(gate: Gate, callers: Callers) -> None:
    def script(conversation: list[Message]) -> str:
        if conversation == ask("bad"):
            raise ModelError("the model is gone")
        return echo(conversation)

    gate.script = script
    first = callers.call("zero")
    enter(gate)
    others = [callers.call("x"), callers.call("bad"), callers.call("y")]
    gate.leave.release(2)
    assert texts(first) == ["Re: zero"]
    for future in others:
        with pytest.raises(ModelError, match="gone"):
            future.result(PATIENCE)
    gate.leave.release()
    assert texts(start(callers.generator, "after")) == ["Re: after"]


def test_a_prompt_that_is_too_long_fails_only_its_own_call_with_its_place_there(gate: Gate, callers: Callers) -> None:
    long = "word " * 200
    first = callers.call("zero")
    enter(gate)
    others = [callers.call("a", "b"), callers.call("c", "d", long), callers.call("e"), callers.call(long)]
    gate.leave.release(4)
    assert [texts(future) for future in (first, others[0], others[2])] == [["Re: zero"], ["Re: a", "Re: b"], ["Re: e"]]
    for future, index in ((others[1], 2), (others[3], 0)):
        with pytest.raises(PromptTooLongError) as caught:
            future.result(PATIENCE)
        assert (caught.value.index, caught.value.limit) == (index, 100)
    assert gate.batch_sizes == [1, 3]


@pytest.mark.parametrize("surplus", [-1, 1])
def test_a_model_that_miscounts_is_found_out_before_answers_are_mixed_up(surplus: int) -> None:
    # A missing completion once ended the leader with StopIteration; one too many went unnoticed.
    class Miscounting(ScriptedGenerator):
        def generate(self, conversations, sampling):
            done = super().generate(conversations, sampling)
            return done[:surplus] if surplus < 0 else done + done[:surplus]

    with pytest.raises(FipoError, match=f"gave {2 + surplus} completions for 2 conversations"):
        CoalescingGenerator(Miscounting(echo)).generate([ask("one"), ask("two")], GREEDY)


def test_a_served_caller_does_not_wait_for_the_next_batch(gate: Gate, callers: Callers) -> None:
    first = callers.call("zero")
    enter(gate)
    served = [callers.call("x"), callers.call("y")]
    gate.leave.release()
    enter(gate)  # x and y are with the model now
    late = callers.call("late")
    gate.leave.release()
    enter(gate)  # so is the next batch, and it stays there
    assert [texts(future) for future in (first, *served)] == [["Re: zero"], ["Re: x"], ["Re: y"]]
    assert not late.done()
    gate.leave.release()
    assert texts(late) == ["Re: late"]


def test_an_interrupted_leader_leaves_no_one_waiting_and_fails_alone(gate: Gate, callers: Callers) -> None:
    interrupted = iter([KeyboardInterrupt()])

    def script(conversation: list[Message]) -> str:
        if conversation == ask("x") and (interruption := next(interrupted, None)):
            raise interruption
        return echo(conversation)

    gate.script = script
    first = callers.call("zero")
    enter(gate)
    others = [callers.call("x"), callers.call("y"), callers.call("z")]
    gate.leave.release(3)
    assert texts(first) == ["Re: zero"]
    failed = [future for future in others if isinstance(future.exception(PATIENCE), KeyboardInterrupt)]
    assert len(failed) == 1
    assert all(texts(future)[0].startswith("Re: ") for future in others if future not in failed)
    assert gate.batch_sizes == [1, 3, 2]  # those who were left went on together
    gate.leave.release()
    assert texts(start(callers.generator, "after")) == ["Re: after"]


def test_a_leader_interrupted_while_it_gathers_leaves_no_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = CoalescingGenerator(ScriptedGenerator(echo))
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            generator.generate([ask("one")], GREEDY)
    assert texts(start(generator, "two")) == ["Re: two"]
    assert generator.generator.batch_sizes == [1]


def _interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_follower_is_not_asked_for(gate: Gate, callers: Callers, monkeypatch) -> None:
    first = callers.call("zero")
    enter(gate)
    with monkeypatch.context() as patch:
        patch.setattr(callers.generator._turn, "wait_for", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            callers.generator.generate([ask("given up")], GREEDY)
    gate.leave.release(2)
    assert texts(first) == ["Re: zero"]
    assert texts(start(callers.generator, "after")) == ["Re: after"]
    assert gate.calls == [[ask("zero")], [ask("after")]]


@given(st.lists(st.tuples(st.lists(st.sampled_from("abc"), max_size=3), st.integers(0, 1)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=25)
def test_whatever_is_asked_at_once_every_call_gets_what_it_would_get_alone(calls: list[tuple[list[str], int]]) -> None:
    generator = CoalescingGenerator(ScriptedGenerator(echo), gathering_seconds=0.001)

    def answer(by: Generator, call: tuple[list[str], int]) -> list[Completion]:
        return by.generate([ask(text) for text in call[0]], Sampling(temperature=call[1]))

    with ThreadPoolExecutor(len(calls)) as pool:
        together = list(pool.map(lambda call: answer(generator, call), calls))
    assert together == [answer(ScriptedGenerator(echo), call) for call in calls]


def test_a_deep_copy_shares_the_batches() -> None:
    generator = CoalescingGenerator(ScriptedGenerator(echo))
    assert copy.deepcopy({"generator": generator})["generator"] is generator


def test_a_pickle_is_a_generator_of_its_own_with_the_same_settings() -> None:
    generator = CoalescingGenerator(ScriptedGenerator(echo, name="inner"), gathering_seconds=0.02)
    twin = pickle.loads(pickle.dumps(generator))
    assert twin is not generator
    assert (twin.name, twin.gathering_seconds) == ("inner", 0.02)
    assert twin.generate([ask("one")], GREEDY)[0].text == "Re: one"
