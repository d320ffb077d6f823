"""Blocking calls for asyncio, in threads of their own."""

import contextvars
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from fipo_model.forking import survive_forks

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# Waiting callers cost a sleeping thread each. Those a batch has served wake up together, and the more there are, the
# longer the event loop waits for its turn; 64 is more than a CPU's batch or a server's share of them needs.
_THREADS = 64

_Result = TypeVar("_Result")


class Callers:
    """Threads in which blocking calls wait, so that an event loop does not, and concurrent calls meet in one batch.

    asyncio's own pool has a handful of threads, which would keep them from meeting.
    """

    def __init__(self) -> None:
        survive_forks(self)

    async def run(self, call: Callable[[], _Result]) -> _Result:
        """The call's result, from another thread; tracing and settings follow the caller."""
        import asyncio

        context = contextvars.copy_context()
        started = await asyncio.wrap_future(self._starter.submit(lambda: self._pool.submit(context.run, call)))
        return await asyncio.wrap_future(started)

    def _after_fork(self) -> None:
        self.__dict__.clear()  # the pools, whose threads are not there

    @cached_property
    def _pool(self) -> "ThreadPoolExecutor":
        # Imported here, as asyncio above: together they are half of what importing FIPO would take.
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(_THREADS, thread_name_prefix="fipo")

    @cached_property
    def _starter(self) -> "ThreadPoolExecutor":
        from concurrent.futures import ThreadPoolExecutor

        # A pool starts its threads in the thread that submits. A hundred at once kept the event loop for 0.2 s.
        return ThreadPoolExecutor(1, thread_name_prefix="fipo-starter")
