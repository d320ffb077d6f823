"""The template that a step follows in its sequence.

LangChain tells a step nothing about its neighbours, neither when they are composed nor when they run. But the sequence
that runs a step is on the call stack, as its caller.
"""

import inspect

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence

_FARTHEST = 40  # frames; retries and callbacks stand between a sequence and its step


def template_before(step: Runnable) -> BasePromptTemplate | None:
    """The template whose value the step receives; None where another step comes between, or this cannot be seen.

    It can be seen only from the thread or task that runs the sequence.
    """
    frame = inspect.currentframe()
    inner: object = step
    for _ in range(_FARTHEST):
        frame = None if frame is None else frame.f_back
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if isinstance(owner, RunnableSequence):
            places = [place for place, each in enumerate(owner.steps) if each is inner]
            if places and places[0] > 0:
                return _template(owner.steps[places[0] - 1])
        if isinstance(owner, Runnable):
            inner = owner
    return None


def _template(step: object) -> BasePromptTemplate | None:
    while isinstance(step, RunnableBinding):
        step = step.bound
    return step if isinstance(step, BasePromptTemplate) else None
