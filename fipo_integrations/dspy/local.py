"""A model on this machine as the language model of DSPy programs: `dspy.configure(lm=local_lm())`."""

import asyncio
import itertools
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dspy
from dspy.dsp.utils.settings import settings

from fipo_model import Completion, Generator, Message, Sampling
from fipo_model.backends.opening import open_generator
from fipo_model.errors import InputError

try:
    lm15: Any = import_module("dspy.lm15")
except ImportError:  # before DSPy 3.4
    lm15 = None

_TEXT_ALONE = "a model in this process reads only text, no images, files or tool calls"
_SEEDS_APART = 100_000  # more than anybody's sampled calls


def local_lm(model: str | Path | Generator = "default", *, max_tokens: int = 256, seed: int = 0) -> dspy.LM:
    """A model in this process as a DSPy language model: `dspy.configure(lm=local_lm("qwen2.5-coder-0.5b"))`.

    `model` is a name that FIPO knows, a directory, a GGUF file, a hub id or a `Generator`. A base that FIPO has trained
    is opened without FIPO's adapter, because it shall answer prompts, not rewrite them.

    `max_tokens` limits a reply. It, `temperature` and `top_p` can be set for a predictor or a call, as in
    `dspy.Predict("text -> topic", temperature=0.7)`; other settings have no effect. Without a temperature, the reply is
    always the likeliest one. With one, every call has a seed of its own, which `seed` begins. Text only: no tools, no
    images. DSPy does not cache the replies. Calls from several threads may share a batch, but one model does the work.

    Raises like `open_generator`.
    """
    generator = open_generator(model, role=None)
    engine = _Engine(generator, seed=seed)
    name = f"local/{generator.name}"
    if lm15 is None:
        return _BeforeEngines(name, engine, max_tokens=max_tokens)
    later = _AsyncEngine(engine)
    return dspy.LM(name, engine=engine, async_engine=later, max_tokens=max_tokens, cache=False, num_retries=0)


def is_local(lm: object) -> bool:
    """Whether a language model is one of `local_lm`, whose calls wait for each other."""
    return isinstance(lm, _BeforeEngines) or isinstance(getattr(lm, "engine", None), _Engine)


class _Engine:
    """What DSPy asks of an engine: one request in, one response out."""

    def __init__(self, generator: Generator, *, seed: int) -> None:
        self._generator = generator
        self._seeds = itertools.count(_SEEDS_APART * seed + 1)

    def complete(self, request: Any) -> Any:
        """The response to a request of DSPy's since 3.4."""
        turns: list[Message] = [{"role": "system", "content": str(request.system)}] if request.system else []
        turns += [{"role": message.role, "content": _text(message.parts)} for message in request.messages]
        config = request.config
        names = ("max_tokens", "temperature", "top_p")
        completion = self.ask(turns, {name: getattr(config, name) for name in names})
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message(role="assistant", parts=(lm15.TextPart(completion.text),)),
            finish_reason=_finish_reason(completion),
            usage=lm15.Usage(input_tokens=completion.prompt_tokens, output_tokens=completion.completion_tokens),
        )

    def ask(self, turns: list[Message], chosen: Mapping[str, Any]) -> Completion:
        """The reply to a conversation."""
        ((completion,),) = self._generator.generate([turns], self._sampling(chosen))
        return completion

    def _sampling(self, chosen: Mapping[str, Any]) -> Sampling:
        """Greedy calls are all alike, so that they can share a batch; sampled ones all differ."""
        longest = chosen["max_tokens"]
        if not chosen.get("temperature"):
            return Sampling(max_new_tokens=longest)
        return Sampling(
            max_new_tokens=longest,
            temperature=chosen["temperature"],
            top_p=chosen.get("top_p") or 1.0,
            seed=next(self._seeds),
        )

    def __deepcopy__(self, memo: dict[int, object]) -> "_Engine":
        return self  # copies of a program share the model


class _AsyncEngine:
    """What DSPy asks of an engine under asyncio. The model computes in a thread."""

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine

    async def complete(self, request: Any) -> Any:
        """The response to a request."""
        return await asyncio.to_thread(self._engine.complete, request)


class _BeforeEngines(dspy.LM):
    """The way before DSPy had engines: a reply in OpenAI's form. Deprecated since DSPy 3.4."""

    def __init__(self, name: str, engine: _Engine, *, max_tokens: int) -> None:
        super().__init__(name, max_tokens=max_tokens, cache=False, num_retries=0)
        self.own = engine

    def forward(self, prompt: str | None = None, messages: list[Message] | None = None, **kwargs: Any) -> Any:
        turns: list[Message] = messages or [{"role": "user", "content": prompt or ""}]
        if not all(isinstance(turn["content"], str) for turn in turns):
            raise InputError(_TEXT_ALONE)
        chosen = {**self.kwargs, **kwargs}
        completions = [self.own.ask(turns, chosen) for _ in range(chosen.get("n") or 1)]
        usage = {
            "prompt_tokens": sum(one.prompt_tokens for one in completions),
            "completion_tokens": sum(one.completion_tokens for one in completions),
        }
        if settings.usage_tracker:  # DSPy leaves it to `forward`
            settings.usage_tracker.add_usage(self.model, usage)
        choices = [
            SimpleNamespace(message=SimpleNamespace(content=one.text), finish_reason=_finish_reason(one))
            for one in completions
        ]
        return SimpleNamespace(choices=choices, usage=usage, model=self.model)

    async def aforward(self, prompt: str | None = None, messages: list[Message] | None = None, **kwargs: Any) -> Any:
        return await asyncio.to_thread(self.forward, prompt, messages, **kwargs)


def _text(parts: Any) -> str:
    if not all(isinstance(part, lm15.TextPart) for part in parts):
        raise InputError(_TEXT_ALONE)
    return "".join(part.text for part in parts)


def _finish_reason(completion: Completion) -> str:
    return "length" if completion.is_truncated else "stop"
