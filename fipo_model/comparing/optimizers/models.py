"""The models of a comparison: counted call by call, as a DSPy language model, and asked in plain text."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dspy
from dspy.adapters import Adapter
from dspy.lm15 import Message as Turn
from dspy.lm15 import Request, Response, TextPart, Usage

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


class Engine:
    """What DSPy asks of an engine. Every sampling call has a seed of its own, so that no two are alike by accident."""

    def __init__(self, generator: Generator, *, max_tokens: int, seed: int) -> None:
        self._generator = generator
        self._max_tokens = max_tokens
        self._seed = seed
        self._calls = 0
        self._lock = threading.Lock()

    def complete(self, request: Request) -> Response:
        """One request in, one response out."""
        sampling = self._sampling(request.config.temperature)
        ((completion,),) = self._generator.generate([_turns_of(request)], sampling)
        # DSPy treats an empty reply as a failed call; here it is an answer like any other.
        parts = (TextPart(completion.text.strip() or "(nothing)"),)
        return Response(
            id=None,
            model=request.model,
            message=Turn(role="assistant", parts=parts),
            finish_reason="length" if completion.is_truncated else "stop",
            usage=Usage(input_tokens=completion.prompt_tokens, output_tokens=completion.completion_tokens),
        )

    def _sampling(self, temperature: float | None) -> Sampling:
        if not temperature:  # all of these are alike, so that they can share a batch
            return Sampling(max_new_tokens=self._max_tokens)
        with self._lock:
            self._calls += 1
            seed = 100_000 * self._seed + self._calls
        return Sampling(max_new_tokens=self._max_tokens, temperature=temperature, seed=seed)

    def __deepcopy__(self, memo: dict[int, object]) -> "Engine":
        return self


def _turns_of(request: Request) -> list[Message]:
    """Write a request as a conversation. Raises `TypeError` for anything but text, which no adapter here makes."""
    turns: list[Message] = []
    if request.system:
        turns.append({"role": "system", "content": str(request.system)})
    for message in request.messages:
        texts = [str(part.text) for part in message.parts if isinstance(part, TextPart)]
        if len(texts) < len(message.parts):
            raise TypeError("the models of a comparison take text alone")
        turns.append({"role": message.role, "content": "".join(texts)})  # type: ignore[typeddict-item]
    return turns


def make_language_model(generator: Generator, *, max_tokens: int, seed: int) -> dspy.LM:
    """Make the generator a language model of DSPy's, without any cache."""
    engine = Engine(generator, max_tokens=max_tokens, seed=seed)
    return dspy.LM(f"local/{generator.name}", engine=engine, cache=False, num_retries=0)


class PlainAdapter(Adapter):
    """Instruction, demos and inputs as plain text; the whole reply is the first output field, others stay empty.

    DSPy's own adapters want replies in sections or in JSON, which a model of 135 million parameters cannot write: no
    optimizer would get a program that ever answers, and none of DSPy's would get a proposal. So all of them use this
    one.
    """

    def format(
        self, signature: type[dspy.Signature], demos: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        """The instruction opens the conversation; a demo is a turn of the user's and one of the model's."""
        answer = next(iter(signature.output_fields))
        turns: list[dict[str, Any]] = []
        for demo in demos:
            if demo.get(answer):  # a demo made only from a label has nothing for the predictors before the last
                turns += [
                    {"role": "user", "content": _shown(signature, demo)},
                    {"role": "assistant", "content": str(demo[answer])},
                ]
        turns.append({"role": "user", "content": _shown(signature, inputs)})
        turns[0] = {**turns[0], "content": f"{signature.instructions}\n\n{turns[0]['content']}"}
        return turns

    def parse(self, signature: type[dspy.Signature], completion: str) -> dict[str, str]:
        """The reply under the name of the first output field."""
        first, *others = signature.output_fields
        return {first: completion.strip(), **dict.fromkeys(others, "")}


def _shown(signature: type[dspy.Signature], values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {values[name]}" for name in signature.input_fields if name in values)
