"""A language model of DSPy's as the rewriter: `FIPO(prompt_model=dspy.LM(...))`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
from dspy.dsp.utils.settings import settings

from fipo_model import Completion, Message, Sampling
from fipo_model.errors import FipoError, InputError

_AT_ONCE = 8  # what dspy.settings.num_threads is unless somebody sets it
_SEEDS_APART = 1000  # more than anybody's samples
_CUT_OFF = frozenset({"length", "max_tokens"})


class LanguageModelGenerator:
    """A `dspy.LM`, or any other of DSPy's language models, as a FIPO `Generator`.

    It is called as configured, except for the temperature of samples, and with one message, which every such model
    accepts. Its cache and its retries are its own. Samples are requested one by one, each with its own `rollout_id`, so
    that DSPy's cache does not return the first for all of them.
    """

    def __init__(self, lm: dspy.BaseLM) -> None:
        if not isinstance(lm, dspy.BaseLM):
            raise InputError(
                f"prompt_model must be a language model of DSPy's, such as dspy.LM(...), not {lm!r:.80}; a model "
                "of FIPO's is given as FIPO(optimizer=PromptOptimizer.from_pretrained(...))"
            )
        self.lm = lm

    @property
    def name(self) -> str:
        """The model's name."""
        return str(self.lm.model)

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation, `samples` times. Raises `FipoError` where the model fails."""
        if samples > 1 and sampling.is_greedy:
            raise InputError(f"greedy decoding has one completion, not {samples}: give the sampling a temperature")
        asked = [(turns, number) for turns in conversations for number in range(samples)]
        if not asked:
            return []
        threads = min(len(asked), settings.num_threads or _AT_ONCE)
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(lambda one: self._reply(one[0], sampling, one[1]), asked))
        return [found[start : start + samples] for start in range(0, len(found), samples)]

    def _reply(self, turns: list[Message], sampling: Sampling, number: int) -> Completion:
        options: dict[str, Any] = {}
        if not sampling.is_greedy:
            options = {"temperature": sampling.temperature, "rollout_id": sampling.seed * _SEEDS_APART + number}
        own = self.lm.copy()  # its history has this call alone
        try:
            outputs = own("\n\n".join(turn["content"] for turn in turns), **options)
        except Exception as error:
            raise FipoError(f"the prompt_model {self.name} failed: {type(error).__name__}: {error}") from error
        first = outputs[0] if outputs else ""
        text = str(first.get("text") or "") if isinstance(first, dict) else str(first or "")
        usage, reason = _ending(own)
        return Completion(
            text=text,
            is_truncated=reason in _CUT_OFF,
            prompt_tokens=usage.get("prompt_tokens") or 0,
            completion_tokens=usage.get("completion_tokens") or 0,
        )


def _ending(lm: dspy.BaseLM) -> tuple[dict[str, int], str | None]:
    """The tokens that a model's only call used, and why it ended; nothing where DSPy keeps no history."""
    if not lm.history:
        return {}, None
    response = lm.history[-1]["response"]
    choices = getattr(response, "choices", None)  # as before DSPy 3.4, and for models that do without its engines
    return lm.history[-1]["usage"], getattr(choices[0] if choices else response, "finish_reason", None)
