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
# Why a reply ended, as DSPy and the servers behind it name it. A reason in neither set does not count as finished.
_FINISHED = frozenset(
    "stop eos eos_token end_turn end_of_turn stop_sequence stop_token complete completed finished".split()
)
_FILTERED = frozenset(
    "content_filter content_filtered filtered safety recitation blocklist prohibited_content spii refusal".split()
)
_INCOMPLETE = "incomplete"  # the status of a response of OpenAI's Responses API, which gives no reason


class LanguageModelGenerator:
    """A `dspy.LM`, or any other of DSPy's language models, as a FIPO `Generator`.

    It is called as configured, except for the temperature of samples, and with one message, which every such model
    accepts. Its cache and its retries are its own. Samples are requested one by one, each with its own `rollout_id`, so
    that DSPy's cache does not return the first for all of them. A reply counts as unfinished if it says that it was cut
    off, or ended for an unknown reason. One that gives no reason counts as finished.
    """

    def __init__(self, lm: dspy.BaseLM) -> None:
        if not isinstance(lm, dspy.BaseLM):
            raise InputError(
                f"prompt_model must be a DSPy language model, such as dspy.LM(...), not {lm!r:.80}; for a FIPO model, "
                "use FIPO(optimizer=PromptOptimizer.from_pretrained(...))"
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
        if samples < 1:
            raise InputError(f"samples must be at least 1, not {samples}")
        if samples > 1 and sampling.is_greedy:
            raise InputError(f"greedy decoding has one completion, not {samples}: set a sampling temperature above 0")
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
            is_truncated=reason is not None and reason not in _FINISHED | _FILTERED,
            prompt_tokens=usage.get("prompt_tokens") or 0,
            completion_tokens=usage.get("completion_tokens") or 0,
            is_refused=reason in _FILTERED,
            note=f"the reply ended with {reason!r}" if reason and reason not in _FINISHED else "",
        )


def _ending(lm: dspy.BaseLM) -> tuple[dict[str, int], str | None]:
    """The tokens that a model's only call used, and why it ended, if that is known; DSPy may keep no history."""
    if not lm.history:
        return {}, None
    response = lm.history[-1]["response"]
    choices = getattr(response, "choices", None)  # as before DSPy 3.4, and for models that do without its engines
    reason = getattr(choices[0] if choices else response, "finish_reason", None)
    if reason is None and getattr(response, "status", None) == _INCOMPLETE:
        reason = _INCOMPLETE
    return lm.history[-1]["usage"], str(reason).lower() if reason else None
