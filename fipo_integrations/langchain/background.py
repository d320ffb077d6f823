"""Entry points for asyncio: the same call, off the event loop."""

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import ParamSpec, TypeVar

from langchain_core.runnables import run_in_executor

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def in_background(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, Awaitable[_Result]]:
    """The function as a coroutine that runs it in a thread, with the caller's context."""

    @wraps(function)
    async def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        return await run_in_executor(None, partial(function, *args, **kwargs))

    return call
