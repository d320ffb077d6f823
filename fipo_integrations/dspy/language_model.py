"""A language model of DSPy's as one that FIPO asks for rewrites."""

import contextvars
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy

from fipo_model import Completion, Message, Sampling
from fipo_model.errors import InputError, PromptTooLongError, ServerError

_THREADS = 8
_TOO_LONG = ("ContextWindowExceededError", "ContextLengthError", "LMContextLengthError")


class LMGenerator:
    """A `Generator` on a `dspy.LM`, or anything with its `forward`; its settings, keys and cache are DSPy's."""

    def __init__(self, lm: Any) -> None:
        if not isinstance(lm, dspy.BaseLM):
            raise InputError(f"a prompt_model must be a dspy.LM, not a {type(lm).__name__}")
        self._lm = lm

    @property
    def name(self) -> str:
        """As DSPy calls it."""
        return str(self._lm.model)

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Every reply is a call of its own, several at a time: not every provider gives several at once."""
        if samples > 1 and sampling.is_greedy:
            raise InputError(f"greedy decoding has one completion, not {samples}: give the sampling a temperature")
        asked = [(place, number) for place in range(len(conversations)) for number in range(samples)]
        if not asked:
            return []
        with ThreadPoolExecutor(min(_THREADS, len(asked)), thread_name_prefix="fipo-dspy-lm") as pool:
            futures = [
                # Settings of DSPy's, such as usage trackers, follow the caller.
                pool.submit(contextvars.copy_context().run, self._ask, conversations[place], sampling, place, number)
                for place, number in asked
            ]
            replies = iter([future.result() for future in futures])
        return [[next(replies) for _ in range(samples)] for _ in conversations]

    def _ask(self, conversation: list[Message], sampling: Sampling, place: int, number: int) -> Completion:
        options: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_new_tokens}
        if not sampling.is_greedy and isinstance(self._lm, dspy.LM):
            # DSPy's cache would give every sample the first one's text.
            options |= {"top_p": sampling.top_p, "rollout_id": 1000 * sampling.seed + number + 1}
        try:
            response = self._lm.forward(messages=[dict(message) for message in conversation], **options)
        except Exception as error:
            if type(error).__name__ in _TOO_LONG:
                raise PromptTooLongError(index=place, tokens=None, limit=None) from error
            raise ServerError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        return _completion(response, sampling.max_new_tokens)


def _completion(response: Any, most: int) -> Completion:
    choice = response.choices[0]
    usage = getattr(response, "usage", None) or {}
    length = _count(usage, "completion_tokens")
    return Completion(
        text=choice.message.content or "",
        # Of a model behind an engine, DSPy 3.4 says "stop" also where it was cut off.
        is_truncated=getattr(choice, "finish_reason", None) not in ("stop", "tool_calls") or length >= most,
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=length,
    )


def _count(usage: Any, name: str) -> int:
    found = usage.get(name) if isinstance(usage, dict) else getattr(usage, name, 0)
    return int(found or 0)
