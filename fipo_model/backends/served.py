"""A model behind an OpenAI-compatible server: the connection, and what a server's errors mean."""

import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from json import JSONDecodeError
from typing import TypeVar
from weakref import WeakKeyDictionary

from fipo_model.errors import InputError, PromptTooLongError, ServerError, explain_missing
from fipo_model.forking import PerProcess

with explain_missing("server", "openai"):
    import openai

TIMEOUT_SECONDS = 120.0
RETRIES = 4
CONCURRENT_REQUESTS = 32

# As vLLM, SGLang, OpenAI and llama.cpp put it.
_TOO_LONG = re.compile(
    r"context.length|context.size|maximum context|context_length_exceeded|longer than the model", re.I
)
_TOO_LONG_NUMBERS = re.compile(r"length is (\d+) tokens.*?(\d+) tokens", re.S)

_Answer = TypeVar("_Answer")


class ServedModel:
    """A model of a server; nothing is sent anywhere but to `base_url`.

    Requests go out concurrently, at most `concurrency` at a time, and the server batches them. A request that fails for
    a passing reason (connection, time-out, 429, 5xx) is repeated with back-off by the client. The key is taken from
    OPENAI_API_KEY if that is set; servers of one's own rarely need one.
    """

    _hint = ""
    """What to add where a server does not do what is asked."""

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        concurrency: int = CONCURRENT_REQUESTS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_retries: int = RETRIES,
    ) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise InputError(f"the server's address must begin with http:// or https://, not {base_url!r}")
        if not name:
            raise InputError(f"the server at {base_url} needs the name of the model it serves")
        if concurrency < 1:
            raise InputError(f"concurrency must be at least 1, not {concurrency}")
        self.base_url = base_url
        self.name = name
        self.concurrency = concurrency
        self.timeout_seconds = timeout_seconds
        self.max_retries = max_retries

    @property
    def _connection(self) -> "_Connection":
        known = _connections.value
        return known.get(self) or known.setdefault(self, _Connection(self))

    @property
    def _client(self) -> openai.OpenAI:
        return self._connection.client

    def _ask_all(self, requests: Sequence[tuple[int, Callable[[], _Answer]]]) -> list[_Answer]:
        """The answers to requests, each with the index of what it is about. Raises the first one's error."""

        slots = self._connection.slots

        def ask(index: int, request: Callable[[], _Answer]) -> _Answer:
            with slots, self._explained(index):
                return request()

        pool = ThreadPoolExecutor(min(len(requests), self.concurrency))
        try:
            under_way = [pool.submit(ask, *request) for request in requests]
            wait(under_way, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure, or Ctrl-C, nothing more is sent
        # Requests begin in order, so what went wrong comes before what was not sent any more.
        return [request.result() for request in under_way]

    @property
    def _where(self) -> str:
        return f"the server at {self.base_url}"

    @contextmanager
    def _explained(self, index: int) -> Iterator[None]:
        """Turn the client's errors into ours: which server, what it said, what to do."""
        try:
            yield
        except openai.APITimeoutError as error:
            raise ServerError(
                f"{self._where} did not answer within {self.timeout_seconds:g} s, in {self.max_retries + 1} tries. Is "
                "it overloaded, or still loading its model?"
            ) from error
        except openai.APIConnectionError as error:
            raise ServerError(
                f"{self._where} cannot be reached ({error.__cause__ or error}). Is it running, on that port?"
            ) from error
        except openai.NotFoundError as error:
            raise ServerError(
                f"{self._where} does not know the model {self.name!r} or the path: {error.message}. The address "
                f"usually ends in /v1; its /models lists the names.{self._hint}"
            ) from error
        except openai.AuthenticationError as error:
            raise ServerError(
                f"{self._where} refuses the key: {error.message}. Set OPENAI_API_KEY to one it accepts."
            ) from error
        except openai.BadRequestError as error:
            if _TOO_LONG.search(str(error)):
                numbers = _TOO_LONG_NUMBERS.search(str(error))
                limit, tokens = (int(numbers[1]), int(numbers[2])) if numbers else (None, None)
                raise PromptTooLongError(index=index, tokens=tokens, limit=limit) from error
            raise ServerError(f"{self._where} refused the request: {error.message}{self._hint}") from error
        except openai.APIStatusError as error:
            raise ServerError(
                f"{self._where} answered {error.status_code}: {error.message}. Its log says more."
            ) from error
        except (openai.OpenAIError, JSONDecodeError, UnicodeDecodeError) as error:
            raise ServerError(f"{self._where} gave an answer that cannot be read: {error}") from error

    def __deepcopy__(self, memo: dict[int, object]) -> "ServedModel":
        return self


class _Connection:
    """What a process has of a server: two must not share a socket, nor wait for each other."""

    def __init__(self, served: ServedModel) -> None:
        self.client = openai.OpenAI(
            base_url=served.base_url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            timeout=served.timeout_seconds,
            max_retries=served.max_retries,
        )
        self.slots = threading.BoundedSemaphore(served.concurrency)  # over all calls, whichever thread they come from


_connections: PerProcess[WeakKeyDictionary[ServedModel, _Connection]] = PerProcess(WeakKeyDictionary)
