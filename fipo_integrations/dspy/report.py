"""What became of a program's instructions, and what it cost: plain data, and in log_dir also a page."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fipo_integrations.dspy.instructions import Protected, Target
from fipo_integrations.dspy.page import render_page
from fipo_integrations.dspy.search import Search
from fipo_integrations.dspy.selection import Score, mean, paired_interval
from fipo_model.errors import InputError

_REPORT, _PAGE = "report.json", "report.html"

_LIMITS = {"max_calls": "max_metric_calls", "max_seconds": "max_seconds"}

Row = dict[str, Any]
"""An entry of `fipo_report["predictors"]`: name, naive, text, outcome, detail, candidates."""


def write_report(directory: str | Path | None, report: Mapping[str, Any]) -> None:
    """Put the report and its page into the directory, if there is one; they replace earlier ones as a whole."""
    if directory is None:
        return
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((_REPORT, json.dumps(report, indent=2) + "\n"), (_PAGE, render_page(report))):
            part = folder / f".{name}.{threading.get_native_id()}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(folder / name)
    except OSError as error:
        raise InputError(f"cannot write to the log_dir {directory}: {error.strerror}") from error


def rows(targets: Sequence[Target | Protected], proposals: Mapping[str, Sequence[Mapping[str, str]]]) -> list[Row]:
    """What became of each predictor when the first of its proposals decides."""
    found = []
    for target in targets:
        own = proposals.get(target.name, ())
        first = own[0] if own else {"outcome": "protected" if isinstance(target, Protected) else "out_of_budget"}
        text = target.naive
        if isinstance(target, Target) and first["outcome"] == "optimized":
            text = target.instruction(first["text"])
        found.append(
            {
                "name": target.name,
                "naive": target.naive,
                "text": text,
                "outcome": first["outcome"],
                "detail": first.get("detail", ""),
                "candidates": [dict(candidate) for candidate in own],
            }
        )
    return found


def _search_rows(search: Search, best: str) -> list[Row]:
    """What became of each predictor when a metric decided."""
    texts = search.variants.texts(best)
    found = rows(search.targets, search.proposals)
    for row in found:
        accepted = any(candidate["outcome"] == "optimized" for candidate in row["candidates"])
        row["text"] = texts[row["name"]]
        if row["text"] != row["naive"]:
            row["outcome"], row["detail"] = "optimized", ""
        elif row["name"] in search.limits:
            limit = _LIMITS[search.limits[row["name"]]]
            row["outcome"] = "out_of_budget"
            row["detail"] = f"{limit} ended the search before all its rewrites were compared"
        elif accepted:
            no_lead = "no rewrite got a higher score without more failures"
            row["outcome"], row["detail"] = "not_preferred", search.unsure.get(row["name"], no_lead)
    return found


def search_report(search: Search, best: str) -> dict[str, Any]:
    """What was measured and spent. Scores are percentages, as DSPy gives them; the gain is in percentage points."""
    student, compiled = search.scores(search.start), search.scores(best)
    gain = paired_interval(compiled, student, seed=search.settings.seed)
    return {
        "model": search.model,
        "predictors": _search_rows(search, best),
        "seed": search.settings.seed,
        "scores": {"student": _summary(student), "compiled": _summary(compiled)},
        "gain": None if gain is None else {**{k: percent(v) for k, v in asdict(gain).items()}, "level": gain.level},
        "trials": [
            {
                "program": trial.arm,
                "changed": _changed(search, trial.arm),
                "score": percent(trial.mean),
                "failed": trial.failed,
                "examples": trial.examples,
            }
            for trial in search.board.trials
        ],
        "metric_calls": search.board.calls,
        "metric_calls_resumed": search.variants.resumed,
        "stopped_by": next((_LIMITS[limit] for limit in search.limits.values()), None),
    }


def statistics(search: Search, best: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """What DSPy's own optimizers attach to a compiled program, under their names."""
    return {
        "score": report["scores"]["compiled"]["score"],
        "candidate_programs": [
            {"program": search.variants.program(arm), **_summary(search.scores(arm))} for arm in search.measured()
        ],
        "trial_logs": dict(enumerate(report["trials"])),
        "total_calls": report["metric_calls"],
    }


def percent(value: float) -> float:
    """As dspy.Evaluate rounds it."""
    return round(100 * value, 2)


def _summary(scores: Sequence[Score]) -> dict[str, Any]:
    return {"score": percent(mean(scores)), "failed": scores.count(None), "examples": len(scores)}


def _changed(search: Search, arm: str) -> dict[str, str]:
    """The instructions of an arm that are not the student's."""
    start = search.variants.texts(search.start)
    return {name: text for name, text in search.variants.texts(arm).items() if text != start[name]}
