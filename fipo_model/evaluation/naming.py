"""The names of an evaluation's models in its results, and the adapters behind these names."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

from fipo_model import places
from fipo_model.errors import InputError, ModelError
from fipo_model.evaluation.settings import EvaluationSettings, SystemSettings
from fipo_model.models.files import sha256_of
from fipo_model.models.names import Checkpoint, Server, resolve
from fipo_model.models.registry import Role


def name_test_models(settings: EvaluationSettings) -> dict[str, str]:
    """The test models by the names of their figures and files.

    Raises `InputError` where two have the same.
    """
    named = {_short_name(spec): spec for spec in settings.test_models}
    servers = settings.benchmarks.servers if settings.benchmarks is not None else []
    _refuse_repeated([*map(_short_name, settings.test_models), *(server.name for server in servers)])
    return named


def name_answering_models(settings: EvaluationSettings) -> dict[str, str]:
    """The models that answer tasks, in the same way."""
    specs = [] if settings.tasks is None else settings.tasks.answering
    _refuse_repeated(map(_short_name, specs))
    return {_short_name(spec): spec for spec in specs}


def find_rewriters_among(settings: EvaluationSettings, models: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each of these models (spec by name) that is also a rewriter or its base, and so may flatter it."""
    optimizers = {name: system for name, system in settings.systems.items() if system.kind == "optimizer"}
    for (system, wanted), (name, spec) in product(optimizers.items(), models.items()):
        rewriter, model = resolve(wanted.model, wanted.adapter, "rewriting"), resolve(spec, role=None)
        if rewriter == model:
            yield f"the model {name} measures its own rewrites: it is the rewriter of {system!r}"
        elif isinstance(rewriter, Checkpoint) and isinstance(model, Checkpoint) and rewriter.base == model.base:
            yield f"the model {name} measures rewrites of its own kind: it is the base of the rewriter of {system!r}"


def fingerprint_system(system: SystemSettings) -> str | None:
    """The adapter that a system has, because retraining it changes the rewrites."""
    if system.kind != "optimizer":
        return None
    return hash_adapter(system.model, system.adapter, role="rewriting")


def hash_adapter(model: str | None, adapter: str | None = None, *, role: Role | None = None) -> str | None:
    """The SHA-256 of the adapters that a spec stands for; None where it has none, or is a server."""
    found = resolve(model, adapter, role)
    if isinstance(found, Server) or found.adapter is None:
        return None
    first = _hash_weights(Path(found.adapter))
    if found.second is None:
        return first
    limits = found.least_likelihood, found.second.least_likelihood
    return hashlib.sha256(f"{first} {_hash_weights(Path(found.second.adapter or ''))} {limits}".encode()).hexdigest()


def _hash_weights(adapter: Path) -> str:
    for name in ("adapter_model.safetensors", "adapter_model.bin"):  # in peft's order
        weights = adapter / name
        if places.is_file(weights):
            return sha256_of(weights)
    raise ModelError(f"the adapter {adapter} has no weights (no adapter_model.safetensors). Copy the checkpoint again.")


def _short_name(spec: str) -> str:
    if places.is_directory(spec):
        return Path(spec).resolve().name
    found = resolve(spec, role=None)
    return found.name if isinstance(found, Server) else found.base


def _refuse_repeated(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        file = name.replace("/", "_")
        if file in seen:
            raise InputError(
                f"several test models go by the name {name!r}, so their figures could be confused. A "
                "directory goes by its own name, a server by its model's, and / counts as _. Rename the directory, "
                "serve the model under another name (and set its tokenizer), or leave one of them out."
            )
        seen.add(file)
