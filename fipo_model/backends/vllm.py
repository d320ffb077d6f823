"""A Generator and a Scorer in this process, on vLLM, with a LoRA adapter if there is one. Needs a GPU.

vLLM takes most of the GPU's memory for itself. So all users of a base in a process share it, with and without an
adapter, for generating and scoring. Only an adapter of a higher rank than the base has room for opens it again.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any
from weakref import WeakValueDictionary

from fipo_model import jsonl, places
from fipo_model.backends.engine import Engine
from fipo_model.backends.transformers.chat import ChatTokenizer
from fipo_model.errors import InputError, ModelError, PromptTooLongError, explain_missing, kind_and_line
from fipo_model.forking import PerProcess
from fipo_model.generation import Completion, Message, Sampling, check_samples
from fipo_model.models.names import name_with

os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # or vLLM reports its use to its makers

with explain_missing("vllm", "vllm"):
    import vllm
    from vllm.lora.request import LoRARequest

# The ranks that vLLM makes room for. The lowest here is that of FIPO's own adapters, so a base that is opened bare has
# room for them, too.
_RANKS = (16, 32, 64, 128, 256, 320, 512)

_opened: "WeakValueDictionary[tuple[str, int], _Base]" = WeakValueDictionary()
_opening = PerProcess(threading.Lock)


class _Base:
    """A base model on the GPU. One call computes at a time; calls that wait together run together."""

    def __init__(self, model: str, rank: int) -> None:
        self.chat = ChatTokenizer.from_pretrained(model)
        with _explained(f"vLLM cannot load {model}"):
            self.llm = vllm.LLM(model=model, enable_lora=True, max_lora_rank=rank, trust_remote_code=False)
        self.context_tokens = int(self.llm.llm_engine.model_config.max_model_len)
        self.engine = Engine()
        self.adapters: dict[str, int] = {}

    def lora(self, adapter: str | None) -> Any:
        """A request's reference to an adapter. vLLM numbers adapters from 1."""
        if adapter is None:
            return None
        number = self.adapters.setdefault(adapter, len(self.adapters) + 1)
        return LoRARequest(lora_name=adapter, lora_int_id=number, lora_path=adapter)


def _base(model: str, adapter: str | None) -> _Base:
    """The base on the GPU, opened unless it is there with room for the adapter."""
    needed = _rank(adapter)
    with _opening.value:
        for (name, rank), found in list(_opened.items()):
            if name == model and rank >= needed:
                return found
        _opened[model, needed] = made = _Base(model, needed)
        return made


def _rank(adapter: str | None) -> int:
    if adapter is None:
        return _RANKS[0]
    file = Path(adapter, "adapter_config.json")
    if not places.is_file(file):
        raise ModelError(f"{adapter} holds no PEFT adapter (no adapter_config.json)")
    with jsonl.opened(file) as opened:
        rank = jsonl.parse_object(opened.read()).get("r")
    fitting = [one for one in _RANKS if isinstance(rank, int) and rank <= one]
    if not fitting:
        raise ModelError(f"vLLM takes adapters up to rank {_RANKS[-1]}, but {adapter} has rank {rank}")
    return fitting[0]


@dataclass(frozen=True)
class VllmGenerator:
    """A model on vLLM as a Generator. Calls that wait together with equal settings become one batch."""

    base: _Base
    _: KW_ONLY
    source: tuple[str, str | None, str]
    """What to open in another process: the model, its adapter, and the name."""

    @classmethod
    def from_pretrained(cls, model: str, *, adapter: str | None = None, name: str | None = None) -> "VllmGenerator":
        """A generator on the model of a directory or a hub id. Raises `ModelError`."""
        return cls(_base(model, adapter), source=(model, adapter, name or _name_of(model, adapter)))

    @property
    def name(self) -> str:
        """What the model is called, with its adapter."""
        return self.source[2]

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation. Raises `PromptTooLongError` before anything is generated."""
        check_samples(sampling, samples)
        work = partial(self._generate, sampling=sampling, samples=samples)
        return self.base.engine.share((self.source, sampling, samples), conversations, work)

    def _generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, samples: int
    ) -> list[list[Completion]]:
        rows = [tuple(self.base.chat.encode(conversation)) for conversation in conversations]
        for index, row in enumerate(rows):
            needed = len(row) + sampling.max_new_tokens
            if needed > self.base.context_tokens:
                raise PromptTooLongError(index=index, tokens=needed, limit=self.base.context_tokens)
        # Equal conversations have equal samples, so they are computed once. Each sample has a seed of its own, and so
        # does not depend on how many are asked for; vLLM itself computes only once what prompts have in common.
        distinct = list(dict.fromkeys(rows))
        asked = [(row, number) for row in distinct for number in range(samples)]
        outputs = _ask(
            self.base,
            [row for row, _ in asked],
            [_parameters(row, sampling, number) for row, number in asked],
            adapter=self.source[1],
        )
        done = dict(zip(asked, map(_completion, outputs), strict=True))
        return [[done[row, number] for number in range(samples)] for row in rows]

    def __deepcopy__(self, memo: dict[int, object]) -> "VllmGenerator":
        return self

    def __reduce__(self) -> tuple[Callable[[], "VllmGenerator"], tuple[()]]:
        model, adapter, name = self.source
        return (partial(VllmGenerator.from_pretrained, model, adapter=adapter, name=name), ())


@dataclass(frozen=True)
class VllmScorer:
    """A model on vLLM as a Scorer. For `max_response_tokens` see `TransformersScorer`."""

    base: _Base
    _: KW_ONLY
    source: tuple[str, str | None, str]
    max_response_tokens: int | None = None

    @classmethod
    def from_pretrained(
        cls, model: str, *, adapter: str | None = None, name: str | None = None, max_response_tokens: int | None = None
    ) -> "VllmScorer":
        """A scorer on the model of a directory or a hub id. Raises `ModelError`."""
        if max_response_tokens is not None and max_response_tokens < 1:
            raise InputError(f"max_response_tokens must be at least 1, not {max_response_tokens}")
        source = (model, adapter, name or _name_of(model, adapter))
        return cls(_base(model, adapter), source=source, max_response_tokens=max_response_tokens)

    @property
    def name(self) -> str:
        """What the model is called, with its adapter."""
        return self.source[2]

    def log_likelihoods(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Nats per token for each (conversation, response), in order. Equal pairs are computed once."""
        return self.base.engine.run(partial(self._measure, pairs))

    def _measure(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        rows = [self._encode(index, *pair) for index, pair in enumerate(pairs)]
        distinct = list(dict.fromkeys(rows))
        # One token is the least that can be requested; it is ignored.
        wanted = vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=1, detokenize=False)
        asked = [(*prompt, *said) for prompt, said in distinct]
        outputs = _ask(self.base, asked, [wanted] * len(asked), adapter=self.source[1])
        known = {row: _mean(row, output) for row, output in zip(distinct, outputs, strict=True)}
        return [known[row] for row in rows]

    def _encode(
        self, index: int, conversation: list[Message], response: str
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The tokens of the prompt and of the response: apart, as a model meets them."""
        said = tuple(self.base.chat.encode_text(response)[: self.max_response_tokens])
        if not said or not response.strip():
            raise InputError(f"response {index} is empty, so it has no likelihood to measure")
        prompt = tuple(self.base.chat.encode(conversation))
        needed = len(prompt) + len(said) + 1
        if needed > self.base.context_tokens:
            raise PromptTooLongError(index=index, tokens=needed, limit=self.base.context_tokens)
        return prompt, said

    def __deepcopy__(self, memo: dict[int, object]) -> "VllmScorer":
        return self

    def __reduce__(self) -> tuple[Callable[[], "VllmScorer"], tuple[()]]:
        model, adapter, name = self.source
        options: dict[str, Any] = {"adapter": adapter, "name": name, "max_response_tokens": self.max_response_tokens}
        return (partial(VllmScorer.from_pretrained, model, **options), ())


def _ask(base: _Base, rows: Sequence[tuple[int, ...]], parameters: Sequence[Any], *, adapter: str | None) -> list[Any]:
    """vLLM's outputs for rows of tokens, in order."""
    if not rows:
        return []
    with _explained("vLLM failed"):
        prompts = [{"prompt_token_ids": list(row)} for row in rows]
        found: list[Any] = base.llm.generate(prompts, list(parameters), use_tqdm=False, lora_request=base.lora(adapter))
    return found


def _parameters(row: tuple[int, ...], sampling: Sampling, number: int) -> Any:
    asked = 1 if sampling.with_likelihood else None
    if sampling.is_greedy:
        return vllm.SamplingParams(max_tokens=sampling.max_new_tokens, temperature=0.0, logprobs=asked)
    digest = hashlib.sha256(f"{sampling.seed} {number} {row}".encode()).digest()
    return vllm.SamplingParams(
        max_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=int.from_bytes(digest[:4], "little") >> 1,
        logprobs=asked,
    )


def _completion(output: Any) -> Completion:
    (reply,) = output.outputs
    is_finished = reply.finish_reason == "stop"
    said = reply.token_ids[:-1] if is_finished else reply.token_ids  # the end of the turn is not counted
    told = [table[token].logprob for token, table in zip(said, reply.logprobs or (), strict=False)]
    return Completion(
        text=reply.text,
        is_truncated=not is_finished,
        prompt_tokens=len(output.prompt_token_ids),
        completion_tokens=len(reply.token_ids),
        log_likelihood=min(0.0, fmean(told)) if told else None,
    )


def _mean(row: tuple[tuple[int, ...], tuple[int, ...]], output: Any) -> float:
    """Nats per token of the response. vLLM gives each token of a prompt a table of log-probabilities, its own in it."""
    prompt, said = row
    tables = (output.prompt_logprobs or [])[len(prompt) :]
    if len(tables) != len(said) or not all(tables):
        raise ModelError("vLLM gave no log-probabilities of the prompt. Is it version 0.19 or later?")
    values: list[float] = [table[token].logprob for token, table in zip(said, tables, strict=True)]
    return min(0.0, fmean(values))


def _name_of(model: str, adapter: str | None) -> str:
    bare = Path(model).name if places.is_directory(model) else model
    return name_with(bare, adapter)


@contextmanager
def _explained(doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # vLLM raises whatever happens in its processes
        raise ModelError(f"{doing}: {kind_and_line(error)}. Is there a GPU with enough free memory?") from error
