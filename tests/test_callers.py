"""Blocking calls for asyncio: what happens in their threads when the caller goes away."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fipo_model.backends.crew import do_all
from fipo_model.backends.engine import Engine, go_on
from fipo_model.callers import in_thread

PATIENCE = 10.0


def by_a_crew(begun: threading.Event, ended: threading.Event) -> Any:
    def work(is_over: threading.Event) -> None:
        begun.set()
        if is_over.wait(PATIENCE):
            ended.set()

    return do_all([work], most=1)


def by_an_engine(begun: threading.Event, ended: threading.Event) -> Any:
    def work() -> None:
        begun.set()
        try:
            while not ended.wait(0.01):
                go_on()
        except BaseException:
            ended.set()
            raise

    return Engine().run(work)


@pytest.mark.parametrize("model", [by_a_crew, by_an_engine])
def test_a_model_stops_when_its_caller_goes_away(model: Callable[..., Any]) -> None:
    begun, ended = threading.Event(), threading.Event()

    async def leave() -> None:
        asking = asyncio.create_task(in_thread(lambda: model(begun, ended)))
        await asyncio.to_thread(begun.wait, PATIENCE)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(leave())
    assert ended.wait(2)


def test_a_thread_that_was_left_once_works_for_the_next_caller() -> None:
    async def ask() -> list[int]:
        left = asyncio.create_task(in_thread(lambda: threading.Event().wait(0.3)))
        await asyncio.sleep(0.1)
        left.cancel()
        await asyncio.sleep(0.4)
        return await in_thread(lambda: do_all([lambda _: 1, lambda _: 2], most=2))

    assert asyncio.run(ask()) == [1, 2]
