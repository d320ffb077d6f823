"""Means and shares with intervals: no figure is reported without one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from fipo_model.errors import InputError, explain_missing

with explain_missing("eval", "numpy", "scipy"):
    import numpy as np
    from scipy.stats import binomtest, bootstrap

LEVEL = 0.95
_RESAMPLES = 9999
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and the interval that covers the true one in `level` of such measurements."""

    value: float
    low: float
    high: float
    level: float = LEVEL


def mean(values: Sequence[float], *, seed: int = 0) -> Interval:
    """The mean of paired differences or of anything else measured once an item, from a bootstrap over the items.

    Bias-corrected and accelerated (Efron 1987, doi 10.1080/01621459.1987.10478410), `seed` draws the resamples. Values
    that differ only by rounding count as equal, and their interval has no width. Raises `InputError` for fewer than two
    values, which show nothing.
    """
    if len(values) < 2:
        raise InputError(f"an interval needs at least two measured items, and there are {len(values)}")
    array = np.asarray(values, dtype=np.float64)
    value = float(array.mean())
    if np.allclose(array, array[0], rtol=_ROUNDING, atol=_ROUNDING):  # every resample is the same
        return Interval(value=value, low=value, high=value)
    found = bootstrap(
        (array,), np.mean, confidence_level=LEVEL, n_resamples=_RESAMPLES, batch=1000, rng=np.random.default_rng(seed)
    ).confidence_interval
    return Interval(value=value, low=float(found.low), high=float(found.high))


def share(hits: int, of: int) -> Interval:
    """A share with Wilson's interval (Wilson 1927), which unlike a bootstrap has a width where there was no hit at all.

    Raises `InputError` for a share of nothing.
    """
    if of < 1:
        raise InputError("a share needs at least one measured item, and there are none")
    found = binomtest(hits, of).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(value=hits / of, low=float(found.low), high=float(found.high))


def share_difference(gained: int, lost: int, of: int) -> Interval:
    """How two shares of the same items differ: `gained` of them are hits only after, `lost` only before.

    Agresti and Min's interval (2005, doi 10.1002/sim.1781) keeps its level with few items, where a bootstrap over three
    hits and no loss already leaves 0 out. Raises `InputError` for a share of nothing.
    """
    if of < 1:
        raise InputError("a share needs at least one measured item, and there are none")
    items, difference = of + 2, gained - lost  # half an item more in each of the four cells
    middle = difference / items
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(gained + lost + 1 - difference**2 / items) / items
    return Interval(value=difference / of, low=max(-1.0, middle - half), high=min(1.0, middle + half))
