"""The models of a comparison: counted call by call, and asked in plain text."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import dspy

from fipo_integrations.dspy import PlainAdapter
from fipo_model import Generator, Sampling
from fipo_model.errors import FipoError, PromptTooLongError
from fipo_model.generation import Completion, Message

Role = Literal["task", "proposer", "rewriter"]
ROLES: tuple[Role, ...] = ("task", "proposer", "rewriter")
"""Who is asked: the program's model, the model that proposes or reflects for DSPy's optimizers, and FIPO's own."""


class Meter:
    """Counts what the models were asked since the last reset, by role; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Start again from zero."""
        with self._lock:
            self._counts = {role: Counter[str]() for role in ROLES}
            self.outage: FipoError | None = None
            """What a model or server failed with; DSPy's optimizers count it as a wrong answer and continue."""

    def add(self, role: Role, completions: Sequence[Completion]) -> None:
        """Note a batch of calls."""
        with self._lock:
            self._counts[role] += Counter(
                batches=1,
                calls=len(completions),
                input_tokens=sum(completion.prompt_tokens for completion in completions),
                output_tokens=sum(completion.completion_tokens for completion in completions),
            )

    def fail(self, error: FipoError) -> None:
        """Note a failure that has nothing to do with a prompt."""
        with self._lock:
            self.outage = self.outage or error

    def as_fields(self) -> dict[str, dict[str, int]]:
        """The counts by role."""
        names = ("calls", "batches", "input_tokens", "output_tokens")
        with self._lock:
            return {role: {name: self._counts[role][name] for name in names} for role in ROLES}


class Metered:
    """A Generator that counts the requests to another one. Copies are the same object."""

    def __init__(self, generator: Generator, meter: Meter, role: Role) -> None:
        self.generator, self.meter, self.role = generator, meter, role

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.generator.name

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation, and count it."""
        try:
            completions = self.generator.generate(conversations, sampling, samples=samples)
        except PromptTooLongError:
            raise
        except FipoError as error:
            self.meter.fail(error)
            raise
        self.meter.add(self.role, [sample for own in completions for sample in own])
        return completions

    def __deepcopy__(self, memo: dict[int, object]) -> "Metered":
        return self


class Answering(Metered):
    """A metered Generator that always says something: DSPy treats an empty reply as a failed call."""

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation; an empty reply is an answer like any other."""
        found = super().generate(conversations, sampling, samples=samples)
        return [[replace(one, text=one.text.strip() or "(nothing)") for one in own] for own in found]


class FirstOutput(PlainAdapter):
    """A `PlainAdapter` for several outputs: the reply is the first of them, and the others stay empty.

    With DSPy's own adapters no optimizer would get a program of the smallest models that ever answers, and none of
    DSPy's would get a proposal. So all of them use this one.
    """

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, str]:
        """The reply under the name of the first output field."""
        return dict.fromkeys(signature.output_fields, "") | super().parse(signature, completion)

    def answer_of(self, signature: type[dspy.Signature]) -> str:
        """The first output field."""
        return next(iter(signature.output_fields))
