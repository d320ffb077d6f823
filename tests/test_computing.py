"""All that models compute on a CPU is computed in one thread, and whoever waits for it can be interrupted."""

import contextvars
import signal
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from fipo_model.generation import Sampling

pytestmark = pytest.mark.tiny

ASKED = [[{"role": "user", "content": "Name a colour."}]]
PATIENCE = 20  # seconds after which something counts as not happening


@pytest.fixture
def thread():
    from fipo_model.backends.computing import ComputingThread

    return ComputingThread()


@pytest.fixture
def generator(tiny_model):
    from fipo_model.backends.hf import TransformersGenerator

    return TransformersGenerator.from_pretrained(tiny_model, token_budget=4000)  # one of its own


def test_a_model_is_loaded_used_and_measured_with_in_one_thread_whoever_asks(generator, tiny_model, monkeypatch):
    from fipo_model.backends import hf, loading
    from fipo_model.backends.likelihood import ResponseLikelihood

    seen = []
    load = loading.load_base
    monkeypatch.setattr(loading, "load_base", lambda *args: (seen.append(threading.current_thread()), load(*args))[1])
    hf.TransformersGenerator.from_pretrained(tiny_model, token_budget=4001)
    generator.model.register_forward_pre_hook(lambda *_: seen.append(threading.current_thread()))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: generator.generate(ASKED, Sampling(max_new_tokens=2)), range(4)))
    generator.generate(ASKED, Sampling(max_new_tokens=2))
    ResponseLikelihood(generator).log_likelihoods([(ASKED[0], "Blue.")])
    assert len(seen) >= 1 + 5 + 1
    assert {one.name for one in seen} == {"fipo-computing_0"}


def test_what_it_returns_and_raises_gets_to_the_caller(thread):
    variable = contextvars.ContextVar("variable", default="nobody's")
    variable.set("the caller's")
    assert thread.run(variable.get) == "the caller's"
    assert thread.run(lambda: thread.run(threading.current_thread)) is thread.run(threading.current_thread)
    with pytest.raises(ZeroDivisionError):
        thread.run(lambda: 1 / 0)
    assert thread.run(lambda: "goes on") == "goes on"


def test_a_job_may_have_its_own_thread_compute(thread):
    @thread.here()
    def job():
        with thread.here():
            pass
        thread.go_on()
        return thread.run(threading.current_thread)

    assert job() is threading.current_thread()
    assert thread.run(threading.current_thread) is not threading.current_thread()


def test_it_computes_with_as_many_threads_as_its_caller(thread):
    import torch

    before = torch.get_num_threads()
    try:
        for count in (3, 1, 2):
            torch.set_num_threads(count)
            assert thread.run(torch.get_num_threads) == count
    finally:
        torch.set_num_threads(before)


@pytest.fixture
def ctrl_c():
    """Python's own handler: a process that was started in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_caller_does_not_wait_and_the_work_ends_early(generator, ctrl_c):
    """As Ctrl-C does: the main thread is interrupted while another one decodes."""
    steps, began = [], threading.Event()

    def step(*_):
        steps.append(threading.current_thread())
        if len(steps) == 3:
            began.set()
            released.wait(PATIENCE)  # so that the interrupt comes before the end, however quick the model is

    released = threading.Event()
    hook = generator.model.register_forward_pre_hook(step)

    def interrupt():
        assert began.wait(PATIENCE)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        generator.generate(ASKED, Sampling(max_new_tokens=300, temperature=1.0), samples=4)
    released.set()
    hook.remove()
    # The next caller's turn comes when the work has ended, and it is served as ever.
    assert len(generator.generate(ASKED, Sampling(max_new_tokens=4))) == 1
    assert len(steps) <= 4


def test_work_that_somebody_waits_for_goes_on(thread):
    def work():
        for _ in range(3):
            thread.go_on()
        return "done"

    assert thread.run(work) == "done"
    thread.go_on()  # outside of work there is nothing to end


def test_work_that_nobody_waits_for_any_more_is_ended(thread):
    from fipo_model.backends.computing import _Job

    job = _Job()
    job.is_wanted = False
    with pytest.raises(CancelledError):
        thread._work(job, 1, thread.go_on)
