"""Gateways on this machine, and upstreams that do as they are told, well or badly."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fipo_model import PromptOptimizer
from fipo_model.serve.app import build_app
from fipo_model.serve.remote import RemoteUpstream
from fipo_model.serve.rewriting import Rewriting
from fipo_model.serve.running import address_of, bind, make_server
from fipo_model.serve.settings import Limits, ServeSettings
from fipo_model.serve.upstream import Upstream
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

EVENTS = [b'data: {"choices":[{"index":0,"delta":{"content":"%d"}}]}\n\n' % number for number in range(5)]
DONE = b"data: [DONE]\n\n"


@dataclass
class FakeUpstream:
    """An ASGI application that answers chats as the model's name says, and remembers what it was sent.

    `echo` (and every other name) repeats the last text; `slow` waits 2 s; `error` replies 500; `cut` ends in the
    middle; `endless` streams until nobody listens any more.
    """

    requests: list[dict[str, Any]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when somebody left in the middle of `endless` or `slow`."""
    delay: float = 2.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        body = b""
        while (message := await receive()).get("more_body") or message.get("body"):
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        raw = scope["raw_path"].decode()
        self.requests.append({"method": scope["method"], "path": raw, "query": scope["query_string"].decode()})
        self.requests[-1] |= {"headers": headers, "body": body}
        working = asyncio.ensure_future(self._answer(body, send))
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            self.left.set()
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)

    async def _answer(self, body: bytes, send: Any) -> None:
        try:
            fields = json.loads(body)
        except ValueError:
            fields = {}
        fields = fields if isinstance(fields, dict) else {}
        how = fields.get("model", "echo")
        if how == "slow":
            await asyncio.sleep(self.delay)
        if how == "error":
            await _send(send, 500, b'{"error":{"message":"out of order"}}', b"application/json")
        elif fields.get("stream"):
            await _stream(send, how)
        elif how == "cut":
            await _start(send, 200, b"application/json", length=1000)
            await send({"type": "http.response.body", "body": b'{"half', "more_body": True})
        else:
            await _send(send, 200, _echoed(fields), b"application/json")


def _echoed(fields: dict[str, Any]) -> bytes:
    messages = fields.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    said = last.get("content") if isinstance(last, dict) else None
    text = f"Re: {said}"
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "echo", "choices": [choice], "usage": usage}
    return json.dumps(whole).encode()


async def _stream(send: Any, how: str) -> None:
    await _start(send, 200, b"text/event-stream")
    for event in EVENTS[:2] if how == "cut" else EVENTS:
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(0.01)
    while how == "endless":
        await send({"type": "http.response.body", "body": EVENTS[0], "more_body": True})
        await asyncio.sleep(0.02)
    if how != "cut":
        await send({"type": "http.response.body", "body": DONE})


async def _send(send: Any, status: int, body: bytes, kind: bytes) -> None:
    await _start(send, status, kind, length=len(body))
    await send({"type": "http.response.body", "body": body})


async def _start(send: Any, status: int, kind: bytes, *, length: int | None = None) -> None:
    headers = [
        (b"content-type", kind),
        (b"x-upstream", b"fake"),
        (b"x-fipo-outcome", b"forged"),
        (b"set-cookie", b"a=b"),
    ]
    headers += [] if length is None else [(b"content-length", str(length).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _live(receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


@contextmanager
def running(app: Any, *, limits: Limits | None = None, port: int = 0) -> Iterator[str]:
    """An ASGI application on a port of this machine: its address."""
    listener = bind(ServeSettings(port=port))
    server = make_server(app, limits or Limits(stopping_time=2))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    try:
        yield address_of(listener)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def helpful(conversation: Any) -> str:
    """A rewriter's script: the prompt, and a sentence more."""
    return f"{naive_in(conversation)} Be brief."


@dataclass(frozen=True)
class Running:
    """A gateway in front of a fake upstream."""

    address: str
    upstream: FakeUpstream
    rewriting: Rewriting
    generator: ScriptedGenerator

    @property
    def base_url(self) -> str:
        return f"{self.address}/v1"


@contextmanager
def gateway(
    settings: ServeSettings | None = None,
    *,
    script: Callable[[Any], str] = helpful,
    store: RewriteStore | None = None,
    upstream: Upstream | None = None,
    port: int = 0,
) -> Iterator[Running]:
    """A gateway whose rewriter is a script, with a fake upstream unless there is another."""
    settings = settings or ServeSettings(log="nothing", limits=Limits(stopping_time=2))
    generator = ScriptedGenerator(script)
    is_frozen = store is not None and store.is_frozen
    optimizer = None if is_frozen else PromptOptimizer(generator)
    fake = FakeUpstream()
    with running(fake) as behind:
        rewriting = Rewriting(optimizer, store, deadline=settings.deadline)
        opened = upstream or RemoteUpstream(f"{behind}/v1", limits=settings.limits)
        with running(build_app(settings, opened, rewriting), limits=settings.limits, port=port) as address:
            yield Running(address, fake, rewriting, generator)


@contextmanager
def replying(reply: bytes, *, times: int = 1) -> Iterator[str]:
    """A server that sends these bytes to whoever asks, whatever HTTP says, and hangs up after so many: its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def work() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                for _ in range(times):
                    if connection.recv(65536):
                        connection.sendall(reply)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield address_of(listener)
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def certify_localhost(directory: Path) -> Path:
    """A file with a key and a certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = directory / "localhost.pem"
    path.write_bytes(private + signed.public_bytes(encoding))
    return path


def exchange(address: str, request: bytes, *, seconds: float = 5.0, is_all: bool = False) -> bytes:
    """What a server says to bytes sent by hand, until it hangs up or says no more.

    With `is_all`, it is told that nothing else will be sent.
    """
    host, _, port = address.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(request)
        if is_all:
            connection.shutdown(socket.SHUT_WR)
        said = b""
        try:
            while piece := connection.recv(65536):
                said += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return said
