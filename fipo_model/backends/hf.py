"""A Generator in this process, on transformers, with a PEFT adapter if there is one."""

import random
import re
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

from fipo_model.backends.checkpoint import resolve
from fipo_model.backends.computing import CPU
from fipo_model.backends.cpu import compute_head_once
from fipo_model.backends.decoding import (
    EnoughAreDone,
    Interruptible,
    SharedPrefix,
    can_drop_rows,
    plan_batches,
    processors,
    row_seeds,
)
from fipo_model.backends.loading import best_device, best_dtype, load_model
from fipo_model.errors import ModelError, PromptTooLongError, explain_missing
from fipo_model.forking import survive_forks
from fipo_model.generation import Completion, Message, Sampling

with explain_missing("local", "torch", "transformers", "peft", "accelerate", "safetensors", "jinja2"):
    import torch
    from transformers import (
        GenerationConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        StoppingCriteriaList,
    )

# Tokens in a batch, padding and reply included. On a CPU more rows than this buys no speed, and the key-value cache of
# the default weights stays under 0.5 GiB (46 KiB a token in fp32).
_CPU_TOKEN_BUDGET = 8192
_GPU_TOKEN_BUDGET = 131072

# A plane of Unicode without assigned characters.
_PRIVATE_USE = range(0xF0000, 0xFFFFE)

_Result = TypeVar("_Result")

_loaded: "WeakValueDictionary[tuple[Any, ...], TransformersGenerator]" = WeakValueDictionary()
_loading = threading.Lock()


class TransformersGenerator:
    """A causal language model and its tokenizer as a Generator.

    Calls are served one at a time (a model is not safe to run twice at once). Copies are the same object, and
    unpickling in a process that already holds the model gives that one, so nothing duplicates the weights. The model
    is put into evaluation mode, and its own generation defaults are set aside. A process that is forked after loading
    goes on with the same weights on one CPU thread; processes that load the model themselves use all of them.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        token_budget: int | None = None,
    ) -> None:
        if tokenizer.chat_template is None:
            raise ModelError(
                f"the tokenizer of {name} has no chat template, so it is unknown how to talk to it. Use an "
                "instruction-tuned model, or set tokenizer.chat_template."
            )
        self.name = name
        model.eval()  # type: ignore[no-untyped-call]
        self.model = model
        self.tokenizer = tokenizer
        self.token_budget = token_budget or (_CPU_TOKEN_BUDGET if model.device.type == "cpu" else _GPU_TOKEN_BUDGET)
        self._end_token_ids = _end_token_ids(model, tokenizer)
        pad = tokenizer.pad_token_id
        self._pad_token_id = int(pad if pad is not None else next(iter(self._end_token_ids), 0))
        # What a call leaves unset is taken from here. A model's own defaults sample, penalise, keep no cache or stop
        # early, and would undo what a Generator promises.
        model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=self._end_token_ids or None, pad_token_id=self._pad_token_id
        )
        compute_head_once(model)
        self._drops_rows = can_drop_rows(model)
        self._prefix = SharedPrefix(model)
        self._lock = threading.Lock()
        self._source: tuple[Any, ...] | None = None
        survive_forks(self)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        # torch's other threads are not in the child, and its OpenMP would wait for them forever.
        torch.set_num_threads(1)

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
        """Load a model from a hub id or a directory; safetensors or torch's weights-only format, never remote code.

        `device_map` is accelerate's ("auto" spreads a large model over several GPUs); by default a GPU if there is
        one, else the CPU. bf16 where the hardware computes in it, else fp32. `load_in_4bit` needs bitsandbytes.
        """
        source = (str(model), None if adapter is None else str(adapter), device_map, load_in_4bit, token_budget)
        place = device_map or best_device()
        key = (*source, best_dtype(place))
        with _loading:
            generator = _loaded.get(key)
            if generator is None:
                load = partial(load_model, str(model), None if adapter is None else Path(adapter), place, load_in_4bit)
                is_on_cpu = "cpu" in (place, best_device())
                base, tokenizer, name = CPU.run(load) if is_on_cpu else load()
                generator = cls(base, tokenizer, name=name, token_budget=token_budget)
                generator._source = source
                _loaded[key] = generator
            return generator

    def generate(self, conversations: Sequence[list[Message]], sampling: Sampling) -> list[Completion]:
        """Continue each conversation. Raises `PromptTooLongError` before anything is generated."""
        return self.computed(partial(self._generate, conversations, sampling))

    def computed(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns, which uses the model: one at a time, on a CPU in the thread that is there for it."""

        def alone() -> _Result:
            with self._lock, torch.inference_mode():
                return work()

        return CPU.run(alone) if self.model.device.type == "cpu" else alone()

    def _generate(self, conversations: Sequence[list[Message]], sampling: Sampling) -> list[Completion]:
        rows = [self._encode(conversation) for conversation in conversations]
        self._refuse_too_long(rows, sampling)
        seeds = row_seeds(rows, sampling.seed)
        completions: dict[int, Completion] = {}
        batches = plan_batches(
            [len(row) for row in rows], new_tokens=sampling.max_new_tokens, token_budget=self.token_budget
        )
        for batch in batches:
            done = self._generate_batch([rows[i] for i in batch], sampling, [seeds[i] for i in batch])
            completions.update(zip(batch, done, strict=True))
        return [completions[index] for index in range(len(rows))]

    def _generate_batch(self, rows: list[list[int]], sampling: Sampling, seeds: list[str]) -> list[Completion]:
        try:
            return self._decode(rows, self._run(rows, sampling, seeds))
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(rows) == 1:
                raise ModelError(
                    f"the GPU's memory does not hold {self.name} and a prompt of {len(rows[0])} tokens. Use a smaller "
                    "model, load_in_4bit=True, device_map='auto' over several GPUs, or device_map='cpu'."
                ) from error
        middle = len(rows) // 2
        return [
            *self._generate_batch(rows[:middle], sampling, seeds[:middle]),
            *self._generate_batch(rows[middle:], sampling, seeds[middle:]),
        ]

    def _run(self, rows: list[list[int]], sampling: Sampling, seeds: list[str]) -> list[list[int]]:
        """The new tokens of each row, perhaps with padding after its end."""
        shared, cache = self._prefix.cache_for(rows)
        # Padding goes between the shared beginning, which is already in the cache, and the rest of each row;
        # positions are counted from the attention mask, so a row does not notice.
        longest = max(map(len, rows))
        padded = [row[:shared] + [self._pad_token_id] * (longest - len(row)) + row[shared:] for row in rows]
        masks = [[1] * shared + [0] * (longest - len(row)) + [1] * (len(row) - shared) for row in rows]
        ids, mask = (torch.tensor(values, device=self.model.device) for values in (padded, masks))
        sources = [random.Random(seed) for seed in seeds]
        going = list(range(len(rows)))
        replies: list[list[int]] = [[] for _ in rows]
        while going:
            output = cast(Any, self.model).generate(
                ids,
                attention_mask=mask,
                past_key_values=cache,
                generation_config=self._config(longest + sampling.max_new_tokens - ids.shape[1]),
                logits_processor=processors(sampling, [sources[row] for row in going]),
                stopping_criteria=StoppingCriteriaList(
                    [Interruptible(CPU.go_on), *([EnoughAreDone(self._end_token_ids)] if self._drops_rows else [])]
                ),
            )
            ids, cache = output.sequences, output.past_key_values
            for row, tokens in zip(going, ids[:, longest:].tolist(), strict=True):
                replies[row] = tokens
            # Go on without the rows that are done, on the cache of the others.
            is_full = ids.shape[1] - longest >= sampling.max_new_tokens
            left = [] if is_full else [i for i, row in enumerate(going) if not self._has_ended(replies[row])]
            if left:
                keep = torch.tensor(left, device=ids.device)
                ids, mask = ids[keep], mask[keep]
                mask = torch.cat([mask, mask.new_ones(len(left), ids.shape[1] - mask.shape[1])], dim=1)
                cache.batch_select_indices(keep)
            going = [going[i] for i in left]
        return replies

    def _has_ended(self, reply: list[int]) -> bool:
        return any(token in self._end_token_ids for token in reply)

    def _decode(self, rows: list[list[int]], replies: list[list[int]]) -> list[Completion]:
        completions = []
        for row, reply in zip(rows, replies, strict=True):
            end = next((i for i, token in enumerate(reply) if token in self._end_token_ids), None)
            said = reply if end is None else reply[:end]
            completions.append(
                Completion(
                    text=str(self.tokenizer.decode(said, skip_special_tokens=True)),
                    is_truncated=end is None,
                    prompt_tokens=len(row),
                    completion_tokens=len(said) + (end is not None),
                )
            )
        return completions

    def _encode(self, conversation: list[Message]) -> list[int]:
        """Token ids of the chat template around the messages; chat markup within a message is just text."""
        specials = sorted((token for token in self.tokenizer.get_added_vocab() if token), key=len, reverse=True)
        said = "".join(message["content"] for message in conversation)
        markup = re.compile("|".join(map(re.escape, specials)) or "(?!)")
        if markup.search(said) is None:
            return self._encode_text(self._chat(conversation))
        # While the template is applied, letters of a private-use area that no message contains stand in for markup.
        letters = (letter for letter in map(chr, _PRIVATE_USE) if letter not in said)
        stand_ins = dict(zip(specials, letters, strict=False))
        neutral: list[Message] = [
            {"role": message["role"], "content": markup.sub(lambda match: stand_ins[match[0]], message["content"])}
            for message in conversation
        ]
        spelled = {letter: special for special, letter in stand_ins.items()}
        ids: list[int] = []
        pieces: list[str] = re.split(f"([{''.join(spelled)}])", self._chat(neutral))
        for piece in pieces:
            ids += self._encode_text(spelled.get(piece, piece), is_markup=piece not in spelled)
        return ids

    def _chat(self, conversation: list[Message]) -> str:
        return str(
            self.tokenizer.apply_chat_template(cast(Any, conversation), tokenize=False, add_generation_prompt=True)
        )

    def _encode_text(self, text: str, *, is_markup: bool = True) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not is_markup)
        return ids

    def _refuse_too_long(self, rows: list[list[int]], sampling: Sampling) -> None:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        for index, row in enumerate(rows):
            needed = len(row) + sampling.max_new_tokens
            if limit is not None and needed > limit:
                raise PromptTooLongError(index=index, tokens=needed, limit=limit)

    def _config(self, max_new_tokens: int) -> GenerationConfig:
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max_new_tokens, do_sample=False, return_dict_in_generate=True
        )

    def __deepcopy__(self, memo: dict[int, object]) -> "TransformersGenerator":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None:
            raise TypeError(
                f"{self.name} was built from a model object and cannot be pickled; "
                "TransformersGenerator.from_pretrained gives one that can"
            )
        return (_reload, self._source)


def load_generator(model: str | Path | None) -> TransformersGenerator:
    """The generator that a model's name stands for, see `checkpoint.resolve`: base and, if there is one, adapter."""
    found = resolve(model, None)
    return TransformersGenerator.from_pretrained(found.model, adapter=found.adapter)


def _reload(
    model: str, adapter: str | None, device_map: str | None, load_in_4bit: bool, token_budget: int | None
) -> TransformersGenerator:
    return TransformersGenerator.from_pretrained(
        model, adapter=adapter, device_map=device_map, load_in_4bit=load_in_4bit, token_budget=token_budget
    )


def _end_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    configured = model.generation_config.eos_token_id if model.generation_config else None
    found = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return sorted({token for token in found if token is not None})
