"""Who may ask, and how much: everything that is refused before the request itself is read.

An open web page can make the browser send requests to this machine, and with a domain of its own (DNS rebinding) even
read the replies. So a gateway without a token answers to names of this machine only, and no gateway answers other
sites.
"""

import asyncio
import hmac
import json
from functools import lru_cache
from urllib.parse import urlsplit

from fipo_model.addresses import is_loopback
from fipo_model.errors import FipoError, explain_missing
from fipo_model.serve.upstream import Headers

with explain_missing("serve", "starlette"):
    from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN_HEADER = b"x-fipo-token"
_OTHER_SITES = (b"cross-site", b"same-site")


class Refusal(FipoError):
    """A request that is not answered, and the status that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ClientGoneError(Exception):
    """Nobody waits for the reply."""


class Guard:
    """Lets allowed requests through. `open_paths` need no token, because they are the same for everybody."""

    def __init__(self, app: ASGIApp, *, token: str | None, open_paths: frozenset[str], most_header: int) -> None:
        self._app = app
        self._most_header = most_header
        self._token = None if token is None else token.encode()
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say why not."""
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Refusal as refusal:
                await send_error(send, refusal.status, str(refusal))
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if scope["method"] == "CONNECT":
            raise Refusal(405, "this gateway makes no tunnels")
        # The server itself counts only what has not arrived completely.
        if _head_size(scope) > self._most_header:
            raise Refusal(431, f"the path and the headers have more than {self._most_header} bytes")
        hosts = values_of(scope["headers"], b"host")
        if len(hosts) != 1:
            raise Refusal(400, "a request must name exactly one host")
        host = hosts[0].decode("latin-1")
        if self._token is None and not _is_of_this_machine(host):
            raise Refusal(421, "this gateway answers only to the names of its own machine, such as localhost")
        is_open = scope["method"] in ("GET", "HEAD") and scope["path"] in self._open_paths
        self._check_site(scope, host, is_open=is_open)
        if self._token is not None and not is_open:
            given = values_of(scope["headers"], TOKEN_HEADER)
            if len(given) != 1 or not hmac.compare_digest(given[0], self._token):
                raise Refusal(401, "this gateway needs its token in the header x-fipo-token")

    def _check_site(self, scope: Scope, host: str, *, is_open: bool) -> None:
        headers = scope["headers"]
        for origin in values_of(headers, b"origin"):
            if _place_of(origin.decode("latin-1")) != host.lower():
                raise Refusal(403, "requests from other sites are not answered")
        is_link = is_open and values_of(headers, b"sec-fetch-mode") == [b"navigate"]
        if not is_link and any(value in _OTHER_SITES for value in values_of(headers, b"sec-fetch-site")):
            raise Refusal(403, "requests from other sites are not answered")


def _head_size(scope: Scope) -> int:
    """How many bytes a request's path and headers have, with what stands between a header's name, value and end."""
    headers = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + headers


@lru_cache(maxsize=64)
def _is_of_this_machine(host: str) -> bool:
    return is_loopback(f"http://{host}")


def _place_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def values_of(headers: Headers, name: bytes) -> list[bytes]:
    """All values of a header; names are in lower case."""
    return [value for each, value in headers if each == name]


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> bytes:
    """The whole body. Raises `Refusal` where it is too large or too slow, and `ClientGoneError`."""
    told = values_of(scope["headers"], b"content-length")
    if told and told[0].isdigit() and int(told[0]) > limit:
        raise Refusal(413, f"the body has more than {limit} bytes")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                body += message.get("body", b"")
                if len(body) > limit:
                    raise Refusal(413, f"the body has more than {limit} bytes")
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError as error:
        raise Refusal(408, f"the body did not arrive within {seconds:g} s") from error


async def send_error(send: Send, status: int, message: str, headers: Headers | None = None) -> None:
    """Say what is wrong in the form that OpenAI's clients read."""
    fields = {"error": {"message": message, "type": "fipo_gateway", "param": None, "code": None}}
    body = json.dumps(fields).encode()
    told = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    # An unread rest of the body would be taken for the next request.
    closing = [(b"connection", b"close")] if status in (400, 405, 408, 413, 431) else []
    await send({"type": "http.response.start", "status": status, "headers": [*told, *closing, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})
