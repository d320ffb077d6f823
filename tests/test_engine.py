"""One thread computes; calls from many share a batch, and none can tell, but by the time it saves."""

import contextlib
import contextvars
import copy
import gc
import pickle
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from types import SimpleNamespace
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fipo_model import Completion, FipoError, Generator, Message, Sampling
from fipo_model.backends import engine
from fipo_model.backends.batching import BatchingGenerator
from fipo_model.backends.engine import Engine, engine_of, go_on, here
from fipo_model.errors import InputError, ModelError, PromptTooLongError
from fipo_model.generation import complete
from fipo_model.testing import GeneratorContract, ScriptedGenerator
from support.conversations import ask, echo

GREEDY = Sampling(max_new_tokens=9)
Asked: TypeAlias = "Future[list[list[Completion]]]"
PATIENCE = 60  # seconds after which a caller counts as left waiting for ever


class Gate(ScriptedGenerator):
    """Keeps each batch until it is let go, so that a test decides who arrives meanwhile."""

    def __init__(self, script=echo, **options) -> None:
        super().__init__(script, **options)
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)

    def generate(self, conversations, sampling, *, samples=1):
        self.entered.release()
        assert self.leave.acquire(timeout=PATIENCE)
        return super().generate(conversations, sampling, samples=samples)


def start(generator: Generator, *texts: str, sampling: Sampling = GREEDY, samples: int = 1) -> Asked:
    """Call the generator in a thread that does not keep a failed test from ending."""
    future: Asked = Future()

    def run() -> None:
        try:
            future.set_result(generator.generate([ask(text) for text in texts], sampling, samples=samples))
        except BaseException as error:  # noqa: BLE001 - the future tells the test
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


class Callers:
    """Threads that call one generator, each for one list of texts."""

    def __init__(self, generator: BatchingGenerator, gate: Gate) -> None:
        self.generator = generator
        self.gate = gate

    def begin(self, *texts: str, sampling: Sampling = GREEDY) -> Asked:
        """Start a call, and return when it is with the model."""
        future = start(self.generator, *texts, sampling=sampling)
        enter(self.gate)
        return future

    def call(self, *texts: str, sampling: Sampling = GREEDY, samples: int = 1) -> Asked:
        """Start a call while the model is busy, and return when it waits for its turn."""
        known = waiting(self.generator)
        future = start(self.generator, *texts, sampling=sampling, samples=samples)
        until(lambda: waiting(self.generator) > known)
        return future


def waiting(generator: BatchingGenerator) -> int:
    return len(generator._engine._threads.waiting)


@pytest.fixture
def gate() -> Gate:
    return Gate(context_tokens=100)


@pytest.fixture
def callers(gate: Gate) -> Iterator[Callers]:
    yield Callers(BatchingGenerator(gate, gathering_seconds=0), gate)
    gate.leave.release(1000)  # a test that failed leaves no thread behind


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.0005)


def texts(future: Asked) -> list[str]:
    return [completion.text for samples in future.result(PATIENCE) for completion in samples]


def enter(gate: Gate) -> None:
    assert gate.entered.acquire(timeout=PATIENCE)


class TestBatchingGenerator(GeneratorContract):
    oversized_words = 500

    def make(self) -> Generator:
        return BatchingGenerator(ScriptedGenerator(echo, context_tokens=200))


def test_it_goes_by_the_name_of_what_it_wraps() -> None:
    assert BatchingGenerator(ScriptedGenerator(echo, name="inner")).name == "inner"


@pytest.mark.parametrize(("late", "first_batch"), [(4, 5), (30, 11)], ids=["a few", "no end of them"])
def test_the_engine_waits_until_nobody_came_for_a_moment_but_not_for_ever(monkeypatch, late, first_batch) -> None:
    inner = ScriptedGenerator(echo)
    generator = BatchingGenerator(inner, gathering_seconds=1.0)
    futures: list[Asked] = []
    now = 0.0

    def moment(seconds: float) -> None:
        """Another caller comes, as long as there are any."""
        nonlocal now
        now += seconds
        if len(futures) < late:
            known = waiting(generator)
            futures.append(start(generator, f"late {len(futures)}"))
            until(lambda: waiting(generator) > known)

    monkeypatch.setattr(engine, "time", SimpleNamespace(sleep=moment, monotonic=lambda: now))
    assert texts(start(generator, "first")) == ["Re: first"]
    assert [texts(future) for future in futures] == [[f"Re: late {number}"] for number in range(len(futures))]
    assert inner.batch_sizes[0] == first_batch


def test_threads_started_together_share_few_batches_and_each_gets_its_own_answer() -> None:
    inner = ScriptedGenerator(echo)
    generator = BatchingGenerator(inner, gathering_seconds=0.05)
    together = threading.Barrier(16)

    def work(number: int) -> list[str]:
        together.wait(PATIENCE)
        return [c.text for c in complete(generator, [ask(f"{number}a"), ask(f"{number}b")], GREEDY)]

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(16)))
    assert answers == [[f"Re: {number}a", f"Re: {number}b"] for number in range(16)]
    assert sum(inner.batch_sizes) == 32
    assert len(inner.batch_sizes) <= 3


def test_under_a_crowd_every_call_is_answered_and_nothing_is_generated_twice() -> None:
    inner = ScriptedGenerator(echo)
    generator = BatchingGenerator(inner, gathering_seconds=0)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda number: complete(generator, [ask(f"{number}")], GREEDY), range(600)))
    finally:
        sys.setswitchinterval(interval)
    assert [answer[0].text for answer in answers] == [f"Re: {number}" for number in range(600)]
    assert sum(inner.batch_sizes) == 600
    assert len(inner.batch_sizes) < 600


def test_calls_that_arrive_while_the_model_is_busy_share_the_next_batch(gate: Gate, callers: Callers) -> None:
    first = callers.begin("one")
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
    generator = BatchingGenerator(inner, gathering_seconds=0)
    for text in ("one", "two"):
        assert complete(generator, [ask(text)], GREEDY)[0].text == f"Re: {text}"
    assert inner.batch_sizes == [1, 1]


def test_an_empty_call_asks_nothing_and_waits_for_nobody(gate: Gate, callers: Callers) -> None:
    callers.begin("one")
    assert callers.generator.generate([], GREEDY) == []
    gate.leave.release()


def test_calls_that_decode_differently_are_not_merged(gate: Gate, callers: Callers) -> None:
    first = callers.begin("zero")
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


def test_calls_that_want_another_number_of_samples_are_not_merged(gate: Gate, callers: Callers) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=1.0)
    first = callers.begin("zero", sampling=sampling)
    others = [
        callers.call(text, sampling=sampling, samples=samples) for text, samples in (("x", 1), ("y", 2), ("z", 2))
    ]
    gate.leave.release(3)
    assert texts(first) == ["Re: zero (sample-0.0)"]
    assert [texts(future) for future in others] == [
        ["Re: x (sample-0.0)"],
        ["Re: y (sample-0.0)", "Re: y (sample-0.1)"],
        ["Re: z (sample-0.0)", "Re: z (sample-0.1)"],
    ]
    assert sorted(gate.batch_sizes) == [1, 1, 2]


def test_sampling_calls_that_share_a_conversation_are_merged_and_get_equal_samples(
    gate: Gate, callers: Callers
) -> None:
    sampling = Sampling(max_new_tokens=9, temperature=1.0, seed=7)
    first = callers.begin("zero", sampling=sampling)
    others = [callers.call(*call, sampling=sampling) for call in (["x"], ["x", "y"], ["y", "x"])]
    gate.leave.release(2)
    x, y = "Re: x (sample-7.0)", "Re: y (sample-7.0)"
    assert texts(first) == ["Re: zero (sample-7.0)"]
    assert [texts(future) for future in others] == [[x], [x, y], [y, x]]
    assert gate.batch_sizes == [1, 5]


def test_a_number_of_samples_that_cannot_be_fails_only_the_call_that_asks_for_it(gate: Gate, callers: Callers) -> None:
    for samples, sampling in ((2, GREEDY), (0, Sampling(temperature=1.0))):
        with pytest.raises(InputError):
            callers.generator.generate([ask("x")], sampling, samples=samples)
    assert gate.calls == []


def test_equal_greedy_calls_are_merged(gate: Gate, callers: Callers) -> None:
    first = callers.begin("zero")
    others = [callers.call("x"), callers.call("x")]
    gate.leave.release(2)
    assert [texts(future) for future in (first, *others)] == [["Re: zero"], ["Re: x"], ["Re: x"]]
    assert gate.batch_sizes == [1, 2]


def test_a_failure_reaches_only_the_call_it_belongs_to(gate: Gate, callers: Callers) -> None:
    def script(conversation: list[Message]) -> str:
        if conversation == ask("bad"):
            raise ModelError("the model is gone")
        return echo(conversation)

    gate.script = script
    first = callers.begin("zero")
    others = [callers.call("x"), callers.call("bad"), callers.call("y")]
    gate.leave.release(5)
    assert texts(first) == ["Re: zero"]
    with pytest.raises(ModelError, match="gone"):
        others[1].result(PATIENCE)
    assert [texts(others[0]), texts(others[2])] == [["Re: x"], ["Re: y"]]
    gate.leave.release()
    assert texts(start(callers.generator, "after")) == ["Re: after"]


def test_a_failure_of_the_thread_itself_reaches_every_call_of_the_batch(gate: Gate, callers: Callers) -> None:
    def script(conversation: list[Message]) -> str:
        raise SystemExit

    first = callers.begin("zero")
    gate.script = script
    others = [callers.call("x"), callers.call("y")]
    gate.leave.release(2)
    for future in (first, *others):
        assert isinstance(future.exception(PATIENCE), SystemExit)


def test_a_prompt_that_is_too_long_fails_only_its_own_call_with_its_place_there(gate: Gate, callers: Callers) -> None:
    long = "word " * 200
    first = callers.begin("zero")
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
        def generate(self, conversations, sampling, *, samples=1):
            done = super().generate(conversations, sampling, samples=samples)
            return done[:surplus] if surplus < 0 else done + done[:surplus]

    with pytest.raises(FipoError, match=f"gave {2 + surplus} answers to 2 questions"):
        BatchingGenerator(Miscounting(echo)).generate([ask("one"), ask("two")], GREEDY)


def test_a_served_caller_does_not_wait_for_the_next_batch(gate: Gate, callers: Callers) -> None:
    first = callers.begin("zero")
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


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Interrupts the main thread as soon as something that is waited for has happened."""
    # Python's own handler: a process that was started in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt_after(wait: Callable[[], object]) -> None:
        def interrupt() -> None:
            wait()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()

    yield interrupt_after
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_caller_leaves_those_it_shares_a_batch_with_alone(gate: Gate, callers: Callers, ctrl_c) -> None:
    first = callers.begin("zero")
    others = [callers.call("x"), callers.call("y")]

    def once_in_the_batch() -> None:
        until(lambda: waiting(callers.generator) == 3)
        gate.leave.release()
        enter(gate)

    ctrl_c(once_in_the_batch)
    with pytest.raises(KeyboardInterrupt):
        callers.generator.generate([ask("given up")], GREEDY)
    gate.leave.release()
    assert [texts(future) for future in (first, *others)] == [["Re: zero"], ["Re: x"], ["Re: y"]]
    assert gate.batch_sizes == [1, 3]


def test_an_interrupted_caller_that_still_waits_is_not_asked_for(gate: Gate, callers: Callers, ctrl_c) -> None:
    first = callers.begin("zero")
    ctrl_c(lambda: until(lambda: waiting(callers.generator) == 1))
    with pytest.raises(KeyboardInterrupt):
        callers.generator.generate([ask("given up")], GREEDY)
    other = callers.call("after")
    gate.leave.release(2)
    assert [texts(first), texts(other)] == [["Re: zero"], ["Re: after"]]
    assert gate.calls == [[ask("zero")], [ask("after")]]


def test_a_caller_interrupted_before_its_turn_was_announced_keeps_nobody_waiting(monkeypatch) -> None:
    own = Engine(gathering_seconds=0)
    with monkeypatch.context() as patch:
        patch.setattr(own._threads.computing, "submit", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            own.run(lambda: "given up")
    assert own.run(lambda: "after") == "after"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@given(st.lists(st.tuples(st.lists(st.sampled_from("abc"), max_size=3), st.integers(0, 1)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=25)
def test_whatever_is_asked_at_once_every_call_gets_what_it_would_get_alone(calls: list[tuple[list[str], int]]) -> None:
    generator = BatchingGenerator(ScriptedGenerator(echo), gathering_seconds=0.001)

    def answer(by: Generator, call: tuple[list[str], int]) -> list[list[Completion]]:
        return by.generate([ask(text) for text in call[0]], Sampling(temperature=call[1]), samples=1 + call[1])

    with ThreadPoolExecutor(len(calls)) as pool:
        together = list(pool.map(lambda call: answer(generator, call), calls))
    assert together == [answer(ScriptedGenerator(echo), call) for call in calls]


def test_a_deep_copy_shares_the_batches() -> None:
    generator = BatchingGenerator(ScriptedGenerator(echo))
    assert copy.deepcopy({"generator": generator})["generator"] is generator


def test_a_pickle_is_a_generator_of_its_own_with_the_same_settings() -> None:
    generator = BatchingGenerator(ScriptedGenerator(echo, name="inner"), gathering_seconds=0.02)
    twin = pickle.loads(pickle.dumps(generator))
    assert twin is not generator
    assert (twin.name, twin.gathering_seconds) == ("inner", 0.02)
    assert complete(twin, [ask("one")], GREEDY)[0].text == "Re: one"


@pytest.fixture
def own() -> Engine:
    return Engine(gathering_seconds=0)


def test_what_work_returns_and_raises_gets_to_the_caller(own: Engine) -> None:
    variable = contextvars.ContextVar("variable", default="nobody's")
    variable.set("the caller's")
    assert own.run(variable.get) == "the caller's"
    assert own.share("key", [1, 2], lambda items: [variable.get() for _ in items]) == ["the caller's"] * 2
    with pytest.raises(ZeroDivisionError):
        own.run(lambda: 1 / 0)
    with pytest.raises(PromptTooLongError) as caught:  # of another batch than the engine's, and none of its business
        own.run(lambda: _raise(PromptTooLongError(index=5, tokens=9, limit=8)))
    assert caught.value.index == 5
    assert own.run(lambda: "goes on") == "goes on"


def _raise(error: Exception) -> None:
    raise error


def test_an_error_keeps_nothing_alive(own: Engine) -> None:
    class Weights:
        pass

    def failing(weights: Weights) -> None:
        with contextlib.suppress(ZeroDivisionError):
            own.share("key", [weights], lambda items: 1 / 0)

    weights = Weights()
    known = weakref.ref(weights)
    gc.disable()
    try:
        failing(weights)
        own.run(lambda: None)  # so that the thread has put the failed work away
        del weights
        assert known() is None
    finally:
        gc.enable()


def test_work_that_asks_for_work_does_it_itself(own: Engine) -> None:
    other = Engine(gathering_seconds=0)
    batching = BatchingGenerator(ScriptedGenerator(echo))
    assert own.run(lambda: own.run(threading.current_thread)) is own.run(threading.current_thread)
    assert own.run(lambda: other.run(lambda: own.run(lambda: "done"))) == "done"
    assert own.run(lambda: texts_of(batching, "one")) == ["Re: one"]
    assert own.share("key", [1], lambda items: own.share("key", items, list)) == [1]


def texts_of(generator: Generator, text: str) -> list[str]:
    return [completion.text for completion in complete(generator, [ask(text)], GREEDY)]


def test_a_job_may_have_its_own_thread_compute(own: Engine) -> None:
    @here()
    def job() -> threading.Thread:
        with here():
            pass
        go_on()
        return own.run(threading.current_thread)

    assert job() is threading.current_thread()
    assert own.run(threading.current_thread) is not threading.current_thread()


def test_a_job_in_its_own_thread_and_others_take_turns(own: Engine) -> None:
    under_way, most = 0, 0

    def work() -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        time.sleep(0.001)
        under_way -= 1

    def others() -> None:
        for _ in range(20):
            own.run(work)

    thread = threading.Thread(target=others)
    with here():
        thread.start()
        for _ in range(20):
            own.run(work)
        thread.join(PATIENCE)  # they have their turn though the job is not at its end
    assert not thread.is_alive()
    assert most == 1


def test_work_goes_on_as_long_as_somebody_waits_for_it(own: Engine, ctrl_c) -> None:
    began, interrupted = threading.Event(), threading.Event()
    steps = 0

    def work(items: list[str]) -> list[str]:
        nonlocal steps
        began.set()
        assert interrupted.wait(PATIENCE)
        for _ in range(3):
            go_on()
            steps += 1
        return items

    busy = threading.Event()
    blocking = threading.Thread(target=own.run, args=(busy.wait,))
    blocking.start()
    found: list[str] = []
    other = threading.Thread(target=lambda: found.extend(own.share("key", ["x"], work)))
    other.start()

    def once_begun() -> None:
        until(lambda: len(own._threads.waiting) == 2)
        busy.set()
        began.wait(PATIENCE)

    ctrl_c(once_begun)
    with pytest.raises(KeyboardInterrupt):
        own.share("key", ["y"], work)
    interrupted.set()
    other.join(PATIENCE)
    assert (found, steps) == (["x"], 3)
    go_on()  # outside of work there is nothing to end


def test_work_that_nobody_waits_for_any_more_is_ended(own: Engine, ctrl_c) -> None:
    began, interrupted = threading.Event(), threading.Event()
    steps = 0

    def work() -> None:
        nonlocal steps
        began.set()
        assert interrupted.wait(PATIENCE)
        for _ in range(3):
            go_on()
            steps += 1

    ctrl_c(lambda: began.wait(PATIENCE))
    with pytest.raises(KeyboardInterrupt):
        own.run(work)
    interrupted.set()
    assert own.run(lambda: "after") == "after"
    assert steps == 0


def test_an_engine_nobody_holds_leaves_no_thread() -> None:
    generator = BatchingGenerator(ScriptedGenerator(echo))
    thread = generator._engine.run(threading.current_thread)
    assert thread.is_alive()
    del generator
    gc.collect()
    thread.join(PATIENCE)
    assert not thread.is_alive()


# With a model.

COLOUR = ask("Name a colour.")


@pytest.fixture
def tiny(altered):
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_pretrained(altered())  # one of its own


@pytest.mark.tiny
def test_a_model_is_loaded_used_and_measured_with_in_one_thread_whoever_asks(altered, monkeypatch) -> None:
    from fipo_model.backends.transformers import loading
    from fipo_model.backends.transformers.generator import TransformersGenerator
    from fipo_model.backends.transformers.scorer import TransformersScorer

    seen = []
    load = loading.load_base
    monkeypatch.setattr(loading, "load_base", lambda *args: (seen.append(threading.current_thread()), load(*args))[1])
    tiny = TransformersGenerator.from_pretrained(altered())
    tiny.model.register_forward_pre_hook(lambda *_: seen.append(threading.current_thread()))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: tiny.generate([ask(f"{number}")], Sampling(max_new_tokens=2 + number)), range(4)))
    tiny.generate([COLOUR], Sampling(max_new_tokens=2))
    TransformersScorer(tiny.loaded).log_likelihoods([(COLOUR, "Blue.")])
    assert len(seen) >= 1 + 5 + 1
    assert set(seen) == {engine_of("cpu").run(threading.current_thread)}


@pytest.mark.tiny
def test_calls_of_a_model_share_batches_and_get_what_they_would_get_alone(tiny) -> None:
    sampling = Sampling(max_new_tokens=6, temperature=1.0)
    asked = [[ask(f"Name {number} rivers."), COLOUR] for number in range(6)]
    alone = [tiny.generate(conversations, sampling, samples=2) for conversations in asked]
    busy = threading.Event()
    blocking = threading.Thread(target=tiny.loaded.run, args=(busy.wait,))
    blocking.start()
    rows: list[int] = []
    tiny.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    with ThreadPoolExecutor(len(asked)) as pool:
        futures = [pool.submit(tiny.generate, conversations, sampling, samples=2) for conversations in asked]
        until(lambda: len(engine_of("cpu")._threads.waiting) == len(asked))
        busy.set()
        together = [future.result() for future in futures]
    assert together == alone
    assert max(rows) == 2 * (len(asked) + 1)  # the conversation that all ask is computed once


@pytest.mark.tiny
def test_a_prompt_too_long_for_the_model_fails_only_its_own_call(tiny) -> None:
    alone = tiny.generate([COLOUR], GREEDY)
    busy = threading.Event()
    blocking = threading.Thread(target=tiny.loaded.run, args=(busy.wait,))
    blocking.start()
    right, wrong = start(tiny, "Name a colour."), start(tiny, "Hi.", "word " * 600)
    until(lambda: len(engine_of("cpu")._threads.waiting) == 2)
    busy.set()
    assert right.result(PATIENCE) == alone
    error = wrong.exception(PATIENCE)
    assert isinstance(error, PromptTooLongError)
    assert error.index == 1


@pytest.mark.tiny
def test_loading_from_within_work_does_not_wait_for_itself(altered) -> None:
    from fipo_model.backends.transformers.model import LoadedModel

    directory = altered()
    entered = threading.Event()

    def work() -> LoadedModel:
        entered.set()
        until(lambda: len(engine_of("cpu")._threads.waiting) == 1)  # another one wants it, too, and has to wait
        return LoadedModel.from_pretrained(directory)

    with ThreadPoolExecutor(2) as pool:
        inner = pool.submit(engine_of("cpu").run, work)
        assert entered.wait(PATIENCE)
        outer = pool.submit(LoadedModel.from_pretrained, directory)
        assert inner.result(PATIENCE) is outer.result(PATIENCE)


@pytest.mark.tiny
def test_a_model_computes_with_as_many_threads_as_its_caller(tiny) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        for count in (3, 1, 2):
            torch.set_num_threads(count)
            assert tiny.loaded.run(torch.get_num_threads) == count
            assert tiny.loaded.share("key", [1], lambda items: [torch.get_num_threads()]) == [count]
    finally:
        torch.set_num_threads(before)


@pytest.mark.tiny
def test_ctrl_c_ends_decoding_after_a_token(tiny, ctrl_c) -> None:
    steps = []
    began, released = threading.Event(), threading.Event()

    def step(*_: object) -> None:
        steps.append(1)
        if len(steps) == 3:
            began.set()
            released.wait(PATIENCE)  # so that the interrupt comes before the end, however quick the model is

    hook = tiny.model.register_forward_pre_hook(step)
    ctrl_c(lambda: began.wait(PATIENCE))
    with pytest.raises(KeyboardInterrupt):
        tiny.generate([COLOUR], Sampling(max_new_tokens=300, temperature=1.0), samples=4)
    released.set()
    hook.remove()
    # The next caller's turn comes when the work has ended, and it is served as ever.
    assert len(tiny.generate([COLOUR], Sampling(max_new_tokens=4))) == 1
    assert len(steps) <= 4


@pytest.mark.tiny
def test_ctrl_c_ends_scoring_after_a_batch(tiny, ctrl_c) -> None:
    from fipo_model.backends.transformers.scorer import TransformersScorer

    scorer = TransformersScorer(tiny.loaded, token_budget=1)  # every pair a batch of its own
    batches = []
    began, released = threading.Event(), threading.Event()

    def step(*_: object) -> None:
        batches.append(1)
        began.set()
        released.wait(PATIENCE)

    hook = tiny.model.register_forward_pre_hook(step)
    ctrl_c(lambda: began.wait(PATIENCE))
    with pytest.raises(KeyboardInterrupt):
        scorer.log_likelihoods([(COLOUR, f"Blue {number}.") for number in range(9)])
    released.set()
    tiny.loaded.run(lambda: None)  # whose turn comes when the work has ended
    hook.remove()
    assert len(batches) == 1
