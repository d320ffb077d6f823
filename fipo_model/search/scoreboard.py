"""Which arm got what on which example. Each score is requested once, within the budget."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fipo_model.search import evidence
from fipo_model.search.budget import Budget, Limit
from fipo_model.search.evidence import Pair, Score
from fipo_model.search.journal import Journal
from fipo_model.search.subject import Failed, Measured, Measurement, Note, Run, digest

logger = logging.getLogger("fipo_model.search")


class Measures(Protocol):
    """What a scoreboard asks: see `Measuring`."""

    def measure(self, runs: Sequence[Run], note: Note) -> Sequence[Measurement]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An arm's score on its examples so far, noted whenever it was given new ones."""

    arm: str
    mean: float
    failed: int
    examples: int
    missing: int = 0
    """On so many of them it could not be measured."""


class Scoreboard:
    """The measurements of arms, which are texts by their names. Measurements go into the journal at once.

    It asks at a time for as many arms as together take `runs_at_once` runs, but for at least one. Failures are not
    remembered: a resumed search tries them again. `kind` tells this board's part of the journal from another's. Each
    trial is reported as it ends.
    """

    def __init__(
        self,
        measuring: Measures,
        budget: Budget,
        *,
        journal: Journal | None = None,
        runs_at_once: int = 1,
        kind: str = "score",
        report: Callable[[Trial], None] = lambda trial: None,
    ) -> None:
        self.budget = budget
        self.trials: list[Trial] = []
        self.resumed = 0
        """How many measurements the journal had."""
        self._measuring = measuring
        self._journal = journal or Journal()
        self._runs_at_once = runs_at_once
        self._kind = kind
        self._report = report
        self._texts: dict[str, dict[str, str]] = {}
        self._found: dict[tuple[str, int], Measurement] = {}

    def add(self, texts: Mapping[str, str]) -> str:
        """The arm for these texts."""
        arm = digest(texts)
        self._texts[arm] = dict(texts)
        return arm

    def texts(self, arm: str) -> dict[str, str]:
        """The texts of an arm, by their names."""
        return self._texts[arm]

    def measure(self, arms: Sequence[str], examples: Sequence[int]) -> Limit | None:
        """Measure the arms on the examples that are still missing; returns why, if that is not possible."""
        missing = {arm: [one for one in examples if (arm, one) not in self._found] for arm in arms}
        questions = [(arm, new) for arm, new in missing.items() if new]
        size = max(1, self._runs_at_once // max((len(new) for _, new in questions), default=1))
        for start in range(0, len(questions), size):
            group = questions[start : start + size]
            runs = [Run(arm, self._texts[arm], one) for arm, new in group for one in new]
            for part in self._parts(runs):
                remembered = sum(self._key(run) in self._journal for run in part)
                if limit := self.budget.objection(len(part), remembered=remembered):
                    return limit
                self.budget.charge(len(part))
                self._ask(part)
            for arm, _ in group:
                self.trials.append(self._trial(arm, examples))
                self._report(self.trials[-1])
            if any(self._is_silent(arm, new, of=examples) for arm, new in group):
                if self.budget.is_out_of_time:
                    return "max_seconds"
                if not self._answers():
                    return "unreachable"
        return None

    def _parts(self, runs: Sequence[Run]) -> list[Sequence[Run]]:
        """The runs as they are requested: all at once, but the first alone where only that can show a run's cost."""
        places = (place for place, run in enumerate(runs, start=1) if self._key(run) not in self._journal)
        first = next(places, 0) if self.budget.is_price_unknown else 0
        return [part for part in (runs[:first], runs[first:]) if part]

    def has(self, arm: str, examples: Iterable[int]) -> bool:
        """Whether the arm was asked about all these examples."""
        return all((arm, example) in self._found for example in examples)

    def remembers(self, arm: str, example: int) -> bool:
        """Whether it takes no run to know what the arm gets on this example."""
        return self._key(Run(arm, self._texts[arm], example)) in self._journal

    def measurements(self, arm: str, examples: Iterable[int]) -> list[Measurement]:
        """What the arm got on these examples, all of which it must have been asked about."""
        return [self._found[arm, example] for example in examples]

    def pairs(self, ours: str, theirs: str, examples: Iterable[int]) -> list[Pair]:
        """For each judge what two arms got on the examples on which theirs was measured.

        Where ours alone was not measured, it counts as the worst: nothing may lead by being left out. The lists are
        empty where both were measured on none.
        """
        found = zip(self.measurements(ours, examples), self.measurements(theirs, examples), strict=True)
        known = [(one, other) for one, other in found if not _is_missing(other)]
        if all(_is_missing(one) for one, _ in known):
            known = []
        return [
            ([self._at_worst(one, judge) for one, _ in known], [score_of(other, judge) for _, other in known])
            for judge in range(self.judges)
        ]

    def best_pairs(self, ours: str, theirs: str, examples: Iterable[int]) -> list[Pair] | None:
        """The pairs if ours gets the maximum wherever it was not asked yet; None where that is unknown."""
        known = [one for one in self._found.values() if isinstance(one, Measured)]
        if not known or any(one.best is None for one in known):
            return None
        best = max(one.best for one in known if one.best is not None)
        pairs: list[tuple[list[Score], list[Score]]] = [([], []) for _ in range(self.judges)]
        for example in examples:
            one, other = self._found.get((ours, example)), self._found[theirs, example]
            if _is_missing(other):
                continue
            for judge, (left, right) in enumerate(pairs):
                left.append(best if one is None else self._at_worst(one, judge))
                right.append(score_of(other, judge))
        return list(pairs)

    def level(self, arm: str, examples: Iterable[int]) -> float:
        """The arm's mean by the judge who likes it least, over what was measured; failures count as 0."""
        ran = [one for one in self.measurements(arm, examples) if not _is_missing(one)]
        means = (evidence.mean([score_of(one, judge) for one in ran]) for judge in range(self.judges))
        return min(means, default=0.0)

    def failed(self, arm: str, examples: Iterable[int]) -> int:
        """On how many of these examples the arm failed."""
        return sum(isinstance(one, Failed) and not one.is_passing for one in self.measurements(arm, examples))

    def missing(self, arm: str, examples: Iterable[int]) -> int:
        """On how many of these examples the arm could not be measured."""
        return sum(map(_is_missing, self.measurements(arm, examples)))

    @property
    def judges(self) -> int:
        """How many scores a measurement has; 1 as long as there is no measurement."""
        return next((len(one.scores) for one in self._found.values() if isinstance(one, Measured)), 1)

    @property
    def only_score(self) -> float | None:
        """The score that all measured runs got; None where they differ."""
        scores = {score for one in self._found.values() if isinstance(one, Measured) for score in one.scores}
        return scores.pop() if len(scores) == 1 else None

    def _at_worst(self, measurement: Measurement, judge: int) -> Score:
        """What a judge gave; where nothing was measured, the least that any run got, be it by failing."""
        if not _is_missing(measurement):
            return score_of(measurement, judge)
        return min([0.0, *(score for one in self._found.values() if isinstance(one, Measured) for score in one.scores)])

    def _ask(self, runs: Sequence[Run]) -> None:
        new = [run for run in runs if self._key(run) not in self._journal]
        self.resumed += len(runs) - len(new)
        measured = self._measuring.measure(new, self._note) if new else []
        found = {(run.arm, run.example): one for run, one in zip(new, measured, strict=True)}
        for run in runs:
            remembered = self._journal.get(self._key(run))
            self._found[run.arm, run.example] = (
                found[run.arm, run.example] if remembered is None else Measured.from_fields(remembered)
            )
        self._say_failures([self._found[run.arm, run.example] for run in runs])

    @staticmethod
    def _say_failures(found: Sequence[Measurement]) -> None:
        failures = [one for one in found if isinstance(one, Failed)]
        if not failures:
            return
        passing = sum(map(_is_missing, failures))
        if passing == 0:
            said = " and count as 0"
        elif passing == len(failures):
            said = " and were not measured"
        else:
            were = "was" if passing == 1 else "were"
            others = "the other counts" if len(failures) - passing == 1 else "the others count"
            said = f": {passing} of them {were} not measured, and {others} as 0"
        logger.warning("%d of %d runs failed%s; %s", len(failures), len(found), said, failures[0].cause)

    def _note(self, run: Run, measured: Measured) -> None:
        self._journal.put(self._key(run), measured.to_fields())

    def _key(self, run: Run) -> str:
        return f"{self._kind} {run.arm} {run.example}"

    def _trial(self, arm: str, examples: Sequence[int]) -> Trial:
        return Trial(
            arm=arm,
            mean=self.level(arm, examples),
            failed=self.failed(arm, examples),
            examples=len(examples),
            missing=self.missing(arm, examples),
        )

    def _is_silent(self, arm: str, new: Sequence[int], *, of: Sequence[int]) -> bool:
        """Whether nothing could be measured. A single example among others may time out by itself."""
        return self.missing(arm, new) == len(new) and (len(new) > 1 or len(of) == 1)

    def _answers(self) -> bool:
        """Whether a run can be measured that could be before: texts that always time out are no outage."""
        known = next((key for key, found in self._found.items() if isinstance(found, Measured)), None)
        if known is None or self.budget.tries_left < 1:
            return False
        arm, example = known
        self.budget.charge_tries(1)
        (found,) = self._measuring.measure([Run(arm, self._texts[arm], example)], lambda run, measured: None)
        return isinstance(found, Measured)


def score_of(measurement: Measurement, judge: int) -> Score:
    """What a judge gave; None for a failure."""
    return measurement.scores[judge] if isinstance(measurement, Measured) else None


def _is_missing(measurement: Measurement) -> bool:
    return isinstance(measurement, Failed) and measurement.is_passing
