"""Judging prompts by how likely they make a response that is known to be good."""

import math
from collections.abc import Sequence

from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.generation import Message, Scorer, score_each
from fipo_model.judge import Comparison, Verdict
from fipo_model.types import OptimizationRequest


def golden_log_likelihoods(
    scorer: Scorer, prompts: Sequence[tuple[OptimizationRequest, str]]
) -> list[float | PromptTooLongError]:
    """How likely each request's golden response is after a prompt in place of its instruction, in nats per token.

    A test model is shown a prompt as a user would send it: one message, the prompt and, if there is one, an empty line
    and the context. Raises `InputError` for a request without a golden response.
    """
    return score_each(
        scorer, [([_as_user(request, prompt)], _golden_response(request) or "") for request, prompt in prompts]
    )


_UNDECIDABLE = Verdict(winner="tie", reason="the request has no golden response whose likelihood could decide")


class LikelihoodJudge:
    """Prefers a rewrite that makes the request's golden response likelier under every one of the test models.

    A model too small to have an opinion on prompts, or to answer them well, still knows how well a prompt leads to a
    response that is known to be good. What a test model is shown: see `golden_log_likelihoods`. The challenger wins if
    under each test model the golden response gains more than `margin` nats per token, the incumbent if under each it
    loses more; else it is a tie. A comparison is also a tie, with that as its reason, if its request has no golden
    response or does not fit into a test model's context.
    """

    def __init__(self, scorers: Sequence[Scorer], *, margin: float = 0.0) -> None:
        if not scorers:
            raise InputError("a judge by likelihood needs at least one test model")
        if not 0 <= margin < math.inf:
            raise InputError(f"margin must be a number of nats per token, at least 0, but is {margin}")
        self.scorers = tuple(scorers)
        self.margin = margin

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One batched call for each test model, in which a prompt that is compared several times is scored once."""
        decidable = [each for each in comparisons if _golden_response(each.request) is not None]
        prompts: list[tuple[OptimizationRequest, str]] = []
        for each in decidable:
            prompts += [(each.request, each.incumbent), (each.request, each.challenger)]
        gains = zip(*(_gains(golden_log_likelihoods(scorer, prompts)) for scorer in self.scorers), strict=True)
        return [
            _UNDECIDABLE if _golden_response(each.request) is None else self._decide(next(gains))
            for each in comparisons
        ]

    def _decide(self, gains: tuple[float | None, ...]) -> Verdict:
        known = [gain for gain in gains if gain is not None]
        if len(known) < len(gains):
            reason = "a prompt and the golden response together are too long for a test model's context"
            return Verdict(winner="tie", reason=reason)
        if min(known) > self.margin:
            return Verdict(winner="challenger", reason=f"golden response likelier by {_listed(known)}")
        if max(known) < -self.margin:
            return Verdict(winner="incumbent", reason=f"golden response less likely by {_listed([-g for g in known])}")
        change = f"golden response's likelihood changed by {_listed(known, sign='+')}"
        return Verdict(
            winner="tie", reason=f"{change}; to decide, all must change the same way by more than {self.margin:g}"
        )


def _golden_response(request: OptimizationRequest) -> str | None:
    golden = request.golden_response
    return golden if golden is not None and golden.strip() else None


def _as_user(request: OptimizationRequest, prompt: str) -> Message:
    has_context = request.context is not None and request.context.strip()
    return {"role": "user", "content": f"{prompt}\n\n{request.context}" if has_context else prompt}


def _gains(found: Sequence[float | PromptTooLongError]) -> list[float | None]:
    """What each challenger gains over its incumbent, which comes before it; None where one of the two is too long."""
    return [
        None if isinstance(before, PromptTooLongError) or isinstance(after, PromptTooLongError) else after - before
        for before, after in zip(found[::2], found[1::2], strict=True)
    ]


def _listed(values: Sequence[float], *, sign: str = "") -> str:
    *others, last = [f"{value:{sign}.3f}" for value in values]
    return f"{', '.join(others)} and {last} nats per token" if others else f"{last} nats per token"
