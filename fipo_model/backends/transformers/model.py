"""A model in memory, ready for use and loaded once for everybody, and where it computes."""

import os
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakSet, WeakValueDictionary

from fipo_model.backends.engine import engine_of, go_on
from fipo_model.backends.transformers.chat import ChatTokenizer
from fipo_model.backends.transformers.cpu import compute_head_once
from fipo_model.backends.transformers.decoding import SharedPrefix
from fipo_model.backends.transformers.loading import best_device, best_dtype, load_model
from fipo_model.errors import explain_missing

with explain_missing("local", "torch", "transformers", "peft", "accelerate", "safetensors", "jinja2"):
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_Result = TypeVar("_Result")

_alive: "WeakSet[LoadedModel]" = WeakSet()
_loaded: "WeakValueDictionary[tuple[Any, ...], LoadedModel]" = WeakValueDictionary()


class LoadedModel:
    """A causal language model and its tokenizer, which generators and scorers share.

    Copies are the same object, and unpickling in a process that already holds the model gives that one, so nothing
    duplicates the weights. The model is put into evaluation mode, and its own generation defaults are set aside. A
    process that is forked after loading keeps using the same weights on one CPU thread; processes that load the model
    themselves use all of them.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str) -> None:
        self.name = name
        self.chat = ChatTokenizer(tokenizer, name=name)
        model.eval()  # type: ignore[no-untyped-call]
        self.model = model
        self.tokenizer = tokenizer
        self.end_token_ids = _end_token_ids(model, tokenizer)
        pad = tokenizer.pad_token_id
        self.pad_token_id = int(pad if pad is not None else next(iter(self.end_token_ids), 0))
        self.context_tokens: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        # Anything that a call leaves unset is taken from here. A model's own defaults sample, penalise, keep no cache
        # or stop early, and would undo what a Generator promises.
        model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            eos_token_id=self.end_token_ids or None, pad_token_id=self.pad_token_id
        )
        compute_head_once(model)
        _let_layers_go_on(model)
        self.prefix = SharedPrefix(model)
        self._source: tuple[Any, ...] | None = None
        _alive.add(self)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path,
        *,
        adapter: str | Path | None = None,
        device_map: str | None = None,
        load_in_4bit: bool = False,
    ) -> "LoadedModel":
        """Load a model from a hub id or a directory; safetensors or torch's weights-only format, never remote code.

        `device_map` is accelerate's ("auto" spreads a large model over several GPUs); by default a GPU if there is
        one, else the CPU. bf16 where the hardware computes in it, else fp32. `load_in_4bit` needs bitsandbytes.
        """
        source = (str(model), None if adapter is None else str(adapter), device_map, load_in_4bit)
        return _loaded.get(_key_of(source)) or _on_engine("cpu", partial(_load, source))

    @property
    def is_on_cpu(self) -> bool:
        """Whether it computes on the CPU, not on a GPU."""
        return self.model.device.type == "cpu"

    def run(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns, which uses the model.

        One piece of work runs at a time, in the thread for the model's device.
        """
        return _on_engine(str(self.model.device), partial(_infer, work))

    def share(
        self, key: Hashable, items: Sequence[_Item], work: Callable[[list[_Item]], Sequence[_Answer]]
    ) -> list[_Answer]:
        """Like `run`, for items whose answers may be computed together with those of other calls; see `Engine`."""
        threads = torch.get_num_threads()

        def together(every: list[_Item]) -> Sequence[_Answer]:
            return _with_threads(threads, partial(_infer, partial(work, every)))

        return engine_of(str(self.model.device)).share(key, items, together)

    def __deepcopy__(self, memo: dict[int, object]) -> "LoadedModel":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None:
            raise TypeError(
                f"{self.name} was built from a model object and cannot be pickled; from_pretrained gives one that can"
            )
        model, adapter, device_map, load_in_4bit = self._source
        load = partial(LoadedModel.from_pretrained, adapter=adapter, device_map=device_map, load_in_4bit=load_in_4bit)
        return (load, (model,))


def _load(source: tuple[Any, ...]) -> LoadedModel:
    """The model of a source, loaded if nobody has it.

    Runs on an engine, so that several threads load one model only once.
    """
    key = _key_of(source)
    found = _loaded.get(key)
    if found is None:
        model, adapter, device_map, load_in_4bit = source
        place = device_map or best_device()
        base, tokenizer, name = load_model(model, None if adapter is None else Path(adapter), place, load_in_4bit)
        found = LoadedModel(base, tokenizer, name=name)
        found._source = source
        _loaded[key] = found
    return found


def _key_of(source: tuple[Any, ...]) -> tuple[Any, ...]:
    """The key of a model in memory: its source, and the number format it would be loaded in now."""
    _, _, device_map, _ = source
    return (*source, best_dtype(device_map or best_device()))


def _on_engine(device: str, work: Callable[[], _Result]) -> _Result:
    return engine_of(device).run(partial(_with_threads, torch.get_num_threads(), work))


def _with_threads(threads: int, work: Callable[[], _Result]) -> _Result:
    """Computes with as many threads as the caller would use, because OpenMP's setting belongs to a thread."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return work()


def _infer(work: Callable[[], _Result]) -> _Result:
    with torch.inference_mode():
        return work()


def _let_layers_go_on(model: PreTrainedModel) -> None:
    """Has each layer look whether anybody still waits: reading a long prompt takes as long as many tokens."""
    for stack in model.modules():
        if isinstance(stack, torch.nn.ModuleList):
            for layer in stack:
                layer.register_forward_pre_hook(_go_on)


def _go_on(*_: object) -> None:
    go_on()


def _end_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    configured = model.generation_config.eos_token_id if model.generation_config else None
    found = configured if isinstance(configured, list) else [configured, tokenizer.eos_token_id]
    return sorted({token for token in found if token is not None})


def _compute_alone_in_children() -> None:
    # torch's other threads are not in the child, and its OpenMP would wait for them forever.
    if _alive:
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_compute_alone_in_children)
