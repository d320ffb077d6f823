"""The two seams every language model is used through, a batch at a time.

A `Generator` continues conversations, a `StreamingGenerator` while somebody reads along; a `Scorer` says how likely a
given reply is.
"""

import collections.abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict, TypeVar, runtime_checkable

from fipo_model.errors import InputError, PromptTooLongError

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class Message(TypedDict):
    """One turn of a conversation, in the shape chat templates and OpenAI-compatible servers take."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to decode: greedily, or with a temperature by nucleus sampling, reproducible by its seed."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    with_likelihood: bool = False
    """Whether completions tell how likely they were, where the backend can say it; it costs a little time."""

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InputError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if self.temperature < 0:
            raise InputError(f"temperature must not be negative, but is {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p must be in (0, 1], but is {self.top_p}")

    @property
    def is_greedy(self) -> bool:
        """Whether the same conversation always gives the same completion."""
        return self.temperature == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model said, and how it ended."""

    text: str
    is_truncated: bool
    """Whether it may lack its end: it was stopped by `max_new_tokens`, or for a reason that nobody knows."""
    prompt_tokens: int
    completion_tokens: int
    is_refused: bool = False
    """Whether there is no reply to this conversation: the server or the model would not give one, or a filter did."""
    note: str = ""
    """What else there is to say about how it ended, such as the words of a server that refused."""
    log_likelihood: float | None = None
    """Mean log-probability of its tokens under the model, before temperature, in nats.

    As a `Scorer`'s, without the end of the turn. None where it was not asked for or is not known.
    """


class Generator(Protocol):
    """A language model that writes. `fipo_model.testing.GeneratorContract` has this docstring as tests.

    Returns the samples of each conversation, in order; an empty list gives an empty list. Greedy completions do not
    depend on the rest of the batch, beyond rounding. Samples are independent of each other. They depend only on the
    conversation, the sampling settings and their number, never on the rest of the batch. All text is plain text. A
    conversation that does not fit raises `PromptTooLongError` with its index; a failure raises a `FipoError`. Neither
    ever returns a placeholder. A prompt refused for its content (by a filter, a policy, a server that answers others)
    gives a completion that `is_refused`; the rest of the batch is answered. Safe to call from several threads.
    """

    @property
    def name(self) -> str:
        """The model's name, for reports: a hub id, a directory's name, a served model's name."""
        ...

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation with the assistant's next message, `samples` times.

        Raises `InputError` for more than one sample of greedy decoding, which has only one.
        """
        ...


@runtime_checkable
class StreamingGenerator(Generator, Protocol):
    """A `Generator` that can also give its words as they come. Generators need not be one."""

    def stream(
        self, conversation: list[Message], sampling: Sampling
    ) -> collections.abc.Generator[Completion, None, None]:
        """The next message as it grows; the last one is what `generate` gives.

        Each text begins with the one before and has whole characters; all but the last are truncated. Closing the
        iterator stops the computation. What `generate` raises is raised with the first step.
        """
        ...


class Scorer(Protocol):
    """A language model that measures. `fipo_model.testing.ScorerContract` has this docstring as tests.

    It measures a response as the assistant's next message after a conversation: the mean log-probability of its tokens,
    in nats (natural logarithm) per token, at most 0. Use it to compare one response after several conversations, not
    one response with another. The end of the turn is not counted, because it says when the model would stop, not what
    it would say. The rest of the batch makes no difference beyond rounding. Safe to call from several threads.
    """

    @property
    def name(self) -> str:
        """The model's name, for reports."""
        ...

    def log_likelihoods(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Nats per token for each (conversation, response), in order.

        Raises `PromptTooLongError` with the index of a pair that does not fit into the model's context, and
        `InputError` for an empty response, before anything is computed.
        """
        ...


@dataclass(frozen=True, slots=True)
class Second:
    """Another model of the same training, for single prompts: it says how the answer should be."""

    generator: Generator
    least_likelihood: float | None = None
    """A less likely reply is a guess, in nats per token. Its additions are alike, so the limit is not the first's."""


def check_generator(model: object) -> None:
    """Raise `InputError` for anything but a `Generator`; other libraries' chat models have methods of the same name."""
    _check_seam(model, "generate", "a Generator")


def check_scorer(model: object) -> None:
    """Raise `InputError` for anything but a `Scorer`."""
    _check_seam(model, "log_likelihoods", "a Scorer")


def _check_seam(model: object, method: str, what: str) -> None:
    is_runnable = callable(getattr(model, "invoke", None))
    has_parts = callable(getattr(model, method, None)) and isinstance(getattr(model, "name", None), str)
    if is_runnable or not has_parts:
        kind = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
        raise InputError(
            f"a model is a name (see docs/models.md) or {what}, an object with a name and {method}(); this is "
            f"{kind}. Wrap a model from another library in such an object."
        )


def check_samples(sampling: Sampling, samples: int) -> None:
    """Raise `InputError` for a number of samples that `sampling` cannot give."""
    if samples < 1:
        raise InputError(f"samples must be at least 1, not {samples}")
    if samples > 1 and sampling.is_greedy:
        raise InputError(f"greedy decoding has one completion, not {samples}: set a sampling temperature above 0")


def complete(generator: Generator, conversations: Sequence[list[Message]], sampling: Sampling) -> list[Completion]:
    """One completion for each conversation, in order."""
    return [completion for (completion,) in generator.generate(conversations, sampling)]


def generate_each(
    generator: Generator, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
) -> list[list[Completion] | PromptTooLongError]:
    """The samples of each conversation, with the error in its place for a conversation that is too long."""
    return _each_that_fits(conversations, lambda fitting: generator.generate(fitting, sampling, samples=samples))


def complete_each(
    generator: Generator, conversations: Sequence[list[Message]], sampling: Sampling
) -> list[Completion | PromptTooLongError]:
    """One completion for each conversation, with the error in its place for a conversation that is too long."""
    return _each_that_fits(conversations, lambda fitting: complete(generator, fitting, sampling))


def score_each(scorer: Scorer, pairs: Sequence[tuple[list[Message], str]]) -> list[float | PromptTooLongError]:
    """`scorer.log_likelihoods`, with the error in its place for a pair that is too long."""
    return _each_that_fits(pairs, scorer.log_likelihoods)


def _each_that_fits(
    items: Sequence[_Item], ask: Callable[[list[_Item]], Sequence[_Answer]]
) -> list[_Answer | PromptTooLongError]:
    """What `ask` answers to each item; it is asked again without those that are too long."""
    too_long: dict[int, PromptTooLongError] = {}
    while True:
        fitting = [index for index in range(len(items)) if index not in too_long]
        try:
            answers = ask([items[index] for index in fitting])
        except PromptTooLongError as error:
            index = fitting[error.index]
            too_long[index] = error.at(index)
            continue
        found: dict[int, _Answer | PromptTooLongError] = dict(zip(fitting, answers, strict=True))
        found.update(too_long)
        return [found[index] for index in range(len(items))]
