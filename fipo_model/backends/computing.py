"""One thread for all that models compute on a CPU, loading included.

Callers come from many threads: DSPy's, LangChain's, asyncio's. GNU's OpenMP, with which torch computes on Linux, keeps
a team of threads for every one that ever computed. Once there are more of them than cores, none waits actively any
more, and each of the hundreds of products of a token begins with waking one up: on two cores, a token of the default
weights then takes 1.5 times as long.
"""

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from fipo_model.errors import explain_missing
from fipo_model.forking import survive_forks

with explain_missing("local", "torch"):
    import torch

_Result = TypeVar("_Result")


class _Job:
    """One piece of work; `is_wanted` until its caller was interrupted."""

    is_wanted = True


class ComputingThread:
    """Runs one piece of work after another, each for a caller who waits for it."""

    def __init__(self) -> None:
        self._after_fork()
        survive_forks(self)

    def _after_fork(self) -> None:
        self._own = threading.local()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="fipo-computing")  # starts its thread when needed

    def run(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns or raises, with the caller's context variables and number of torch threads.

        A caller who is interrupted (Ctrl-C) does not wait for the end: see `go_on`.
        """
        if self._job is not None:
            return work()
        job, threads, context = _Job(), torch.get_num_threads(), contextvars.copy_context()
        future = self._executor.submit(context.run, self._work, job, threads, work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            job.is_wanted = False
            raise
        finally:
            del future  # it holds the exception, whose traceback holds this frame and so the model

    @contextmanager
    def here(self) -> Iterator[None]:
        """Has the caller's own thread compute, for a job that trains, or scores, with the same models itself."""
        before, self._own.job = self._job, self._job or _Job()
        try:
            yield
        finally:
            self._own.job = before

    def go_on(self) -> None:
        """Called by long work now and then: ends it by an exception where nobody waits for it any more."""
        if self._job is not None and not self._job.is_wanted:
            raise CancelledError

    @property
    def _job(self) -> _Job | None:
        """What this thread is working on, if it is the one that does."""
        job: _Job | None = getattr(self._own, "job", None)
        return job

    def _work(self, job: _Job, threads: int, work: Callable[[], _Result]) -> _Result:
        if torch.get_num_threads() != threads:  # OpenMP's setting belongs to a thread
            torch.set_num_threads(threads)
        self._own.job = job
        try:
            return work()
        finally:
            self._own.job = None


CPU = ComputingThread()
