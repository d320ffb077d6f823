"""What became of a program's instructions, and what it cost; in log_dir as a file and as a page."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fipo_integrations.dspy.instructions import Protected, Target
from fipo_integrations.dspy.page import render_report
from fipo_integrations.dspy.results import Attempt, Measured, Predictor, Proposal, Report, Score, Scores
from fipo_integrations.dspy.search import Search
from fipo_integrations.dspy.selection import Interval, mean, paired_interval
from fipo_integrations.dspy.selection import Score as ExampleScore
from fipo_model.errors import InputError

_REPORT, _PAGE = "report.json", "report.html"

_LIMITS = {"max_calls": "max_metric_calls", "max_seconds": "max_seconds"}


def write_report(directory: str | Path | None, report: Report) -> None:
    """Put the report and its page into the directory, if there is one; they replace earlier ones as a whole."""
    if directory is None:
        return
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        texts = {_REPORT: json.dumps(report.to_fields(), indent=2) + "\n", _PAGE: render_report(report)}
        for name, text in texts.items():
            part = folder / f".{name}.{threading.get_native_id()}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(folder / name)
    except OSError as error:
        raise InputError(f"cannot write to the log_dir {directory}: {error.strerror}") from error


def report_decided(
    model: str | None,
    targets: Sequence[Target | Protected],
    proposals: Mapping[str, Sequence[Mapping[str, str]]],
) -> Report:
    """What became of each predictor when the first of its proposals decides."""
    predictors = [_decided(target, proposals.get(target.name, ())) for target in targets]
    return Report(model=model, predictors=predictors, measured=None)


def measure(search: Search, best: str) -> Measured:
    """What was measured and spent when a metric decided."""
    student, compiled = search.scores(search.start), search.scores(best)
    gain = paired_interval(compiled, student, seed=search.settings.seed)
    return Measured(
        seed=search.settings.seed,
        scores=Scores(student=_summarize(student), compiled=_summarize(compiled)),
        gain=None if gain is None else _in_points(gain),
        trials=_list_trials(search),
        metric_calls=search.board.calls,
        metric_calls_resumed=search.variants.resumed,
        stopped_by=next((_LIMITS[limit] for limit in search.limits.values()), None),
    )


def report_search(search: Search, best: str, measured: Measured) -> Report:
    """What became of each predictor when a metric decided."""
    texts = search.variants.texts(best)
    decided = report_decided(search.model, search.targets, search.proposals)
    predictors = [_decided_by_metric(one, texts[one.name], search) for one in decided.predictors]
    return Report(model=search.model, predictors=predictors, measured=measured)


def statistics(search: Search, measured: Measured) -> dict[str, Any]:
    """What DSPy's own optimizers attach to a compiled program, under their names: plain data, but for programs."""
    scores = {arm: asdict(_summarize(search.scores(arm))) for arm in search.measured()}
    return {
        "score": measured.scores.compiled.score,
        "candidate_programs": [{"program": search.variants.program(arm), **score} for arm, score in scores.items()],
        "trial_logs": dict(enumerate(map(asdict, measured.trials))),
        "total_calls": measured.metric_calls,
    }


def percent(value: float) -> float:
    """As dspy.Evaluate rounds it."""
    return round(100 * value, 2)


def _decided(target: Target | Protected, proposals: Sequence[Mapping[str, str]]) -> Predictor:
    candidates = [Proposal(**proposal) for proposal in proposals]
    kept = Predictor(
        name=target.name,
        naive=target.naive,
        text=target.naive,
        outcome="protected" if isinstance(target, Protected) else "out_of_budget",
        detail="",
        candidates=candidates,
    )
    if not candidates:
        return kept
    first = candidates[0]
    decided = replace(kept, outcome=first.outcome, detail=first.detail)
    if isinstance(target, Target) and first.outcome == "optimized":
        return replace(decided, text=target.instruction(first.text))
    return decided


def _decided_by_metric(decided: Predictor, text: str, search: Search) -> Predictor:
    """What became of a predictor when a metric decided that it has this text."""
    kept = replace(decided, text=text)
    if kept.is_rewritten:
        return replace(kept, outcome="optimized", detail="")
    if kept.name in search.limits:
        limit = _LIMITS[search.limits[kept.name]]
        detail = f"{limit} ended the search before all its rewrites were compared"
        return replace(kept, outcome="out_of_budget", detail=detail)
    if any(candidate.outcome == "optimized" for candidate in kept.candidates):
        no_lead = "no rewrite got a higher score without more failures"
        return replace(kept, outcome="not_preferred", detail=search.unsure.get(kept.name, no_lead))
    return kept


def _list_trials(search: Search) -> list[Attempt]:
    start = search.variants.texts(search.start)
    trials = []
    for trial in search.board.trials:
        texts = search.variants.texts(trial.arm)
        trials.append(
            Attempt(
                program=trial.arm,
                changed={name: text for name, text in texts.items() if text != start[name]},
                score=percent(trial.mean),
                failed=trial.failed,
                examples=trial.examples,
            )
        )
    return trials


def _summarize(scores: Sequence[ExampleScore]) -> Score:
    return Score(score=percent(mean(scores)), failed=scores.count(None), examples=len(scores))


def _in_points(gain: Interval) -> Interval:
    value, low, high = map(percent, (gain.value, gain.low, gain.high))
    return Interval(value=value, low=low, high=high, level=gain.level)
