"""Choosing among variants of a thing by their scores on examples, within a budget. Pure: it only knows how to ask.

The variants are arms of a best-arm identification problem and go through successive halving (Jamieson & Talwalkar
2016, arXiv 1502.07943): all are scored on a small batch of examples, the better half on one twice as large, and so on.
Every comparison is paired, that is, made on the same examples. The incumbent is scored on all of them and is replaced
only by a challenger that was, too, and whose lead chance alone would hardly give.
"""

import itertools
import math
import operator
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Limit = Literal["max_calls", "max_seconds"]
Score = float | None
"""What an arm got on an example, higher is better; None if it failed there, which counts as 0, as in DSPy."""
Question = tuple[str, list[int]]
"""An arm, and the examples, by their numbers, that it is to be scored on."""

_FINALISTS = 2
_LEVEL = 0.95
_RESAMPLES = 2000
_SIGNS = 2**11


@dataclass(frozen=True, slots=True)
class Rung:
    """One step of the halving: so many arms are scored on so many examples, those of the rung before included."""

    arms: int
    examples: int


def cost(rungs: Sequence[Rung]) -> int:
    """How many scores a schedule takes at most."""
    before = (0, *(rung.examples for rung in rungs))
    return sum(rung.arms * (rung.examples - seen) for rung, seen in zip(rungs, before, strict=False))


def schedule(arms: int, *, examples: int, minibatch: int, calls: float = math.inf) -> tuple[Rung, ...]:
    """The halving of `arms` challengers down to the finalists, who are scored on all `examples`.

    Where that takes more than `calls` scores, there is one finalist instead of two, then there are fewer arms: the
    last ones are left out. Empty if `calls` do not suffice for a single one.
    """
    for entrants in range(arms, 0, -1):
        for finalists in range(min(entrants, _FINALISTS), 0, -1):
            if cost(rungs := _rungs(entrants, finalists, examples, minibatch)) <= calls:
                return rungs
    return ()


def _rungs(arms: int, finalists: int, examples: int, minibatch: int) -> tuple[Rung, ...]:
    rungs = []
    while minibatch < examples:  # also the finalists go from batch to batch: who does not lead costs no more calls
        rungs.append(Rung(arms, minibatch))
        arms, minibatch = max(finalists, math.ceil(arms / 2)), 2 * minibatch
    return (*rungs, Rung(arms, examples))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An arm's score on its examples so far, noted whenever it was given new ones."""

    arm: str
    mean: float
    failed: int
    examples: int


class Scoreboard:
    """Who got what on which example: each asked for once, and no more of them than the budget allows.

    `evaluate(questions)` gives for each question the scores of its arm on its examples. It is asked at one time for as
    many arms as together take `runs_at_once` scores, but for one at least. `max_calls` bounds how many scores it is
    asked for in all. When `max_seconds` of the clock have passed, nothing new is begun; what has begun is finished.
    """

    def __init__(
        self,
        evaluate: Callable[[list[Question]], Sequence[Sequence[Score]]],
        *,
        runs_at_once: int = 1,
        max_calls: int | None = None,
        max_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.trials: list[Trial] = []
        self.calls = 0
        self._evaluate = evaluate
        self._runs_at_once = runs_at_once
        self._max_calls = math.inf if max_calls is None else max_calls
        self._clock = clock
        self._deadline = math.inf if max_seconds is None else clock() + max_seconds
        self._scores: dict[tuple[str, int], Score] = {}

    @property
    def calls_left(self) -> float:
        """How many more scores may be asked for; infinite without a bound."""
        return self._max_calls - self.calls

    @property
    def is_out_of_time(self) -> bool:
        """Whether nothing new may be begun any more."""
        return self._clock() >= self._deadline

    def charge(self, calls: int) -> None:
        """Count calls that were made elsewhere against the budget."""
        self.calls += calls

    def measure(self, arms: Sequence[str], examples: Sequence[int]) -> Limit | None:
        """Have the arms scored on the examples they have no score for yet; if the budget does not allow it, why not."""
        missing = {arm: [one for one in examples if (arm, one) not in self._scores] for arm in arms}
        questions = [(arm, new) for arm, new in missing.items() if new]
        size = max(1, self._runs_at_once // max((len(new) for _, new in questions), default=1))
        for start in range(0, len(questions), size):
            group = questions[start : start + size]
            calls = sum(len(new) for _, new in group)
            if calls > self.calls_left:
                return "max_calls"
            if self.is_out_of_time:
                return "max_seconds"
            self.calls += calls
            for (arm, new), scores in zip(group, self._evaluate(group), strict=True):
                self._scores |= {(arm, one): score for one, score in zip(new, scores, strict=True)}
                got = self.scores(arm, examples)
                self.trials.append(Trial(arm=arm, mean=mean(got), failed=got.count(None), examples=len(got)))
        return None

    def has(self, arm: str, examples: Iterable[int]) -> bool:
        """Whether the arm has been scored on all these examples."""
        return all((arm, example) in self._scores for example in examples)

    def scores(self, arm: str, examples: Iterable[int]) -> list[Score]:
        """What the arm got on these examples, all of which it must have been scored on."""
        return [self._scores[arm, example] for example in examples]


class Choice(NamedTuple):
    """The arm to use, and what ended the comparison before all challengers were in it, if anything did."""

    arm: str
    limit: Limit | None


def select(
    board: Scoreboard,
    incumbent: str,
    challengers: Sequence[str],
    *,
    order: Sequence[int],
    minibatch: int,
    significance: float,
    calls: float = math.inf,
) -> Choice:
    """The best challenger that beats the incumbent on all examples of `order`, else the incumbent.

    Batches are the beginnings of `order`. At most `calls` scores are asked for, those for the incumbent not counted.
    A challenger that is behind after the first batch, or does not lead after a later one, goes no further.
    """
    if limit := board.measure([incumbent], order):
        return Choice(incumbent, limit)
    rungs = schedule(len(challengers), examples=len(order), minibatch=minibatch, calls=min(calls, board.calls_left))
    if sum(rung.arms for rung in rungs[:1]) < len(challengers):
        limit = "max_calls"
    alive = list(challengers)
    for number, rung in enumerate(rungs):
        batch, alive = order[: rung.examples], alive[: rung.arms]
        if reached := board.measure(alive, batch):
            limit = reached
            break
        standard = board.scores(incumbent, batch)
        alive = _ranked(alive, {arm: board.scores(arm, batch) for arm in alive}, standard, may_tie=number == 0)
    standard = board.scores(incumbent, order)
    final = {arm: board.scores(arm, order) for arm in challengers if board.has(arm, order)}
    better = [arm for arm, scores in final.items() if beats(scores, standard, significance=significance)]
    return Choice(max(better, key=lambda arm: mean(final[arm]), default=incumbent), limit)


def _ranked(arms: list[str], got: dict[str, list[Score]], standard: list[Score], *, may_tie: bool) -> list[str]:
    """The arms that go on, best first; at equal scores they keep their order."""
    level = mean(standard)
    hopeful = [arm for arm in arms if mean(got[arm]) > level or (may_tie and mean(got[arm]) == level)]
    return sorted(hopeful, key=lambda arm: (_fails_more(got[arm], standard), -mean(got[arm])))


def beats(challenger: Sequence[Score], incumbent: Sequence[Score], *, significance: float) -> bool:
    """Whether a challenger may take the incumbent's place: a higher mean, not by chance alone, and no more failures.

    A failure counts as 0, which is the best there is for a metric of penalties; so failing more is never a win.
    """
    is_higher = mean(challenger) > mean(incumbent) and not _fails_more(challenger, incumbent)
    return is_higher and chance(challenger, incumbent) <= significance


def chance(ours: Sequence[Score], theirs: Sequence[Score], *, seed: int = 0) -> float:
    """How probable a mean difference at least as large as that of `ours` minus `theirs` is if nothing but chance acts.

    Fisher's randomization test of paired differences (Fisher 1935, The Design of Experiments, section 21), one-sided:
    without any effect, each difference could as well have had the other sign. All combinations of signs are counted
    where there are at most 2,048; else as many are drawn with `seed`, and the observed one is counted among them
    (Phipson & Smyth 2010, doi 10.2202/1544-6115.1585).
    """
    differences = [difference for difference in _differences(ours, theirs) if difference]
    observed = (1,) * len(differences)
    signs: Iterable[Sequence[int]]
    if 2 ** len(differences) <= _SIGNS:
        signs = itertools.product((1, -1), repeat=len(differences))
    else:
        draw = random.Random(seed)
        signs = (observed, *(draw.choices((1, -1), k=len(differences)) for _ in range(_SIGNS)))
    sums = [math.fsum(map(operator.mul, one, differences)) for one in signs]
    least = math.fsum(differences) - 1e-9  # the same sum may come out differently by rounding
    return sum(one >= least for one in sums) / len(sums)


def _differences(ours: Sequence[Score], theirs: Sequence[Score]) -> list[float]:
    return [(one or 0.0) - (other or 0.0) for one, other in zip(ours, theirs, strict=True)]


def _fails_more(challenger: Sequence[Score], incumbent: Sequence[Score]) -> bool:
    return list(challenger).count(None) > list(incumbent).count(None)


def mean(scores: Sequence[Score]) -> float:
    """The mean of at least one score, failures counting as 0."""
    return math.fsum(score or 0.0 for score in scores) / len(scores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean difference, and the interval that covers the true one in `level` of such measurements."""

    value: float
    low: float
    high: float
    level: float = _LEVEL


def paired_interval(ours: Sequence[Score], theirs: Sequence[Score], *, seed: int = 0) -> Interval | None:
    """The mean of `ours` minus `theirs`, example by example; None for fewer than two, of which nothing can be said.

    A percentile bootstrap over the examples (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13);
    `seed` draws the resamples. It knows nothing of how an arm came to be compared: where the best of several was
    chosen by these same scores, the true difference is likely to be smaller.
    """
    differences = _differences(ours, theirs)
    if (count := len(differences)) < 2:
        return None
    value = math.fsum(differences) / count
    if len(set(differences)) == 1:  # every resample is the same
        return Interval(value=value, low=value, high=value)
    draw = random.Random(seed)
    means = sorted(math.fsum(draw.choices(differences, k=count)) / count for _ in range(_RESAMPLES))
    tail = round(_RESAMPLES * (1 - _LEVEL) / 2)
    return Interval(value=value, low=means[tail], high=means[-1 - tail])
