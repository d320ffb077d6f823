"""Whether a lead is more than chance. Pure.

Everything is paired: two lists of scores belong to the same examples in the same order. A `None` is a run that failed
with its texts, and counts as 0; examples on which the incumbent could not be measured are in neither list.
"""

import itertools
import math
import operator
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Score = float | None
"""What an arm got on an example, higher is better; None if it failed there, which counts as 0."""
Pair = tuple[Sequence[Score], Sequence[Score]]
"""What two arms got on the same examples."""

_LEVEL = 0.95
_RESAMPLES = 2000
_SIGNS = 2**11


def beats(pairs: Sequence[Pair], *, significance: float) -> bool:
    """Whether a challenger may take the incumbent's place before every judge: ahead, not by chance alone, and sound."""
    return leads(pairs) and worst_chance(pairs) <= significance


def leads(pairs: Sequence[Pair]) -> bool:
    """Whether a challenger is ahead before every judge without failing more, be it by chance.

    A failure counts as 0, which is the best score for a metric of penalties; so failing more is never a win.
    """
    return lead(pairs) > 0 and not any(fails_more(*pair) for pair in pairs)


def lead(pairs: Sequence[Pair]) -> float:
    """The least of the judges' mean differences; minus infinity where nothing was measured on both sides."""
    return min((mean(ours) - mean(theirs) for ours, theirs in pairs if ours), default=-math.inf)


def worst_chance(pairs: Sequence[Pair]) -> float:
    """The probability of the lead by chance alone, for the judge whom it convinces least."""
    return max((chance(ours, theirs) for ours, theirs in pairs), default=1.0)


def chance(ours: Sequence[Score], theirs: Sequence[Score], *, seed: int = 0) -> float:
    """The probability, by chance alone, of a mean difference at least as large as that of `ours` minus `theirs`.

    Fisher's randomization test of paired differences (Fisher 1935, The Design of Experiments, section 21), one-sided:
    without any effect, each difference could as well have had the other sign. All combinations of signs are counted
    where there are at most 2,048; otherwise as many are drawn with `seed`, and the observed one is counted among them
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


def fewest_pairs(significance: float) -> int:
    """How many pairs it takes at least: with fewer, being better on every one of them could be luck."""
    return max(1, math.ceil(-math.log2(significance)))


def fails_more(challenger: Sequence[Score], incumbent: Sequence[Score]) -> bool:
    """Whether the challenger failed on more examples."""
    return list(challenger).count(None) > list(incumbent).count(None)


def mean(scores: Sequence[Score]) -> float:
    """The mean, with failures as 0; 0 for an empty list."""
    return math.fsum(score or 0.0 for score in scores) / len(scores) if scores else 0.0


def _differences(ours: Sequence[Score], theirs: Sequence[Score]) -> list[float]:
    return [(one or 0.0) - (other or 0.0) for one, other in zip(ours, theirs, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean difference, and the interval that covers the true one in `level` of such measurements."""

    value: float
    low: float
    high: float
    level: float = _LEVEL


def paired_interval(ours: Sequence[Score], theirs: Sequence[Score], *, seed: int = 0) -> Interval | None:
    """The mean of `ours` minus `theirs`, example by example; None for fewer than two, which show nothing.

    A percentile bootstrap over the examples (Efron & Tibshirani 1993, An Introduction to the Bootstrap, chapter 13);
    `seed` draws the resamples. It ignores how an arm was chosen: if it was the best of several by these same scores,
    the true difference is likely to be smaller.
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


def least_interval(pairs: Sequence[Pair], *, seed: int = 0) -> Interval | None:
    """The interval of the judge with the least gain; None where there is too little data."""
    found = [paired_interval(ours, theirs, seed=seed) for ours, theirs in pairs]
    known = [one for one in found if one is not None]
    return min(known, key=lambda one: one.value, default=None)
