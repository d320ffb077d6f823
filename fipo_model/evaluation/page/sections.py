"""The parts of the page: charts and tables of the measurements, and of how they were made."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from fipo_model.evaluation.results import (
    BenchmarkAccuracy,
    GoldenGain,
    Made,
    PreferenceAccuracy,
    Rewriting,
    SystemDescription,
)
from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.figures import IntervalChart, Look, ShareChart, ShareRow, Table, span_of
from fipo_model.pages.numbers import NOT_MEASURED, Interval, is_measured, level, percent, points, say_interval, signed

_SHARES: Mapping[str, Look] = {"better": "good", "left alone": "open", "worse": "bad"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """How much likelier golden responses became under one test model, on one data set."""

    data: str
    test_model: str
    gains: IntervalChart
    shares: ShareChart
    left_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How often the better of two prompts was found, on one data set."""

    accuracies: IntervalChart
    left_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Charted:
    """Figures as a chart, and more about them in a table."""

    chart: IntervalChart
    table: Table


def show_gains(rows: Sequence[GoldenGain]) -> list[Gains]:
    """Gains by data set and test model, over the same axis."""
    span = span_of([row.gain for row in rows], reference=0.0, least=0.002)
    groups = dict.fromkeys((row.data, row.test_model) for row in rows)
    shown = []
    for data, test_model in groups:
        group = [row for row in rows if (row.data, row.test_model) == (data, test_model)]
        gains = IntervalChart(
            caption=f"Gain in nats per token, {_reading([row.gain for row in group])}; {_dots('0')}.",
            rows=[(_name(row), row.gain) for row in group],
            span=span,
            reference=0.0,
            say=signed,
        )
        shares = ShareChart(
            caption=f"Prompts that became better or worse, {_reading([row.better for row in group])}.",
            rows=[_show_shares(row) for row in group],
            kinds=_SHARES,
        )
        left_out = _say_left_out(group)
        shown.append(Gains(data=data, test_model=test_model, gains=gains, shares=shares, left_out=left_out))
    return shown


def show_preferences(rows: Sequence[PreferenceAccuracy]) -> list[Preferences]:
    """Preference accuracies by data set."""
    shown = []
    for data in dict.fromkeys(row.data for row in rows):
        group = [row for row in rows if row.data == data]
        reading = f"{_reading([row.accuracy for row in group])}; {_dots('50 % (chance)')}"
        accuracies = IntervalChart(
            caption=f"Pairs of {data} in which the better prompt was found, {reading}.",
            rows=[(_name(row), row.accuracy) for row in group],
            span=(0.0, 1.0),
            reference=0.5,
            say=percent,
        )
        shown.append(Preferences(accuracies=accuracies, left_out=_say_left_out(group)))
    return shown


def show_benchmarks(rows: Sequence[BenchmarkAccuracy]) -> Charted | None:
    """How the accuracy of test models on benchmarks changed; None if it was not measured."""
    if not rows:
        return None
    differences = [row.difference for row in rows]
    reading = f"{_reading(differences)}; {_dots('0')}"
    chart = IntervalChart(
        caption=f"Accuracy with optimized prompts minus that with naive ones, in percentage points, {reading}.",
        rows=[(_name_task(row), row.difference) for row in rows],
        span=span_of(differences, reference=0.0, least=0.02),
        reference=0.0,
        say=points,
    )
    what = ("system", "benchmark", "level", "scoring", "test model", "rows")
    table = Table(
        caption="Accuracy on benchmarks",
        header=(*what, "naive", "optimized", "outcomes", "leaks"),
        rows=[_tabulate_benchmark(row) for row in rows],
    )
    return Charted(chart=chart, table=table)


def show_outcomes(rows: Sequence[Rewriting]) -> Charted | None:
    """What happened to the prompts of each system; None if nothing was rewritten."""
    if not rows:
        return None
    names = [f"{row.system}, {row.data}" for row in rows]
    chart = IntervalChart(
        caption=f"Share of prompts that were rewritten, with {_say_levels([row.rewritten for row in rows])}",
        rows=[(name, row.rewritten) for name, row in zip(names, rows, strict=True)],
        span=(0.0, 1.0),
        reference=0.0,
        say=percent,
    )
    outcomes = dict.fromkeys(chain.from_iterable(row.outcomes for row in rows))
    counted = {outcome: [row.outcomes.get(outcome, 0) for row in rows] for outcome in outcomes}
    cells = [(outcome_in_words(outcome), *counts) for outcome, counts in counted.items() if any(counts)]
    together = ("total", *(row.rows for row in rows))
    return Charted(
        chart=chart,
        table=Table(caption="Outcomes, in numbers of prompts", header=("outcome", *names), rows=[*cells, together]),
    )


def tabulate_kept(rows: Sequence[Rewriting]) -> Table | None:
    """What the rewrites kept of the prompts; None if the prompts held nothing to be counted."""
    cells = []
    for row in rows:
        for kind, counts in row.kept.items():
            if counts.of:
                cells.append((row.system, row.data, kind, counts.of, counts.proposed, counts.final))
    header = ("system", "data set", "what", "in the naive prompts", "kept as proposed", "kept in the prompt to use")
    return Table(caption="What was kept", header=header, rows=cells) if cells else None


def tabulate_leaks(rows: Sequence[Rewriting]) -> Table | None:
    """What the rewrites gave away, and how long they took; None if nothing was rewritten."""
    what = ("system", "data set", "golden responses given away", "of", "length, new over old")
    seconds = ("seconds per prompt, median", "seconds, 95th percentile")
    cells = [
        (row.system, row.data, row.leaked.leaks, row.leaked.of, _say_length(row), *_say_seconds(row)) for row in rows
    ]
    return Table(caption="Leaks, length and time", header=(*what, *seconds), rows=cells) if rows else None


def tabulate_making(made: Made, systems: Mapping[str, SystemDescription]) -> list[Table]:
    """Everything that is needed to make the same results again."""
    described = [(name, system.what, system.model, system.template) for name, system in systems.items()]
    hardware = {"cpu": made.hardware.cpu, "cores": made.hardware.cores, "gpu": made.hardware.gpu}
    run: dict[str, object] = {
        "started": made.started,
        "took": f"{made.seconds:.0f} seconds",
        "commit": made.commit or "not known",
        "seed": made.seed,
        **{f"hardware: {name}": value for name, value in hardware.items()},
        **{f"version of {name}": version for name, version in made.versions.items()},
    }
    cells = [(name, _as_text(value)) for name, value in run.items()]
    return [
        Table(caption="Systems", header=("system", "what it is", "model", "template"), rows=described),
        Table(caption="The run", header=("what", "value"), rows=cells),
        Table(caption="Settings", header=("setting", "value"), rows=list(_flatten(made.settings))),
    ]


def _flatten(settings: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", "none" if isinstance(value, Mapping) else _as_text(value)


def _as_text(value: object) -> object:
    # Left-aligned with the texts around it: these numbers are not compared with each other.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _tabulate_benchmark(row: BenchmarkAccuracy) -> tuple[object, ...]:
    outcomes = "; ".join(f"{outcome_in_words(name)}: {count}" for name, count in row.outcomes.items() if count)
    what = (row.system, row.benchmark, row.level, row.scoring, row.test_model, row.rows)
    return *what, say_interval(row.naive, percent), say_interval(row.optimized, percent), outcomes, row.leaks


def _show_shares(row: GoldenGain) -> ShareRow:
    if not (is_measured(row.better) and is_measured(row.worse)):
        return ShareRow(_name(row), {}, NOT_MEASURED)
    better, worse = say_interval(row.better, percent), say_interval(row.worse, percent)
    return ShareRow(
        _name(row),
        {"better": row.better.value, "left alone": row.unchanged, "worse": row.worse.value},
        f"better {better}, left alone {percent(row.unchanged)}, worse {worse}",
    )


def _say_length(row: Rewriting) -> str:
    return say_interval(row.length_ratio, lambda ratio: f"{ratio:.2f}")


def _say_seconds(row: Rewriting) -> tuple[str, str]:
    if row.seconds is None:
        return NOT_MEASURED, NOT_MEASURED
    return f"{row.seconds.p50:.2f}", f"{row.seconds.p95:.2f}"


def _name(row: GoldenGain | PreferenceAccuracy) -> str:
    return f"{row.system} ({row.rows:,})"


def _name_task(row: BenchmarkAccuracy) -> str:
    how = f"{row.level}, {row.scoring}, {row.test_model}"
    return f"{row.system}: {row.benchmark}, {how} ({row.rows:,})"


def _reading(intervals: Iterable[Interval]) -> str:
    return f"with {_say_levels(intervals)} (in parentheses: rows)"


def _dots(line: str) -> str:
    return f"a filled dot: the interval excludes {line}; a hollow dot: it includes {line}"


def _say_levels(intervals: Iterable[Interval]) -> str:
    levels = dict.fromkeys(level(interval) for interval in intervals if is_measured(interval))
    return f"{' and '.join(levels)} intervals" if levels else "no interval"


def _say_left_out(rows: Sequence[GoldenGain | PreferenceAccuracy]) -> str:
    """Why rows of each system are missing; empty if none are."""
    notes = [f"{row.system}: {reason} ({count})" for row in rows for reason, count in row.left_out.items() if count]
    return "; ".join(notes)
