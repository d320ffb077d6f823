"""From a model's name to a usable model: the only place that knows which kinds there are.

A model is a name that `fipo_model.models.names` knows, or already a Generator or Scorer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fipo_model.backends.engines import Load, choose_engine
from fipo_model.errors import InputError, ModelError, NoLikelihoodsError, installing
from fipo_model.fidelity import FidelitySettings
from fipo_model.generation import (
    Completion,
    Generator,
    Message,
    Sampling,
    Scorer,
    Second,
    check_generator,
    check_scorer,
)
from fipo_model.models.names import Checkpoint, Server, name_with, resolve
from fipo_model.models.registry import Role, find_card
from fipo_model.templates import FIPO_1, Template

if TYPE_CHECKING:
    from fipo_model.backends.transformers.model import LoadedModel

Spec = str | Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a model is asked for rewrites, and how its replies are read."""

    template: Template = FIPO_1
    settings: FidelitySettings = field(default_factory=FidelitySettings)
    least_likelihood: float | None = None
    """What the model itself finds less likely is a guess. In nats per token; None where nobody measured it."""


def open_generator(
    spec: Spec | Generator = None,
    *,
    adapter: str | Path | None = None,
    role: Role | None = "rewriting",
    load: Load = "many",
) -> Generator:
    """The model of a spec as a Generator; calls from several threads are batched together.

    `load` says what the model is for, and so which engine it runs on; see `choose_engine`.

    A base that FIPO has trained comes with its adapter for the `role`; without a role it is the bare base, which
    answers and judges.

    Raises `ModelError` if it cannot be loaded, `WeightsError` if the default weights cannot be fetched, `InputError`
    for a spec that makes no sense, and `MissingExtraError` without the extra `cpu`, `local`, `vllm` or `server`.
    """
    if not isinstance(spec, Spec):
        check_generator(spec)
        _refuse(adapter, "an adapter", "a generator that is already built")
        return spec
    found = resolve(spec, adapter, role)
    if isinstance(found, Server):
        from fipo_model.backends.openai import OpenAIGenerator

        return OpenAIGenerator(found.base_url, name=found.name)
    if found.engine == "vllm":
        return _on_vllm(found)
    if choose_engine(found.base, load) == "llamacpp":
        return _on_llamacpp(found)
    return _on_transformers(found)


def open_scorer(spec: Spec | Scorer = None, *, max_response_tokens: int | None = None) -> Scorer:
    """The model of a spec as a Scorer, which shares the weights with a generator of the same spec and adapter.

    A base that FIPO has trained is opened without its adapter, because a test model answers prompts.

    With `max_response_tokens`, only that many tokens at the beginning of a response are read. Raises like
    `open_generator`, and `ServerError` when it is used with a server that gives no log-probabilities.
    """
    if not isinstance(spec, Spec):
        check_scorer(spec)
        _refuse(max_response_tokens, "max_response_tokens", "a scorer that is already built")
        return spec
    found = resolve(spec, role=None)
    if isinstance(found, Server):
        from fipo_model.backends.openai import OpenAIScorer

        try:
            return OpenAIScorer(found.base_url, name=found.name, max_response_tokens=max_response_tokens)
        except ModelError as error:
            raise NoLikelihoodsError(
                f"a server's model can be asked how likely a text is only with its tokenizer: {error}"
            ) from error
    if found.engine == "vllm":
        from fipo_model.backends.vllm import VllmScorer

        place, name = _for_vllm(found)
        return VllmScorer.from_pretrained(
            place, adapter=found.adapter, name=name, max_response_tokens=max_response_tokens
        )
    if choose_engine(found.base, "many") == "llamacpp":
        raise NoLikelihoodsError(
            f"llama.cpp does not report how likely a given text is, so it cannot measure with {found.base}. Install "
            f"transformers ({installing('local')}), or name a vLLM server: http://HOST:PORT/v1#NAME"
        )
    from fipo_model.backends.transformers.scorer import TransformersScorer

    return TransformersScorer(_load(found), max_response_tokens=max_response_tokens)


def manner_of(
    spec: Spec | Generator = None, *, adapter: str | Path | None = None, role: Role | None = "rewriting"
) -> Manner:
    """How the model of a spec is asked for rewrites, and its replies read: as in its training, if it had any.

    A model in this process that was not trained to rewrite is held to strict wording: small ones change the meaning
    when they put something in other words (docs/fidelity.md). Servers' models are not, since they may be of any size.
    """
    found = resolve(spec, adapter, role) if isinstance(spec, Spec) else None
    if not isinstance(found, Checkpoint):
        return Manner()
    settings = FidelitySettings(strict_wording=not found.is_trained, may_repeat=found.may_repeat)
    return Manner(template=found.template, settings=settings, least_likelihood=found.least_likelihood)


def open_second(
    first: Generator,
    spec: Spec | Generator = None,
    *,
    adapter: str | Path | None = None,
    role: Role | None = "rewriting",
) -> Second | None:
    """The model to ask where `first`, which `open_generator` opened for the same spec, adds nothing; None without one.

    On llama.cpp and vLLM it shares the base with the first. transformers merges adapters, so there it is a model of
    its own, which is loaded when it is first asked.
    """
    found = resolve(spec, adapter, role) if isinstance(spec, Spec) else None
    if not isinstance(found, Checkpoint) or found.second is None or role != "rewriting":
        return None
    return Second(_beside(first, found.second, found.engine), least_likelihood=found.second.least_likelihood)


def _beside(first: Generator, second: Checkpoint, engine: str | None) -> Generator:
    if engine == "vllm":
        return _on_vllm(second)
    if isinstance(first, _HasSecond) and (beside := first.beside()) is not None:
        return beside
    return Unopened(f"{first.name}/{Path(second.adapter or '').name}", partial(_on_transformers, second))


@runtime_checkable
class _HasSecond(Protocol):
    """What llama.cpp's generator is, without its import."""

    def beside(self) -> Generator | None: ...


class Unopened:
    """A generator that is opened when it is first used. Copies and pickles open it again."""

    def __init__(self, name: str, open_it: Callable[[], Generator]) -> None:
        self.name = name
        self._open_it = open_it
        self._opened: Generator | None = None

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """What the generator says, once it is open."""
        # Two threads may both open it: a model in memory is loaded once in any case, and a lock could be forked.
        if self._opened is None:
            self._opened = self._open_it()
        return self._opened.generate(conversations, sampling, samples=samples)

    def __reduce__(self) -> tuple[object, ...]:
        return (Unopened, (self.name, self._open_it))


def _on_vllm(found: Checkpoint) -> Generator:
    from fipo_model.backends.vllm import VllmGenerator

    place, name = _for_vllm(found)
    return VllmGenerator.from_pretrained(place, adapter=found.adapter, name=name)


def _on_transformers(found: Checkpoint) -> Generator:
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator(_load(found))


def _on_llamacpp(found: Checkpoint) -> Generator:
    from fipo_model.backends.llamacpp.generator import LlamaCppGenerator
    from fipo_model.models.weights import located_gguf

    name = found.base if find_card(found.base) is not None else None
    second = None if found.second is None else found.second.adapter
    return LlamaCppGenerator.from_gguf(located_gguf(found.base), adapter=found.adapter, second=second, name=name)


def _for_vllm(found: Checkpoint) -> tuple[str, str | None]:
    """What vLLM loads, and its name if that is not its location."""
    from fipo_model.models.weights import located

    card = find_card(found.base)
    return located(found.base), None if card is None else name_with(card.name, found.adapter)


def _load(found: Checkpoint) -> "LoadedModel":
    from fipo_model.backends.transformers.model import LoadedModel

    return LoadedModel.from_pretrained(found.base, adapter=found.adapter)


def _refuse(option: object, what: str, whom: str) -> None:
    if option is not None:
        raise InputError(f"{what} cannot be given with {whom}; leave it out")
