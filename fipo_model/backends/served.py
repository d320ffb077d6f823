"""A model behind an OpenAI-compatible server: the connection, and what a server's errors mean."""

import email.utils
import logging
import os
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fipo_model.addresses import check_address, host_of, is_loopback, secrets_of, show_address
from fipo_model.backends.crew import Work, do_all
from fipo_model.backends.failures import Failure, read_failure, tidy
from fipo_model.errors import FipoError, InputError, PromptTooLongError, ServerError, explain_missing
from fipo_model.forking import PerProcess
from fipo_model.json_values import parse_json

with explain_missing("server", "openai"):
    import httpx
    import openai

TIMEOUT_SECONDS = 120.0
RETRIES = 4
CONCURRENT_REQUESTS = 32
_LISTENING_SECONDS = 10.0

# Waits double from the first to the longest. A server that asks for more than the last is left alone.
_FIRST_WAIT, _LONGEST_WAIT, _MOST_PATIENCE = 0.5, 8.0, 120.0
# A request that was too slow once will hardly be faster the third time.
_RETRIES_AFTER_TIMEOUT = 1
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

_log = logging.getLogger("fipo_model.server")
"""Notes about waiting are of the level INFO, what is negotiated of the level DEBUG; see docs/servers.md."""

_Answer = TypeVar("_Answer")


class ServedModel:
    """A model of a server; requests go only to `base_url`.

    Requests go out concurrently, at most `concurrency` at a time, and the server batches them. A request that fails for
    a passing reason (connection, time-out, 429, 5xx) is repeated, when the server asks for it or with back-off. The key
    is taken from OPENAI_API_KEY if that is set; servers of one's own rarely need one. Requests to this machine never
    take a proxy, and a redirect to another host is not followed.
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
        check_address(base_url)
        if not name:
            raise InputError(f"the server at {show_address(base_url)} may serve several models: name the one to use")
        if concurrency < 1:
            raise InputError(f"concurrency must be at least 1, not {concurrency}")
        self.base_url = base_url
        self.name = name
        self.concurrency = concurrency
        self.timeout_seconds = timeout_seconds
        self.max_retries = max_retries
        key = _key()
        self._secrets = [*([key] if key else []), *secrets_of(base_url)]
        _ = self._connection  # report now what is wrong with the key, a proxy or a certificate

    @property
    def _connection(self) -> "_Connection":
        known = _connections.value
        return known.get(self) or known.setdefault(self, _Connection(self))

    def check_listening(self) -> None:
        """Raise `ServerError` if nothing listens at the address, which may be mistyped: patience would not help there.

        Nobody knows that of a server behind a proxy.
        """
        if _proxies() and not is_loopback(self.base_url):
            return
        port = urlsplit(self.base_url).port or (443 if self.base_url.startswith("https://") else 80)
        try:
            socket.create_connection((host_of(self.base_url), port), timeout=_LISTENING_SECONDS).close()
        except OSError as error:
            raise ServerError(f"{self._where} cannot be reached ({error}). Is it running on that port?") from error

    def _ask_all(self, requests: Sequence[tuple[int, Work[_Answer]]]) -> list[_Answer | PromptTooLongError]:
        """The answers to requests, each with the index of what it is about; raises the first one's error.

        A conversation that is too long is no reason to stop: the caller will go on without it.
        """

        def asking(index: int, request: Work[_Answer]) -> Work[_Answer | PromptTooLongError]:
            def ask(is_over: threading.Event) -> _Answer | PromptTooLongError:
                try:
                    with self._connection.slots, self._explained(index):
                        return request(is_over)
                except PromptTooLongError as error:
                    return error

            return ask

        return do_all([asking(*request) for request in requests], most=self.concurrency)

    def _send(
        self,
        path: str,
        body: dict[str, Any],
        is_over: threading.Event,
        *,
        tries: int | None = None,
        is_settled: Callable[[Failure], bool] = lambda failure: False,
    ) -> Any:
        """The JSON that a server answers, tried again where that may help. Raises `Failure`, or the client's errors.

        A failure that `is_settled` is not tried again.
        """
        most = 1 + self.max_retries if tries is None else tries
        for number in range(1, most + 1):
            try:
                return self._send_once(path, body)
            except (Failure, openai.APIConnectionError) as error:
                seconds = None if isinstance(error, Failure) and is_settled(error) else _wait_after(error, number)
                if number == most or seconds is None:
                    raise
                self._tell(error, seconds)
                if is_over.wait(seconds):
                    raise
        raise AssertionError  # the last try returns or raises

    def _send_once(self, path: str, body: dict[str, Any]) -> Any:
        try:
            text = self._connection.client.post(path, cast_to=str, body=body)
        except openai.APIStatusError as error:
            failure = read_failure(error.status_code, error.response.text, _asked_to_wait(error.response.headers))
            if 300 <= failure.status < 400:
                failure.words = f"it redirects to {show_address(error.response.headers.get('location', 'nowhere'))}"
            raise failure from error
        if text.lstrip().startswith(("data:", "event:", ":")):
            return {"events": text}
        try:
            answer = parse_json(text)
        except ValueError as error:
            words = self._public(read_failure(200, text).words) or "it is empty"
            raise ServerError(
                f"{self._where} gave an answer that is not JSON: {words}. Does its address end in /v1?"
            ) from error
        if isinstance(answer, dict) and answer.get("error") and not answer.get("choices"):
            code = answer["error"].get("code") if isinstance(answer["error"], dict) else None
            raise read_failure(code if isinstance(code, int) and 400 <= code < 600 else 400, text)
        return answer

    def _tell(self, error: Failure | openai.APIConnectionError, seconds: float) -> None:
        """Log that there is a wait, once for all requests that wait."""
        now, connection = time.monotonic(), self._connection
        with connection.telling:
            if now < connection.told_until:
                return
            connection.told_until = now + max(seconds, 1.0)
        if isinstance(error, Failure):
            what = f"answered {error.status} ({self._public(error.words)})"
        else:
            is_late = isinstance(error, openai.APITimeoutError)
            what = f"did not answer within {self.timeout_seconds:g} s" if is_late else "cannot be reached"
        _log.info("%s %s; trying again in %.3g s", self._where, what, seconds)

    @property
    def _where(self) -> str:
        return f"the server at {show_address(self.base_url)}"

    def _public(self, words: str) -> str:
        """A server's words without secrets."""
        for secret in self._secrets:
            words = words.replace(secret, "***")
        return tidy(words)

    def _said(self, failure: Failure) -> str:
        return self._public(failure.words) or "no reason given"

    @contextmanager
    def _explained(self, index: int) -> Iterator[None]:
        """Turn the client's errors into ours: which server, what it said, what to do."""
        try:
            yield
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from error
        except Failure as failure:
            if failure.meaning == "too long":
                tokens, limit = failure.lengths
                raise PromptTooLongError(index=index, tokens=tokens, limit=limit) from failure
            raise ServerError(self._refusal(failure)) from failure
        except (openai.OpenAIError, ValueError) as error:
            if isinstance(error, FipoError):
                raise
            raise ServerError(
                f"{self._where} gave an answer that cannot be read: {self._public(str(error))}"
            ) from error

    def _unreachable(self, error: openai.APIConnectionError) -> ServerError:
        causes = list(_causes(error))
        if isinstance(error, openai.APITimeoutError):
            tries = min(self.max_retries, _RETRIES_AFTER_TIMEOUT) + 1
            return ServerError(
                f"{self._where} did not answer within {self.timeout_seconds:g} s, in {tries} "
                f"{'try' if tries == 1 else 'tries'}. Is it overloaded, or still loading its model?"
            )
        if elsewhere := [cause for cause in causes if isinstance(cause, _ElsewhereError)]:
            return ServerError(f"{self._where} {elsewhere[0]}")
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = getattr(cause, "verify_message", None) or cause
                return ServerError(
                    f"{self._where} could not prove its identity over TLS ({why}). If the server is yours, set "
                    "SSL_CERT_FILE to the certificate of the authority that signed the server's."
                )
            if isinstance(cause, ssl.SSLError):
                return ServerError(
                    f"cannot make a TLS connection to {self._where} ({cause.reason or cause}). Should its address "
                    "begin with http:// instead of https://?"
                )
        why = self._public(str(error.__cause__ or error))
        if isinstance(error.__cause__, httpx.ProxyError):
            return ServerError(f"{self._where} cannot be reached through the proxy that {_proxies()} names ({why}).")
        if isinstance(error.__cause__, httpx.RemoteProtocolError | httpx.ReadError):
            return ServerError(f"{self._where} broke off in the middle of its answer ({why}). Its log may say why.")
        return ServerError(f"{self._where} cannot be reached ({why}). Is it running on that port?")

    def _refusal(self, failure: Failure) -> str:
        said = self._said(failure)
        if 300 <= failure.status < 400:
            return f"{self._where} does not answer: {said}. Use that address if you trust it."
        if failure.status == 404:
            return (
                f"{self._where} does not know the model {self.name!r} or the path: {said}. The address usually ends in "
                f"/v1, and /models below it lists the names.{self._hint}"
            )
        if failure.status in (401, 403):
            what = "the key" if failure.status == 401 else "access"
            return f"{self._where} refuses {what}: {said}. Set OPENAI_API_KEY to a key it accepts."
        if failure.status in (400, 422):
            return f"{self._where} refused the request: {said}{self._hint}"
        if failure.status == 429:
            later = " Try again later: what was finished before is kept."
            return f"{self._where} answered 429: {said}.{later if failure.passes else ''}"
        return f"{self._where} answered {failure.status}: {said}. Its log says more."

    def __deepcopy__(self, memo: dict[int, object]) -> "ServedModel":
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if not name.startswith("_")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        type(self).__init__(self, **state)  # the client and its connections are this process's own


class _Connection:
    """A process's connection to a server: two processes must not share a socket, or wait for each other."""

    def __init__(self, served: ServedModel) -> None:
        self.client = _connect(served.base_url, _key(), served.timeout_seconds)
        weakref.finalize(self, self.client.close).atexit = False
        self.slots = threading.BoundedSemaphore(served.concurrency)  # over all calls, from whichever thread
        self.telling = threading.Lock()
        self.negotiating = threading.Lock()
        self.told_until = 0.0


_connections: PerProcess[weakref.WeakKeyDictionary[ServedModel, _Connection]] = PerProcess(weakref.WeakKeyDictionary)


class _ElsewhereError(Exception):
    """A server redirects to another host."""


def _key() -> str:
    key = (os.environ.get("OPENAI_API_KEY") or "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError("OPENAI_API_KEY has characters that no key has, such as spaces or accents; copy it again")
    return key


def _connect(base_url: str, key: str, timeout_seconds: float) -> openai.OpenAI:
    host = host_of(base_url)

    def stay(request: httpx.Request) -> None:
        if request.url.host.lower() != host and request.headers.get("host", "").partition(":")[0].lower() != host:
            raise _ElsewhereError(
                f"redirects to another host, {show_address(str(request.url))}, which FIPO did not follow. "
                "Use that address if you trust it."
            )

    # Our own transport replaces those that httpx would make for the environment's proxies.
    is_here = is_loopback(base_url)
    try:
        own = httpx.HTTPTransport(limits=openai.DEFAULT_CONNECTION_LIMITS) if is_here else None
        return openai.OpenAI(
            base_url=base_url,
            api_key=key or "none",
            timeout=timeout_seconds,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(event_hooks={"request": [stay]}, transport=own),
        )
    except (httpx.InvalidURL, UnicodeError) as error:
        if not is_here and _proxies():
            raise InputError(f"{_proxies()} names a proxy that cannot be used: is its address right?") from error
        raise InputError(f"{show_address(base_url)!r} is not the address of a server") from error
    except (ValueError, ImportError) as error:
        raise InputError(
            f"{_proxies() or 'the environment'} names a proxy that cannot be used ({type(error).__name__}). One looks "
            "like http://proxy.example:3128; a socks5:// one needs: pip install 'httpx[socks]'"
        ) from error
    except OSError as error:
        raise InputError(
            f"the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read: {error.strerror or error}"
        ) from error


def _proxies() -> str:
    """The environment's variables that name proxies."""
    return ", ".join(name for name in _PROXIES if os.environ.get(name) or os.environ.get(name.lower()))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _wait_after(error: Failure | openai.APIConnectionError, tries: int) -> float | None:
    """Seconds to wait after that many tries; None where another would gain nothing."""
    backed_off = min(_FIRST_WAIT * 2 ** (tries - 1), _LONGEST_WAIT)
    if isinstance(error, Failure):
        asked = error.retry_after
        if not error.passes or (asked is not None and asked > _MOST_PATIENCE):
            return None
        return backed_off if asked is None or asked <= 0 else asked
    if isinstance(error, openai.APITimeoutError):
        return backed_off if tries <= _RETRIES_AFTER_TIMEOUT else None
    is_final = any(isinstance(cause, ssl.SSLError | _ElsewhereError) for cause in _causes(error))
    return None if is_final else backed_off


def _asked_to_wait(headers: Any) -> float | None:
    """The seconds that a server's answer asks to wait."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            return float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
    try:
        moment = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except (TypeError, ValueError):
        return None
    return moment.timestamp() - time.time()
