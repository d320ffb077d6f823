"""Blocking calls for asyncio, in threads of their own."""

import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeVar

from fipo_model.forking import PerProcess

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

# Waiting callers cost a sleeping thread each. The callers of one batch wake up together, and the more there are, the
# longer the event loop waits for its turn. 64 is more than a CPU's batch or a server's share of them needs.
_THREADS = 64

_Result = TypeVar("_Result")

# Seconds between two looks at whether the caller has gone.
_LOOKING = 0.1


class _Own(threading.local):
    """In a thread that works for `in_thread`: set when the caller has gone. None in every other thread."""

    is_left: threading.Event | None = None


_own = _Own()
_pools: PerProcess[dict[str, "ThreadPoolExecutor"]] = PerProcess(dict)
_under_way: PerProcess[set["Future[Any]"]] = PerProcess(set)


async def in_thread(call: Callable[[], _Result]) -> _Result:
    """The result of a blocking call, from another thread; tracing and settings follow the caller.

    Here many calls can wait at once, so that they meet in one batch; asyncio's own pool has a handful of threads. If
    the caller is cancelled, `wait_for_all` ends in that thread, and with it the model's work.
    """
    import asyncio

    context, is_left = contextvars.copy_context(), threading.Event()
    # A pool starts its threads in the submitting thread. A hundred at once blocked the event loop for 0.2 s.
    starter, callers = _pool("fipo-starter", 1), _pool("fipo-caller", _THREADS)
    begun = _under_way.value

    def work() -> _Result:
        _own.is_left = is_left
        try:
            return call()
        finally:
            _own.is_left = None

    def start() -> "Future[_Result]":
        started = callers.submit(context.run, work)
        begun.add(started)
        started.add_done_callback(begun.discard)
        return started

    try:
        return await asyncio.wrap_future(await asyncio.wrap_future(starter.submit(start)))
    except asyncio.CancelledError:
        is_left.set()
        raise


async def steps_in_thread(begin: Callable[[], Generator[_Result, None, None]]) -> AsyncGenerator[_Result, None]:
    """What a blocking generator yields, as it comes, run in another thread. Leaving closes it after its next step."""
    import asyncio

    loop, is_left = asyncio.get_running_loop(), threading.Event()
    arrived: asyncio.Queue[tuple[_Result, ...]] = asyncio.Queue()  # an empty one at the end

    def work() -> None:
        with closing(begin()) as steps:
            for step in steps:
                if is_left.is_set():
                    return
                loop.call_soon_threadsafe(arrived.put_nowait, (step,))

    working = asyncio.ensure_future(in_thread(work))
    working.add_done_callback(lambda _: arrived.put_nowait(()))
    try:
        while step := await arrived.get():
            yield step[0]
        await working
    finally:
        is_left.set()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)  # or its failure would be logged, with words of prompts


def wait_for_all(futures: "Sequence[Future[Any]]") -> None:
    """Wait until all are done, or one has failed.

    Raises `CancelledError` if the caller whose work this thread does with `in_thread` has gone.
    """
    from concurrent.futures import FIRST_EXCEPTION, CancelledError, wait

    is_left = _own.is_left
    while True:
        found = wait(futures, None if is_left is None else _LOOKING, return_when=FIRST_EXCEPTION)
        if not found.not_done or any(each.exception() is not None for each in found.done):
            return
        if is_left is not None and is_left.is_set():
            raise CancelledError


def are_under_way() -> bool:
    """Whether there are calls that have not ended. A thread cannot be stopped, so Python's end waits for them."""
    return bool(_under_way.value)


def _pool(name: str, threads: int) -> "ThreadPoolExecutor":
    # Imported here, as asyncio above: together they are half of what importing FIPO would take.
    from concurrent.futures import ThreadPoolExecutor

    pools = _pools.value
    return pools.get(name) or pools.setdefault(name, ThreadPoolExecutor(threads, thread_name_prefix=name))
