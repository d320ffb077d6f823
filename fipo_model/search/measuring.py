"""Measures runs, and repeats those that failed: a model that is out of reach for a minute must not decide anything."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from fipo_model.search.budget import Budget
from fipo_model.search.subject import Failed, Measured, Measurement, Note, Run, Subject

logger = logging.getLogger("fipo_model.search")

# Waits double: six of them, the first a 63rd of all patience.
_WAITS = 6
# Runs that fail by themselves fail again, or one time in five.
_TRIES_AT_ONCE = 3


class Measuring:
    """Asks a subject, within a budget. `patience` is how many seconds a model may be out of reach."""

    def __init__(
        self, subject: Subject, budget: Budget, *, patience: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._subject = subject
        self._budget = budget
        self._patience = patience
        self._sleep = sleep
        self.first_failure: Failed | None = None
        """The first that failed, and why: what comes later often follows from it."""
        self.tried_again = 0

    def measure(self, runs: Sequence[Run], note: Note) -> list[Measurement]:
        """A measurement for each run, after as many tries as failures are worth."""
        found = self._ask(runs, note)
        for tries, wait in enumerate(self._pauses()):
            again = [place for place, one in enumerate(found) if self._is_worth_it(one, wait)]
            if self._budget.tries_left < len(again):
                again = again[: int(self._budget.tries_left)]
            if not again or self._budget.seconds_left <= (wait or 0) or self._budget.is_spent:
                continue
            # Where everything fails by itself, and fails again, another try will not help.
            if wait is None and tries and not any(isinstance(one, Measured) for one in found):
                continue
            if wait is not None:
                logger.info("%d of %d runs failed (%s); waiting %.0f s", len(again), len(runs), self._cause, wait)
                self._sleep(wait)
            self.tried_again += len(again)
            self._budget.charge_tries(len(again))
            for place, one in zip(again, self._ask([runs[place] for place in again], note), strict=True):
                found[place] = one
        return found

    def _pauses(self) -> Iterator[float | None]:
        """Seconds to wait before each further try; None for runs that waiting does not help."""
        yield from [None] * _TRIES_AT_ONCE
        if self._patience:
            yield from (self._patience * 2**number / (2**_WAITS - 1) for number in range(_WAITS))

    @staticmethod
    def _is_worth_it(found: Measurement, wait: float | None) -> bool:
        return isinstance(found, Failed) and found.is_passing == (wait is not None)

    def _ask(self, runs: Sequence[Run], note: Note) -> list[Measurement]:
        with self._budget.watching(len(runs)):
            found = list(self._subject.measure(runs, note))
        for run, one in zip(runs, found, strict=True):
            if isinstance(one, Measured):
                note(run, one)
            elif self.first_failure is None:
                self.first_failure = one
        return found

    @property
    def _cause(self) -> str:
        return "" if self.first_failure is None else self.first_failure.cause
