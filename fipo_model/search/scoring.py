"""Prompts side by side: every one on the same rows, with the same models and scores, whoever wrote them."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fipo_model.errors import InputError
from fipo_model.search.budget import Budget
from fipo_model.search.comparing import level
from fipo_model.search.evidence import Interval, least_interval
from fipo_model.search.examples import Example, Row, read_examples
from fipo_model.search.explaining import best_single_answer, never_right, one_of, rights_of, same_answer
from fipo_model.search.measuring import Measuring
from fipo_model.search.metrics import Metric
from fipo_model.search.prompts import PROMPT
from fipo_model.search.results import Level
from fipo_model.search.scoreboard import Scoreboard, Trial
from fipo_model.search.searching import UnmeasurableError
from fipo_model.search.splitting import once, repeated
from fipo_model.search.subject import Measured
from fipo_model.search.tuning import Yardstick

logger = logging.getLogger("fipo_model.search")

_PATIENCE = 90.0
_RUNS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptScore:
    """How a prompt scored."""

    text: str
    level: Level
    """Its mean score, on the rows on which every prompt ran."""
    gain: Interval | None
    """Its lead over the first prompt on these rows; None for the first itself, and for fewer than two rows."""
    scores: Sequence[float | None]
    """Row by row, by the model under which the prompt scores least; None where the run failed."""
    answers: Sequence[str | None]
    """Row by row, what the (last) model answered; None where it failed, and where no model was asked to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptScores:
    """How prompts scored on the same rows, in the order given."""

    measured_by: str
    """What the scores are."""
    rows: int
    prompts: Sequence[PromptScore]
    first_failure: str | None
    """The cause of the first failed run."""
    notes: Sequence[str]
    """Remarks, for example that rows are repeated."""

    def __str__(self) -> str:
        """A line for each prompt, and what the scores are."""
        from fipo_model.search.words import score_lines, score_remarks  # they are made of scores

        return "\n".join([*score_lines(self), *score_remarks(self)])

    def to_fields(self) -> dict[str, Any]:
        """Plain data: dictionaries, lists, texts and numbers."""
        return asdict(self)


def score_prompts(prompts: Sequence[str], rows: Iterable[Row], *, yardstick: Yardstick, seed: int = 0) -> PromptScores:
    """Measure each prompt on every row, and compare it with the first one, row by row.

    Nothing is chosen, so the gain is an honest one, if the rows chose none of the prompts either. `seed` draws the
    resamples of the intervals. Raises `InputError` for prompts and rows that cannot be measured, and
    `UnmeasurableError` where no row could be measured with every prompt.
    """
    texts = _checked(prompts)
    examples, notes = _read(rows, texts, yardstick)
    logger.info("%d prompts on %d rows; scores are %s", len(texts), len(examples), yardstick)
    subject = yardstick.of(texts[0], examples)
    budget = Budget()
    measuring = Measuring(subject, budget, patience=_PATIENCE)
    board = Scoreboard(measuring, budget, runs_at_once=_RUNS_AT_ONCE, report=_say)
    arms = [board.add({PROMPT: text}) for text in texts]
    everything = range(len(examples))
    limit = board.measure(arms, everything)
    both = [] if limit else [one for one in everything if not any(board.missing(arm, [one]) for arm in arms)]
    first = None if measuring.first_failure is None else measuring.first_failure.cause
    if not both or all(board.failed(arm, both) == len(both) for arm in arms):
        raise UnmeasurableError(f"no row could be measured with every prompt; {first}")
    found = [
        replace(
            _alone(board, arm, both, rows=len(examples)),
            gain=None if number == 0 else least_interval(board.pairs(arm, arms[0], both), seed=seed),
        )
        for number, arm in enumerate(arms)
    ]
    said = [*notes, *subject.notes, *_always_the_same(found, examples, who=one_of(board.judges))]
    if yardstick.metric is not None:
        said += _about_answers(board, arms, examples, yardstick.metric)
    return PromptScores(measured_by=str(yardstick), rows=len(examples), prompts=found, first_failure=first, notes=said)


def _read(rows: Iterable[Row], texts: Sequence[str], yardstick: Yardstick) -> tuple[list[Example], list[str]]:
    """The rows, each once, and remarks about them. Raises `InputError` for one that some prompt cannot be scored on."""
    given = read_examples(rows)
    if not given:
        raise InputError("there is no row to score the prompts on")
    for number, text in enumerate(texts, start=1):
        yardstick.check_rows(text, given, called=f"prompt {number}, row")
    return once(given), repeated(given)


def _alone(board: Scoreboard, arm: str, both: Sequence[int], *, rows: int) -> PromptScore:
    """What a prompt got, without a comparison."""
    measured = board.measurements(arm, range(rows))
    return PromptScore(
        text=board.texts(arm)[PROMPT],
        level=level(board, arm, range(rows), both),
        gain=None,
        scores=[min(one.scores) if isinstance(one, Measured) else None for one in measured],
        answers=[one.response if isinstance(one, Measured) else None for one in measured],
    )


def _checked(prompts: Sequence[str]) -> list[str]:
    if isinstance(prompts, str) or not isinstance(prompts, Iterable):
        raise InputError(f"this takes a list of prompts, not a {type(prompts).__name__}")
    texts = list(prompts)
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"prompt {number} must be a text that is not empty, not {text!r:.80}")
    if not texts:
        raise InputError("there is no prompt to score")
    return texts


def _always_the_same(found: Sequence[PromptScore], examples: Sequence[Example], *, who: str) -> Iterator[str]:
    """What to say of prompts that get (almost) one answer to every row, although different ones are right."""
    rights = rights_of(examples)
    for number, one in enumerate(found, start=1):
        rows = zip(one.answers, rights, one.scores, strict=True)
        known = [(said, right, score) for said, right, score in rows if said is not None and score is not None]
        if known and (same := same_answer(*zip(*known, strict=True))):
            yield f"with prompt {number}, {who} answers {same[0]!r:.80} to {same[1]} of {len(known)} rows"


def _about_answers(board: Scoreboard, arms: Sequence[str], examples: Sequence[Example], metric: Metric) -> list[str]:
    """An answer beside the right one if no prompt got any right, else what one answer to everything would score."""
    wrong = [never_right(board, arm, examples, metric) for arm in arms]
    if None not in wrong:
        return [said for said in wrong[-1:] if said is not None]
    same = best_single_answer(rights_of(examples)) if metric.is_exact else None
    return [] if same is None else [same]


def _say(trial: Trial) -> None:
    logger.info("%.3g on %d rows", trial.mean, trial.examples)
