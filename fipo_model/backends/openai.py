"""A Generator behind any OpenAI-compatible server: vLLM, SGLang, llama.cpp, `transformers serve`, a hosted one."""

import os
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, cast

from fipo_model.errors import InputError, PromptTooLongError, ServerError, explain_missing
from fipo_model.generation import Completion, Message, Sampling, check_samples

with explain_missing("server", "openai"):
    import openai

_TIMEOUT_SECONDS = 120.0
_RETRIES = 4
_CONCURRENT_REQUESTS = 32
# Far enough apart that the samples of neighbouring seeds stay different ones.
_SEED_STRIDE = 1_000_003
_NOTHING = object()
# As vLLM, SGLang, OpenAI and llama.cpp put it.
_TOO_LONG = re.compile(
    r"context.length|context.size|maximum context|context_length_exceeded|longer than the model", re.I
)
_TOO_LONG_NUMBERS = re.compile(r"length is (\d+) tokens.*?(\d+) tokens", re.S)


class OpenAIGenerator:
    """A served model as a Generator; nothing is sent anywhere but to `base_url`.

    Conversations of a call go out concurrently, at most `concurrency` at a time, and the server batches them. A
    request that fails for a passing reason (connection, time-out, 429, 5xx) is repeated with back-off by the client.
    The key is taken from OPENAI_API_KEY if that is set; servers of one's own rarely need one.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        concurrency: int = _CONCURRENT_REQUESTS,
        timeout_seconds: float = _TIMEOUT_SECONDS,
        max_retries: int = _RETRIES,
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
        self._client = openai.OpenAI(
            base_url=base_url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            timeout=timeout_seconds,
            max_retries=max_retries,
        )
        self._slots = threading.BoundedSemaphore(concurrency)  # over all calls, whichever thread they come from

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation. Raises `ServerError` with the address for anything the server does wrong."""
        check_samples(sampling, samples)
        if not conversations:
            return []
        # Equal conversations have equal samples, which not every server's seeds can be relied on for.
        asked: dict[str, list[Future[Completion]]] = {}
        pool = ThreadPoolExecutor(min(len(conversations) * samples, self.concurrency))
        try:
            for index, conversation in enumerate(conversations):
                if repr(conversation) not in asked:
                    asked[repr(conversation)] = [
                        pool.submit(self._complete, index, conversation, sampling, number) for number in range(samples)
                    ]
            wait([request for requests in asked.values() for request in requests], return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(cancel_futures=True)  # after a failure, or Ctrl-C, nothing more is sent
        # Requests begin in order, so what went wrong comes before what was not sent any more.
        return [[request.result() for request in asked[repr(conversation)]] for conversation in conversations]

    def _complete(self, index: int, conversation: list[Message], sampling: Sampling, number: int) -> Completion:
        # A server given one seed would repeat one sample. Its own `n` is not served everywhere, and where it is, the
        # samples depend on how many are asked for.
        with self._slots, _explained(self, index):
            response = self._client.chat.completions.create(
                model=self.name,
                messages=cast(Any, conversation),  # the client has five message types for this one shape
                max_tokens=sampling.max_new_tokens,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                seed=sampling.seed + _SEED_STRIDE * number,
            )
        return self._read(response)

    def _read(self, response: Any) -> Completion:
        """The completion in an answer, which may be anything: the client checks no types."""
        choices = getattr(response, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        content = getattr(getattr(choice, "message", None), "content", _NOTHING)
        if not isinstance(content, str | None):
            raise ServerError(
                f"the server at {self.base_url} answered without a completion. Is it OpenAI-compatible, and does its "
                "address end in /v1?"
            )
        return Completion(
            # JSON can hold half of a surrogate pair, which no file or terminal takes.
            text=(content or "").encode("utf-8", "replace").decode(),
            is_truncated=getattr(choice, "finish_reason", None) == "length",
            prompt_tokens=getattr(response.usage, "prompt_tokens", None) or 0,
            completion_tokens=getattr(response.usage, "completion_tokens", None) or 0,
        )

    def __deepcopy__(self, memo: dict[int, object]) -> "OpenAIGenerator":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.base_url, self.name, self.concurrency, self.timeout_seconds, self.max_retries))


def _rebuild(base_url: str, name: str, concurrency: int, timeout_seconds: float, max_retries: int) -> OpenAIGenerator:
    return OpenAIGenerator(
        base_url, name=name, concurrency=concurrency, timeout_seconds=timeout_seconds, max_retries=max_retries
    )


@contextmanager
def _explained(server: OpenAIGenerator, index: int) -> Iterator[None]:
    """Turn the client's errors into ours: which server, what it said, what to do."""
    where = f"the server at {server.base_url}"
    try:
        yield
    except openai.APITimeoutError as error:
        raise ServerError(
            f"{where} did not answer within {server.timeout_seconds:g} s, in {server.max_retries + 1} tries. Is it "
            "overloaded, or still loading its model?"
        ) from error
    except openai.APIConnectionError as error:
        raise ServerError(
            f"{where} cannot be reached ({error.__cause__ or error}). Is it running, on that port?"
        ) from error
    except openai.NotFoundError as error:
        raise ServerError(
            f"{where} does not know the model {server.name!r} or the path: {error.message}. The address usually ends "
            "in /v1; its /models lists the names."
        ) from error
    except openai.AuthenticationError as error:
        raise ServerError(f"{where} refuses the key: {error.message}. Set OPENAI_API_KEY to one it accepts.") from error
    except openai.BadRequestError as error:
        if _TOO_LONG.search(str(error)):
            numbers = _TOO_LONG_NUMBERS.search(str(error))
            limit, tokens = (int(numbers[1]), int(numbers[2])) if numbers else (None, None)
            raise PromptTooLongError(index=index, tokens=tokens, limit=limit) from error
        raise ServerError(f"{where} refused the request: {error.message}") from error
    except openai.APIStatusError as error:
        raise ServerError(f"{where} answered {error.status_code}: {error.message}. Its log says more.") from error
    except (openai.OpenAIError, JSONDecodeError, UnicodeDecodeError) as error:
        raise ServerError(f"{where} gave an answer that cannot be read: {error}") from error
