"""A Scorer in this process, on transformers: how likely a response is after a conversation."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial

from fipo_model.backends.engine import go_on
from fipo_model.backends.transformers.decoding import plan_batches
from fipo_model.backends.transformers.model import LoadedModel
from fipo_model.errors import InputError, ModelError, PromptTooLongError, explain_missing
from fipo_model.generation import Message

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


@dataclass(frozen=True)
class TransformersScorer:
    """A model in this process as a Scorer, which may share it with a generator: `TransformersScorer(generator.loaded)`.

    With `max_response_tokens`, only that many tokens at the beginning of a response are read and counted, which is
    quicker. `token_budget` is the most tokens of a batch, padding included.

    Probabilities are taken in fp32 from the logits of the model's own number format. Calls wait for each other, and for
    those of generators of the same model.
    """

    loaded: LoadedModel
    _: KW_ONLY
    max_response_tokens: int | None = None
    token_budget: int | None = None

    def __post_init__(self) -> None:
        if self.max_response_tokens is not None and self.max_response_tokens < 1:
            raise InputError(f"max_response_tokens must be at least 1, not {self.max_response_tokens}")

    @property
    def name(self) -> str:
        """The model's name, with its adapter."""
        return self.loaded.name

    def log_likelihoods(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Nats per token for each (conversation, response), in order.

        Equal pairs are computed once. Any text is just text, as everywhere. Raises `PromptTooLongError` with the index
        of a pair that does not fit into the model's context, and `InputError` for an empty response, before anything
        is computed.
        """
        return [value for _, value in self._measured(pairs)]

    def sums(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Like `log_likelihoods`, in nats for the whole response instead of per token.

        For comparing models on one response. Of several responses, the longer is always the less likely.
        """
        return [value * (len(row.ids) - row.start) for row, value in self._measured(pairs)]

    def _measured(self, pairs: Sequence[tuple[list[Message], str]]) -> list[tuple[_Row, float]]:
        return self.loaded.run(partial(self._measure_pairs, pairs))

    def _measure_pairs(self, pairs: Sequence[tuple[list[Message], str]]) -> list[tuple[_Row, float]]:
        rows = self._encode(pairs)
        return list(zip(rows, self._measure(rows), strict=True))

    def _encode(self, pairs: Sequence[tuple[list[Message], str]]) -> list[_Row]:
        limit = self.loaded.context_tokens
        rows = []
        for index, (conversation, response) in enumerate(pairs):
            # Encoded apart, as a model meets them: it continues the tokens of the prompt, so no token spans the border.
            said = self.loaded.chat.encode_text(response)[: self.max_response_tokens]
            if not said or not response.strip():
                raise InputError(f"response {index} is empty, so it has no likelihood to measure")
            prompt = self.loaded.chat.encode(conversation)
            tokens = len(prompt) + len(said)
            if limit is not None and tokens > limit:
                raise PromptTooLongError(index=index, tokens=tokens, limit=limit)
            rows.append(_Row(ids=(*prompt, *said), start=len(prompt)))
        return rows

    def _measure(self, rows: Sequence[_Row]) -> list[float]:
        distinct = list(dict.fromkeys(rows))
        known: dict[_Row, float] = {}
        lengths = [len(row.ids) for row in distinct]
        budget = self.token_budget or (_CPU_TOKEN_BUDGET if self.loaded.is_on_cpu else _GPU_TOKEN_BUDGET)
        for batch in plan_batches(lengths, new_tokens=0, token_budget=budget):
            go_on()
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
                    f"the GPU's memory is too small for {self.name} and a prompt with its response of "
                    f"{len(rows[0].ids)} tokens together. Set max_response_tokens, or use a smaller model or the CPU."
                ) from error
        middle = len(rows) // 2
        return [*self._measure_batch(rows[:middle]), *self._measure_batch(rows[middle:])]

    def _run(self, rows: list[_Row]) -> list[float]:
        """Nats per token for each row, from one forward pass."""
        model = self.loaded.model
        # The last token predicts nothing that is needed. Padding on the right needs no mask: a token sees only what
        # is to its left. That allows the fastest form of attention, and suits every architecture, even recurrent ones.
        longest = max(len(row.ids) for row in rows) - 1
        padded = [[*row.ids[:-1], *[self.loaded.pad_token_id] * (longest + 1 - len(row.ids))] for row in rows]
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
