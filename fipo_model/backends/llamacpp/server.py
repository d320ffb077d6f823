"""llama.cpp's server for one GGUF file, in this process: requests to it, and its answers."""

import ctypes
import http.client
import json
import os
import secrets
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fipo_model.errors import ModelError, explain_missing

with explain_missing("cpu", "xllamacpp"):
    import xllamacpp

SLOTS = 16
"""Rows that are computed together."""

_NO_LOG = 0
# Seconds. A server that is told to stop in the moment between its last task and its sleep misses the message, and the
# destructor waits for it forever (xllamacpp 2026.10).
_UNTIL_IDLE = 0.1
_started: list[Any] = []
_parents: list[Any] = []
"""In a forked process, the servers that were there before."""


class LlamaServer:
    """Computes in its own threads. Requests that come at the same time become one batch, token by token.

    Requests with different adapters take turns. It can be reached from this machine only, and only with a key that
    nobody else has.
    """

    def __init__(self, file: Path, adapters: Sequence[Path], *, context_tokens: int, architecture: str) -> None:
        self.room = Room(context_tokens)
        key = secrets.token_urlsafe(32)
        try:
            self._server = xllamacpp.Server(_parameters(file, adapters, context_tokens, key))
        except RuntimeError as error:
            with_adapter = f" with the adapter {' and '.join(map(str, adapters))}" if adapters else ""
            raise ModelError(
                f"llama.cpp cannot load {file}{with_adapter}: its architecture ({architecture}) is newer than the "
                "installed llama.cpp (pip install -U xllamacpp), there is too little memory, or a file is damaged"
            ) from error
        _started.append(self._server)
        if _parents:
            _keep(self._server)
        self._address = urlsplit(self._server.listening_address).netloc
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def ask(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request that takes no time."""
        with self._asked(path, body) as answer:
            found: dict[str, Any] = json.loads(answer.read())
            return found

    def stream(self, body: Mapping[str, Any], is_over: threading.Event) -> Generator[dict[str, Any], None, None]:
        """The parts of a completion as they come. It stops where `is_over`, or when nobody takes any more."""
        if is_over.is_set():  # while it waited for room
            return
        with self._asked("/completion", {**body, "stream": True}) as answer:
            for line in answer:
                if is_over.is_set():
                    return
                if line.startswith(b"error:"):
                    raise _failure(http.HTTPStatus.INTERNAL_SERVER_ERROR, line)
                if line.startswith(b"data:"):
                    yield json.loads(line.removeprefix(b"data:"))

    @contextmanager
    def _asked(self, path: str, body: Mapping[str, Any]) -> Iterator[http.client.HTTPResponse]:
        """The reply to a request, on a connection of its own. http.client takes a tenth of httpx's time to load."""
        with closing(http.client.HTTPConnection(self._address)) as connection:
            try:
                connection.request("POST", path, json.dumps(body).encode(), self._headers)
                answer = connection.getresponse()
                if answer.status != http.HTTPStatus.OK:
                    raise _failure(answer.status, answer.read())
                yield answer
            except (OSError, http.client.HTTPException) as error:
                raise ModelError(
                    f"llama.cpp stopped answering ({type(error).__name__}: {error}). Is there enough memory?"
                ) from error

    def close(self) -> None:
        """Stop, and give the memory back."""
        time.sleep(_UNTIL_IDLE)
        _started.remove(self._server)
        del self._server


class Room:
    """The tokens that may be in memory at a time. A caller waits until as many as it needs are free."""

    def __init__(self, tokens: int) -> None:
        self._free = self.tokens = tokens
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, tokens: int) -> Iterator[None]:
        """Holds that many tokens while the work in the block runs."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= tokens)
            self._free -= tokens
        try:
            yield
        finally:
            with self._changed:
                self._free += tokens
                self._changed.notify_all()


def _parameters(file: Path, adapters: Sequence[Path], context_tokens: int, key: str) -> Any:
    asked = xllamacpp.CommonParams()
    asked.model.path = str(file)
    asked.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(adapter), 1.0) for adapter in adapters]
    asked.n_ctx = context_tokens
    asked.kv_unified = True  # one long row may take what many short ones would share
    asked.n_parallel = SLOTS
    asked.n_ubatch = 128  # as fast as 512, and its results take less memory
    asked.n_threads_http = SLOTS + 4
    asked.cpuparams.n_threads = asked.cpuparams_batch.n_threads = _threads()
    asked.cache_ram_mib = 0  # the slots' own memory is enough, and llama.cpp drops it when the adapter changes
    asked.fit_params = asked.warmup = asked.ui = asked.endpoint_slots = False
    asked.verbosity = _NO_LOG
    asked.api_keys = [key]
    return asked


def _threads() -> int:
    """As many threads as this process may use; like torch, it heeds OMP_NUM_THREADS."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    if told.isdecimal() and int(told) > 0:
        return int(told)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _failure(status: int, words: bytes) -> ModelError:
    """What llama.cpp says about a request that it refuses."""
    return ModelError(f"llama.cpp failed ({status}): {words.decode('utf-8', 'replace').strip()[:500]}")


def _keep(server: Any) -> None:
    """Never take a server down in a forked process: it would wait for the thread of llama.cpp's log, which is gone."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _keep_in_children() -> None:
    if not _started:
        return
    for server in _started:
        _keep(server)
    _parents.extend(_started)
    library = ctypes.CDLL(None)
    if hasattr(library, "on_exit"):  # in glibc: ends the process, with its status, before C++ takes the log down
        library.on_exit(library._exit, None)


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_keep_in_children)
