"""From what somebody calls a model to one that can be used: the only place that knows which kinds there are.

A model is called by what `resolve` knows (FIPO's own as None, the default weights, a directory, a hub id), by a
server's address with the model's name there (`http://localhost:8000/v1#qwen`), or is a Generator or Scorer already.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag

from fipo_model.backends import checkpoint
from fipo_model.backends.checkpoint import Checkpoint
from fipo_model.errors import InputError
from fipo_model.generation import Generator, Scorer
from fipo_model.templates import FIPO_1, Template

if TYPE_CHECKING:
    from fipo_model.backends.transformers.model import LoadedModel

Spec = str | Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """An OpenAI-compatible server, and what it calls the model."""

    base_url: str
    name: str


def open_generator(spec: Spec | Generator = None, *, adapter: str | Path | None = None) -> Generator:
    """The model of a spec as a Generator; calls from several threads are batched together.

    Raises `ModelError` where it cannot be loaded, `WeightsError` where the default weights cannot be had, `InputError`
    for a spec that makes no sense, and `MissingExtraError` without the extra `local` or `server`.
    """
    if not isinstance(spec, Spec):
        _refuse(adapter, "an adapter", "a generator that is made already")
        return spec
    found = _resolve(spec, adapter)
    if isinstance(found, Server):
        from fipo_model.backends.openai import OpenAIGenerator

        return OpenAIGenerator(found.base_url, name=found.name)
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator(_load(found))


def open_scorer(spec: Spec | Scorer = None, *, max_response_tokens: int | None = None) -> Scorer:
    """The model of a spec as a Scorer, which shares the weights with a generator of the same spec.

    With `max_response_tokens`, only that many tokens at the beginning of a response are read. Raises like
    `open_generator`, and `ServerError` when it is used with a server that gives no log-probabilities.
    """
    if not isinstance(spec, Spec):
        _refuse(max_response_tokens, "max_response_tokens", "a scorer that is made already")
        return spec
    found = _resolve(spec, None)
    if isinstance(found, Server):
        from fipo_model.backends.openai import OpenAIScorer

        return OpenAIScorer(found.base_url, name=found.name, max_response_tokens=max_response_tokens)
    from fipo_model.backends.transformers.scorer import TransformersScorer

    return TransformersScorer(_load(found), max_response_tokens=max_response_tokens)


def template_of(spec: Spec | Generator = None, *, adapter: str | Path | None = None) -> Template:
    """The template that the model of a spec was trained with; `FIPO_1` where nothing says so."""
    found = _resolve(spec, adapter) if isinstance(spec, Spec) else None
    return found.template if isinstance(found, Checkpoint) else FIPO_1


def _resolve(spec: Spec, adapter: str | Path | None) -> Checkpoint | Server:
    if not isinstance(spec, str) or not spec.startswith(("http://", "https://")):
        return checkpoint.resolve(spec, adapter)
    _refuse(adapter, "an adapter", "a server, which has its own")
    base_url, name = urldefrag(spec)
    if not name:
        raise InputError(f"{spec} does not say which of the server's models is meant: add its name as {spec}#NAME")
    return Server(base_url=base_url, name=unquote(name))


def _load(found: Checkpoint) -> "LoadedModel":
    from fipo_model.backends.transformers.model import LoadedModel

    return LoadedModel.from_pretrained(found.model, adapter=found.adapter)


def _refuse(option: object, what: str, whom: str) -> None:
    if option is not None:
        raise InputError(f"{what} cannot be given for {whom}")
