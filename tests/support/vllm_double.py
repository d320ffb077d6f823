"""vLLM's interface for one process, as version 0.33 documents it, with transformers computing behind it.

What FIPO uses of it behaves: prompts are tokens, each has its own parameters and seed, adapters are numbered, and the
log-probabilities of a prompt are tables of the likeliest token and its own, with none for the first.
"""

import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_MODEL_LEN = 512


@dataclass(frozen=True, kw_only=True)
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_tokens: int = 16
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str

    def __post_init__(self) -> None:
        if self.lora_int_id < 1:
            raise ValueError(f"id must be > 0, got {self.lora_int_id}")


@dataclass(frozen=True)
class Logprob:
    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class CompletionOutput:
    index: int
    text: str
    token_ids: Sequence[int]
    logprobs: list[dict[int, Logprob]] | None
    finish_reason: str | None


@dataclass
class RequestOutput:
    request_id: str
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    prompt_logprobs: list[dict[int, Logprob] | None] | None = None
    finished: bool = True


@dataclass
class LLM:
    model: str
    enable_lora: bool = False
    max_lora_rank: int = 16
    trust_remote_code: bool = False
    requests: list[LoRARequest | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if not Path(self.model, "config.json").exists():
            raise ValueError(f"Invalid repository ID or local directory specified: {self.model!r}\nmore lines")
        self.tokenizer = AutoTokenizer.from_pretrained(self.model)
        self.bare = AutoModelForCausalLM.from_pretrained(self.model).eval()
        self.adapted: dict[int, tuple[str, Any]] = {}
        config = types.SimpleNamespace(max_model_len=MAX_MODEL_LEN)
        self.llm_engine = types.SimpleNamespace(model_config=config)

    def generate(
        self,
        prompts: list[dict[str, list[int]]],
        sampling_params: list[SamplingParams],
        *,
        use_tqdm: bool = True,
        lora_request: LoRARequest | None = None,
    ) -> list[RequestOutput]:
        if len(prompts) != len(sampling_params):
            raise ValueError("The lengths of prompts and params must be the same.")
        self.requests.append(lora_request)
        model = self._model(lora_request)
        return [
            self._output(model, str(number), prompt["prompt_token_ids"], wanted)
            for number, (prompt, wanted) in enumerate(zip(prompts, sampling_params, strict=True))
        ]

    def _model(self, request: LoRARequest | None) -> Any:
        if request is None:
            return self.bare
        if not self.enable_lora:
            raise ValueError(f"Got lora_request {request} but LoRA is not enabled!")
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        if request.lora_int_id not in self.adapted:
            fresh = AutoModelForCausalLM.from_pretrained(self.model)
            adapted = PeftModel.from_pretrained(fresh, request.lora_path).eval()
            if adapted.peft_config["default"].r > self.max_lora_rank:
                raise ValueError(f"LoRA rank is greater than max_lora_rank {self.max_lora_rank}.")
            self.adapted[request.lora_int_id] = request.lora_path, adapted
        path, adapted = self.adapted[request.lora_int_id]
        assert path == request.lora_path, "one number for two adapters"
        return adapted

    def _output(self, model: Any, number: str, ids: list[int], wanted: SamplingParams) -> RequestOutput:
        import torch

        if len(ids) + 1 > MAX_MODEL_LEN:
            raise ValueError(f"The decoder prompt (length {len(ids)}) is longer than the maximum model length")
        source = None if wanted.seed is None else torch.Generator().manual_seed(wanted.seed)
        said: list[int] = []
        tables: list[dict[int, Logprob]] = []
        reason = "length"
        with torch.inference_mode():
            scores = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
            while len(said) < wanted.max_tokens:
                last = model(torch.tensor([ids + said])).logits[0, -1].float()
                said.append(_pick(last, wanted, source))
                likely = last.log_softmax(-1)
                tables.append({one: Logprob(float(likely[one])) for one in (said[-1], int(likely.argmax()))})
                if said[-1] == self.tokenizer.eos_token_id:
                    reason = "stop"
                    break
        text = self.tokenizer.decode(said, skip_special_tokens=True) if wanted.detokenize else ""
        reply = CompletionOutput(0, text, said, None if wanted.logprobs is None else tables, reason)
        of_prompt = None if wanted.prompt_logprobs is None else _tables(scores, ids)
        return RequestOutput(number, ids, [reply], of_prompt)


def _pick(logits: Any, wanted: SamplingParams, source: Any) -> int:
    import torch

    if wanted.temperature == 0:
        return int(logits.argmax())
    values, order = (logits / wanted.temperature).softmax(-1).sort(descending=True)
    kept = values.where(values.cumsum(-1) - values < wanted.top_p, torch.zeros(()))
    return int(order[torch.multinomial(kept, 1, generator=source)])


def _tables(scores: Any, ids: list[int]) -> list[dict[int, Logprob] | None]:
    tables: list[dict[int, Logprob] | None] = [None]
    for place, token in enumerate(ids[1:]):
        best = int(scores[place].argmax())
        tables.append({one: Logprob(float(scores[place, one])) for one in (token, best)})
    return tables


def install(monkeypatch: Any) -> None:
    """Have `import vllm` find this, and FIPO's backend anew on it."""
    package, lora, request = (types.ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request"))
    package.LLM, package.SamplingParams, request.LoRARequest = LLM, SamplingParams, LoRARequest
    for module in (package, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.delitem(sys.modules, "fipo_model.backends.vllm", raising=False)
