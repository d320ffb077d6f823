"""The part of the page about tasks: what other wordings do to many inputs of a task."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fipo_model.evaluation.results import TaskAccuracy, TaskChange, TaskResults
from fipo_model.evaluation.task_gain import LEAST, TaskGain
from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.figures import IntervalChart, Look, ShareChart, ShareRow, Table, span_of
from fipo_model.pages.numbers import percent, points, say_interval, signed

GIVEN_WORDS: Mapping[str, str] = {
    "prompt": "prompt alone",
    "inputs": "inputs shown",
    "outputs": "inputs and right outputs shown",
    "good wording": "good wording as the prompt",
    "control": "control",
}
_SHARES: Mapping[str, Look] = {"better": "good", "about the same": "open", "worse": "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGains:
    """Gains and shares of tasks under one test model."""

    title: str
    gains: IntervalChart
    shares: ShareChart


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTasks:
    """What was measured on tasks, as charts and tables."""

    sentence: str
    models: Sequence[TaskGains]
    outcomes: Table
    accuracy: Table | None
    notes: Sequence[str]


def show_tasks(found: TaskResults | None) -> ShownTasks | None:
    """Gains by test model, what happened to the wordings, and accuracies; None if tasks were not measured."""
    if found is None:
        return None
    rows = [(name_way(change.system, change.given), gain) for change in found.changes for gain in change.gains]
    span = span_of([gain.gain for _, gain in rows], reference=0.0, least=0.02)
    models = dict.fromkeys(gain.model for _, gain in rows)
    return ShownTasks(
        sentence=f"Over {found.tasks} tasks: how much likelier right outputs became on {found.inputs} inputs of each, "
        "in nats per token, than with the original wording. A rewriter that was shown inputs was shown "
        f"{found.shown} others. The best wording was chosen from the tasks' good ones, on yet other inputs.",
        models=[_show_model(model, [row for row in rows if row[1].model == model], span) for model in models],
        outcomes=_tabulate_outcomes(found.changes),
        accuracy=_tabulate_accuracy(found.accuracy) if found.accuracy else None,
        notes=found.notes,
    )


def name_way(system: str, given: str) -> str:
    """In words, a system and what it was given."""
    return f"{system}: {GIVEN_WORDS.get(given, given)}"


def _show_model(model: str, rows: Sequence[tuple[str, TaskGain]], span: tuple[float, float]) -> TaskGains:
    return TaskGains(
        title="the smallest gain of all test models" if model == LEAST else f"test model {model}",
        gains=IntervalChart(
            caption="Gain in nats per token, with 95 % intervals over tasks; a filled dot: the interval excludes 0.",
            rows=[(f"{name} ({gain.tasks})", gain.gain) for name, gain in rows],
            span=span,
            reference=0.0,
            say=signed,
        ),
        shares=ShareChart(
            caption="Tasks that became better or worse by more than 0.01.",
            rows=[_show_shares(name, gain) for name, gain in rows],
            kinds=_SHARES,
        ),
    )


def _show_shares(name: str, gain: TaskGain) -> ShareRow:
    same = max(0.0, 1 - gain.better.value - gain.worse.value)
    shares = {"better": gain.better.value, "about the same": same, "worse": gain.worse.value}
    better, worse = say_interval(gain.better, percent), say_interval(gain.worse, percent)
    return ShareRow(f"{name} ({gain.tasks})", shares, f"better {better}, worse {worse}")


def _tabulate_outcomes(changes: Iterable[TaskChange]) -> Table:
    rows = [
        (
            name_way(change.system, change.given),
            change.wordings,
            say_interval(change.left_alone, percent),
            say_interval(change.refused, percent),
            "; ".join(f"{outcome_in_words(name)}: {count}" for name, count in change.outcomes.items()),
            say_interval(change.leaked, percent),
            "; ".join(f"{reason}: {count}" for reason, count in change.left_out.items()),
        )
        for change in changes
    ]
    header = (
        "system",
        "wordings",
        "left alone",
        "turned down",
        "outcomes",
        "additions with leaked phrases",
        "left out",
    )
    return Table(caption="What happened to the wordings", header=header, rows=rows)


def _tabulate_accuracy(found: Iterable[TaskAccuracy]) -> Table:
    rows = [
        (
            name_way(one.system, one.given),
            one.model,
            one.tasks,
            say_interval(one.hasty, percent),
            say_interval(one.rewritten, percent),
            say_interval(one.difference, points),
        )
        for one in found
    ]
    header = ("system", "answering model", "tasks", "hasty wordings", "their replacements", "difference in points")
    return Table(caption="Accuracy on tasks whose outputs can be checked, over tasks", header=header, rows=rows)
