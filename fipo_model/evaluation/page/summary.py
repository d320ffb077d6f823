"""The findings in one sentence that claims no more than was seen, and what a reader must know."""

from collections import Counter
from collections.abc import Iterator, Sequence

from fipo_model.evaluation.page.tasks import GIVEN_WORDS
from fipo_model.evaluation.results import (
    BenchmarkAccuracy,
    GoldenGain,
    PreferenceAccuracy,
    Results,
    Rewriting,
    TaskChange,
)
from fipo_model.evaluation.statistics import Interval
from fipo_model.evaluation.task_gain import LEAST
from fipo_model.pages.numbers import Say, counted, is_measured, level, percent, points, signed

_VERDICTS = ("better", "worse", "no difference shown", "not measured")


def summarize(results: Results) -> list[str]:
    """The sentence at the top, and those that go with it: one for each measurement where there are several."""
    system = main_system(results)
    name = f"“{system}”" if len(results.systems) > 1 else ""
    tasks = [sentence for change in _task_changes(results, system) for sentence in _say_tasks(change, name)]
    gains = [row for row in results.golden_gain if row.system == system]
    if gains:
        headline = _headline(system, [row.gain for row in gains])
        return [*headline, *(_say_gain(row, name) for row in gains), *_rivals(results, gains), *tasks]
    if tasks:
        return tasks
    accuracies = [row for row in results.benchmarks if row.system == system]
    if accuracies:
        headline = _headline(system, [row.difference for row in accuracies])
        return [*headline, *(_say_benchmark(row, name) for row in accuracies)]
    preferred = [row for row in results.preference if row.system == system]
    if preferred:
        return [_say_preference(row, name) for row in preferred]
    rewritten = [_say_rewriting(row, name) for row in results.rewriting if row.system == system]
    return rewritten or ["Nothing was measured."]


def main_system(results: Results) -> str:
    """The system that the evaluation is about: the first that is no control, if there is one."""
    optimizers = [name for name, system in results.systems.items() if system.kind == "optimizer"]
    return next(iter([*optimizers, *results.systems]), "")


def _task_changes(results: Results, system: str) -> list[TaskChange]:
    """What a system does to hasty wordings of tasks; good ones need no addition."""
    found = [] if results.tasks is None else results.tasks.changes
    return [change for change in found if change.system == system and change.given != "good wording"]


def _say_tasks(change: TaskChange, name: str) -> Iterator[str]:
    for row in change.gains:
        under = "the smallest gain of all test models" if row.model == LEAST else f"test model {row.model}"
        where = f"{row.tasks} tasks ({GIVEN_WORDS[change.given]}, {under})"
        amount = _amount(row.gain, signed, "nats per token")
        shares = f"{percent(row.better.value)} of the tasks became better, {percent(row.worse.value)} worse"
        yield _judged(row.gain, where, name, f"changed the right outputs' log-likelihood by {amount}; {shares}.")


def _verdict(change: Interval) -> str:
    if not is_measured(change):
        return "not measured"
    if change.low > 0:
        return "better"
    return "worse" if change.high < 0 else "no difference shown"


def _headline(system: str, changes: Sequence[Interval]) -> list[str]:
    """The verdicts counted, where there are several measurements."""
    if len(changes) < 2:
        return []
    counts = Counter(map(_verdict, changes))
    parts = ", ".join(f"{verdict} in {counts[verdict]}" for verdict in _VERDICTS if counts[verdict])
    return [
        f"“{system}” was measured {len(changes)} times: {parts}. Each interval stands alone; the more there are, the "
        "likelier it is that one of them misses by chance."
    ]


def _say_gain(row: GoldenGain, name: str) -> str:
    where = f"{counted(row.rows, 'prompt')} ({row.data}, test model {row.test_model})"
    if not is_measured(row.gain):
        return f"The golden response's log-likelihood could not be compared over {where}."
    shares = (
        f"{percent(row.better.value)} became better, {percent(row.worse.value)} worse, "
        f"{percent(row.unchanged)} were left alone"
    )
    amount = _amount(row.gain, signed, "nats per token")
    return _judged(row.gain, where, name, f"changed the golden response's log-likelihood by {amount}; {shares}.")


def _say_benchmark(row: BenchmarkAccuracy, name: str) -> str:
    how = f"{row.level}, {row.scoring}, test model {row.test_model}"
    where = f"{counted(row.rows, 'prompt')} of {row.benchmark} ({how})"
    if not is_measured(row.difference):
        return f"The accuracy could not be compared over {where}."
    amount = _amount(row.difference, points, "percentage points")
    return _judged(row.difference, where, name, f"changed the accuracy by {amount}.")


def _judged(change: Interval, where: str, name: str, words: str) -> str:
    rewrites = f"rewrites of {name}" if name else "rewrites"
    verdict = _verdict(change)
    if verdict == "better":
        return f"Over {where}, the {rewrites} {words}"
    if verdict == "worse":
        return f"The {rewrites} made prompts worse: over {where}, they {words}"
    return f"No difference was shown: over {where}, the {rewrites} {words}"


def _amount(change: Interval, say: Say, unit: str) -> str:
    note = ", which includes 0" if change.low <= 0 <= change.high else ""
    bounds = f"{level(change)} interval {say(change.low)} to {say(change.high)}{note}"
    return f"{say(change.value)} {unit} ({bounds})"


def _say_preference(row: PreferenceAccuracy, name: str) -> str:
    accuracy = row.accuracy
    if not is_measured(accuracy):
        return f"Over {row.rows} pairs ({row.data}), the preference accuracy could not be measured."
    bounds = f"{level(accuracy)} interval {percent(accuracy.low)} to {percent(accuracy.high)}"
    chance = "; that is no more than chance would explain" if accuracy.low <= 0.5 <= accuracy.high else ""
    return (
        f"Over {row.rows} pairs ({row.data}), {name or 'the model'} found the better of two prompts in "
        f"{percent(accuracy.value)} ({bounds}){chance}; whether rewrites help was not measured."
    )


def _say_rewriting(row: Rewriting, name: str) -> str:
    rewritten = row.outcomes.get("optimized", 0)
    by = f" by {name}" if name else ""
    return (
        f"Of {counted(row.rows, 'prompt')} ({row.data}), {rewritten} were rewritten{by} and "
        f"{row.rows - rewritten} left alone; whether that made them better was not measured."
    )


def _rivals(results: Results, rows: Sequence[GoldenGain]) -> Iterator[str]:
    """Names what gained no less on the same prompts: a gain that a control has too is not the optimizer's."""
    for row in rows:
        rivals = [other for other in results.golden_gain if _is_rival(other, row)]
        if rivals and _verdict(row.gain) == "better":
            changes = " and ".join(f"“{other.system}” changed it by {signed(other.gain.value)}" for other in rivals)
            yield f"On the same prompts ({row.data}, {row.test_model}), {changes}, no less than this."


def _is_rival(other: GoldenGain, row: GoldenGain) -> bool:
    on_the_same = (other.data, other.test_model) == (row.data, row.test_model) and other.system != row.system
    return on_the_same and is_measured(other.gain) and other.gain.value >= row.gain.value
