"""A Generator in this process, on llama.cpp, with a LoRA adapter if there is one."""

import hashlib
import threading
import weakref
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from fipo_model.backends.crew import Work, do_all
from fipo_model.backends.llamacpp.adapters import converted
from fipo_model.backends.llamacpp.server import SLOTS, LlamaServer
from fipo_model.backends.markup import encode_conversation
from fipo_model.errors import ModelError, PromptTooLongError
from fipo_model.forking import PerProcess
from fipo_model.generation import Completion, Message, Sampling, check_samples
from fipo_model.models.gguf import Header, Texts, read_header
from fipo_model.models.names import name_with

# Tokens of all rows that are computed together; with the 0.5B, 100 MB of memory.
_CONTEXT_TOKENS = 8192
# The format's number for tokens that steer a model, and are no text.
_CONTROL = 3


class LlamaCppGenerator:
    """A GGUF file as a Generator: memory-mapped, in the number format that it has.

    Calls from several threads are computed together. The other rows in a batch change the last digits of a row's
    likelihoods, so a long sample with the same seed may occasionally end differently.

    With a `second` adapter there are two generators on one base, this one and `beside()`.

    Copies are the same object, and so is what `from_gguf` gives for one file and adapter while it is in use. A forked
    process loads the file for itself, when it first asks.
    """

    def __init__(self, file: Path, *, adapter: Path | None, second: Path | None, name: str | None) -> None:
        self._source = file, adapter, second, name
        header = read_header(file)
        if not isinstance(header.metadata.get("tokenizer.chat_template"), str):
            raise ModelError(f"{file} has no chat template, so FIPO cannot talk to it. Use an instruct model.")
        self.name = name_with(name or file.stem, adapter)
        self.file = file
        self.adapter = adapter
        self.context_tokens = min(header.number("context_length") or _CONTEXT_TOKENS, _CONTEXT_TOKENS)
        self._architecture = header.architecture
        self._markup = _control_tokens(header)
        self._loras = [converted(each, file, header=header) for each in (adapter, second) if each is not None]
        self._first: LlamaCppGenerator | None = None  # of two, in the second
        _ = self._server  # report now what is wrong with the file

    @classmethod
    def from_gguf(
        cls,
        file: str | Path,
        *,
        adapter: str | Path | None = None,
        second: str | Path | None = None,
        name: str | None = None,
    ) -> "LlamaCppGenerator":
        """A generator on a file, with adapters from PEFT directories. Raises `ModelError`."""
        place = Path(file).resolve()
        first, other = (None if path is None else Path(path).resolve() for path in (adapter, second))
        source = place, first, other, name
        with _processes.value.opening:
            found = _opened.get(source)
            if found is None:
                _opened[source] = found = cls(place, adapter=first, second=other, name=name)
            return found

    def beside(self) -> "LlamaCppGenerator | None":
        """A generator with the second adapter, on the same server; None where there is none."""
        *_, second, _ = self._source
        if second is None or self._first is not None:
            return None
        other = object.__new__(LlamaCppGenerator)
        name = f"{self.name}/{second.name}"
        other.__dict__.update(self.__dict__, name=name, adapter=second, _first=self)
        return other

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation. Raises `PromptTooLongError` before anything is generated."""
        check_samples(sampling, samples)
        rows = self._rows(conversations, sampling)
        distinct = list(dict.fromkeys(rows))
        work = [self._asking(row, sampling, number) for row in distinct for number in range(samples)]
        done = do_all(work, most=SLOTS)
        places = {row: samples * place for place, row in enumerate(distinct)}
        return [done[places[row] : places[row] + samples] for row in rows]

    def stream(self, conversation: list[Message], sampling: Sampling) -> Generator[Completion, None, None]:
        """The next message as it grows. Raises `PromptTooLongError` with the first step."""
        (row,) = self._rows([conversation], sampling)
        yield from self._growing(row, sampling, 0, threading.Event())

    def encode(self, conversation: list[Message]) -> list[int]:
        """Token ids of the chat template around the messages; chat markup within a message is just text."""
        return encode_conversation(conversation, markup=self._markup, chat=self._chat, encode=self._tokenize)

    def _rows(self, conversations: Sequence[list[Message]], sampling: Sampling) -> list[tuple[int, ...]]:
        rows = [tuple(self.encode(conversation)) for conversation in conversations]
        for index, row in enumerate(rows):
            needed = len(row) + sampling.max_new_tokens
            if needed > self.context_tokens:
                raise PromptTooLongError(index=index, tokens=needed, limit=self.context_tokens)
        return rows

    def _chat(self, conversation: list[Message]) -> str:
        return str(self._server.ask("/apply-template", {"messages": conversation})["prompt"])

    def _tokenize(self, text: str, is_markup: bool) -> list[int]:
        body = {"content": text, "add_special": False, "parse_special": is_markup}
        found: list[int] = self._server.ask("/tokenize", body)["tokens"]
        return found

    def _asking(self, row: tuple[int, ...], sampling: Sampling, number: int) -> Work[Completion]:
        def ask(is_over: threading.Event) -> Completion:
            return deque(self._growing(row, sampling, number, is_over), maxlen=1).pop()

        return ask

    def _growing(
        self, row: tuple[int, ...], sampling: Sampling, number: int, is_over: threading.Event
    ) -> Generator[Completion, None, None]:
        """A completion as it grows; the last one is complete and says how likely it was."""
        body = {"prompt": list(row), "n_predict": sampling.max_new_tokens, **_decoding(row, sampling, number)}
        if len(self._loras) > 1:
            body["lora"] = [{"id": int(self._first is not None), "scale": 1.0}]  # the other one is off
        if sampling.with_likelihood:
            body["n_probs"] = 1
        server, said, last = self._server, "", dict[str, Any]()
        likelihoods: list[float] = []
        with server.room.taken(len(row) + sampling.max_new_tokens), closing(server.stream(body, is_over)) as parts:
            for last in parts:
                said += str(last.get("content", ""))
                likelihoods += [float(each["logprob"]) for each in last.get("completion_probabilities", ())]
                if not last.get("stop"):
                    yield _completion(row, said, last)
        if not last.get("stop") and not is_over.is_set():
            raise ModelError(f"llama.cpp stopped in the middle of a completion of {self.name}: {last}")
        # The end of the turn is not counted.
        told = likelihoods[:-1] if last.get("stop_type") == "eos" else likelihoods
        yield replace(_completion(row, said, last), log_likelihood=fmean(told) if told else None)

    @property
    def _server(self) -> LlamaServer:
        if self._first is not None:
            return self._first._server
        process = _processes.value
        with process.starting:
            found = process.servers.get(self)
            if found is None:
                found = LlamaServer(
                    self.file, self._loras, context_tokens=self.context_tokens, architecture=self._architecture
                )
                process.servers[self] = found
                weakref.finalize(self, found.close).atexit = False
            return found

    def __deepcopy__(self, memo: dict[int, object]) -> "LlamaCppGenerator":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._first is not None:
            return (LlamaCppGenerator.beside, (self._first,))
        file, adapter, second, name = self._source
        return (partial(LlamaCppGenerator.from_gguf, adapter=adapter, second=second, name=name), (file,))


class _Process:
    """The models that a process has open."""

    def __init__(self) -> None:
        self.opening = threading.Lock()
        self.starting = threading.Lock()
        self.servers: weakref.WeakKeyDictionary[LlamaCppGenerator, LlamaServer] = weakref.WeakKeyDictionary()


_processes: PerProcess[_Process] = PerProcess(_Process)
_opened: "weakref.WeakValueDictionary[tuple[Any, ...], LlamaCppGenerator]" = weakref.WeakValueDictionary()


def _control_tokens(header: Header) -> list[str]:
    tokens, kinds = (header.metadata.get(f"tokenizer.ggml.{name}") for name in ("tokens", "token_type"))
    if not isinstance(tokens, Texts) or not isinstance(kinds, list):
        return []
    return [tokens[place] for place, kind in enumerate(kinds[: len(tokens)]) if kind == _CONTROL]


def _completion(row: tuple[int, ...], said: str, last: dict[str, Any]) -> Completion:
    return Completion(
        text=said,
        is_truncated=last.get("stop_type") != "eos",
        prompt_tokens=len(row),
        completion_tokens=int(last.get("tokens_predicted", 0)),
    )


def _decoding(row: tuple[int, ...], sampling: Sampling, number: int) -> dict[str, Any]:
    """How a row is decoded: from the whole vocabulary, without penalties, as `Sampling` says."""
    if sampling.is_greedy:
        return {"temperature": 0, "samplers": ["temperature"]}
    digest = hashlib.sha256(f"{sampling.seed} {number} {row}".encode()).digest()
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "samplers": ["temperature", "top_p"],
        "seed": int.from_bytes(digest[:4], "little") >> 1,
    }
