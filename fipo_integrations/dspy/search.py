"""Compiling with a metric: candidates for each predictor, chosen by successive halving, one predictor after another."""

import itertools
import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dspy
from dspy.dsp.utils.settings import settings

from fipo_integrations.dspy.evaluation import Metric, Variants
from fipo_integrations.dspy.instructions import Protected, Target
from fipo_integrations.dspy.journal import Journal
from fipo_integrations.dspy.programs import copied
from fipo_integrations.dspy.responses import Responses, Run, responses, traced_runs
from fipo_integrations.dspy.rewriting import LazyOptimizer, examples_needed, propose
from fipo_integrations.dspy.selection import Limit, Score, Scoreboard, beats, chance, mean, select
from fipo_model.errors import InputError

logger = logging.getLogger("fipo.dspy")


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How examples and a metric are used. Without either, only `log_dir` matters.

    Raises `InputError` for numbers that make no sense.
    """

    candidates: int = 6
    """Rewrites proposed for each predictor when there is a metric; the instruction it has is always one more."""
    minibatch_size: int = 4
    """Examples in the first batch of the halving."""
    significance: float = 0.2
    """A rewrite is used if chance alone would give a lead like its with at most this probability. 1: any lead will do.

    The best of several was chosen by the same scores, which this does not know of.
    """
    max_metric_calls: int | None = None
    """Bound on the calls of the metric, each of which is a run of the program. At least twice the examples."""
    max_seconds: float | None = None
    """After so many seconds of a compile no evaluation begins that was not begun; an unfinished choice is dropped."""
    metric_threshold: float = 1.0
    """From this score on, what the inner predictors of a run said is taken for golden."""
    student_responses: bool | None = None
    """Whether the student is run on training examples for silver responses: by default only with a metric."""
    seed: int = 0
    """Decides which training examples are used, the rewriter's samples, and the order of the batches."""
    log_dir: str | Path | None = None
    """Where the report goes, and every score as it is measured, so that interrupted compiles resume."""

    def __post_init__(self) -> None:
        for name in ("candidates", "minibatch_size"):
            if (value := getattr(self, name)) < 1:
                raise InputError(f"{name} must be at least 1, not {value}")
        if not 0 < self.significance <= 1:
            raise InputError(f"significance is a probability above 0 and at most 1, not {self.significance}")
        for name in ("max_metric_calls", "max_seconds"):
            if (bound := getattr(self, name)) is not None and bound <= 0:
                raise InputError(f"{name} must be positive, or None for no bound, not {bound}")


@dataclass(kw_only=True)
class Search:
    """One compile with a metric. The student is always among the candidates, and a tie keeps it."""

    student: dspy.Module
    targets: Sequence[Target | Protected]
    trainset: Sequence[dspy.Example]
    metric: Metric
    variants: Variants
    journal: Journal
    optimizer: LazyOptimizer
    settings: SearchSettings
    num_threads: int | None
    proposals: dict[str, list[dict[str, str]]] = field(default_factory=dict, init=False)
    limits: dict[str, Limit] = field(default_factory=dict, init=False)
    """By the names of the predictors whose candidates were not all compared: what ended it."""
    model: str | None = field(default=None, init=False)
    """The name of the model that proposed."""
    unsure: dict[str, str] = field(default_factory=dict, init=False)
    """By the names of the predictors whose rewrites lead by what chance may give: how sure that is."""

    def __post_init__(self) -> None:
        self.board = Scoreboard(
            self.variants.scores,
            runs_at_once=self.num_threads or settings.num_threads,
            max_calls=self.settings.max_metric_calls,
            max_seconds=self.settings.max_seconds,
        )
        self.start = self.variants.add({target.name: target.naive for target in self.targets})
        self.everything = range(len(self.variants))

    def run(self) -> str:
        """The arm to use."""
        self._measure_student()
        self._propose()
        best = self.start
        usable = [target for target in self.targets if isinstance(target, Target) and self._accepted(target)]
        for place, target in enumerate(usable):
            best = self._improve(best, target, predictors_left=len(usable) - place)
        return best

    def _measure_student(self) -> None:
        self.board.measure([self.start], self.everything)
        failed = self.board.scores(self.start, self.everything).count(None)
        if failed == len(self.everything):
            raise InputError(f"all {failed} examples failed; {self.metric.first_cause()}")
        if self.variants.gave_up:
            raise InputError(
                f"too many examples failed for dspy.settings.max_errors={settings.max_errors}, which "
                f"dspy.configure(max_errors=...) raises; {self.metric.first_cause()}"
            )

    def _propose(self) -> None:
        """Ask the rewriter, unless the journal has its answers."""
        targets = [target for target in self.targets if isinstance(target, Target)]
        if not targets:
            return
        if self.board.is_out_of_time:
            self.limits |= dict.fromkeys((target.name for target in targets), "max_seconds")
            return
        if "proposals" in self.journal:
            self.board.charge(self.journal["proposals"]["runs"])
            self.variants.resumed += self.journal["proposals"]["runs"]
        else:
            calls = self.board.calls
            seen = self._responses()
            found = propose(
                self.optimizer.ready().rewriter,
                targets,
                seen,
                candidates=self.settings.candidates,
                seed=self.settings.seed,
            )
            runs = self.board.calls - calls
            self.journal.put("proposals", {"model": self.optimizer.name, "by_predictor": found, "runs": runs})
        self.model, self.proposals = (self.journal["proposals"][key] for key in ("model", "by_predictor"))

    def _responses(self) -> list[dict[str, Responses]]:
        """What the student said on a few training examples, where it may be run, and their labels."""
        chosen = drawn(self.trainset, examples_needed(self.settings.candidates), seed=self.settings.seed)
        room = self.board.calls_left - len(self.everything)  # at least one candidate is to be measured on all examples
        affordable = 0 if self.settings.student_responses is False else min(room, len(chosen))
        paid = chosen[: math.floor(max(0, affordable))]
        self.board.charge(len(paid))
        runs = [*self._remembered_runs(paid), *itertools.repeat(None, len(chosen) - len(paid))]
        threshold = self.settings.metric_threshold
        return [
            responses(self.student, self.trainset[number], run, threshold=threshold)
            for number, run in zip(chosen, runs, strict=True)
        ]

    def _remembered_runs(self, chosen: Sequence[int]) -> list[Run | None]:
        new = [number for number in chosen if f"run {number}" not in self.journal]
        examples = [self.trainset[number] for number in new]
        # On a copy: a program may change as it runs, and all candidates are copies of the student.
        found = traced_runs(copied(self.student), examples, self.metric, num_threads=self.num_threads)
        if self.metric.misuse is not None:
            raise self.metric.misuse
        self.variants.resumed += len(chosen) - len(new)
        for number, run in zip(new, found, strict=True):
            if run is not None:  # one that failed is tried again when the compile is resumed
                self.journal.put(f"run {number}", run)
        return [self.journal.get(f"run {number}") for number in chosen]

    def _accepted(self, target: Target) -> list[str]:
        """The candidates for a predictor that passed every check."""
        return [row["text"] for row in self.proposals.get(target.name, ()) if row["outcome"] == "optimized"]

    def _improve(self, best: str, target: Target, *, predictors_left: int) -> str:
        """The arm with the best of a predictor's candidates in it, all else as in the best arm so far."""
        texts = self.variants.texts(best)
        arms = [self.variants.add({**texts, target.name: target.instruction(text)}) for text in self._accepted(target)]
        left, count = self.board.calls_left, len(self.everything)
        if left < count or self.board.is_out_of_time:
            self.limits[target.name] = "max_calls" if left < count else "max_seconds"
            return best
        order = random.Random(f"{self.settings.seed} {target.name}").sample(self.everything, count)
        # A fair share of what is left, but enough to compare one candidate.
        share = math.inf if left == math.inf else max(left // predictors_left, count)
        chosen, limit = select(
            self.board,
            best,
            arms,
            order=order,
            minibatch=self.settings.minibatch_size,
            significance=self.settings.significance,
            calls=share,
        )
        if limit:
            self.limits[target.name] = limit
        if chosen == best and (doubt := self._doubt(best, arms)) is not None:
            self.unsure[target.name] = doubt
        logger.info("%s: %s", target.name, "kept as it is" if chosen == best else "a rewrite is better")
        return chosen

    def _doubt(self, best: str, arms: Sequence[str]) -> str | None:
        """Why none of the arms was used although one leads; None if none does."""
        standard = self.scores(best)
        complete = [self.scores(arm) for arm in arms if self.board.has(arm, self.everything)]
        chances = [chance(scores, standard) for scores in complete if beats(scores, standard, significance=1)]
        if not chances:
            return None
        return (
            f"a rewrite leads on the {len(standard)} examples, as chance alone would make one with probability "
            f"{min(chances):.2f}; that must be at most significance={self.settings.significance:g}. More examples tell."
        )

    def scores(self, arm: str) -> list[Score]:
        """What an arm got on all examples."""
        return self.board.scores(arm, self.everything)

    def measured(self) -> list[str]:
        """The arms that were scored on all examples, best first; the student is before its equals."""
        arms = dict.fromkeys(trial.arm for trial in self.board.trials)
        complete = [arm for arm in arms if self.board.has(arm, self.everything)]
        return sorted(complete, key=lambda arm: -mean(self.scores(arm)))


def drawn(examples: Sequence[Any], count: int, *, seed: int) -> list[int]:
    """The numbers of so many of the examples, or of all if there are fewer, in an order the seed decides."""
    return random.Random(seed).sample(range(len(examples)), min(count, len(examples)))
