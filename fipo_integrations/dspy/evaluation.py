"""Scores of a program's variants, from dspy.Evaluate, with what that keeps to itself: what failed, and why."""

import functools
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dspy
from dspy.evaluate import Evaluate

from fipo_integrations.dspy.journal import Journal
from fipo_integrations.dspy.programs import digest, with_texts
from fipo_integrations.dspy.selection import Score
from fipo_model.errors import InputError

logger = logging.getLogger("fipo.dspy")


class Metric:
    """A user's metric as a function to a finite number. What it raises is remembered, because DSPy only logs it."""

    def __init__(self, metric: Callable[..., Any]) -> None:
        try:
            inspect.signature(metric).bind(None, None)
        except TypeError as error:
            raise InputError(f"the metric {metric_name(metric)} must take (example, prediction): {error}") from error
        except ValueError:
            logger.debug("the metric does not say what it takes; that will show")  # so do some written in C
        self._metric = metric
        self.errors: list[Exception] = []
        self.misuse: InputError | None = None
        """Set once the metric returned what is no number. That is a mistake in the metric, not a failed example."""

    @property
    def name(self) -> str:
        """The function's name, or the class of a callable object."""
        return metric_name(self._metric)

    def __call__(self, example: dspy.Example, prediction: Any) -> float:
        """The score, or whatever the metric raises."""
        try:
            value = self._metric(example, prediction)
        except Exception as error:
            self.errors.append(error)
            raise
        try:
            score = float(value)
        except (TypeError, ValueError) as error:
            self.misuse = InputError(f"{self._returned(value)}, not {type(value).__name__}")
            raise self.misuse from error
        if not math.isfinite(score):
            self.misuse = InputError(f"{self._returned(value)}, not {score}")
            raise self.misuse
        return score

    def _returned(self, value: object) -> str:
        forgotten = " (is a return missing?)" if value is None else ""
        return f"the metric {self.name} must return a number{forgotten}, a bool or a Prediction with a score"

    def first_cause(self) -> str:
        """Why examples fail, as far as it is known."""
        if self.errors:
            return f"the metric raised {type(self.errors[0]).__name__}: {self.errors[0]}"
        return "the program raised, see the log of dspy (is a language model set? do the inputs fit the program?)"


def metric_name(metric: Callable[..., Any]) -> str:
    """The function's name, or the class of a callable object."""
    return getattr(metric, "__name__", type(metric).__name__)


class Variants:
    """Programs that differ in their instructions, by a digest of those, and what they score on the examples.

    Scores go into the journal at once. A failed example is not remembered: a resumed compile tries it again.
    """

    def __init__(
        self,
        student: dspy.Module,
        examples: Sequence[dspy.Example],
        metric: Metric,
        *,
        journal: Journal,
        num_threads: int | None,
        display_progress: bool,
    ) -> None:
        self.resumed = 0
        """How many scores the journal had."""
        self.gave_up = False
        """Whether DSPy ever stopped because settings.max_errors examples failed; those it did not reach failed, too."""
        self._student = student
        # Copies, so that an example that is there twice is told from itself. `copy` forgets the inputs before DSPy 3.4.
        self._examples = [example.with_inputs(*example.inputs().keys()) for example in examples]
        self._place = {id(example): number for number, example in enumerate(self._examples)}
        self._metric = metric
        self._journal = journal
        self._evaluate = Evaluate(devset=self._examples, num_threads=num_threads, display_progress=display_progress)
        self._texts: dict[str, dict[str, str]] = {}

    def __len__(self) -> int:
        """How many examples there are."""
        return len(self._examples)

    def add(self, texts: Mapping[str, str]) -> str:
        """The arm for a program with these instructions."""
        arm = digest(texts)
        self._texts[arm] = dict(texts)
        return arm

    def texts(self, arm: str) -> dict[str, str]:
        """The instructions of an arm, by predictor."""
        return self._texts[arm]

    def program(self, arm: str) -> dspy.Module:
        """The student with the instructions of an arm."""
        return with_texts(self._student, self._texts[arm])

    def scores(self, arm: str, numbers: Sequence[int]) -> list[Score]:
        """One score for each of the examples, None where the program or the metric failed.

        Raises `InputError` where the metric returns no number.
        """
        missing = [number for number in numbers if self._key(arm, number) not in self._journal]
        self.resumed += len(numbers) - len(missing)
        if missing:
            self._measure(arm, missing)
        scores = [self._journal.get(self._key(arm, number)) for number in numbers]
        if failed := scores.count(None):
            cause = self._metric.first_cause()
            logger.warning("%d of %d examples failed and count as 0; %s", failed, len(scores), cause)
        return scores

    def _measure(self, arm: str, numbers: Sequence[int]) -> None:
        devset = [self._examples[number] for number in numbers]
        kind = "eval_full" if len(devset) == len(self._examples) else "eval_minibatch"
        try:
            # Bound to the arm: DSPy may leave a slow example running, which then ends during the next evaluation.
            metric = functools.partial(self._scored, arm)
            self._evaluate(self.program(arm), metric=metric, devset=devset, callback_metadata={"metric_key": kind})
        except Exception as error:
            if type(error) is not Exception:  # the bare class is how DSPy says that settings.max_errors was reached
                raise
            self.gave_up = True
        if self._metric.misuse is not None:
            raise self._metric.misuse

    def _scored(self, arm: str, example: dspy.Example, prediction: Any) -> float:
        score = self._metric(example, prediction)
        self._journal.put(self._key(arm, self._place[id(example)]), score)
        return score

    @staticmethod
    def _key(arm: str, number: int) -> str:
        return f"score {arm} {number}"
