"""Any FIPO Generator as the language model of DSPy programs, for DSPy before 3.4 and since."""

from types import SimpleNamespace
from typing import Any

import dspy

from fipo_model import Generator, Sampling
from fipo_model.generation import Completion, Message

try:
    from dspy import lm15
except ImportError:
    lm15 = None


def dspy_model(generator: Generator, *, max_tokens: int = 80) -> dspy.LM:
    """`dspy.context(lm=dspy_model(generator))`: the generator as the language model of DSPy programs."""
    sampling = Sampling(max_new_tokens=max_tokens)
    if lm15 is None:
        return _Subclass(generator, sampling)
    return dspy.LM(f"local/{generator.name}", engine=_Engine(generator, sampling), cache=False, num_retries=0)


class _Engine:
    """What DSPy asks of an engine: one request in, one response out."""

    def __init__(self, generator: Generator, sampling: Sampling) -> None:
        self.generator = generator
        self.sampling = sampling

    def complete(self, request: Any) -> Any:
        turns: list[Message] = [{"role": "system", "content": str(request.system)}] if request.system else []
        turns += [
            {"role": message.role, "content": "".join(part.text for part in message.parts)}
            for message in request.messages
        ]
        ((completion,),) = self.generator.generate([turns], self.sampling)
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message(role="assistant", parts=(lm15.TextPart(completion.text),)),
            finish_reason=_finish_reason(completion),
            usage=lm15.Usage(input_tokens=completion.prompt_tokens, output_tokens=completion.completion_tokens),
        )


class _Subclass(dspy.LM):
    """The way before DSPy had engines: a reply in OpenAI's form. Deprecated since DSPy 3.4."""

    def __init__(self, generator: Generator, sampling: Sampling) -> None:
        super().__init__(f"local/{generator.name}", cache=False, num_retries=0)
        self.generator = generator
        self.sampling = sampling

    def forward(self, prompt: str | None = None, messages: list[Message] | None = None, **kwargs: Any) -> Any:
        turns = messages or [{"role": "user", "content": prompt}]
        ((completion,),) = self.generator.generate([turns], self.sampling)
        usage = {"prompt_tokens": completion.prompt_tokens, "completion_tokens": completion.completion_tokens}
        if dspy.settings.usage_tracker:  # DSPy leaves it to `forward`
            dspy.settings.usage_tracker.add_usage(self.model, usage)
        message = SimpleNamespace(content=completion.text)
        choice = SimpleNamespace(message=message, finish_reason=_finish_reason(completion))
        return SimpleNamespace(choices=[choice], usage=usage, model=self.model)


def _finish_reason(completion: Completion) -> str:
    return "length" if completion.is_truncated else "stop"
