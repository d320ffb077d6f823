"""Scores of a program's variants, from dspy.Evaluate, with what that keeps to itself: what failed, and why."""

import functools
import inspect
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dspy
from dspy.dsp.utils.settings import settings
from dspy.evaluate import Evaluate

from fipo_integrations.dspy.journal import Journal
from fipo_integrations.dspy.programs import digest, executed, with_texts
from fipo_integrations.dspy.selection import Question, Score
from fipo_model.errors import InputError

logger = logging.getLogger("fipo.dspy")

Pair = tuple[str, int]
"""An arm, and an example by its number."""


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
            score = float("" if isinstance(value, str | bytes) else value)  # the text "0.5" is none, either
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


class _SideBySide(dspy.Module):
    """Several programs as one, so that DSPy runs all of them in one evaluation: an input more says whose turn it is."""

    _WHOSE = "fipo_arm"

    def __init__(self, programs: Mapping[str, dspy.Module]) -> None:
        super().__init__()
        self.programs = dict(programs)

    @classmethod
    def example(cls, example: dspy.Example, arm: str) -> dspy.Example:
        """A copy of the example for one of the programs."""
        twin: dspy.Example = example.copy(**{cls._WHOSE: arm}).with_inputs(*example.inputs().keys(), cls._WHOSE)
        return twin

    def forward(self, **inputs: Any) -> Any:
        """What that program says."""
        return self.programs[inputs.pop(self._WHOSE)](**inputs)


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
        self._metric = metric
        self._journal = journal
        self._num_threads = num_threads
        self._display_progress = display_progress
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

    def scores(self, questions: Sequence[Question]) -> list[list[Score]]:
        """For each arm and its examples the scores, None where the program or the metric failed; all in one evaluation.

        Raises `InputError` where the metric returns no number.
        """
        runs = [(arm, number) for arm, numbers in questions for number in numbers]
        missing = [run for run in runs if self._key(*run) not in self._journal]
        self.resumed += len(runs) - len(missing)
        if missing:
            self._measure(missing)
        scores = [[self._journal.get(self._key(arm, number)) for number in numbers] for arm, numbers in questions]
        if failed := sum(own.count(None) for own in scores):
            cause = self._metric.first_cause()
            logger.warning("%d of %d runs failed and count as 0; %s", failed, len(runs), cause)
        return scores

    def _measure(self, runs: Sequence[Pair]) -> None:
        programs = {arm: self.program(arm) for arm, _ in runs}
        devset = [self._examples[number] for _, number in runs]
        if len(programs) == 1:
            (program,) = programs.values()
            kind = "eval_full" if len(runs) == len(self._examples) else "eval_minibatch"
        else:
            program, kind = _SideBySide(programs), "eval_minibatch"
            devset = [_SideBySide.example(example, arm) for example, (arm, _) in zip(devset, runs, strict=True)]
        # Bound to these runs: DSPy may leave a slow example running, which then ends during the next evaluation.
        metric = functools.partial(self._scored, {id(one): run for one, run in zip(devset, runs, strict=True)})
        evaluate = Evaluate(
            devset=devset,
            metric=metric,
            num_threads=self._num_threads,
            display_progress=self._display_progress,
            max_errors=settings.max_errors * len(programs),  # one that always fails must not end it for the others
        )
        try:
            executed(lambda: evaluate(program, callback_metadata={"metric_key": kind}))
        except Exception as error:
            if type(error) is not Exception:  # the bare class is how DSPy says that max_errors was reached
                raise
            self.gave_up = True
        if self._metric.misuse is not None:
            raise self._metric.misuse

    def _scored(self, runs: Mapping[int, Pair], example: dspy.Example, prediction: Any) -> float:
        arm, number = runs[id(example)]
        score = self._metric(self._examples[number], prediction)
        self._journal.put(self._key(arm, number), score)
        return score

    @staticmethod
    def _key(arm: str, number: int) -> str:
        return f"score {arm} {number}"
