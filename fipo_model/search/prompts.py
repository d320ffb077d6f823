"""A bare prompt as the subject of a search, scored by a metric on answers or by likelihoods of right outputs."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fipo_model.errors import FipoError, InputError, PromptTooLongError
from fipo_model.generation import Completion, Generator, Message, Sampling, Scorer, complete, score_each
from fipo_model.replies import is_thought, spoken
from fipo_model.search.examples import Example, filled
from fipo_model.search.failing import describe, failure
from fipo_model.search.metrics import Metric, judgement, text_of
from fipo_model.search.subject import Failed, Measured, Measurement, Note, Run

logger = logging.getLogger("fipo_model.search")

PROMPT = "prompt"
"""The name of the only text."""
CAP = 1.6
"""Nats per token by which one input can change a gain, so that no single one decides."""
_LONGEST_ANSWER = 256
_AROUND = 16
# There is no need to ask about every example to see that a server is down.
_ENOUGH_FAILURES = 3
# The scores of this many outputs are requested twice, to see whether the metric agrees with itself.
_ASKED_TWICE = 3


class AnsweredPrompt:
    """A prompt that each of some models answers, and a metric that scores the answers: one judge for each model."""

    def __init__(
        self,
        prompt: str,
        examples: Sequence[Example],
        *,
        metric: Metric,
        models: Sequence[Generator],
        max_tokens: int = _LONGEST_ANSWER,
    ) -> None:
        self.texts: Mapping[str, str] = {PROMPT: prompt}
        self.notes: list[str] = []
        self._examples = examples
        self._metric = metric
        self._models = models
        self._sampling = Sampling(max_new_tokens=max_tokens)
        self._brief = Sampling(max_new_tokens=min(max_tokens, longest_answer(metric, examples)))
        self._twice = 0 if metric.needs_reference else _ASKED_TWICE

    def __len__(self) -> int:
        return len(self._examples)

    def measure(self, runs: Sequence[Run], note: Note) -> list[Measurement]:
        """Every model's answers to all runs at once, scored. Raises `InputError` where the metric gives no number."""
        conversations = [_conversation(run.texts[PROMPT], self._examples[run.example]) for run in runs]
        answers = [self._answers_of(model, conversations) for model in self._models]
        return [self._scored(run, own) for run, own in zip(runs, zip(*answers, strict=True), strict=True)]

    def _answers_of(self, model: Generator, conversations: Sequence[list[Message]]) -> list[Completion | Failed]:
        """The answers, cut off where they can no longer be right; a model that thinks first gets more room."""
        found = _answers(model, conversations, self._brief)
        thinking = [
            place
            for place, one in enumerate(found)
            if isinstance(one, Completion) and one.is_truncated and is_thought(one.text, "")
        ]
        if thinking and self._brief != self._sampling:
            again = _answers(model, [conversations[place] for place in thinking], self._sampling)
            for place, one in zip(thinking, again, strict=True):
                found[place] = one
        return found

    def _scored(self, run: Run, answers: Sequence[Completion | Failed]) -> Measurement:
        scores, best, feedback, response = [], [], None, None
        for answer in answers:
            if isinstance(answer, Failed):
                return answer
            response = spoken(answer.text)
            found = self._judged(self._examples[run.example], response)
            if isinstance(found, Failed):
                return found
            scores.append(found.scores[0])
            best.append(found.best)
            feedback = feedback or found.feedback
        highest = None if None in best else best[0]
        return Measured(scores=tuple(scores), best=highest, response=response, feedback=feedback)

    def _judged(self, example: Example, output: str) -> Measured | Failed:
        """The best of the scores against each right output."""
        found = []
        for reference in example.outputs or (None,):
            try:
                value = self._metric.function(reference, output, example.input)
                again = self._metric.function(reference, output, example.input) if self._twice else value
            except Exception as error:  # noqa: BLE001 - the metric is a stranger's; its cause is kept
                return replace(failure(error), cause=f"the metric {self._metric.name} raised {describe(error)}")
            read = judgement(value, metric=self._metric.name)
            self._compare(read.score, judgement(again, metric=self._metric.name).score)
            found.append(Measured(scores=(read.score,), best=read.best, feedback=read.feedback))
        best = max(found, key=lambda one: one.scores[0])
        is_built_in = self._metric.needs_reference
        return Measured(scores=best.scores, best=1.0 if is_built_in else best.best, feedback=best.feedback)

    def _compare(self, first: float, second: float) -> None:
        self._twice = max(0, self._twice - 1)
        if first != second and not self.notes:
            said = f"the metric {self._metric.name} gave {first:g} and then {second:g} to the same output"
            self.notes.append(f"{said}: its scores are partly luck, so use more examples")
            logger.warning("%s", self.notes[0])


class LikelyPrompt:
    """A prompt, and how much likelier each of some models finds the right outputs after a replacement.

    The gain over the original is in nats per token, capped. There is one judge for each model. Of several right outputs
    of an example the likeliest counts.
    """

    def __init__(self, prompt: str, examples: Sequence[Example], *, models: Sequence[Scorer]) -> None:
        self.texts: Mapping[str, str] = {PROMPT: prompt}
        self.notes: list[str] = []
        self._examples = examples
        self._models = models
        self._before: dict[tuple[int, int], float] = {}
        """By model and example, how likely the right output is after the prompt as it was."""

    def __len__(self) -> int:
        return len(self._examples)

    def measure(self, runs: Sequence[Run], note: Note) -> list[Measurement]:
        """All runs under every model, each asked once."""
        found: list[list[float | Failed]] = [[] for _ in runs]
        for number, model in enumerate(self._models):
            unknown = dict.fromkeys(run.example for run in runs if (number, run.example) not in self._before)
            wanted = [(self.texts[PROMPT], one) for one in unknown]
            wanted += [(run.texts[PROMPT], run.example) for run in runs]
            try:
                values = self._likelihoods(model, wanted)
            except InputError:
                raise
            except FipoError as error:
                return [failure(error)] * len(runs)
            before = dict(zip(unknown, values, strict=False))
            self._before |= {(number, one): value for one, value in before.items() if isinstance(value, float)}
            for own, run, value in zip(found, runs, values[len(unknown) :], strict=True):
                own.append(self._gain(value, before.get(run.example), (number, run.example)))
        return [_together(own) for own in found]

    def _gain(self, value: float | Failed, before: float | Failed | None, key: tuple[int, int]) -> float | Failed:
        if isinstance(value, Failed):
            return value
        if isinstance(before, Failed):
            return before
        return max(-CAP, min(CAP, value - self._before[key]))

    def _likelihoods(self, model: Scorer, wanted: Sequence[tuple[str, int]]) -> list[float | Failed]:
        pairs = [
            (_conversation(text, self._examples[number]), text_of(output))
            for text, number in wanted
            for output in self._examples[number].outputs
        ]
        keys = [(messages[0]["content"], output) for messages, output in pairs]
        once = dict(zip(keys, pairs, strict=True))
        scored = dict(zip(once, score_each(model, list(once.values())), strict=True))
        asked = iter(keys)
        return [_likeliest([scored[next(asked)] for _ in self._examples[number].outputs]) for _, number in wanted]


def longest_answer(metric: Metric, examples: Sequence[Example]) -> int:
    """Tokens after which no answer can be right: by `exact`, that is once it is longer than every right output.

    A token is at least a byte, and `exact` ignores some marks around a text.
    """
    if not metric.is_exact:
        return _LONGEST_ANSWER
    outputs = [output for one in examples for output in one.outputs]
    if not all(isinstance(output, str) for output in outputs):
        return _LONGEST_ANSWER  # the same data may be written at any length
    return max((len(output.encode("utf-8", "replace")) for output in outputs), default=0) + _AROUND


def _likeliest(values: Sequence[float | PromptTooLongError]) -> float | Failed:
    for value in values:
        if isinstance(value, PromptTooLongError):
            return failure(value)
    return max(value for value in values if not isinstance(value, PromptTooLongError))


def _together(scores: Sequence[float | Failed]) -> Measurement:
    known = []
    for score in scores:
        if isinstance(score, Failed):
            return score
        known.append(score)
    return Measured(scores=tuple(known))


def _conversation(prompt: str, example: Example) -> list[Message]:
    return [{"role": "user", "content": filled(prompt, example.input)}]


def _answers(model: Generator, conversations: Sequence[list[Message]], sampling: Sampling) -> list[Completion | Failed]:
    """One answer for each conversation. Where a batch fails, each is asked alone, until it is clear that all fail."""
    try:
        return list(complete(model, conversations, sampling))
    except FipoError as error:
        if len(conversations) == 1:
            return [failure(error)]
    found: list[Completion | Failed] = []
    failures: list[Failed] = []
    for conversation in conversations:
        if len(failures) >= _ENOUGH_FAILURES:
            found.append(failures[-1])
            continue
        (one,) = _answers(model, [conversation], sampling)
        failures = [*failures, one] if isinstance(one, Failed) and one.is_passing else []
        found.append(one)
    return found
