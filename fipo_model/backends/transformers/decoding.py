"""How the in-process generator decodes: which rows share a batch or a prompt's beginning, and its randomness."""

import copy
import random
from collections.abc import Callable, Sequence

from fipo_model.errors import explain_missing
from fipo_model.generation import Sampling

with explain_missing("local", "torch", "transformers"):
    import torch
    from transformers import (
        DynamicCache,
        LogitsProcessor,
        LogitsProcessorList,
        PreTrainedModel,
        StoppingCriteria,
        TemperatureLogitsWarper,
    )
    from transformers.cache_utils import DynamicLayer

# Below this, computing the shared beginning apart costs more than it saves.
_SHORTEST_PREFIX = 16
# Rows that differ in length by more than this go into separate batches where padding would cost more than another
# batch.
_LONGEST_TO_SHORTEST = 2.0
# What a forward pass costs beyond its tokens, in tokens of prompt: on two cores a step of decoding takes as long as 50
# (fp32) to 160 (bf16). Most replies are short, however long they may be.
_TOKENS_PER_PASS = 64
_USUAL_REPLY = 16
# Finished rows are still computed until the batch is rebuilt without them, which costs about one step.
_DONE_SHARE = 0.125
# A nucleus is looked for among this many tokens before the whole vocabulary is sorted.
_USUAL_NUCLEUS = 1024


def plan_batches(lengths: Sequence[int], *, new_tokens: int, token_budget: int) -> list[list[int]]:
    """Cut rows into batches of similar length: indices, shortest rows first.

    `lengths` are the rows' prompt tokens. A batch holds at most `token_budget` tokens, padding and the `new_tokens` of
    each row included, which bounds the memory of the key-value cache. A single row over the budget goes alone.
    """
    batches: list[list[int]] = []
    shortest = total = 0
    another_batch = _TOKENS_PER_PASS * (1 + min(new_tokens, _USUAL_REPLY))
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[index]
        rows = len(batches[-1]) if batches else 0
        fits = rows > 0 and (rows + 1) * (length + new_tokens) <= token_budget
        if not fits or (length > _LONGEST_TO_SHORTEST * shortest and rows * length - total > another_batch):
            batches.append([])
            shortest, total = length, 0
        batches[-1].append(index)
        total += length
    return batches


class SeededChoice(LogitsProcessor):
    """Draws each row's next token from its own random numbers, so that the batch around it makes no difference.

    It is the last processor. Its scores leave only one token possible (inverse transform sampling), so greedy decoding
    after it amounts to sampling. torch's generator is shared by a batch and would tie a row's sample to its neighbours;
    transformers has no per-row seed.

    Only the nucleus is drawn from (Holtzman et al. 2020, arXiv 1904.09751): the likeliest tokens that hold `top_p` of
    the probability, and those as likely as the last of them. transformers' TopPLogitsWarper sorts the whole vocabulary
    for it; on a CPU 48 samples of the default weights then take 1.26 times as long.
    """

    def __init__(self, sources: Sequence[random.Random], *, top_p: float = 1.0) -> None:
        self._sources = sources
        self._top_p = top_p

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores of shape (rows, vocabulary)."""
        probabilities = scores.softmax(dim=-1)
        if self._top_p < 1:
            probabilities = probabilities.where(probabilities >= self._least(probabilities), 0)
        cumulative = probabilities.double().cumsum(dim=-1)
        draws = torch.tensor([[source.random()] for source in self._sources], dtype=torch.double, device=scores.device)
        # right=True skips tokens of probability zero in front of the drawn one.
        chosen = torch.searchsorted(cumulative, draws * cumulative[:, -1:], right=True)
        chosen = chosen.clamp(max=scores.shape[-1] - 1)
        return torch.full_like(scores, float("-inf")).scatter(1, chosen, 0.0)  # type: ignore[return-value]

    def _least(self, probabilities: torch.Tensor) -> torch.Tensor:
        """The probability of each row's least likely token in the nucleus, of shape (rows, 1)."""
        likeliest = probabilities.topk(min(_USUAL_NUCLEUS, probabilities.shape[-1])).values
        if (likeliest.sum(dim=-1) < self._top_p).any():
            likeliest = probabilities.sort(descending=True).values
        before = likeliest.cumsum(dim=-1) - likeliest
        return likeliest.where(before < self._top_p, 1).amin(dim=-1, keepdim=True)


def row_seeds(row: Sequence[int], seed: int, samples: int) -> list[str]:
    """One seed for each sample of a row, from the call's seed, the sample's number and the row's text."""
    return [f"{seed} {number} {tuple(row)}" for number in range(samples)]


def processors(sampling: Sampling, sources: Sequence[random.Random]) -> LogitsProcessorList:
    """The processors that pick the next tokens; none where decoding is greedy."""
    if sampling.is_greedy:
        return LogitsProcessorList()
    return LogitsProcessorList(
        [TemperatureLogitsWarper(sampling.temperature), SeededChoice(sources, top_p=sampling.top_p)]
    )


class LikelihoodRecorder(LogitsProcessor):
    """Notes how likely each chosen token was. As the first processor it sees unchanged scores, and changes nothing.

    transformers would keep the scores of every step for it, which is 0.6 MB for each token of a usual vocabulary.
    """

    def __init__(self) -> None:
        self._steps: list[torch.Tensor] = []
        self._last: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Token ids of shape (rows, tokens), scores of shape (rows, vocabulary)."""
        self._note(input_ids)
        self._last = scores.log_softmax(dim=-1)
        return scores

    def told(self, input_ids: torch.Tensor) -> list[list[float]]:
        """The log-probabilities of each row's new tokens, given all tokens at the end."""
        self._note(input_ids)
        self._last = None
        return torch.stack(self._steps, dim=1).tolist() if self._steps else [[] for _ in input_ids]

    def _note(self, input_ids: torch.Tensor) -> None:
        if self._last is not None:
            self._steps.append(self._last.gather(1, input_ids[:, -1:]).squeeze(1))


class EnoughAreDone(StoppingCriteria):
    """Interrupts decoding when enough rows have ended that going on without them is cheaper."""

    def __init__(self, end_token_ids: Sequence[int]) -> None:
        self._ends = torch.tensor(end_token_ids)
        self._done: torch.Tensor | None = None

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: object) -> torch.BoolTensor:
        """Token ids of shape (rows, tokens); True for all rows to interrupt, False for all to go on."""
        ended = torch.isin(input_ids[:, -1], self._ends.to(input_ids.device))
        self._done = ended if self._done is None else self._done | ended
        is_enough = self._done.sum() >= max(1, _DONE_SHARE * len(ended))
        return is_enough.expand(len(ended))  # type: ignore[return-value]


class Interruptible(StoppingCriteria):
    """Never stops decoding, but lets `go_on` raise after every token."""

    def __init__(self, go_on: Callable[[], None]) -> None:
        self._go_on = go_on

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs: object) -> torch.BoolTensor:
        """False for all rows."""
        self._go_on()
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)  # type: ignore[return-value]


def can_drop_rows(model: PreTrainedModel) -> bool:
    """Whether rows can be taken out of the model's cache in the middle of a batch; recurrent layers do not offer it."""
    return all(hasattr(layer, "batch_select_indices") for layer in DynamicCache(config=model.config).layers)


class SharedPrefix:
    """The key-value cache of what prompts begin with: the template's fixed text is computed once, not for every row.

    Keeps one prefix: that of the last batch, or of the last two single prompts.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._ids: list[int] = []
        self._cache: DynamicCache | None = None
        self._last_row: list[int] = []
        # Sliding-window and recurrent layers cannot be cropped or padded behind the prefix.
        self._is_possible = all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)

    def cache_for(self, rows: Sequence[list[int]]) -> tuple[int, DynamicCache | None]:
        """How many of the rows' first tokens are already computed, and a cache of them for `len(rows)` rows.

        At least one token of every row remains to be computed. (0, None) where sharing does not pay.
        """
        if not self._is_possible:
            return 0, None
        compared = rows if len(rows) > 1 else [*rows, self._last_row]
        self._last_row = rows[0]
        room = min(map(len, rows)) - 1
        common = rows[0][: min(room, _common_length(compared))]
        known = min(room, _common_length([self._ids, *rows]))
        # Recompute only for a prefix that is worth it: that of a batch of samples of one prompt, or of another
        # template.
        if len(common) >= _SHORTEST_PREFIX and (
            known < _SHORTEST_PREFIX or (len(common) - known) * len(rows) > 2 * len(common)
        ):
            self._compute(common)
            known = len(common)
        if known < _SHORTEST_PREFIX or self._cache is None:
            return 0, None
        cache = copy.deepcopy(self._cache)
        if known < len(self._ids):
            cache.crop(known - len(self._ids))  # negative: how many tokens to take off the end
        cache.batch_repeat_interleave(len(rows))
        return known, cache

    def _compute(self, ids: list[int]) -> None:
        cache = DynamicCache(config=self._model.config)
        tokens = torch.tensor([ids], device=self._model.device)
        self._model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        self._ids, self._cache = ids, cache


def _common_length(rows: Sequence[list[int]]) -> int:
    """How many tokens all the rows begin with: what the smallest and the largest in dictionary order share."""
    first, last = min(rows), max(rows)
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
