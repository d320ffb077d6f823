"""What a model's name stands for: a base, perhaps an adapter on it, and the template it was trained with; or a server.

One spec serves every door: `default`, a name of `registry`, a directory (a model, or what training wrote), a hub id,
`gguf:FILE`, `vllm:NAME` (a name, a directory or a hub id, on vLLM), or `http://ADDRESS/v1#NAME`. Nothing is fetched
here; whoever loads a base asks `weights.located`.

A directory written by FIPO's training carries `fipo.json`, {"template": ..., "base_model": ...}; it is the only link
between inference and training. The template is one of FIPO's own by its name, or a file beside `fipo.json`.
"least_likelihood" may be added once it is known, and "may_repeat" where additions may be the prompt said again.
"""

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fipo_model import places
from fipo_model.addresses import check_address, show_address
from fipo_model.errors import InputError, ModelError
from fipo_model.models.registry import DEFAULT, SMALLEST, ModelCard, Role, find_card, nearest_names
from fipo_model.templates import FIPO_1, Template, load_template, template_named

GGUF_PREFIX = "gguf:"
VLLM_PREFIX = "vllm:"
_KINDS = (
    "a model is named by 'default', a name from `fipo weights list`, a directory, a hub id (OWNER/NAME), gguf:FILE, "
    "vllm:NAME, or a server's address with the model's name (http://HOST:PORT/v1#NAME)"
)
# As the hub has them: two parts of letters, digits, dots, dashes and underscores.
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model for this process: what to load, and how to ask."""

    base: str
    """A registered name, a directory, a hub id or gguf:FILE: a name that means the same on another machine, if any."""
    adapter: str | None
    template: Template
    engine: Literal["vllm"] | None = None
    """What computes it, where the spec says so."""
    least_likelihood: float | None = None
    """Less likely replies are guesses, as its training found out. In nats per token; None where nobody measured it."""
    may_repeat: bool = False
    """Whether it was trained to say a prompt again, word for word."""
    is_trained: bool = False
    """Whether it was trained to rewrite: it is an adapter, or a directory with `fipo.json`."""
    second: "Checkpoint | None" = None
    """Another adapter on the same base, asked about prompts to which this one adds nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A model behind an OpenAI-compatible server."""

    base_url: str
    name: str


def name_with(base: str, adapter: str | Path | None) -> str:
    """What a base is called with an adapter, if there is one; FIPO's own for a base has the base's name."""
    if adapter is None:
        return base
    own = Path(adapter).resolve().name
    return f"{base}+fipo" if own == base else f"{base}+{own}"


def resolve(
    spec: str | Path | None, adapter: str | Path | None = None, role: Role | None = "rewriting"
) -> Checkpoint | Server:
    """Find base, adapter and template of a model, or its server.

    A path may begin with ~. `spec` may itself be an adapter's directory; its base is then the one the adapter names. A
    base that FIPO has trained comes with its adapter for the `role`; without a role it is the bare base, and with
    `adapter="none"`, too. A base's former name means the bare base, as it did in version 0.1. Raises `ModelError` for
    an invalid spec, and `InputError` for a path without access.
    """
    text, adapter = (None if given is None else os.path.expanduser(given) for given in (spec, adapter))
    if text is not None and text.startswith(("http://", "https://")):
        return _server(text, adapter)
    if text is not None and text.startswith(VLLM_PREFIX):
        return _on_vllm(text.removeprefix(VLLM_PREFIX), adapter, role)
    if adapter is not None and adapter != "none":
        if text and is_adapter(Path(text)):
            raise ModelError(f"the model {text} is itself an adapter, and only one can be used: leave one of them out")
        return _adapted(_base(text) if text is not None else None, Path(adapter))
    card = DEFAULT if text in (None, "default") else find_card(text or "")
    if card is not None:
        is_bare = adapter == "none" or role is None or role not in card.adapters or text in card.former_names
        return _bare(card.name) if is_bare else _adapted(card.name, card.adapters[role or "rewriting"])
    path = Path(text or "")
    if text and is_adapter(path):
        return _bare(_base_of(path)) if adapter == "none" else _adapted(None, path)
    return _bare(_base(text or ""))


def resolve_local(
    spec: str | Path | None, adapter: str | Path | None = None, role: Role | None = "rewriting"
) -> Checkpoint:
    """`resolve` for where only a model in this process will do. Raises `InputError` for a server."""
    found = resolve(spec, adapter, role)
    if isinstance(found, Checkpoint) and found.engine is not None:
        raise InputError(f"{spec} can only generate and measure; this needs the model on transformers: leave out vllm:")
    if isinstance(found, Server):
        shown = show_address(str(spec))
        raise InputError(
            f"{shown} is a server, but this needs a model in this process: a directory, a name, or a hub id"
        )
    return found


def template_file(source: Path) -> Path | None:
    """The file of the template that a checkpoint was trained with; None where that is one of FIPO's own."""
    name = _noted(source / "fipo.json", "template")
    file = source / (name or "")
    return file if file.name == name and places.is_file(file) else None


def second_adapter(adapter: Path) -> Path | None:
    """The folder, inside an adapter's, of the adapter to be asked where the first adds nothing."""
    name = _noted(adapter / "fipo.json", "second")
    if name is not None and (Path(name).name != name or name in ("", "..")):
        raise _damaged(adapter / "fipo.json", "the name of a folder beside it as 'second'")
    return None if name is None else adapter / name


def gguf_file(spec: str) -> Path:
    """The file of a spec that begins with `gguf:`."""
    return Path(os.path.expanduser(spec.removeprefix(GGUF_PREFIX)))


def check_directory(directory: str | Path) -> None:
    """Raise `ModelError` where a directory cannot be that of a model."""
    if not places.is_file(Path(directory, "config.json")):
        raise ModelError(
            f"{directory} holds no model (no config.json). Name the directory of one, or a GGUF file in it as gguf:FILE"
        )


def is_adapter(path: Path) -> bool:
    """Whether a directory holds a PEFT adapter."""
    return places.is_file(path / "adapter_config.json")


def _server(address: str, adapter: str | None) -> Server:
    base_url, _, name = address.partition("#")
    check_address(base_url)
    if not name:
        shown = show_address(base_url)
        raise ModelError(f"{shown} does not say which of the server's models to use: add its name, {shown}#NAME")
    if adapter is not None:
        raise ModelError(
            f"an adapter cannot be put on a model behind a server; serve it there, and leave out {adapter}"
        )
    return Server(base_url=base_url, name=name)


def _on_vllm(spec: str, adapter: str | None, role: Role | None) -> Checkpoint:
    if not spec:
        raise ModelError("vllm: needs a model's name: vllm:NAME")
    found = resolve(spec, adapter, role)
    if isinstance(found, Server) or found.base.startswith(GGUF_PREFIX):
        raise ModelError(f"vllm: takes a registered name, a directory or a hub id, not {show_address(spec)}")
    return replace(found, engine="vllm")


def _bare(base: str) -> Checkpoint:
    place = Path(base)
    is_trained = places.is_file(place / "fipo.json")
    return Checkpoint(base=base, adapter=None, is_trained=is_trained, **_manner_of(place))


def _adapted(base: str | None, adapter: Path) -> Checkpoint:
    if not is_adapter(adapter):
        raise ModelError(
            f"{adapter} holds no PEFT adapter (no adapter_config.json). Pass the directory that a training run "
            "wrote; a whole model goes in as the model."
        )
    base, second = base or _base_of(adapter), second_adapter(adapter)
    return Checkpoint(
        base=base,
        adapter=str(adapter),
        is_trained=True,
        second=None if second is None else _second(base, adapter, second),
        **_manner_of(adapter),
    )


def _second(base: str, first: Path, second: Path) -> Checkpoint:
    if second_adapter(second) is not None:
        raise ModelError(f"{second / 'fipo.json'} names a second adapter of its own; there can be only two")
    found = _adapted(base, second)
    if found.template != _template_of(first):
        raise ModelError(f"{second} was not trained with the template of {first}, so the two cannot be used together")
    return found


def _base(spec: str) -> str:
    """The portable name of a base. Raises `ModelError` for anything that cannot be one."""
    if spec == "default":
        return DEFAULT.name
    if (card := find_card(spec)) is not None:
        return card.name
    if spec.startswith(GGUF_PREFIX):
        if not places.is_file(gguf_file(spec)):
            named = spec.removeprefix(GGUF_PREFIX)
            raise ModelError(
                f"there is no file {named} to load as a GGUF model" if named else "gguf: needs a file's name: gguf:FILE"
            )
        return spec
    if spec and places.is_directory(spec):
        check_directory(spec)
        return spec
    if _HUB_ID.fullmatch(spec):
        return spec
    raise ModelError(f"there is no model {spec!r}{nearest_names(spec)}; {_KINDS}")


def _base_of(adapter: Path) -> str:
    named = _noted(adapter / "fipo.json", "base_model")
    named = named or _noted(adapter / "adapter_config.json", "base_model_name_or_path")
    # The first checkpoints named none, and there was one base.
    card: ModelCard | None = SMALLEST if named is None else find_card(named)
    return card.name if card is not None else str(named)


def _template_of(source: Path) -> Template:
    if (file := template_file(source)) is not None:
        return load_template(file)
    name = _noted(source / "fipo.json", "template")
    return FIPO_1 if name is None else template_named(name)


def _noted(path: Path, key: str) -> str | None:
    """The text that a JSON file has under a key; None where there is no such file or key."""
    value = _note(path).get(key)
    if not isinstance(value, str | None):
        raise _damaged(path, f"the text {key!r}")
    return value


def _manner_of(source: Path) -> dict[str, Any]:
    """How the model in a directory is asked, and its replies read."""
    note = _note(source / "fipo.json")
    least, may_repeat = note.get("least_likelihood"), note.get("may_repeat", False)
    if not isinstance(least, float | int | None):
        raise _damaged(source / "fipo.json", "the number 'least_likelihood'")
    if not isinstance(may_repeat, bool):
        raise _damaged(source / "fipo.json", "true or false as 'may_repeat'")
    return {
        "template": _template_of(source),
        "least_likelihood": None if least is None else float(least),
        "may_repeat": may_repeat,
    }


def _note(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is no such file."""
    if not places.is_file(path):
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}. Copy the checkpoint again.") from error
    if not isinstance(content, dict):
        raise _damaged(path, "names and values")
    return content


def _damaged(path: Path, wanted: str) -> ModelError:
    return ModelError(f"{path} is damaged: it must hold a JSON object with {wanted}. Copy the checkpoint again.")
