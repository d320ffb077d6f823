"""How much a search could gain, told before any: how far other wordings of a prompt are apart on the examples."""

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fipo_model.rewriter import Rewriter
from fipo_model.search.budget import Budget, Limit
from fipo_model.search.evidence import Interval, Pair, least_interval, mean
from fipo_model.search.examples import Example, Row, has_variables, read_examples
from fipo_model.search.measuring import Measuring
from fipo_model.search.metrics import text_of
from fipo_model.search.prompts import PROMPT
from fipo_model.search.scoreboard import Scoreboard
from fipo_model.search.searching import UnmeasurableError
from fipo_model.search.splitting import split
from fipo_model.search.tuning import Prompted, Yardstick
from fipo_model.search.wordings import Kind, Wording, wordings
from fipo_model.types import OptimizationRequest

MAX_SECONDS = 40.0
_PATIENCE = 10.0
_RUNS_AT_ONCE = 64
# So many examples are solved in the fullest wording, where there are three times as many.
_SOLVED = 4
# Measured first, to see how many the time is enough for.
_FIRST = 4
_MOST = 24
_REWRITES = 3
# Wordings to be expected in all.
_WORDINGS = 8

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
    """How far wordings of a prompt are apart, each figure with its interval (None with fewer than two examples)."""

    measured_by: str
    """What the scores are."""
    examples: int
    wordings: Sequence[Tried]
    gain: Interval | None
    """The best wording's lead over the prompt, on each example by the wording that is best on the others."""
    spread: Interval | None
    """The best wording's lead over the worst, of those that say what the prompt says; measured in the same way."""
    is_perfect: bool
    """Whether the prompt has the highest score there is on every example."""
    stopped_by: Limit | None
    """What ended it before every wording was measured."""
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """Whether a search is worth its time: the best wording leads, by more than the interval leaves open."""
        if self.is_perfect or self.gain is None:
            return "not worth it" if self.is_perfect else "unclear"
        if self.gain.low > 0:
            return "worth it"
        return "not worth it" if self.gain.high <= 0 else "unclear"

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
    """Measure a prompt, other forms of it, it with solved examples, and nothing in its place, on examples.

    With a `rewriter` a few of its rewrites are measured, too. As many examples and wordings are measured as
    `max_seconds` allows, but four examples of the prompt at least. Raises `InputError` for examples that nothing could
    decide on, and `UnmeasurableError` where the prompt cannot be measured.
    """
    request = OptimizationRequest(prompt) if isinstance(prompt, str) else prompt
    rows = read_examples(examples)
    yardstick.check(rows)
    solved, measured = _parts(split(rows, [], seed=seed).deciding, seed=seed)
    glance = _Glance(yardstick.of(request.instruction, measured), max_seconds)
    glance.begin(request.instruction)
    for wording in wordings(request.instruction, measured[0], solved):
        glance.add(wording)
    if rewriter is not None and not glance.is_over:
        for text in _rewrites(rewriter, request, solved, seed=seed):
            glance.add(Wording("rewrite", text))
    return glance.result(str(yardstick), seed=seed)


def _parts(examples: Sequence[Example], *, seed: int) -> tuple[list[Example], list[Example]]:
    """The examples that are shown solved, and those that are measured on, in an order drawn by the seed."""
    drawn = random.Random(seed).sample(list(examples), len(examples))
    # Braces in an example would be taken for a variable of the wording.
    showable = [one for one in drawn if one.outputs and not _has_braces(one)]
    solved = showable[: min(_SOLVED, len(drawn) // 3)]
    return solved, [one for one in drawn if one not in solved][:_MOST]


def _has_braces(example: Example) -> bool:
    return has_variables(text_of(example.input)) or has_variables(text_of(example.outputs[0]))


def _rewrites(rewriter: Rewriter, request: OptimizationRequest, solved: Sequence[Example], *, seed: int) -> list[str]:
    """A few rewrites that pass the checks: some from the prompt alone, some with examples shown."""
    shown = replace(request, examples=tuple(one.shown for one in solved))
    proposals = replace(rewriter, samples=_REWRITES, seed=seed).propose([request, shown])
    candidates = [one for proposal in proposals if isinstance(proposal, tuple) for one in proposal]
    texts = [one.text for one in candidates if one.outcome == "optimized"]
    return list(dict.fromkeys(texts))[:_REWRITES]


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

    def begin(self, prompt: str) -> None:
        """Measure the prompt on a few examples, and see how many there may be."""
        self._start = self._board.add({PROMPT: prompt})
        self._limit = self._board.measure([self._start], self._examples)
        lost = self._board.failed(self._start, self._examples) + self._board.missing(self._start, self._examples)
        if self._limit is not None or lost == len(self._examples):
            first = self._measuring.first_failure
            raise UnmeasurableError(f"the prompt could not be measured: {first.cause if first else self._limit}")
        each = max(1e-6, (self._clock() - self._began) / len(self._examples))
        affordable = int(self._budget.seconds_left / (each * _WORDINGS))
        self._examples = self._all[: max(len(self._examples), affordable)]

    def add(self, wording: Wording) -> None:
        """Measure a wording, unless the time is up."""
        if self.is_over:
            return
        arm = self._board.add({PROMPT: wording.text})
        self._limit = self._board.measure([arm], self._examples)
        if self._limit is None:
            self._found.setdefault(arm, wording)

    def result(self, measured_by: str, *, seed: int) -> Headroom:
        """What was found."""
        examples = [one for one in self._examples if not any(self._board.missing(arm, [one]) for arm in self._found)]
        same = [arm for arm, wording in self._found.items() if wording.kind not in ("empty", "fullest")]
        worth = [arm for arm, wording in self._found.items() if wording.kind != "empty"]
        best = _left_out(self._scores(worth, examples))
        yours = self._scores([self._start], examples)
        scores = self._scores(same, examples)
        apart = zip(_left_out(scores), _left_out(scores, is_worst=True), strict=True)
        return Headroom(
            measured_by=measured_by,
            examples=len(examples),
            wordings=[self._tried(arm, examples, seed=seed) for arm in self._found],
            gain=least_interval([(one, of[0]) for one, of in zip(best, yours, strict=True)], seed=seed),
            spread=least_interval(list(apart), seed=seed),
            is_perfect=self._is_perfect(examples),
            stopped_by=self._limit,
            seconds=self._clock() - self._began,
        )

    def _scores(self, arms: Sequence[str], examples: Sequence[int]) -> list[list[Sequence[float | None]]]:
        """By judge and arm, the scores on the examples."""
        return [
            [self._board.pairs(arm, self._start, examples)[judge][0] for arm in arms]
            for judge in range(self._board.judges)
        ]

    def _tried(self, arm: str, examples: Sequence[int], *, seed: int) -> Tried:
        wording = self._found[arm]
        pairs: list[Pair] = self._board.pairs(arm, self._start, examples)
        score = self._board.level(arm, examples)
        return Tried(kind=wording.kind, text=wording.text, score=score, gain=least_interval(pairs, seed=seed))

    def _is_perfect(self, examples: Sequence[int]) -> bool:
        pairs = self._board.best_pairs("", self._start, examples)
        return pairs is not None and all(list(best) == list(yours) for best, yours in pairs)


def _left_out(
    judges: Sequence[Sequence[Sequence[float | None]]], *, is_worst: bool = False
) -> list[list[float | None]]:
    """For each judge the scores, example by example, of the arm that is best on all the other examples.

    Who is chosen by the examples it is measured on looks better than it is; this one is not. An arm is as good as the
    judge finds it who likes it least.
    """
    arms, count = range(len(judges[0])), len(judges[0][0])
    sign = -1 if is_worst else 1
    chosen = []
    for left in range(count):
        means = [min(_mean_without(own[arm], left) for own in judges) for arm in arms]
        chosen.append(max(arms, key=lambda arm: sign * means[arm]))
    return [[own[arm][place] for place, arm in enumerate(chosen)] for own in judges]


def _mean_without(scores: Sequence[float | None], place: int) -> float:
    return mean([*scores[:place], *scores[place + 1 :]])
