"""Results in a few lines for a terminal: what was seen, with its interval, and no more."""

from collections.abc import Iterator

from fipo_model.evaluation.results import (
    BenchmarkAccuracy,
    GoldenGain,
    PreferenceAccuracy,
    Results,
    Rewriting,
    TaskAccuracy,
    TaskChange,
)
from fipo_model.evaluation.statistics import Interval


def summary(results: Results) -> Iterator[str]:
    """One line for each figure, the optimizers' and the controls'."""
    yield from map(_say_rewriting, results.rewriting)
    yield from map(_say_gain, results.golden_gain)
    yield from map(_say_preference, results.preference)
    if results.tasks is not None:
        yield from results.tasks.notes
        yield from (line for change in results.tasks.changes for line in _say_task_change(change))
        yield from map(_say_task_accuracy, results.tasks.accuracy)
    yield from map(_say_benchmark, results.benchmarks)


def verdict(change: Interval) -> str:
    """What an interval allows to say of a change."""
    if change.low > 0:
        return ": better"
    return ": worse" if change.high < 0 else ": no difference shown"


def _say_rewriting(found: Rewriting) -> str:
    kept = ", ".join(f"{name} {count.proposed}/{count.of}" for name, count in found.kept.items() if count.of)
    time = f", {found.seconds.p50:.2f} s per prompt" if found.seconds else ""
    proposals = f"; proposals kept {kept}" if kept else ""
    share = f"{found.rewritten.value:.0%} of {found.rows} prompts"
    return f"{found.system} on {found.data}: {share} rewritten{time}{proposals}"


def _say_gain(found: GoldenGain) -> str:
    shares = f"{found.better.value:.0%} better, {found.worse.value:.0%} worse"
    return (
        f"{found.system} on {found.data}, {found.test_model}: golden response {_signed(found.gain)} "
        f"nats per token ({found.rows} prompts: {shares}){verdict(found.gain)}"
    )


def _say_preference(found: PreferenceAccuracy) -> str:
    one = found.accuracy
    accuracy = f"{one.value:.1%} [{one.low:.1%}, {one.high:.1%}]"
    return f"{found.system} on {found.data}: preference accuracy {accuracy} ({found.rows} pairs)"


def _say_task_change(found: TaskChange) -> Iterator[str]:
    name = f"{found.system} on tasks ({found.given})"
    for one in found.gains:
        shares = f"{one.tasks} tasks: {one.better.value:.0%} better, {one.worse.value:.0%} worse"
        yield f"{name}, {one.model}: right outputs {_signed(one.gain)} nats per token ({shares}){verdict(one.gain)}"
    if found.left_alone is not None and found.refused is not None:
        leaked = "" if found.leaked is None else f", leaked phrases in {found.leaked.value:.0%} of the additions"
        yield (
            f"{name}: of {found.wordings} wordings {found.left_alone.value:.0%} left alone, "
            f"{found.refused.value:.0%} of the proposals turned down{leaked}"
        )


def _say_task_accuracy(found: TaskAccuracy) -> str:
    return (
        f"{found.system} on tasks ({found.given}), {found.model} answering {found.tasks} tasks: accuracy "
        f"{found.hasty.value:.1%}, then {found.rewritten.value:.1%}, difference {_signed(found.difference)}"
        f"{verdict(found.difference)}"
    )


def _say_benchmark(found: BenchmarkAccuracy) -> str:
    how = f"{found.level}, {found.scoring}, {found.rows} rows, {found.test_model}"
    return (
        f"{found.system} on {found.benchmark} ({how}): accuracy {found.naive.value:.1%}, "
        f"then {found.optimized.value:.1%}, difference {_signed(found.difference)}{verdict(found.difference)}"
    )


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.4f} [{interval.low:+.4f}, {interval.high:+.4f}]"
