"""Which of two prompts is better: an interface, and a judge that asks a language model in both orders."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from fipo_model.errors import PromptTooLongError
from fipo_model.generation import Completion, Generator, Sampling, complete_each
from fipo_model.replies import spoken
from fipo_model.templates import FIPO_1, Template
from fipo_model.types import OptimizationRequest

# "A", "(B)", "Prompt A is better", "The better prompt is B."; not "A good prompt" or "A/B", which decide nothing.
_CHOICE = re.compile(
    r"(?:\W|\b(?i:the|better|best|prompt|answer|option|choice|is)\b)*\b([AB])"
    r"(?: is (?:the )?(?:better|best)\b| because\b|(?!\w|['’]| [a-z]|\W+[AB]\b))"
)
_VERDICT_TOKENS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two prompts for the same request. The incumbent is the one in use."""

    request: OptimizationRequest
    incumbent: str
    challenger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How a comparison ended, and why, in words."""

    winner: Literal["challenger", "incumbent", "tie"]
    reason: str


class Judge(Protocol):
    """Decides comparisons, a batch at a time: one verdict for each, in order. A tie keeps the incumbent."""

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Verdict]: ...


class LLMJudge:
    """Asks a language model each question twice, with the prompts in both orders.

    Language models favour a position, so only a preference in both orders counts. Two answers for the same position, or
    an answer that is neither A nor B, are a tie. (The paper's own discriminator, section 3.3, is asked once, with the
    new prompt always first.)
    """

    def __init__(self, generator: Generator, *, template: Template = FIPO_1) -> None:
        self.generator = generator
        self.template = template

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One batched call of two conversations for each comparison."""
        orders = []
        for comparison in comparisons:
            request, incumbent, challenger = comparison.request, comparison.incumbent, comparison.challenger
            orders.append(self.template.render_comparison(request, incumbent, challenger))
            orders.append(self.template.render_comparison(request, challenger, incumbent))
        replies = complete_each(self.generator, orders, Sampling(max_new_tokens=_VERDICT_TOKENS))
        return [
            _decide(incumbent_first, challenger_first)
            for incumbent_first, challenger_first in zip(replies[::2], replies[1::2], strict=True)
        ]


def _decide(
    incumbent_first: Completion | PromptTooLongError, challenger_first: Completion | PromptTooLongError
) -> Verdict:
    if isinstance(incumbent_first, PromptTooLongError) or isinstance(challenger_first, PromptTooLongError):
        return Verdict(winner="tie", reason="the two prompts together are too long for the judge's context")
    for reply in (incumbent_first, challenger_first):
        if reply.is_refused:
            return Verdict(winner="tie", reason=f"the judge's request was refused: {reply.note}")
        if reply.is_truncated and reply.note:
            return Verdict(winner="tie", reason=f"the judge gave no answer: {reply.note}")
    match _choice(incumbent_first.text), _choice(challenger_first.text):
        case "B", "A":
            return Verdict(winner="challenger", reason="preferred in both orders")
        case "A", "B":
            return Verdict(winner="incumbent", reason="the other prompt was preferred in both orders")
        case ("A", "A") | ("B", "B"):
            return Verdict(winner="tie", reason="the judge chose by position, not by content")
        case _:
            replies = f"{incumbent_first.text.strip()[:40]!r} and {challenger_first.text.strip()[:40]!r}"
            return Verdict(winner="tie", reason=f"the judge answered neither A nor B: {replies}")


def _choice(reply: str) -> str | None:
    match = _CHOICE.match(spoken(reply))
    return match[1] if match else None
