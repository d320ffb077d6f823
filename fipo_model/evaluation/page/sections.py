"""The parts of the page that need no script: figures and tables of what was measured, and how it was made."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fipo_model.pages.changes import outcome_in_words
from fipo_model.pages.figures import figure, interval_chart, legend, say_interval, share_chart, span_of
from fipo_model.pages.markup import NOT_MEASURED, is_measured, level, percent, points, signed, table

_SHARES = {"better": "good", "left alone": "open", "worse": "bad"}
_DOTS = "a filled dot: the interval leaves {line} out; a hollow dot: it includes {line}"

_Row = Mapping[str, Any]


def golden_gain(rows: Sequence[_Row]) -> str:
    """How much likelier the golden response became, by data set and test model."""
    if not rows:
        return _missing("The golden response's likelihood was")
    span = span_of([row["gain"] for row in rows], reference=0.0, least=0.002)
    parts = [
        "<p>How much likelier a test model finds the golden response after the optimized prompt than after the naive "
        "one. It does not tell whether the test model's own answers became better.</p>"
    ]
    for (data, model), group in _groups(rows, "data", "test_model"):
        parts.append(f'<h3 dir="auto">{escape(data)}, test model {escape(model)}</h3>')
        gains = [(_name(row), row["gain"]) for row in group]
        drawn = interval_chart(gains, span, reference=0.0, say=signed)
        parts.append(figure(drawn, f"Gain in nats per token, {_reading(group, 'gain', '0')}"))
        bars = share_chart([_shares(row) for row in group], _SHARES)
        parts.append(
            figure(legend(_SHARES) + bars, f"Prompts that became better or worse, {_reading(group, 'better')}")
        )
        parts.append(_left_out(group))
    return "".join(parts)


def preference(rows: Sequence[_Row]) -> str:
    """How often the better of two prompts was found."""
    if not rows:
        return _missing("The preference accuracy was")
    parts = []
    for (data,), group in _groups(rows, "data"):
        accuracies = [(_name(row), row["accuracy"]) for row in group]
        drawn = interval_chart(accuracies, (0.0, 1.0), reference=0.5, say=percent)
        caption = (
            f"Pairs of {data} in which the better prompt was found, {_reading(group, 'accuracy', '50 % (chance)')}"
        )
        parts += [figure(drawn, caption), _left_out(group)]
    return "".join(parts)


def benchmarks(rows: Sequence[_Row]) -> str:
    """How the accuracy of a test model on benchmarks changed."""
    if not rows:
        return _missing("The accuracy on benchmarks was")
    span = span_of([row["difference"] for row in rows], reference=0.0, least=0.02)
    drawn = interval_chart([(_task(row), row["difference"]) for row in rows], span, reference=0.0, say=points)
    reading = _reading(rows, "difference", "0")
    caption = f"Accuracy with optimized prompts less that with naive ones, in percentage points, {reading}"
    names = ("system", "benchmark", "level", "scoring", "test_model", "rows")
    header = (*(name.replace("_", " ") for name in names), "naive", "optimized", "outcomes", "leaks")
    cells = [
        (
            *(row[key] for key in names),
            *(say_interval(row[key], percent) for key in ("naive", "optimized")),
            "; ".join(f"{outcome_in_words(name)}: {count}" for name, count in row["outcomes"].items() if count),
            row["leaks"],
        )
        for row in rows
    ]
    return figure(drawn, caption) + table("Accuracy on benchmarks", header, cells)


def outcomes(rows: Sequence[_Row]) -> str:
    """What became of the prompts of each system."""
    if not rows:
        return _missing("What became of the prompts was")
    shares = [(f"{row['system']}, {row['data']}", row["rewritten"]) for row in rows]
    drawn = interval_chart(shares, (0.0, 1.0), reference=0.0, say=percent)
    names = list(dict.fromkeys(name for row in rows for name, count in row["outcomes"].items() if count))
    cells = [(outcome_in_words(name), *(row["outcomes"].get(name, 0) for row in rows)) for name in names]
    header = ("outcome", *(f"{row['system']}, {row['data']}" for row in rows))
    total = ("together", *(row["rows"] for row in rows))
    caption = f"Share of prompts that were rewritten, with {_levels(rows, 'rewritten')}"
    return figure(drawn, caption) + table("Outcomes, in prompts", header, [*cells, total])


def fidelity(rows: Sequence[_Row]) -> str:
    """What the rewrites kept of the prompts, gave away, and took."""
    if not rows:
        return _missing("What the rewrites kept was")
    kept = [
        (row["system"], row["data"], kind.replace("_", " "), *(counts[key] for key in ("of", "proposed", "final")))
        for row in rows
        for kind, counts in row["kept"].items()
        if counts["of"]
    ]
    header = ("system", "data set", "what", "in the naive prompts", "kept as proposed", "kept in the prompt to use")
    cells = [
        (
            *(row["system"], row["data"], row["leaked"]["leaks"], row["leaked"]["of"]),
            say_interval(row["length_ratio"], lambda ratio: f"{ratio:.2f}"),
            *(f"{row['seconds'][key]:.2f}" if row["seconds"] else NOT_MEASURED for key in ("p50", "p95")),
        )
        for row in rows
    ]
    cost = ("system", "data set", "golden responses given away", "of", "length, new to old")
    seconds = ("seconds a prompt, median", "seconds, 95th percentile")
    counted = table("What was kept", header, kept) if kept else "<p>The naive prompts held nothing to be counted.</p>"
    return counted + table("Leaks, length and time", (*cost, *seconds), cells)


def made(results: Mapping[str, Any]) -> str:
    """Everything that is needed to make the same results again."""
    how = results["made"]
    systems = [
        (name, system["what"], system["model"], system["template"]) for name, system in results["systems"].items()
    ]
    run = [
        ("started", how["started"]),
        ("took", f"{how['seconds']:.0f} seconds"),
        ("commit", how["commit"] or "not known"),
        ("seed", str(how["seed"])),
        *((f"hardware: {name}", value) for name, value in how["hardware"].items()),
        *((f"version of {name}", value) for name, value in how["versions"].items()),
    ]
    parts = [
        table("Systems", ("system", "what it is", "model", "template"), systems),
        table("The run", ("what", "value"), [(name, _text(value)) for name, value in run]),
        table("Settings", ("setting", "value"), list(_flat(how["settings"]))),
    ]
    return "".join(parts)


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", "none" if isinstance(value, Mapping) else _text(value)


def _text(value: object) -> object:
    # Left-aligned with the texts around it: these numbers are not compared with each other.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _missing(what: str) -> str:
    return f"<p>{what} not measured.</p>"


def _name(row: _Row) -> str:
    return f"{row['system']} ({row['rows']:,})"


def _task(row: _Row) -> str:
    how = f"{row['level']}, {row['scoring']}, {row['test_model']}"
    return f"{row['system']}: {row['benchmark']}, {how} ({row['rows']:,})"


def _reading(rows: Sequence[_Row], key: str, line: str = "") -> str:
    dots = f"; {_DOTS.format(line=line)}" if line else ""
    return f"with {_levels(rows, key)} (in brackets: rows){dots}."


def _levels(rows: Sequence[_Row], key: str) -> str:
    levels = dict.fromkeys(level(row[key]) for row in rows if is_measured(row[key]))
    return f"{' and '.join(levels)} intervals" if levels else "no interval"


def _shares(row: _Row) -> tuple[str, Mapping[str, float], str]:
    say: Callable[[float], str] = percent
    if not (is_measured(row["better"]) and is_measured(row["worse"])):
        return _name(row), {}, NOT_MEASURED
    shares = {"better": row["better"]["value"], "left alone": row["unchanged"], "worse": row["worse"]["value"]}
    sentence = (
        f"better {say_interval(row['better'], say)}, left alone {say(row['unchanged'])}, "
        f"worse {say_interval(row['worse'], say)}"
    )
    return _name(row), shares, sentence


def _groups(rows: Sequence[_Row], *keys: str) -> Iterator[tuple[tuple[str, ...], list[_Row]]]:
    groups: dict[tuple[str, ...], list[_Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    yield from groups.items()


def _left_out(rows: Sequence[_Row]) -> str:
    notes = [
        f"{row['system']}: {reason} ({count})" for row in rows for reason, count in row["left_out"].items() if count
    ]
    return f'<p class="note" dir="auto">Left out: {escape("; ".join(notes))}.</p>' if notes else ""
