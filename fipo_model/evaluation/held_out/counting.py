"""From measurements to figures: a task counts once, and the tasks are the sample. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from fipo_model.data.tasks import Gain
from fipo_model.evaluation import statistics
from fipo_model.evaluation.held_out.wordings import Change, Way
from fipo_model.evaluation.results import TaskAccuracy, TaskChange
from fipo_model.evaluation.task_gain import task_gains


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A change of wording, and what it does."""

    change: Change
    gain: Gain | str
    """Or why it could not be measured."""
    phrases: tuple[str, ...] = ()
    """Those of training targets in the addition that nothing calls for."""


def count_change(way: Way, measured: Sequence[Measured], *, seed: int) -> TaskChange:
    """The gains over all tasks, what happened to the proposals, and how many additions have leaked phrases."""
    by_task: dict[str, list[Gain]] = defaultdict(list)
    for one in measured:
        if isinstance(one.gain, Gain):
            by_task[one.change.drawn.task.name].append(one.gain)
    gains = [_mean_gain(found) for found in by_task.values()]
    outcomes = Counter(one.change.outcome for one in measured)
    additions = [one for one in measured if one.change.outcome == "optimized"]
    is_control = way.given == "control"
    refused = len(measured) - outcomes["optimized"] - outcomes["unchanged"]
    return TaskChange(
        system=way.system,
        given=way.given,
        wordings=len(measured),
        gains=task_gains(gains, seed=seed) if len(gains) > 1 else [],
        outcomes={} if is_control else dict(outcomes.most_common()),
        left_alone=None if is_control else statistics.share(outcomes["unchanged"], len(measured)),
        refused=None if is_control else statistics.share(refused, len(measured)),
        leaked=None if is_control or not additions else statistics.share(
            sum(bool(one.phrases) for one in additions), len(additions)
        ),
        left_out=dict(Counter(one.gain for one in measured if isinstance(one.gain, str))),
    )  # fmt: skip


def count_accuracy(
    way: Way, model: str, shares: Mapping[str, Sequence[tuple[float, float]]], *, seed: int
) -> TaskAccuracy | None:
    """The mean accuracy over tasks; `shares`: by task, the accuracy of each wording before and after.

    None for fewer than two tasks, which show nothing.
    """
    if len(shares) < 2:
        return None
    before, after = ([fmean(pair[side] for pair in found) for found in shares.values()] for side in (0, 1))
    return TaskAccuracy(
        system=way.system,
        given=way.given,
        model=model,
        tasks=len(shares),
        hasty=statistics.mean(before, seed=seed),
        rewritten=statistics.mean(after, seed=seed),
        difference=statistics.mean([new - old for old, new in zip(before, after, strict=True)], seed=seed),
    )


def _mean_gain(gains: Sequence[Gain]) -> Gain:
    """The gain of a task: over its wordings, under each model."""
    return Gain(by_model={name: fmean(gain.by_model[name] for gain in gains) for name in gains[0].by_model})
