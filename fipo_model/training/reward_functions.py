"""What a reply is worth to users of the wording it makes: the parts of a reward, all measured in a few batches.

A reply that fails a check of the contract is not measured: it gets the least of every part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from fipo_model import fidelity
from fipo_model.backends.opening import open_generator, open_scorer
from fipo_model.data.tasks import Example, Task, capped_gain, is_right, leak, likelihoods
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.fidelity import FidelitySettings
from fipo_model.generation import Generator, Sampling, Scorer, complete_each
from fipo_model.search.examples import filled
from fipo_model.templates import Template
from fipo_model.training.reward_rows import Exercise
from fipo_model.training.settings import RewardWeights
from fipo_model.types import Candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model in training said to an exercise."""

    exercise: Exercise
    text: str
    is_truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """The parts of a reply's reward; None for what cannot be measured on its task."""

    task_gain: float | None
    task_accuracy: float | None
    leak: float
    contract: float
    outcome: str
    detail: str = ""

    def total(self, weights: RewardWeights) -> float:
        """The reward."""
        parts = (
            (weights.gain, self.task_gain),
            (weights.accuracy, self.task_accuracy),
            (weights.leak, self.leak),
            (weights.contract, self.contract),
        )
        return sum(weight * part for weight, part in parts if part is not None)

    def to_fields(self) -> dict[str, Any]:
        """For the file of samples."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModels:
    """The models that measure: test models, and an answering model if there is one."""

    scorers: Sequence[Scorer]
    answering: Generator | None = None

    @classmethod
    def opened(cls, weights: RewardWeights) -> "RewardModels":
        """The models that a recipe names."""
        scorers = [open_scorer(name) for name in weights.test_models] if weights.gain else []
        names = [scorer.name for scorer in scorers]
        if len(set(names)) < len(names):
            raise InputError(f"the test models must have different names, not {', '.join(names)}")
        is_asked = weights.answering is not None and weights.accuracy
        return cls(scorers=scorers, answering=open_generator(weights.answering, role=None) if is_asked else None)


_Use = tuple[str, str]
"""A task's name and a wording."""


class Rewarding:
    """Measures replies; the worth of an original wording is measured only once."""

    def __init__(self, models: RewardModels, template: Template, weights: RewardWeights) -> None:
        self.models = models
        self.template = template
        self.weights = weights
        self._likelihoods: dict[str, dict[_Use, list[float] | None]] = {one.name: {} for one in models.scorers}
        self._accuracies: dict[_Use, float | None] = {}

    def measure(self, replies: Sequence[Reply]) -> list[Worth]:
        """The worth of each reply."""
        candidates = [self._read(reply) for reply in replies]
        passed = {
            place: candidate
            for place, candidate in enumerate(candidates)
            if candidate.outcome in ("optimized", "unchanged")
        }
        wanted: dict[_Use, tuple[Task, Sequence[Example]]] = {}
        for place, candidate in passed.items():
            exercise = replies[place].exercise
            for wording in (exercise.request.instruction, candidate.text):
                wanted[exercise.task.name, wording] = (exercise.task, exercise.measured)
        self._score(wanted)
        self._answer(wanted)
        worths = [
            self._worth(reply.exercise, candidate) if place in passed else self._least(reply.exercise, candidate)
            for place, (reply, candidate) in enumerate(zip(replies, candidates, strict=True))
        ]
        self._forget({(reply.exercise.task.name, reply.exercise.request.instruction) for reply in replies}, wanted)
        return worths

    def _read(self, reply: Reply) -> Candidate:
        request = reply.exercise.request
        text = self.template.rewrite(reply.text, request.instruction)
        if reply.is_truncated:
            return Candidate(text=text, outcome="truncated", detail="the reply has no end")
        return fidelity.check(text, request, FidelitySettings(), self.template)

    def _score(self, wanted: Mapping[_Use, tuple[Task, Sequence[Example]]]) -> None:
        for scorer in self.models.scorers:
            known = self._likelihoods[scorer.name]
            missing = [use for use in wanted if use not in known]
            found = likelihoods(scorer, [(wording, wanted[name, wording][1]) for name, wording in missing])
            for use, values in zip(missing, found, strict=True):
                known[use] = None if isinstance(values, PromptTooLongError) else values

    def _answer(self, wanted: Mapping[_Use, tuple[Task, Sequence[Example]]]) -> None:
        if self.models.answering is None:
            return
        missing = [use for use in wanted if use not in self._accuracies and wanted[use][0].check is not None]
        questions = [(use, example) for use in missing for example in wanted[use][1]]
        replies = complete_each(
            self.models.answering,
            [[{"role": "user", "content": filled(use[1], example.input)}] for use, example in questions],
            Sampling(max_new_tokens=self.weights.max_new_tokens),
        )
        right: dict[_Use, list[bool]] = {use: [] for use in missing}
        for (use, example), reply in zip(questions, replies, strict=True):
            is_answered = not isinstance(reply, PromptTooLongError)
            right[use].append(is_answered and is_right(wanted[use][0], example, getattr(reply, "text", "")))
        self._accuracies |= {use: fmean(found) for use, found in right.items()}

    def _worth(self, exercise: Exercise, candidate: Candidate) -> Worth:
        before, after = exercise.request.instruction, candidate.text
        given_away = leak(after, before, exercise.measured)
        return Worth(
            task_gain=self._gain(exercise.task.name, before, after),
            task_accuracy=self._accuracy_change(exercise.task.name, before, after),
            leak=-1.0 if given_away else 0.0,
            contract=0.0,
            outcome=candidate.outcome,
            detail=given_away or "",
        )

    def _least(self, exercise: Exercise, candidate: Candidate) -> Worth:
        is_answered = self.models.answering is not None and exercise.task.check is not None
        return Worth(
            task_gain=-self.weights.cap if self.models.scorers else None,
            task_accuracy=-1.0 if is_answered else None,
            leak=-1.0,
            contract=-1.0,
            outcome=candidate.outcome,
            detail=candidate.detail,
        )

    def _gain(self, task: str, before: str, after: str) -> float | None:
        """The least gain among all test models; the lowest possible for a wording that does not fit into one."""
        gains = []
        for known in self._likelihoods.values():
            old, new = known[task, before], known[task, after]
            if old is None:
                return None
            gains.append(-self.weights.cap if new is None else capped_gain(old, new, cap=self.weights.cap))
        return min(gains, default=None)

    def _accuracy_change(self, task: str, before: str, after: str) -> float | None:
        old, new = self._accuracies.get((task, before)), self._accuracies.get((task, after))
        return None if old is None or new is None else new - old

    def _forget(self, kept: set[_Use], measured: Mapping[_Use, object]) -> None:
        """Drop the measurements of replies, which seldom recur; original wordings recur in every epoch."""
        for use in measured:
            if use not in kept:
                self._accuracies.pop(use, None)
                for known in self._likelihoods.values():
                    known.pop(use, None)
