"""How much a search could gain, estimated beforehand from how far apart other wordings score on the examples."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fipo_model.errors import InputError
from fipo_model.rewriter import Rewriter
from fipo_model.search.asking import Part
from fipo_model.search.budget import Budget, Limit
from fipo_model.search.evidence import Interval, Pair, least_interval, mean
from fipo_model.search.examples import Example, Row, has_variables, misfit, read_examples
from fipo_model.search.meaning import Meaning
from fipo_model.search.measuring import Measuring
from fipo_model.search.metrics import text_of
from fipo_model.search.prompts import PROMPT
from fipo_model.search.proposals import Seen
from fipo_model.search.proposing import RewriterProposer
from fipo_model.search.scoreboard import Scoreboard
from fipo_model.search.searching import UnmeasurableError
from fipo_model.search.splitting import once
from fipo_model.search.tuning import Prompted, Yardstick
from fipo_model.search.wordings import KINDS, Kind, Wording, wordings
from fipo_model.types import OptimizationRequest, as_request

MAX_SECONDS = 40.0
_PATIENCE = 10.0
_RUNS_AT_ONCE = 64
# This many examples are solved in the fullest wording, if there are three times as many.
_SOLVED = 4
# Measured first, to see how many the time allows.
_FIRST = 4
_MOST = 24
_REWRITES = 4
_FEWEST = 2
# The expected number of wordings in all.
_WORDINGS = 8
# Ways to split the examples into those that choose and those that measure.
_HALVES = 100

Scores = list[list[float]]
"""By judge and example."""

Verdict = Literal["worth it", "unclear", "not worth it"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A wording that was measured: its mean score, and its lead over the prompt."""

    kind: Kind
    text: str
    score: float
    gain: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Headroom:
    """How far apart wordings of a prompt are. Each figure has an interval, or is None if it could not be measured."""

    measured_by: str
    """What the scores are."""
    examples: int
    wordings: Sequence[Tried]
    done: Interval | None
    """The prompt's lead over the input alone."""
    left: Interval | None
    """The lead of the prompt with solved examples over the prompt."""
    left_over_done: Interval | None
    """`left` minus `done`: above 0, the prompt is less than half of the way from the input alone to solved examples."""
    gain: Interval | None
    """The best rewrite's lead over the prompt. What is best is chosen on other examples than it is measured on."""
    spread: Interval | None
    """The lead of the best over the worst of those that say what the prompt says, chosen and measured in that way."""
    is_perfect: bool
    """Whether the prompt has the highest score there is on every example."""
    stopped_by: Limit | None
    """What ended it before every wording was measured."""
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """Whether a search is worth its time.

        It is if a rewrite already leads, or more is left to gain than the prompt has gained. It is not if less is left,
        or nothing; but if there was no time to measure a rewrite, nobody knows. On 19 tasks it was too cautious: see
        docs/worth-it.md.
        """
        if self.is_perfect:
            return "not worth it"
        if self.gain is not None and self.gain.low > 0:
            return "worth it"
        if self.left is None or self.left_over_done is None:
            return "unclear"
        if self.left.high <= 0 or self.left_over_done.high < 0:
            return "unclear" if self.stopped_by is not None and self.gain is None else "not worth it"
        return "worth it" if self.left.low > 0 and self.left_over_done.low > 0 else "unclear"

    def to_fields(self) -> dict[str, Any]:
        """Plain data, the verdict included."""
        fields = asdict(self)
        return {"verdict": self.verdict, **fields, "wordings": list(fields["wordings"])}


def measure_headroom(
    rewriter: Rewriter | None,
    prompt: str | OptimizationRequest,
    *,
    examples: Iterable[Row],
    yardstick: Yardstick,
    seed: int = 0,
    max_seconds: float = MAX_SECONDS,
) -> Headroom:
    """Measure a prompt on examples, together with other forms of it, the prompt with solved examples, and no prompt.

    With a `rewriter` a few of its rewrites are measured, too. It measures as many examples and wordings as
    `max_seconds` allows, but at least four examples of the prompt. Raises `InputError` for examples that could not
    decide anything, and `UnmeasurableError` where the prompt cannot be measured.
    """
    request = as_request(prompt)
    given = read_examples(examples)
    yardstick.check_rows(request.instruction, given, called="example")
    rows = once(given)
    if len(rows) < _FEWEST:
        there = f"there {'is' if len(rows) == 1 else 'are'} {len(rows)}"
        raise InputError(f"an estimate needs at least {_FEWEST} examples that are not repeated, and {there}")
    solved, measured = _parts(rows, seed=seed)
    glance = _Glance(yardstick.of(request.instruction, measured), max_seconds)
    glance.begin(request.instruction)
    for wording in wordings(request.instruction, measured[0], solved):
        if not any(misfit(wording.text, one.input) for one in measured):  # rows may have different fields
            glance.add(wording)
    if rewriter is not None and not glance.is_over:
        meaning = Meaning.of(rewriter, request, rows, is_answered=yardstick.metric is not None)
        for text in _rewrites(replace(rewriter, seed=seed), request, meaning, rows, solved, glance.seconds_left):
            glance.add(Wording("rewrite", text))
    return glance.result(str(yardstick), seed=seed)


def _parts(examples: Sequence[Example], *, seed: int) -> tuple[list[Example], list[Example]]:
    """The examples to show solved, and those to measure on, in an order drawn by the seed."""
    drawn = random.Random(seed).sample(list(examples), len(examples))
    # Braces in an example would be taken for a variable of the wording.
    showable = [one for one in drawn if one.outputs and not _has_braces(one)]
    solved = showable[: min(_SOLVED, len(drawn) // 3)]
    return solved, [one for one in drawn if one not in solved][:_MOST]


def _has_braces(example: Example) -> bool:
    return has_variables(text_of(example.input)) or has_variables(example.rights[0])


def _rewrites(
    rewriter: Rewriter,
    request: OptimizationRequest,
    meaning: Meaning,
    rows: Sequence[Example],
    solved: Sequence[Example],
    seconds_left: float,
) -> list[str]:
    """The first texts that a search would try, with some examples shown; fewer where there is little time."""
    proposer = RewriterProposer(
        rewriter=rewriter,
        parts=[Part(name=PROMPT, request=request, meaning=meaning.check)],
        candidates=_REWRITES,
        seed=rewriter.seed,
        shown={number: one.shown for number, one in enumerate(solved)},
        outputs=[one.shown.output for one in rows],
    )
    seen = Seen(texts={PROMPT: request.instruction}, measurements={}, seconds_left=seconds_left)
    found = proposer.propose(seen)
    return [one.text for one in found.by_text[PROMPT] if one.is_usable]


class _Glance:
    """Wordings measured one after another until the time is up."""

    def __init__(self, subject: Prompted, max_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._budget = Budget(max_seconds=max_seconds, clock=clock)
        self._measuring = Measuring(subject, self._budget, patience=_PATIENCE)
        self._board = Scoreboard(self._measuring, self._budget, runs_at_once=_RUNS_AT_ONCE)
        self._all = range(len(subject))
        self._examples: Sequence[int] = self._all[:_FIRST]
        self._found: dict[str, Wording] = {}
        self._limit: Limit | None = None
        self._start = ""

    @property
    def is_over(self) -> bool:
        return self._limit is not None

    @property
    def seconds_left(self) -> float:
        return self._budget.seconds_left

    def begin(self, prompt: str) -> None:
        """Measure the prompt on a few examples, and see how many there may be."""
        self._start = self._board.add({PROMPT: prompt})
        self._limit = self._board.measure([self._start], self._examples)
        if self._limit is not None or self._is_lost():
            first = self._measuring.first_failure
            why = f"{self._limit} was reached. Raise it." if first is None else first.cause
            raise UnmeasurableError(f"the prompt could not be measured: {why}")
        each = max(1e-6, (self._clock() - self._began) / len(self._examples))
        affordable = int(self._budget.seconds_left / (each * _WORDINGS))
        self._examples = self._all[: max(len(self._examples), affordable)]

    def _is_lost(self) -> bool:
        """Whether not one run of the prompt gave a score."""
        failed, missing = (count(self._start, self._examples) for count in (self._board.failed, self._board.missing))
        return failed + missing == len(self._examples)

    def add(self, wording: Wording) -> None:
        """Measure a wording, unless the time is up."""
        if self.is_over:
            return
        arm = self._board.add({PROMPT: wording.text})
        self._limit = self._board.measure([arm], self._examples)
        if self._limit is not None or self._board.missing(arm, self._examples) == len(self._examples):
            return
        # A form that the rewriter also proposes counts as a rewrite, because a search would try it.
        if arm not in self._found or (wording.kind == "rewrite" and arm != self._start):
            self._found[arm] = wording

    def result(self, measured_by: str, *, seed: int) -> Headroom:
        """What was found."""
        examples = [one for one in self._examples if not any(self._board.missing(arm, [one]) for arm in self._found)]
        if len(examples) < _FEWEST:
            only = f"only {len(examples)} of {len(self._examples)} examples {'was' if len(examples) == 1 else 'were'}"
            raise UnmeasurableError(f"{only} measured with every wording: the model failed too often")
        by_kind = {kind: [arm for arm, one in self._found.items() if one.kind == kind] for kind in KINDS}
        (yours,) = self._scores([self._start], examples)
        empty, fullest = (next(iter(self._scores(by_kind[kind], examples)), None) for kind in ("empty", "fullest"))
        rewrites = self._scores([self._start, *by_kind["rewrite"]], examples)
        same = [*rewrites, *self._scores(by_kind["form"], examples)]
        best, worst = chosen_elsewhere(same, seed=seed), chosen_elsewhere(same, is_worst=True, seed=seed)
        return Headroom(
            measured_by=measured_by,
            examples=len(examples),
            wordings=[self._tried(arm, examples, seed=seed) for arm in self._found],
            done=_lead(yours, empty, seed=seed),
            left=_lead(fullest, yours, seed=seed),
            left_over_done=_lead(fullest, _mirrored(yours, empty), seed=seed),
            gain=_lead(chosen_elsewhere(rewrites, seed=seed), yours, seed=seed) if by_kind["rewrite"] else None,
            spread=_lead(best, worst, seed=seed),
            is_perfect=self._is_perfect(examples),
            stopped_by=self._limit,
            seconds=self._clock() - self._began,
        )

    def _scores(self, arms: Sequence[str], examples: Sequence[int]) -> list[Scores]:
        """The scores on the examples by arm and judge; failures count as 0."""
        return [
            [[one or 0.0 for one in ours] for ours, _ in self._board.pairs(arm, self._start, examples)] for arm in arms
        ]

    def _tried(self, arm: str, examples: Sequence[int], *, seed: int) -> Tried:
        wording = self._found[arm]
        pairs: list[Pair] = self._board.pairs(arm, self._start, examples)
        score = self._board.level(arm, examples)
        return Tried(kind=wording.kind, text=wording.text, score=score, gain=least_interval(pairs, seed=seed))

    def _is_perfect(self, examples: Sequence[int]) -> bool:
        pairs = self._board.best_pairs("", self._start, examples)
        return pairs is not None and all(list(best) == list(yours) for best, yours in pairs)


def _lead(ours: Scores | None, theirs: Scores | None, *, seed: int) -> Interval | None:
    """The lead by the judge who gives the least; None where a side was not measured."""
    if ours is None or theirs is None:
        return None
    return least_interval(list(zip(ours, theirs, strict=True)), seed=seed)


def _mirrored(yours: Scores, empty: Scores | None) -> Scores | None:
    """As far above the prompt as the prompt is above nothing."""
    if empty is None:
        return None
    return [
        [2 * one - nothing for one, nothing in zip(own, other, strict=True)]
        for own, other in zip(yours, empty, strict=True)
    ]


def chosen_elsewhere(arms: Sequence[Scores], *, is_worst: bool = False, seed: int = 0) -> Scores:
    """For each judge, the best arm's score on each example, with the arm chosen on other examples.

    An arm that is chosen by the examples it is measured on looks better than it is. So half of the examples, drawn many
    times, choose, and the others measure; each example gets the mean of its measurements. An arm is as good as the
    judge who likes it least finds it.
    """
    count, judges = len(arms[0][0]), range(len(arms[0]))
    pick, draw = (min if is_worst else max), random.Random(seed)
    sums, times = [[0.0] * count for _ in judges], [0] * count
    for _ in range(_HALVES):
        half = draw.sample(range(count), max(1, count // 2))
        means = [min(mean([own[one] for one in half]) for own in arm) for arm in arms]
        chosen = arms[means.index(pick(means))]
        for one in set(range(count)).difference(half):
            times[one] += 1
            for judge in judges:
                sums[judge][one] += chosen[judge][one]
    measured = [one for one in range(count) if times[one]]
    if len(measured) < count:  # with one example there are no others
        return arms[0]
    return [[own[one] / times[one] for one in measured] for own in sums]
