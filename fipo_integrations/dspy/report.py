"""What happened to a program's instructions, and what it cost; written to log_dir as a file and as a page."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fipo_integrations.dspy.demos import DEMOS, count_of, say
from fipo_integrations.dspy.instructions import Protected, Target
from fipo_integrations.dspy.page import render_report
from fipo_integrations.dspy.results import Attempt, Measured, Report, Scores
from fipo_integrations.dspy.search import Search
from fipo_model.errors import InputError
from fipo_model.search import Changed, Interval, Level, Proposed

_REPORT, _PAGE = "report.json", "report.html"


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
            try:
                part.write_text(text, encoding="utf-8")
                part.replace(folder / name)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to the log_dir {directory}: {error.strerror}") from error


def report_decided(
    model: str | None,
    targets: Sequence[Target | Protected],
    proposals: Mapping[str, Sequence[Proposed]],
) -> Report:
    """What happened to each predictor when the first of its proposals decides."""
    return Report(model=model, predictors=_decide_each(targets, proposals), measured=None)


def measure(search: Search, best: str) -> Measured:
    """What was measured and spent when a metric decided."""
    compared = search.compared(best)
    return Measured(
        seed=search.settings.seed,
        scores=Scores(student=_summarize(compared.before), compiled=_summarize(compared.after)),
        gain=None if compared.gain is None else _in_points(compared.gain),
        trials=_list_trials(search),
        metric_calls=search.budget.calls,
        metric_calls_resumed=search.board.resumed,
        stopped_by=search.stopped_by,
        tried_again=search.measuring.tried_again,
        demos=count_of(search.board.texts(best).get(DEMOS, "")),
        demonstrations=_say_demonstrations(search, best),
        first_failure=None if search.measuring.first_failure is None else search.measuring.first_failure.cause,
    )


def report_search(search: Search, best: str, measured: Measured) -> Report:
    """What happened to each predictor when a metric decided."""
    rows = {target.name: _shown(target, search.proposals.get(target.name, ())) for target in search.targets}
    decided = _decide_each(search.targets, rows)
    changes = {one.name: one for one in search.changes(best)}
    predictors = []
    for one in decided:
        changed = changes[one.name]
        is_explained = one.name in search.limits or one.name in search.reasons
        is_decided = changed.is_rewritten or is_explained or len(changed.candidates) > 0
        kept = replace(one, text=changed.text)
        predictors.append(replace(kept, outcome=changed.outcome, detail=changed.detail) if is_decided else kept)
    return Report(model=search.model, predictors=predictors, measured=measured)


def statistics(search: Search, measured: Measured) -> dict[str, Any]:
    """What DSPy's optimizers attach to a compiled program, under the same names: plain data, except programs."""
    found = [(arm, asdict(_summarize(search.compared(arm).after))) for arm in search.measured()]
    # Where runs are missing, an arm may have another rank on the examples that it shares with the student.
    scores = dict(sorted(found, key=lambda one: -one[1]["score"]))
    return {
        "score": measured.scores.compiled.score,
        "candidate_programs": [{"program": search.variant(arm), **score} for arm, score in scores.items()],
        "trial_logs": dict(enumerate(map(asdict, measured.trials))),
        "total_calls": measured.metric_calls,
    }


def percent(value: float) -> float:
    """As dspy.Evaluate rounds it."""
    return round(100 * value, 2)


def _decide_each(targets: Sequence[Target | Protected], proposals: Mapping[str, Sequence[Proposed]]) -> list[Changed]:
    return [_decided(target, proposals.get(target.name, ())) for target in targets]


def _shown(target: Target | Protected, rows: Sequence[Proposed]) -> list[Proposed]:
    """What was proposed, without the protocol that follows every one of them."""
    protocol = target.protocol if isinstance(target, Target) else ""
    return [replace(row, text=row.text.removesuffix(protocol)) for row in rows]


def _decided(target: Target | Protected, candidates: Sequence[Proposed]) -> Changed:
    kept = Changed(
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


def _say_demonstrations(search: Search, best: str) -> str:
    """Which predictors got demonstrations, or why none did."""
    changed = next((one for one in search.changes(best) if one.name == DEMOS), None)
    if changed is not None:
        return say(changed.text) if changed.is_rewritten else f"none: {changed.detail}"
    if search.proposer.settings.demos == 0:
        return ""
    return "none, because no example can be spared for them: give a valset of its own, 36 training examples, or demos=4"


def _list_trials(search: Search) -> list[Attempt]:
    return [
        Attempt(
            program=one.arm,
            changed=one.changed,
            score=percent(one.score),
            failed=one.failed,
            examples=one.examples,
            missing=one.missing,
        )
        for one in search.attempts()
    ]


def _summarize(level: Level) -> Level:
    return replace(level, score=percent(level.score))


def _in_points(gain: Interval) -> Interval:
    value, low, high = map(percent, (gain.value, gain.low, gain.high))
    return Interval(value=value, low=low, high=high, level=gain.level)
