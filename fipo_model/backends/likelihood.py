"""How likely a response is after a prompt, and the judge that prefers the prompt its golden response is likelier after.

A model too small to have an opinion on prompts, or to answer them well, still knows how well a prompt leads to a
response that is known to be good.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fipo_model.backends.computing import CPU
from fipo_model.backends.decoding import plan_batches
from fipo_model.backends.hf import TransformersGenerator
from fipo_model.errors import InputError, ModelError, PromptTooLongError, explain_missing
from fipo_model.generation import Message, Scorer, score_each
from fipo_model.judge import Comparison, Verdict
from fipo_model.types import OptimizationRequest

with explain_missing("local", "torch"):
    import torch
    from torch.nn.functional import cross_entropy

# Tokens in a batch, padding included. Every scored token has a row of logits as wide as the vocabulary (192 KiB in fp32
# with the default weights' 49,152 tokens), so these are far below what decoding can take.
_CPU_TOKEN_BUDGET = 2048
_GPU_TOKEN_BUDGET = 16384
# Rows of logits brought to fp32 at a time.
_ROWS_IN_FP32 = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One sequence to score: the prompt's tokens, then those of the response, which begin at `start`."""

    ids: tuple[int, ...]
    start: int


class ResponseLikelihood:
    """Measures how likely responses are under a model, as the assistant's next message after a conversation.

    The measure is the mean log-probability of the response's tokens, in nats per token: at most 0, and comparable for
    one response under several prompts, not between responses. The end of the turn is not counted: it says when the
    model would stop, not what it would say. With `max_response_tokens`, only that many tokens at the beginning of a
    response are read and counted, which is quicker.

    Probabilities are taken in fp32 from the logits of the model's own number format. What else is in a batch makes no
    difference beyond rounding. Calls wait for those of the generator, as the generator's wait for each other.
    """

    def __init__(self, generator: TransformersGenerator, *, max_response_tokens: int | None = None) -> None:
        if max_response_tokens is not None and max_response_tokens < 1:
            raise InputError(f"max_response_tokens must be at least 1, not {max_response_tokens}")
        self.generator = generator
        self.max_response_tokens = max_response_tokens
        most = _CPU_TOKEN_BUDGET if generator.model.device.type == "cpu" else _GPU_TOKEN_BUDGET
        self._token_budget = min(most, generator.token_budget)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.generator.name

    def log_likelihoods(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Nats per token for each (conversation, response), in order.

        Equal pairs are computed once. Any text is just text, as everywhere. Raises `PromptTooLongError` with the index
        of a pair that does not fit into the model's context, and `InputError` for an empty response, before anything
        is computed.
        """
        return [value for _, value in self._measured(pairs)]

    def sums(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Like `log_likelihoods`, in nats for the whole response instead of per token.

        For comparing models on one response: between responses the longer one is always the less likely.
        """
        return [value * (len(row.ids) - row.start) for row, value in self._measured(pairs)]

    def _measured(self, pairs: Sequence[tuple[list[Message], str]]) -> list[tuple[_Row, float]]:
        def measured() -> list[tuple[_Row, float]]:
            rows = self._encode(pairs)
            return list(zip(rows, self._measure(rows), strict=True))

        return self.generator.computed(measured)

    def _encode(self, pairs: Sequence[tuple[list[Message], str]]) -> list[_Row]:
        config = self.generator.model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None)
        rows = []
        for index, (conversation, response) in enumerate(pairs):
            # Apart, as a model meets them: it continues the tokens of the prompt, and none spans the border.
            said = self.generator._encode_text(response, is_markup=False)[: self.max_response_tokens]
            if not said or not response.strip():
                raise InputError(f"response {index} is empty: there is nothing whose likelihood could be measured")
            prompt = self.generator._encode(conversation)
            tokens = len(prompt) + len(said)
            if limit is not None and tokens > limit:
                raise PromptTooLongError(index=index, tokens=tokens, limit=limit)
            rows.append(_Row(ids=(*prompt, *said), start=len(prompt)))
        return rows

    def _measure(self, rows: Sequence[_Row]) -> list[float]:
        distinct = list(dict.fromkeys(rows))
        known: dict[_Row, float] = {}
        lengths = [len(row.ids) for row in distinct]
        for batch in plan_batches(lengths, new_tokens=0, token_budget=self._token_budget):
            CPU.go_on()
            chosen = [distinct[index] for index in batch]
            known.update(zip(chosen, self._measure_batch(chosen), strict=True))
        return [known[row] for row in rows]

    def _measure_batch(self, rows: list[_Row]) -> list[float]:
        try:
            return self._run(rows)
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                raise ModelError(
                    f"the GPU's memory does not hold {self.generator.name} and a prompt with its response of "
                    f"{len(rows[0].ids)} tokens together. Set max_response_tokens, or use a smaller model or the CPU."
                ) from error
        middle = len(rows) // 2
        return [*self._measure_batch(rows[:middle]), *self._measure_batch(rows[middle:])]

    def _run(self, rows: list[_Row]) -> list[float]:
        """Nats per token for each row, from one forward pass."""
        model = self.generator.model
        # The last token predicts nothing that is asked for. Padding on the right needs no mask: a token sees only what
        # is to its left. That leaves attention its quickest form, and lets every architecture, recurrent ones too, be.
        longest = max(len(row.ids) for row in rows) - 1
        padded = [[*row.ids[:-1], *[self.generator._pad_token_id] * (longest + 1 - len(row.ids))] for row in rows]
        first = min(row.start for row in rows) - 1
        columns = torch.arange(first, longest, device=model.device)
        # Logits for the columns in which some row has its response, of shape (rows, columns, vocabulary).
        logits = model(
            input_ids=torch.tensor(padded, device=model.device), use_cache=False, logits_to_keep=columns
        ).logits
        return [
            _mean_log_probability(logits[i, row.start - 1 - first : len(row.ids) - 1 - first], row.ids[row.start :])
            for i, row in enumerate(rows)
        ]


def _mean_log_probability(logits: torch.Tensor, said: tuple[int, ...]) -> float:
    """In nats per token, of the tokens `said`, for each of which `logits` has a row of shape (vocabulary,)."""
    targets = torch.tensor(said, device=logits.device)
    losses = [
        cross_entropy(part.float(), wanted, reduction="none")
        for part, wanted in zip(torch.split(logits, _ROWS_IN_FP32), torch.split(targets, _ROWS_IN_FP32), strict=True)
    ]
    return -float(torch.cat(losses).double().mean())


def golden_log_likelihoods(
    measure: Scorer, prompts: Sequence[tuple[OptimizationRequest, str]]
) -> list[float | PromptTooLongError]:
    """How likely each request's golden response is after a prompt in the place of its instruction, in nats per token.

    A test model is shown a prompt as a user would send it: one message, the prompt and, if there is one, an empty line
    and the context. Raises `InputError` for a request without a golden response.
    """
    return score_each(
        measure, [([_as_user(request, prompt)], _golden_response(request) or "") for request, prompt in prompts]
    )


class LikelihoodJudge:
    """Prefers a rewrite that makes the request's golden response likelier under every one of the test models.

    What a test model is shown: see `golden_log_likelihoods`. The challenger wins if under each test model the golden
    response gains more than `margin` nats per token, the incumbent if under each it loses more; else it is a tie. So is
    a comparison whose request has no golden response, or that does not fit into a test model's context, with that as
    its reason. For `max_response_tokens` see `ResponseLikelihood`.
    """

    def __init__(
        self, models: Sequence[TransformersGenerator], *, margin: float = 0.0, max_response_tokens: int | None = None
    ) -> None:
        if not models:
            raise InputError("a judge by likelihood needs at least one test model")
        if not 0 <= margin < math.inf:
            raise InputError(f"margin must be a number of nats per token, at least 0, but is {margin}")
        self.margin = margin
        self._measures = [ResponseLikelihood(model, max_response_tokens=max_response_tokens) for model in models]

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        """One batched call for each test model, in which a prompt that is compared several times is scored once."""
        pairs = [
            (comparison.request, prompt)
            for comparison in comparisons
            if _golden_response(comparison.request) is not None
            for prompt in (comparison.incumbent, comparison.challenger)
        ]
        gains = zip(*(_gains(golden_log_likelihoods(measure, pairs)) for measure in self._measures), strict=True)
        return [
            Verdict(winner="tie", reason="the request has no golden response whose likelihood could decide")
            if _golden_response(comparison.request) is None
            else self._decide(next(gains))
            for comparison in comparisons
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
        return Verdict(winner="tie", reason=f"{change}; to decide, all must go one way by more than {self.margin:g}")


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
