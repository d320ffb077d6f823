"""A Generator in this process, on transformers, with a PEFT adapter if there is one."""

import random
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, cast

from fipo_model.backends.engine import go_on
from fipo_model.backends.transformers.decoding import (
    EnoughAreDone,
    Interruptible,
    LikelihoodRecorder,
    can_drop_rows,
    plan_batches,
    processors,
    row_seeds,
)
from fipo_model.backends.transformers.model import LoadedModel
from fipo_model.errors import ModelError, PromptTooLongError, explain_missing
from fipo_model.generation import Completion, Message, Sampling, check_samples

with explain_missing("local", "torch", "transformers"):
    import torch
    from transformers import (
        GenerationConfig,
        LogitsProcessorList,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        StoppingCriteriaList,
    )

# Tokens in a batch, padding and reply included. On a CPU more rows than this bring no speed, and the key-value cache of
# the default weights stays under 0.5 GiB (46 KiB a token in fp32).
_CPU_TOKEN_BUDGET = 8192
_GPU_TOKEN_BUDGET = 131072


@dataclass(frozen=True)
class TransformersGenerator:
    """A model in this process as a Generator.

    A model is not safe to run twice at once, so calls wait for each other and for calls of scorers of the same model.
    Calls that wait together with equal settings become one batch. `token_budget` is the most tokens of a batch, padding
    and replies included.
    """

    loaded: LoadedModel
    _: KW_ONLY
    token_budget: int | None = None

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        device_map: str | None = None,
        load_in_4bit: bool = False,
        token_budget: int | None = None,
    ) -> "TransformersGenerator":
        """A generator on the model of a hub id or a directory; see `LoadedModel.from_pretrained`."""
        loaded = LoadedModel.from_pretrained(model, adapter=adapter, device_map=device_map, load_in_4bit=load_in_4bit)
        return cls(loaded, token_budget=token_budget)

    @property
    def name(self) -> str:
        """The model's name, with its adapter."""
        return self.loaded.name

    @property
    def model(self) -> PreTrainedModel:
        """The model itself."""
        return self.loaded.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return self.loaded.tokenizer

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation. Raises `PromptTooLongError` before anything is generated."""
        check_samples(sampling, samples)
        work = partial(self._generate, sampling=sampling, samples=samples)
        return self.loaded.share((self, sampling, samples), conversations, work)

    def _generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, samples: int
    ) -> list[list[Completion]]:
        encoded = [self.loaded.chat.encode(conversation) for conversation in conversations]
        self._refuse_too_long(encoded, sampling)
        # Equal conversations have equal samples, so they are computed once.
        distinct = {tuple(row): row for row in encoded}
        rows = [row for row in distinct.values() for _ in range(samples)]
        seeds = [seed for row in distinct for seed in row_seeds(row, sampling.seed, samples)]
        completions: dict[int, Completion] = {}
        budget = self.token_budget or (_CPU_TOKEN_BUDGET if self.loaded.is_on_cpu else _GPU_TOKEN_BUDGET)
        batches = plan_batches([len(row) for row in rows], new_tokens=sampling.max_new_tokens, token_budget=budget)
        for batch in batches:
            done = self._generate_batch([rows[i] for i in batch], sampling, [seeds[i] for i in batch])
            completions.update(zip(batch, done, strict=True))
        firsts = {row: samples * place for place, row in enumerate(distinct)}
        return [[completions[firsts[tuple(row)] + number] for number in range(samples)] for row in encoded]

    def _generate_batch(self, rows: list[list[int]], sampling: Sampling, seeds: list[str]) -> list[Completion]:
        try:
            return self._decode(rows, *self._run(rows, sampling, seeds))
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                raise ModelError(
                    f"the GPU's memory is too small for {self.name} and a prompt of {len(rows[0])} tokens. Use a "
                    "smaller model, load_in_4bit=True, device_map='auto' over several GPUs, or device_map='cpu'."
                ) from error
        middle = len(rows) // 2
        return [
            *self._generate_batch(rows[:middle], sampling, seeds[:middle]),
            *self._generate_batch(rows[middle:], sampling, seeds[middle:]),
        ]

    def _run(
        self, rows: list[list[int]], sampling: Sampling, seeds: list[str]
    ) -> tuple[list[list[int]], list[list[float]]]:
        """The new tokens of each row, perhaps with padding after its end, and their log-probabilities if asked for."""
        shared, cache = self.loaded.prefix.cache_for(rows)
        # Padding goes between the shared beginning, which is already in the cache, and the rest of each row;
        # positions are counted from the attention mask, so a row does not notice.
        longest = max(map(len, rows))
        padded = [row[:shared] + [self.loaded.pad_token_id] * (longest - len(row)) + row[shared:] for row in rows]
        masks = [[1] * shared + [0] * (longest - len(row)) + [1] * (len(row) - shared) for row in rows]
        ids, mask = (torch.tensor(values, device=self.model.device) for values in (padded, masks))
        sources = [random.Random(seed) for seed in seeds]
        going = list(range(len(rows)))
        replies: list[list[int]] = [[] for _ in rows]
        likelihoods: list[list[float]] = [[] for _ in rows]
        while going:
            recorder = LikelihoodRecorder()
            chance = processors(sampling, [sources[row] for row in going])
            output = cast(Any, self.model).generate(
                ids,
                attention_mask=mask,
                past_key_values=cache,
                generation_config=self._config(longest + sampling.max_new_tokens - ids.shape[1]),
                logits_processor=LogitsProcessorList([recorder, *chance]) if sampling.with_likelihood else chance,
                stopping_criteria=self._stops(),
            )
            ids, cache = output.sequences, output.past_key_values
            for row, tokens in zip(going, ids[:, longest:].tolist(), strict=True):
                replies[row] = tokens
            for row, told in zip(going, recorder.told(ids), strict=True):
                likelihoods[row] += told
            # Go on without the rows that are done, on the cache of the others.
            is_full = ids.shape[1] - longest >= sampling.max_new_tokens
            left = [] if is_full else [i for i, row in enumerate(going) if not self._has_ended(replies[row])]
            if left:
                keep = torch.tensor(left, device=ids.device)
                ids, mask = ids[keep], mask[keep]
                mask = torch.cat([mask, mask.new_ones(len(left), ids.shape[1] - mask.shape[1])], dim=1)
                cache.batch_select_indices(keep)
            going = [going[i] for i in left]
        return replies, likelihoods

    def _has_ended(self, reply: list[int]) -> bool:
        return any(token in self.loaded.end_token_ids for token in reply)

    def _decode(
        self, rows: list[list[int]], replies: list[list[int]], likelihoods: list[list[float]]
    ) -> list[Completion]:
        completions = []
        for row, reply, told in zip(rows, replies, likelihoods, strict=True):
            end = next((i for i, token in enumerate(reply) if token in self.loaded.end_token_ids), None)
            said = reply if end is None else reply[:end]
            completions.append(
                Completion(
                    text=str(self.tokenizer.decode(said, skip_special_tokens=True)),
                    is_truncated=end is None,
                    prompt_tokens=len(row),
                    completion_tokens=len(said) + (end is not None),
                    log_likelihood=fmean(told[: len(said)]) if told and said else None,
                )
            )
        return completions

    def _refuse_too_long(self, rows: list[list[int]], sampling: Sampling) -> None:
        limit = self.loaded.context_tokens
        for index, row in enumerate(rows):
            needed = len(row) + sampling.max_new_tokens
            if limit is not None and needed > limit:
                raise PromptTooLongError(index=index, tokens=needed, limit=limit)

    def _config(self, max_new_tokens: int) -> GenerationConfig:
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max_new_tokens, do_sample=False, return_dict_in_generate=True
        )

    def _stops(self) -> StoppingCriteriaList:
        is_enough = [EnoughAreDone(self.loaded.end_token_ids)] if can_drop_rows(self.model) else []
        return StoppingCriteriaList([Interruptible(go_on), *is_enough])
