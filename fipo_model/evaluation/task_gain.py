"""Task gains of many tasks as figures with intervals: the sample consists of tasks, not of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from fipo_model.data.tasks.gain import Gain
from fipo_model.errors import InputError
from fipo_model.evaluation import statistics
from fipo_model.evaluation.statistics import Interval

NOTICED = 0.01
"""Nats per token from which a task counts as better or worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGain:
    """What other wordings do to tasks under one test model, in nats per token, and to what share of the tasks."""

    model: str
    tasks: int
    gain: Interval
    better: Interval
    worse: Interval


LEAST = "least"
"""The name under which the least gain over the models is summed up."""


def task_gains(gains: Sequence[Gain], *, seed: int = 0) -> list[TaskGain]:
    """One figure for each test model and, where there are several, one for the least gain, from one gain per task.

    Raises `InputError` for fewer than two tasks, which show nothing, or tasks measured by different models.
    """
    models = {tuple(gain.by_model) for gain in gains}
    if len(models) > 1:
        raise InputError("all tasks must be measured by the same test models, in the same order")
    if len(gains) < 2:
        raise InputError(f"an interval needs at least two measured tasks, and there are {len(gains)}")
    (names,) = models
    figures = [task_gain(name, [gain.by_model[name] for gain in gains], seed=seed) for name in names]
    if len(names) > 1:
        figures.append(task_gain(LEAST, [gain.least for gain in gains], seed=seed))
    return figures


def task_gain(model: str, gains: Sequence[float], *, seed: int = 0) -> TaskGain:
    """Mean and shares with their intervals, from one gain per task. Raises `InputError` for fewer than two tasks."""
    return TaskGain(
        model=model,
        tasks=len(gains),
        gain=statistics.mean(gains, seed=seed),
        better=statistics.share(sum(gain > NOTICED for gain in gains), len(gains)),
        worse=statistics.share(sum(gain < -NOTICED for gain in gains), len(gains)),
    )
