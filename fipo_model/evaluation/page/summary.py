"""What was found, in one sentence that claims no more than was seen, and what must be known to read it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fipo_model.pages.markup import is_measured, level, percent, points, signed

_Row = Mapping[str, Any]


def summarize(results: Mapping[str, Any]) -> list[str]:
    """The sentence at the top, and those that go with it: one a measurement where there are several."""
    system = main_system(results)
    name = f"“{system}”" if len(results["systems"]) > 1 else ""
    for part, say in (("golden_gain", _say_gain), ("benchmarks", _say_benchmark), ("preference", _say_preference)):
        rows = [row for row in results[part] if row["system"] == system]
        if rows:
            sentences = [say(row, name) for row in rows]
            verdicts = [_verdict(row) for row in rows if part != "preference"]
            headline = [_headline(system, verdicts)] if len(verdicts) > 1 else []
            return [*headline, *sentences, *(_others(results, rows) if part == "golden_gain" else ())]
    rows = [row for row in results["rewriting"] if row["system"] == system]
    return [_say_rewriting(row, name) for row in rows] or ["Nothing was measured."]


def main_system(results: Mapping[str, Any]) -> str:
    """The system that the evaluation is about: the first that is no control, if there is one."""
    systems = results["systems"]
    return next((name for name, system in systems.items() if system["kind"] == "optimizer"), next(iter(systems), ""))


def _verdict(row: _Row) -> str:
    interval = row["gain"] if "gain" in row else row["difference"]
    if not is_measured(interval):
        return "not measured"
    return "better" if interval["low"] > 0 else "worse" if interval["high"] < 0 else "no difference shown"


def _headline(system: str, verdicts: Sequence[str]) -> str:
    counts = {
        verdict: verdicts.count(verdict) for verdict in ("better", "worse", "no difference shown", "not measured")
    }
    parts = ", ".join(f"{verdict} in {count}" for verdict, count in counts.items() if count)
    return (
        f"“{system}” was measured {len(verdicts)} times: {parts}. Each interval stands for itself; the more there are, "
        "the likelier it is that one of them misses by chance."
    )


def _say_gain(row: _Row, name: str) -> str:
    where = f"{_prompts(row['rows'])} ({row['data']}, test model {row['test_model']})"
    gain = row["gain"]
    if not is_measured(gain):
        return f"The golden response's log-likelihood could not be compared over {where}."
    shares = (
        f"{percent(row['better']['value'])} became better, {percent(row['worse']['value'])} worse, "
        f"{percent(row['unchanged'])} were left alone"
    )
    change = f"changed the golden response's log-likelihood by {_amount(gain, signed, ' nats per token')}; {shares}."
    return _judged(_verdict(row), where, name, change)


def _say_benchmark(row: _Row, name: str) -> str:
    how = f"{row['level']}, {row['scoring']}, test model {row['test_model']}"
    where = f"{_prompts(row['rows'])} of {row['benchmark']} ({how})"
    difference = row["difference"]
    if not is_measured(difference):
        return f"The accuracy could not be compared over {where}."
    change = f"changed the accuracy by {_amount(difference, points, ' percentage points')}."
    return _judged(_verdict(row), where, name, change)


def _judged(verdict: str, where: str, name: str, change: str) -> str:
    rewrites = f"rewrites of {name}" if name else "rewrites"
    if verdict == "better":
        return f"Over {where} the {rewrites} {change}"
    if verdict == "worse":
        return f"The {rewrites} made prompts worse: over {where} they {change}"
    return f"No difference was shown: over {where} the {rewrites} {change}"


def _amount(interval: Mapping[str, Any], say: Any, unit: str = "") -> str:
    note = ", which includes 0" if interval["low"] <= 0 <= interval["high"] else ""
    bounds = f"{level(interval)} interval {say(interval['low'])} to {say(interval['high'])}{note}"
    return f"{say(interval['value'])}{unit} ({bounds})"


def _say_preference(row: _Row, name: str) -> str:
    accuracy = row["accuracy"]
    if not is_measured(accuracy):
        return f"Over {row['rows']} pairs ({row['data']}) the preference accuracy could not be measured."
    bounds = f"{level(accuracy)} interval {percent(accuracy['low'])} to {percent(accuracy['high'])}"
    chance = "; this is no more than chance would explain" if accuracy["low"] <= 0.5 <= accuracy["high"] else ""
    return (
        f"Over {row['rows']} pairs ({row['data']}) {name or 'the model'} found the better of two prompts in "
        f"{percent(accuracy['value'])} ({bounds}){chance}; whether rewrites help was not measured."
    )


def _say_rewriting(row: _Row, name: str) -> str:
    rewritten = row["outcomes"].get("optimized", 0)
    return (
        f"Of {_prompts(row['rows'])} ({row['data']}), {rewritten} were rewritten{f' by {name}' if name else ''} and "
        f"{row['rows'] - rewritten} left alone; whether that made them better was not measured."
    )


def _prompts(count: int) -> str:
    return f"{count} prompt" if count == 1 else f"{count:,} prompts"


def _others(results: Mapping[str, Any], rows: Sequence[_Row]) -> Iterator[str]:
    """Names what gained no less on the same prompts: a gain that a control has too is not the optimizer's."""
    for row in rows:
        if _verdict(row) != "better":
            continue
        rivals = [
            f"“{other['system']}” changed it by {signed(other['gain']['value'])}"
            for other in results["golden_gain"]
            if _is_rival(other, row) and other["gain"]["value"] >= row["gain"]["value"]
        ]
        if rivals:
            yield f"On the same prompts ({row['data']}, {row['test_model']}) {' and '.join(rivals)}, no less than this."


def _is_rival(other: _Row, row: _Row) -> bool:
    is_same = all(other[key] == row[key] for key in ("data", "test_model"))
    return is_same and other["system"] != row["system"] and is_measured(other["gain"])
