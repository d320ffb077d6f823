"""A Generator in this process, on transformers, with a PEFT adapter if there is one."""

import random
import threading
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

from fipo_model.backends.cpu import mirror_linear_layers
from fipo_model.backends.decoding import EnoughAreDone, SeededChoice, SharedPrefix, plan_batches
from fipo_model.errors import ModelError, PromptTooLongError, explain_missing
from fipo_model.generation import Completion, Message, Sampling

with explain_missing("local", "torch", "transformers", "peft", "accelerate", "safetensors", "jinja2"):
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        GenerationConfig,
        LogitsProcessorList,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        StoppingCriteriaList,
        TemperatureLogitsWarper,
        TopPLogitsWarper,
    )

# Tokens in a batch, padding and reply included. On a CPU more rows than this buys no speed, and the key-value cache of
# the default weights stays under 0.5 GiB (46 KiB a token in fp32).
_CPU_TOKEN_BUDGET = 8192
_GPU_TOKEN_BUDGET = 131072

_loaded: "WeakValueDictionary[tuple[Any, ...], TransformersGenerator]" = WeakValueDictionary()
_loading = threading.Lock()


class TransformersGenerator:
    """A causal language model and its tokenizer as a Generator.

    Calls are served one at a time (a model is not safe to run twice at once). Copies are the same object, and
    unpickling in a process that already holds the model gives that one, so nothing duplicates the weights.
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
        self._prefix = SharedPrefix(model)
        self._lock = threading.Lock()
        self._source: tuple[Any, ...] | None = None

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
        with _loading:
            generator = _loaded.get(source)
            if generator is None:
                base, tokenizer = _load_base(str(model), device_map or _best_device(), load_in_4bit)
                name = Path(model).name if Path(model).is_dir() else str(model)
                if adapter is not None:
                    base, name = _with_adapter(base, Path(adapter), name), f"{name}+{Path(adapter).name}"
                mirror_linear_layers(base)
                generator = cls(base, tokenizer, name=name, token_budget=token_budget)
                generator._source = source
                _loaded[source] = generator
            return generator

    def generate(self, conversations: Sequence[list[Message]], sampling: Sampling) -> list[Completion]:
        """Continue each conversation. Raises `PromptTooLongError` before anything is generated."""
        with self._lock, torch.inference_mode():
            rows = [self._encode(conversation) for conversation in conversations]
            self._refuse_too_long(rows, sampling)
            seeds = _row_seeds(rows, sampling.seed)
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
                logits_processor=_processors(sampling, [sources[row] for row in going]),
                stopping_criteria=StoppingCriteriaList([EnoughAreDone(self._end_token_ids)]),
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
        specials = [token for token in self.tokenizer.get_added_vocab() if token]
        text = "\0".join(message["content"] for message in conversation)
        if not any(special in text for special in specials):
            return self._encode_markup(self._chat(conversation))
        # Letters of a private-use area stand in for markup in the messages while the template is applied.
        stand_ins = {
            special: chr(0xF0000 + place) for place, special in enumerate(sorted(specials, key=len, reverse=True))
        }
        neutral: list[Message] = []
        for message in conversation:
            content = message["content"]
            for special, stand_in in stand_ins.items():
                content = content.replace(special, stand_in)
            neutral.append({"role": message["role"], "content": content})
        spelled = {stand_in: special for special, stand_in in stand_ins.items()}
        ids: list[int] = []
        piece = ""
        for letter in self._chat(neutral):
            if letter not in spelled:
                piece += letter
                continue
            ids += self._encode_markup(piece)
            ids += self.tokenizer.encode(spelled[letter], add_special_tokens=False, split_special_tokens=True)
            piece = ""
        return ids + self._encode_markup(piece)

    def _chat(self, conversation: list[Message]) -> str:
        return str(
            self.tokenizer.apply_chat_template(cast(Any, conversation), tokenize=False, add_generation_prompt=True)
        )

    def _encode_markup(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _refuse_too_long(self, rows: list[list[int]], sampling: Sampling) -> None:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        for index, row in enumerate(rows):
            needed = len(row) + sampling.max_new_tokens
            if limit is not None and needed > limit:
                raise PromptTooLongError(index=index, tokens=needed, limit=limit)

    def _config(self, max_new_tokens: int) -> GenerationConfig:
        # Spelled out, because what is left unset is taken from the model's own defaults, which often sample.
        return GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            do_sample=False,
            num_beams=1,
            temperature=1.0,
            top_p=1.0,
            top_k=50,
            eos_token_id=self._end_token_ids or None,
            pad_token_id=self._pad_token_id,
        )

    @cached_property
    def _end_token_ids(self) -> list[int]:
        configured = self.model.generation_config.eos_token_id if self.model.generation_config else None
        found = configured if isinstance(configured, list) else [configured, self.tokenizer.eos_token_id]
        return sorted({token for token in found if token is not None})

    @cached_property
    def _pad_token_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else next(iter(self._end_token_ids), 0))

    def __deepcopy__(self, memo: dict[int, object]) -> "TransformersGenerator":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None:
            raise TypeError(
                f"{self.name} was built from a model object and cannot be pickled; "
                "TransformersGenerator.from_pretrained gives one that can"
            )
        return (_reload, self._source)


def _reload(
    model: str, adapter: str | None, device_map: str | None, load_in_4bit: bool, token_budget: int | None
) -> TransformersGenerator:
    return TransformersGenerator.from_pretrained(
        model, adapter=adapter, device_map=device_map, load_in_4bit=load_in_4bit, token_budget=token_budget
    )


def _row_seeds(rows: list[list[int]], seed: int) -> list[str]:
    """One seed for each row, from the seed, the row's text and how often it occurred before: never from its batch."""
    seen: Counter[tuple[int, ...]] = Counter()
    seeds = []
    for row in map(tuple, rows):
        seeds.append(f"{seed} {seen[row]} {row}")
        seen[row] += 1
    return seeds


def _processors(sampling: Sampling, sources: list[random.Random]) -> LogitsProcessorList:
    if sampling.is_greedy:
        return LogitsProcessorList()
    return LogitsProcessorList(
        [TemperatureLogitsWarper(sampling.temperature), TopPLogitsWarper(sampling.top_p), SeededChoice(sources)]
    )


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _best_dtype(device_map: str) -> torch.dtype:
    """bf16 where the hardware computes in it. A CPU without it emulates it several times slower than fp32."""
    if device_map != "cpu":
        return torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported(False) else torch.float16
    capabilities = torch.cpu.get_capabilities()
    is_native = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16")
    return torch.bfloat16 if is_native else torch.float32


def _load_base(model: str, device_map: str, load_in_4bit: bool) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        base = AutoModelForCausalLM.from_pretrained(
            model,
            dtype=_best_dtype(device_map),
            device_map=device_map,
            quantization_config=_four_bit() if load_in_4bit else None,
        )
    except (OSError, ValueError) as error:
        raise ModelError(
            f"cannot load the model {model!r}: it must be a directory with a transformers model, or a hub id that can "
            f"be reached or is in the hub's cache. ({_first_line(error)})"
        ) from error
    return base, tokenizer


def _four_bit() -> Any:
    with explain_missing("4bit", "bitsandbytes"):
        import bitsandbytes  # noqa: F401
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )


def _with_adapter(base: PreTrainedModel, adapter: Path, base_name: str) -> PreTrainedModel:
    from peft import PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    wrong = f"the adapter {adapter} does not fit the model {base_name}; pass the base model it was trained on"
    try:
        adapted = PeftModel.from_pretrained(base, str(adapter))
        stored = load_peft_weights(str(adapter), device="cpu")
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{wrong}. ({_first_line(error)})") from error
    # peft ignores tensors the base has no place for, so a smaller base would pass unnoticed.
    if set(stored) != set(get_peft_model_state_dict(adapted)):
        raise ModelError(f"{wrong}. (Its tensors do not match the model's layers.)")
    return adapted  # type: ignore[return-value]


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
