"""The template that a step follows in its sequence.

LangChain tells a step nothing about its neighbours, neither when they are composed nor when they run. But the sequence
that runs a step is on the call stack, as its caller. In a stream, it is the step behind that calls; there, a step is
given the iterator that the step before it made.
"""

import inspect
import re
from collections.abc import Mapping, Sequence

from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence

_FARTHEST = 40  # frames; retries and callbacks stand between a sequence and its step
_STEP = re.compile(r"seq:step:(\d+)")  # the tag by which LangChain's traces tell the steps of a sequence apart


def template_before(step: Runnable) -> BasePromptTemplate | None:
    """The template whose value the step receives; None where another step comes between, or this cannot be seen.

    It can be seen only from the thread or task that runs the sequence.
    """
    frame = inspect.currentframe()
    passed: list[tuple[object, object]] = [(step, None)]
    for _ in range(_FARTHEST):
        frame = None if frame is None else frame.f_back
        if frame is None:
            return None
        owner = frame.f_locals.get("self")
        if isinstance(owner, RunnableSequence):
            place = _running(owner.steps, passed)
            if place > 0:
                return _template(owner.steps[place - 1])
        if isinstance(owner, Runnable):
            passed.append((owner, frame.f_locals.get("config")))
    return None


def template_streaming(values: object) -> BasePromptTemplate | None:
    """The template whose values an iterator yields that has not begun; None where another step made it."""
    frame = getattr(values, "gi_frame", None) or getattr(values, "ag_frame", None)
    return None if frame is None else _template(frame.f_locals.get("self"))


def _running(steps: Sequence[object], passed: Sequence[tuple[object, object]]) -> int:
    """Which step is running; `passed` are its callers with their configs, the innermost first."""
    inner = next((owner for owner, _ in passed if any(owner is each for each in steps)), None)
    places = [place for place, each in enumerate(steps) if each is inner]
    told = (_place_in(config) for owner, config in passed if owner is inner)
    return next((place for place in told if place in places), next(iter(places), 0))


def _place_in(config: object) -> int | None:
    """The place of the step that a sequence gave this config."""
    one = next(iter(config), None) if isinstance(config, list) else config
    tags = getattr(one.get("callbacks"), "tags", None) if isinstance(one, Mapping) else None
    found = next(filter(None, map(_STEP.fullmatch, tags or ())), None)
    return None if found is None else int(found[1]) - 1


def _template(step: object) -> BasePromptTemplate | None:
    while isinstance(step, RunnableBinding):
        step = step.bound
    return step if isinstance(step, BasePromptTemplate) else None
