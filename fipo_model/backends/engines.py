"""Which library computes a model in this process: llama.cpp or transformers.

llama.cpp reads GGUF files as they are and starts in a second; transformers answers many prompts together faster
(`benchmarks/README.md` has the figures). Nothing heavy is imported here.
"""

import os
from importlib.util import find_spec
from typing import Literal

from fipo_model import places
from fipo_model.errors import InputError, MissingExtraError, ModelError, installing
from fipo_model.models.names import GGUF_PREFIX
from fipo_model.models.registry import find_card

Engine = Literal["transformers", "llamacpp"]
Load = Literal["one", "many"]
"""What a model is opened for: one prompt at a time, or batches."""

SETTING = "FIPO_ENGINE"
_CHOICES = ("auto", "transformers", "llamacpp")


def choose_engine(base: str, load: Load) -> Engine:
    """The engine for a base of `names.Checkpoint`, as FIPO_ENGINE says.

    By default it is llama.cpp where torch is not installed, and where prompts come one at a time. Raises `InputError`
    for an invalid setting, `ModelError` for a base that llama.cpp would have to read and cannot, and
    `MissingExtraError` where no engine is installed.
    """
    told = os.environ.get(SETTING) or "auto"
    if told not in _CHOICES:
        raise InputError(f"{SETTING} must be one of {', '.join(_CHOICES)}, not {told!r}")
    has_torch, has_llamacpp = is_installed("torch"), is_installed("xllamacpp")
    if told == "llamacpp":
        return _llamacpp_for(base)
    if told == "transformers" or (has_torch and not (has_llamacpp and _is_better(base, load))):
        return "transformers"
    if not has_llamacpp:
        raise MissingExtraError(
            f"a model in this process needs llama.cpp (220 MB: {installing('cpu')}) or transformers with torch "
            f"(several GB: {installing('local')}); a model on a server needs neither"
        )
    return _llamacpp_for(base)


def fetches_gguf() -> bool:
    """Whether weights that are fetched in advance are for llama.cpp: FIPO_ENGINE says so, or torch is not installed."""
    return os.environ.get(SETTING) == "llamacpp" or not is_installed("torch")


def is_installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    return find_spec(package) is not None


def _llamacpp_for(base: str) -> Engine:
    if not _has_gguf(base):
        raise ModelError(
            f"llama.cpp reads only GGUF files, and {base} is not one: name one as gguf:FILE, or install transformers: "
            f"{installing('local')}"
        )
    return "llamacpp"


def _has_gguf(base: str) -> bool:
    return base.startswith(GGUF_PREFIX) or find_card(base) is not None


def _is_better(base: str, load: Load) -> bool:
    """Whether llama.cpp is to answer where both engines could: for one prompt, if nothing has to be fetched for it."""
    # A number format that the user asked for is one of torch's.
    if load != "one" or not _has_gguf(base) or os.environ.get("FIPO_DTYPE"):
        return False
    card = find_card(base)
    if card is None:
        return True
    from fipo_model.models.weights import directory, gguf_directory

    return places.is_directory(gguf_directory(card)) or not places.is_directory(directory(card))
