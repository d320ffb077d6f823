"""What decides between texts on evidence: the chain is run with other texts in it.

A metric, or the likelihood of right outputs, scores each run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable

from fipo_integrations.langchain.chat_model import conversation_of
from fipo_integrations.langchain.examples import Example, as_example, plain_data, text_of
from fipo_integrations.langchain.typed import as_written
from fipo_model import Message, Scorer
from fipo_model import search as searching
from fipo_model.errors import FipoError, InputError, PromptTooLongError

Metric = str | Callable[..., Any]
"""The name of one that FIPO has, or a function (reference, output, input) that returns a number."""
Build = Callable[[Mapping[str, str]], Any]
"""The chain with these texts, by their names, in their places."""
Pair = tuple[list[Message], str]
"""A conversation, and what should follow it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What decides between a prompt and its rewrites."""

    examples: Sequence[Example]
    metric: Metric | None
    """None: the log-probability of the right outputs under `scorer`."""
    scorer: Scorer | None = None
    settings: searching.SearchSettings = field(default_factory=searching.SearchSettings)

    def read_examples(self) -> list[searching.Example]:
        """The examples. Raises `InputError` for anything that is not an example, or that could not decide anything."""
        made: list[searching.Example] = [as_example(place, example) for place, example in enumerate(self.examples)]
        if not made:
            raise InputError("choosing on evidence needs examples=[...]: inputs and right outputs")
        self.settings.check_count(len(made))
        metric = None if self.metric is None else searching.as_metric(self.metric)
        for place, example in enumerate(made):
            for right in example.outputs or (None,):
                reason = "there is no right output to measure" if metric is None and right is None else ""
                if metric is not None:
                    reason = metric.unfit(plain_data(right))
                if reason:
                    raise InputError(f"example {place}: {reason}")
        return made

    def subject(
        self, texts: Mapping[str, str], build: Build, examples: Sequence[searching.Example]
    ) -> "AnsweredChain | LikelyPrompt":
        """A chain whose texts may be replaced, to be measured on these examples."""
        if self.metric is not None:
            metric = searching.as_metric(self.metric)
            return AnsweredChain(texts=texts, build=build, examples=examples, metric=metric)
        if self.scorer is None:
            raise InputError(
                "nothing can decide: pass a metric, or a Scorer as downstream, which measures how likely right outputs "
                "are"
            )
        return LikelyPrompt(texts=texts, build=build, examples=examples, scorer=self.scorer)


@dataclass(kw_only=True)
class _Chain:
    """A chain whose texts may be replaced, as the search sees it."""

    texts: Mapping[str, str]
    build: Build
    examples: Sequence[searching.Example]
    _built: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, runs: Sequence[searching.Run], note: searching.Note) -> list[searching.Measurement]:
        """Each arm's runs in one batch."""
        found: dict[searching.Run, searching.Measurement] = {}
        for arm in dict.fromkeys(run.arm for run in runs):
            own = [run for run in runs if run.arm == arm]
            if arm not in self._built:
                self._built[arm] = self.build(own[0].texts)
            for run, measured in zip(own, self._measured(self._built[arm], own), strict=True):
                found[run] = measured
                if isinstance(measured, searching.Measured):
                    note(run, measured)
        return [found[run] for run in runs]

    def _measured(self, chain: Any, runs: Sequence[searching.Run]) -> list[searching.Measurement]:
        raise NotImplementedError


@dataclass(kw_only=True)
class AnsweredChain(_Chain):
    """The chain's outputs, scored by a metric."""

    metric: searching.Metric

    @property
    def measured_by(self) -> str:
        """What the scores are."""
        return f"what the metric {self.metric.name} gives to the chain's outputs"

    @property
    def decided_by(self) -> str:
        """What tells the metric from any other."""
        return self.metric.identity

    def notes_on(self, board: searching.Scoreboard, arm: str) -> list[str]:
        """What the scores do not say about the texts to use."""
        return searching.notes_on_answers(board, arm, self.examples, self.metric)

    def _measured(self, chain: Any, runs: Sequence[searching.Run]) -> list[searching.Measurement]:
        outputs = _run(chain, [self.examples[run.example].input for run in runs])
        return [self._scored(self.examples[run.example], one) for run, one in zip(runs, outputs, strict=True)]

    def _scored(self, example: searching.Example, output: Any) -> searching.Measurement:
        """The best of the scores against each right output."""
        if isinstance(output, Exception):
            return searching.failure(output)
        found = []
        for reference in example.outputs or (None,):
            try:
                value = self.metric.function(*self._read(reference, output), example.input)
            except Exception as error:  # noqa: BLE001 - the metric is a stranger's; its cause is kept
                return searching.failure(error)
            found.append(searching.judgement(value, metric=self.metric.name))
        read = max(found, key=lambda one: one.score)
        best = 1.0 if self.metric.needs_reference else read.best
        return searching.Measured(scores=(read.score,), best=best, response=text_of(output), feedback=read.feedback)

    def _read(self, right: Any, output: Any) -> tuple[Any, Any]:
        """A right output and the chain's as the metric compares them: FIPO's own know no objects."""
        if not self.metric.needs_reference:
            return _as_text(right), _as_text(output)
        if self.metric.is_of_texts:
            return plain_data(right), plain_data(output)
        return as_written(right, output, in_part=not self.metric.is_exact), plain_data(output)


def _as_text(value: Any) -> Any:
    """A message as its text; anything else as it is."""
    return text_of(value) if isinstance(value, BaseMessage) else value


def _run(chain: Any, inputs: Sequence[Any]) -> list[Any]:
    """The output or the error of each input, all at once; one by one where a step lets one's error fail all of them."""
    # A chain may change its input, and the next run must not see that.
    given = [one if isinstance(one, str) else searching.own_inputs(one) for one in inputs]
    try:
        outputs: list[Any] = chain.batch(given, return_exceptions=True)
    except Exception as error:  # noqa: BLE001 - a stranger's chain; its cause is kept
        outputs = [error] * len(inputs)
    stop_on_interrupt(outputs)
    return [_run(chain, [one])[0] for one in inputs] if have_failed_together(outputs) else outputs


def have_failed_together(outputs: Sequence[Any]) -> bool:
    """Whether one error stands for several outputs.

    LangChain's sequences return what a step raises for a whole batch as if it were every input's own error.
    """
    return len(outputs) > 1 and isinstance(outputs[0], Exception) and all(output is outputs[0] for output in outputs)


def stop_on_interrupt(outputs: Sequence[Any]) -> None:
    """Raise Ctrl-C, which LangChain's sequences return as if it were the output of every row."""
    for output in outputs:
        if isinstance(output, BaseException) and not isinstance(output, Exception):
            raise output


@dataclass(kw_only=True)
class LikelyPrompt(_Chain):
    """How likely a model finds the right outputs after a template, in nats per token.

    Of several right outputs of an example the likeliest counts.
    """

    scorer: Scorer

    @property
    def measured_by(self) -> str:
        """What the scores are."""
        return (
            f"the log-probability of the right outputs under {self.scorer.name}, in nats per token; no output of a "
            "chain was looked at: that takes a metric"
        )

    @property
    def decided_by(self) -> str:
        """The scorer's name."""
        return self.scorer.name

    def notes_on(self, board: searching.Scoreboard, arm: str) -> list[str]:
        """Nothing: there are no answers to look at."""
        return []

    def _measured(self, chain: Any, runs: Sequence[searching.Run]) -> list[searching.Measurement]:
        asked = [self._pairs(chain, self.examples[run.example]) for run in runs]
        try:
            values = iter(_score_each(self.scorer, [pair for own in asked if isinstance(own, list) for pair in own]))
        except InputError:
            raise
        except FipoError as error:
            return [searching.failure(error)] * len(runs)
        return [_likeliest([next(values) for _ in own]) if isinstance(own, list) else own for own in asked]

    def _pairs(self, template: Any, example: searching.Example) -> list[Pair] | searching.Failed:
        """The filled template with each right output."""
        try:
            messages = template.invoke(example.input).to_messages()
        except Exception as error:  # noqa: BLE001 - values and templates are a stranger's; the cause is kept
            return searching.failure(error)
        return [(conversation_of(messages), right) for right in example.rights]


def _score_each(scorer: Scorer, pairs: Sequence[Pair]) -> list[float | PromptTooLongError]:
    """How likely each is, with the error in its place for one that is too long."""
    too_long: dict[int, PromptTooLongError] = {}
    while True:
        fitting = [place for place in range(len(pairs)) if place not in too_long]
        try:
            values = scorer.log_likelihoods([pairs[place] for place in fitting])
        except PromptTooLongError as error:
            too_long[fitting[error.index]] = error
            continue
        found = dict(zip(fitting, values, strict=True))
        return [too_long[place] if place in too_long else found[place] for place in range(len(pairs))]


def _likeliest(values: Sequence[float | PromptTooLongError]) -> searching.Measurement:
    errors = [value for value in values if isinstance(value, PromptTooLongError)]
    if errors:
        return searching.failure(errors[0])
    return searching.Measured(scores=(max(value for value in values if not isinstance(value, PromptTooLongError)),))


def as_chain(template: BasePromptTemplate, downstream: Any) -> Runnable:
    """A template with what follows it. Raises `InputError` where nothing follows that a metric could score."""
    if not isinstance(downstream, Runnable):
        raise InputError("a metric scores the output of a chain: pass what follows the template as downstream")
    return template | downstream
