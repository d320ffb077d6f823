"""Scripted things to search: tables of scores, and what fails now and then."""

import random
from collections.abc import Callable, Mapping, Sequence

from fipo_model.search import Budget, Failed, Measured, Measurement, Note, Proposals, Proposed, Run, Scoreboard, Seen
from fipo_model.search.evidence import Score


class Table:
    """Gives each arm, which has one text, its row of scores, and remembers what it was asked."""

    def __init__(self, table: Mapping[str, Sequence[Score]], *, best: float | None = None) -> None:
        self.table = table
        self.texts: Mapping[str, str] = {"text": next(iter(table))}
        self.best = best
        self.pairs: list[tuple[str, int]] = []
        self.groups: list[int] = []

    def __len__(self) -> int:
        return len(self.table[self.texts["text"]])

    def measure(self, runs: Sequence[Run], note: Note) -> list[Measurement]:
        self.groups.append(len({run.arm for run in runs}))
        asked = [(run.texts["text"], run.example) for run in runs]
        self.pairs += asked
        return [self._measurement(self.table[arm][example]) for arm, example in asked]

    def _measurement(self, score: Score) -> Measurement:
        if score is None:
            return Failed(cause="ValueError: broken", is_passing=False)
        return Measured(scores=(score,), best=self.best)


class Once:
    """Asks a subject without trying again what failed."""

    def __init__(self, subject: Table) -> None:
        self.subject = subject

    def measure(self, runs: Sequence[Run], note: Note) -> Sequence[Measurement]:
        return self.subject.measure(runs, note)


class Offered:
    """A proposer that has its texts ready."""

    def __init__(self, by_text: Mapping[str, Sequence[str]]) -> None:
        self.by_text = by_text
        self.seen: list[Seen] = []

    def propose(self, seen: Seen) -> Proposals:
        self.seen.append(seen)
        rows = {name: [Proposed(text=text, outcome="optimized") for text in own] for name, own in self.by_text.items()}
        return Proposals(model="scripted", by_text=rows)


class Flaky:
    """A subject whose runs fail at random with an error, whatever their texts are."""

    def __init__(self, subject: Table, *, share: float, seed: int, failed: Callable[[], Failed]) -> None:
        self.subject = subject
        self.texts = subject.texts
        self.share = share
        self.failed = failed
        self.failures = 0
        self._draw = random.Random(seed)

    def __len__(self) -> int:
        return len(self.subject)

    def measure(self, runs: Sequence[Run], note: Note) -> list[Measurement]:
        found = self.subject.measure(runs, note)
        fails = [self._draw.random() < self.share for _ in runs]
        self.failures += sum(fails)
        return [self.failed() if bad else one for bad, one in zip(fails, found, strict=True)]


def board_of(subject: Table, budget: Budget | None = None, *, runs_at_once: int = 1) -> Scoreboard:
    """A board that asks each run once."""
    budget = budget or Budget()
    return Scoreboard(Once(subject), budget, runs_at_once=runs_at_once)
