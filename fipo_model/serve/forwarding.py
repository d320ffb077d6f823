"""From a client's request to the upstream's reply: the one way that everything under /v1 takes."""

import asyncio
import logging
import re
import secrets
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from fipo_model.errors import explain_missing
from fipo_model.serve.chats import PromptText, find_prompts, replaced
from fipo_model.serve.guarding import ClientGoneError, Refusal, read_body, send_error, values_of
from fipo_model.serve.metrics import Metrics, Stopwatch
from fipo_model.serve.rewriting import Rewriting, Rewritten
from fipo_model.serve.settings import Limits, Log, Role
from fipo_model.serve.upstream import Call, Headers, Upstream, UpstreamError

with explain_missing("serve", "starlette"):
    from starlette.types import Receive, Scope, Send

SWITCH = b"x-fipo"
# RFC 9110, section 7.6.1; `expect` is answered here, and the length is counted anew.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade".split()
)
_NOT_SENT_ON = _HOP_BY_HOP | {b"host", b"content-length", b"expect"}
_OUTCOME, _DETAIL = b"x-fipo-outcome", b"x-fipo-detail"
# The gateways that a request came through. Whatever else begins with x-fipo- goes no further.
_VIA = b"x-fipo-via"
_MOST_DETAIL = 300
_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
# Servers decode a path once, and by mistake twice.
_MOST_DECODED = 3
_ODD_PATH = re.compile(rb"[\x00-\x1f\x7f\\]|(?:^|/)\.{1,2}(?:/|$)|//")
# Reading such a body takes long enough for other requests to notice.
_LONG_BODY = 256 * 2**10
_GONE = 499  # the status that proxies log when the client went away

_log = logging.getLogger("fipo_model.serve")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What goes upstream, and what the client learns about it."""

    call: Call
    told: Headers
    summary: str


class Gateway:
    """Forwards requests under /v1, with the prompts of chats rewritten."""

    def __init__(
        self, upstream: Upstream, rewriting: Rewriting, *, roles: tuple[Role, ...], limits: Limits, log: Log = "nothing"
    ) -> None:
        self._upstream = upstream
        self._rewriting = rewriting
        self._roles = roles
        self._limits = limits
        self._log = log
        self._metrics: Metrics = rewriting.metrics
        self._mark = secrets.token_hex(8).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that goes away ends the upstream's work, too."""
        watch = Stopwatch()
        said = _Said(send)
        with self._metrics.in_flight.track_inprogress():
            try:
                path = checked_path(scope["raw_path"])
                if self._mark in b",".join(values_of(scope["headers"], _VIA)):
                    raise Refusal(508, "this gateway is its own upstream: start it with another --upstream")
                body = await read_body(scope, receive, limit=self._limits.body, seconds=self._limits.body_time)
                summary = await while_there(self._answer(scope, path, body, said), receive)
            except Refusal as refusal:
                summary = str(refusal)
                await send_error(said, refusal.status, summary)
            except ClientGoneError:
                self._metrics.abandoned.inc()
                said.status, summary = _GONE, "the client went away"
        self._metrics.requests.labels(str(said.status)).inc()
        if self._log != "nothing":
            where = scope["raw_path"].decode("latin-1")
            _log.info("%s %s %d %.0f ms %s", scope["method"], where, said.status, 1000 * watch.seconds, summary)

    async def _answer(self, scope: Scope, path: bytes, body: bytes, said: "_Said") -> str:
        prepared = await self._prepared(scope, path, body)
        try:
            async with self._upstream.open(prepared.call) as reply:
                headers = [*_replied(reply.headers), *prepared.told]
                await said({"type": "http.response.start", "status": reply.status, "headers": headers})
                async for chunk in reply.chunks:
                    await said({"type": "http.response.body", "body": chunk, "more_body": True})
            # Nothing may be awaited after this, or the reply's end would be mistaken for the client's leaving.
            await said({"type": "http.response.body", "body": b""})
        except UpstreamError as error:
            self._metrics.upstream_failures.inc()
            if not said.status:
                await send_error(said, error.status, str(error), prepared.told)
            # Otherwise the connection is closed without the end of the reply, so that nobody mistakes it for complete.
            return f"{prepared.summary} {error}"
        return prepared.summary

    async def _prepared(self, scope: Scope, path: bytes, body: bytes) -> _Prepared:
        watch = Stopwatch()
        told: Headers = []
        summary = ""
        if path == b"/chat/completions" and scope["method"] == "POST":
            if b"off" in [value.strip().lower() for value in values_of(scope["headers"], SWITCH)]:
                told, summary = [(_OUTCOME, b"off")], "off"
            else:
                body, found = await self._rewritten(body)
                told, summary = _told(found), self._summary(found)
            self._metrics.preparing.observe(watch.seconds)
        via = b",".join([*values_of(scope["headers"], _VIA), self._mark])
        headers = [*_passed_on(scope["headers"], _NOT_SENT_ON), (_VIA, via)]
        call = Call(method=scope["method"], path=path, query=scope["query_string"], headers=headers, body=body)
        return _Prepared(call, told, summary)

    async def _rewritten(self, body: bytes) -> tuple[bytes, list[tuple[PromptText, Rewritten]]]:
        """The body with its prompts rewritten, and what happened to each; anything but a chat stays as it is."""
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            return body, []
        if len(body) > _LONG_BODY:
            # Not in the threads where rewrites wait, so that the deadline holds however many there are.
            prompts = await asyncio.to_thread(find_prompts, text, self._roles)
        else:
            prompts = find_prompts(text, self._roles)
        asking = [self._rewriting.rewrite(prompt.text, prompt.fixed_form) for prompt in prompts]
        # A task takes as long as looking a known text up.
        results = await asyncio.gather(*asking) if len(asking) > 1 else [await each for each in asking]
        found = list(zip(prompts, results, strict=True))
        for prompt, result in found:
            self._metrics.outcomes.labels(prompt.role, result.outcome).inc()
        texts = {prompt.span: result.text for prompt, result in found if result.text != prompt.text}
        return (replaced(text, texts).encode("utf-8") if texts else body), found

    def _summary(self, found: list[tuple[PromptText, Rewritten]]) -> str:
        if self._log != "prompts":
            return " ".join(f"{prompt.role}={result.outcome}" for prompt, result in found)
        return " ".join(
            f"{prompt.role}={result.outcome} {prompt.text!r} -> {result.text!r}" for prompt, result in found
        )


class _Said:
    """Passes on what is sent to the client, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def checked_path(raw: bytes) -> bytes:
    """What follows /v1 in a path. Raises `Refusal` for a path that servers may read in different ways."""
    if not raw.startswith(b"/v1"):
        raise Refusal(404, "there is nothing outside /v1")
    meant = raw
    for _ in range(_MOST_DECODED):
        decoded = unquote_to_bytes(meant)
        if decoded.count(b"/") != meant.count(b"/") or b"?" in decoded or b"#" in decoded:
            raise Refusal(400, "the path has encoded separators, which are not accepted")
        is_plain, meant = decoded == meant, decoded
    if not is_plain or _ODD_PATH.search(meant):
        raise Refusal(400, "the path is ambiguous: servers may read it in different ways")
    return raw.removeprefix(b"/v1")


def _passed_on(headers: Headers, left_out: frozenset[bytes]) -> Headers:
    """The headers without those for a single connection, and without FIPO's own, which only the gateway uses."""
    named = {name.strip().lower() for value in values_of(headers, b"connection") for name in value.split(b",")}
    return [
        (name, value)
        for name, value in headers
        if name not in left_out and name not in named and name != SWITCH and not name.startswith(b"x-fipo-")
    ]


def _replied(headers: Headers) -> Headers:
    """The headers of a reply. Where it comes in chunks, its length is wrong (RFC 9112, section 6.3)."""
    is_chunked = bool(values_of(headers, b"transfer-encoding"))
    return _passed_on(headers, _HOP_BY_HOP | {b"content-length"} if is_chunked else _HOP_BY_HOP)


def _told(found: list[tuple[PromptText, Rewritten]]) -> Headers:
    """The headers that say what happened to each text, in the order of the roles."""
    outcomes = ", ".join(result.outcome for _, result in found)
    details = ", ".join(result.detail for _, result in found if result.detail)
    told: Headers = [(_OUTCOME, outcomes.encode())] if found else []
    return [*told, (_DETAIL, _as_header(details))] if details else told


def _as_header(text: str) -> bytes:
    """A text that cannot end a header: anything but printable ASCII is percent-encoded."""
    return quote(text[:_MOST_DETAIL], safe=_SAFE, errors="replace").encode("ascii")


async def while_there(work: Coroutine[Any, Any, str], receive: Receive) -> str:
    """The result of the work, which is cancelled when the client goes away; then this raises `ClientGoneError`."""
    leaving = asyncio.ensure_future(_gone(receive))
    is_over = False

    def leave(gone: asyncio.Future[None]) -> None:
        # A client may leave as its reply ends; then this is already scheduled, and the limit has been left.
        if not is_over and not gone.cancelled():
            limit.reschedule(0)

    try:
        async with asyncio.timeout(None) as limit:  # a task of its own for the work would take longer than the work
            leaving.add_done_callback(leave)
            return await work
    except TimeoutError:
        if limit.expired():
            raise ClientGoneError from None
        raise
    finally:
        is_over = True
        leaving.remove_done_callback(leave)
        leaving.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
