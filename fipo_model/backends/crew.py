"""Work that mostly waits (for servers, say), done by several threads that never keep a process from ending."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from fipo_model.callers import wait_for_all

_Result = TypeVar("_Result")
Work = Callable[[threading.Event], _Result]
"""What is to be done. It is given the event that is set when nobody waits for its result any more."""


def do_all(work: Sequence[Work[_Result]], *, most: int) -> list[_Result]:
    """The results in order, with at most so many under way at a time.

    The first failure is raised, and cancels what has not begun. So does Ctrl-C, at once: the threads are daemons, which
    keep no process from ending, unlike those of an executor. A caller that goes away (`in_thread`) ends it, too.
    """
    results: list[Future[_Result]] = [Future() for _ in work]
    failed: list[Future[_Result]] = []
    places, lock, is_over = iter(range(len(work))), threading.Lock(), threading.Event()

    def serve() -> None:
        while not is_over.is_set():
            with lock:
                place = next(places, None)
            if place is None:
                return
            try:
                results[place].set_result(work[place](is_over))
            except BaseException as error:  # noqa: BLE001 - whoever waits is to hear of it
                with lock:
                    failed.append(results[place])
                results[place].set_exception(error)
                is_over.set()

    for _ in range(min(most, len(work))):
        threading.Thread(target=serve, daemon=True, name="fipo-server").start()
    try:
        wait_for_all(results)
    finally:
        is_over.set()
    # Later failures may come from the first, such as a wait that it cut short.
    return [result.result() for result in (failed[:1] or results)]
