"""What a search may spend: calls of the metric, seconds, money."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

Limit = Literal["max_metric_calls", "max_seconds", "max_cost", "unreachable"]
"""What ended a search before everything was compared; "unreachable" is a model that did not answer for too long."""
_NO_SETTING: Mapping[str, tuple[str, str]] = {
    "unreachable": ("a model that could not be reached", "Try again when the model can be reached.")
}
Price = float | Callable[[], float]
"""What a run costs, or a function that says what has been spent in all so far; in any currency."""


def say_limit(limit: str) -> str:
    """A limit at the beginning of a sentence about what it ended: the name of the setting, where it is one."""
    return _NO_SETTING[limit][0] if limit in _NO_SETTING else limit


def say_remedy(limit: str) -> str:
    """What to do so that a limit ends no more."""
    return _NO_SETTING[limit][1] if limit in _NO_SETTING else f"Raise {limit}."


class Budget:
    """Counts what is spent. When the time is up nothing new is begun; what has begun is finished."""

    def __init__(
        self,
        *,
        max_calls: int | None = None,
        max_seconds: float | None = None,
        max_cost: float | None = None,
        price: Price = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.calls = 0
        """How many measurements were asked for, those of an earlier start included."""
        self._max_calls = math.inf if max_calls is None else max_calls
        self._max_cost = math.inf if max_cost is None else max_cost
        self._price = price
        self._tries = 0
        self._dearest = 0.0
        """The most that a run has cost, in the mean of those measured at one time; 0 as long as nobody knows."""
        self._before = price() if callable(price) else 0.0
        self._clock = clock
        self._deadline = math.inf if max_seconds is None else clock() + max_seconds

    def for_held_out(self, runs: int) -> "Budget":
        """A budget for that many runs, with the remaining time and money, and what was set aside for priced runs."""
        set_aside = 0.0 if callable(self._price) else runs * self._price
        other = Budget(max_cost=self._max_cost - self.cost + set_aside, price=self._price, clock=self._clock)
        other._deadline, other._dearest = self._deadline, self._dearest
        return other

    def cost_with(self, other: "Budget") -> float:
        """What both have spent; a function that reports the price reports it for both."""
        return self.cost if callable(self._price) else self.cost + other.cost

    @property
    def calls_left(self) -> float:
        """How many more measurements there may be; infinite without a bound."""
        return max(0, min(self._max_calls - self.calls, self.tries_left))

    @property
    def scarce(self) -> Limit:
        """What there is less of."""
        return "max_metric_calls" if self._max_calls - self.calls <= self.calls_left else "max_cost"

    @property
    def cost(self) -> float:
        """What was spent, including failed tries."""
        if callable(self._price):
            return self._price() - self._before
        return self._price * (self.calls + self._tries)

    @property
    def is_out_of_time(self) -> bool:
        """Whether nothing new may be begun any more."""
        return self._clock() >= self._deadline

    @property
    def seconds_left(self) -> float:
        """How many seconds there are; infinite without a bound."""
        return self._deadline - self._clock()

    @property
    def tries_left(self) -> float:
        """How many more runs the money suffices for, at the highest price so far; infinite where that is unknown."""
        price = self._dearest if callable(self._price) else self._price
        if price <= 0 or self._max_cost == math.inf:
            return math.inf
        return max(0, math.floor((self._max_cost - self.cost) / price + 1e-9))

    @property
    def is_price_unknown(self) -> bool:
        """Whether money is bounded and only a run can show what one costs: the first one is then made alone."""
        return callable(self._price) and self._max_cost < math.inf and self._dearest == 0

    @contextmanager
    def watching(self, runs: int) -> Iterator[None]:
        """Learn the price of a run from what that many runs spend."""
        before = self.cost
        yield
        if callable(self._price) and runs:
            self._dearest = max(self._dearest, (self.cost - before) / runs)

    @property
    def is_spent(self) -> bool:
        """Whether the money is gone."""
        return self.cost >= self._max_cost

    def charge(self, calls: int) -> None:
        """Count calls."""
        self.calls += calls

    def charge_tries(self, tries: int) -> None:
        """Count runs that were repeated because they had failed: they cost money, but give no further score."""
        self._tries += tries

    def objection(self, calls: int, *, remembered: int = 0) -> Limit | None:
        """Why that many more calls may not be made; None if they may.

        Calls of an earlier start cost nothing more where a function reports what is spent.
        """
        if calls > self._max_calls - self.calls:
            return "max_metric_calls"
        if calls - (remembered if callable(self._price) else 0) > self.tries_left or self.is_spent:
            return "max_cost"
        return "max_seconds" if self.is_out_of_time else None
