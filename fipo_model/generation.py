"""The seam every language model is used through: messages in, completions out, a batch at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypedDict

from fipo_model.errors import InputError, PromptTooLongError


class Message(TypedDict):
    """One turn of a conversation, in the shape chat templates and OpenAI-compatible servers take."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to decode. Greedy unless a temperature is given; then nucleus sampling, reproducible by its seed."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

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
    """What a model said. `is_truncated` means it was stopped by `max_new_tokens` before it was done."""

    text: str
    is_truncated: bool
    prompt_tokens: int
    completion_tokens: int


class Generator(Protocol):
    """A language model as FIPO uses one. `fipo_model.testing.GeneratorContract` is this docstring as tests.

    One completion for each conversation, in the same order; an empty list gives an empty list. Greedy completions do
    not depend on what else is in the batch, beyond rounding. Sampling one conversation several times in a call gives
    independent samples, and the same call with the same seed the same ones. Any text is just text. A conversation that
    does not fit raises `PromptTooLongError` with its index before anything is generated; a failure raises a
    `FipoError`. No placeholder is ever returned for either. Safe to call from several threads.
    """

    @property
    def name(self) -> str:
        """Which model this is, for reports: a hub id, a directory's name, a served model's name."""
        ...

    def generate(self, conversations: Sequence[list[Message]], sampling: Sampling) -> list[Completion]:
        """Continue each conversation with the assistant's next message."""
        ...


def generate_each(
    generator: Generator, conversations: Sequence[list[Message]], sampling: Sampling
) -> list[Completion | PromptTooLongError]:
    """`generator.generate`, with the error in its place for a conversation that is too long."""
    too_long: dict[int, PromptTooLongError] = {}
    while True:
        fitting = [index for index in range(len(conversations)) if index not in too_long]
        try:
            completions = generator.generate([conversations[index] for index in fitting], sampling)
        except PromptTooLongError as error:
            index = fitting[error.index]
            too_long[index] = error.at(index)
            continue
        results: dict[int, Completion | PromptTooLongError] = dict(zip(fitting, completions, strict=True))
        results.update(too_long)
        return [results[index] for index in range(len(conversations))]
