"""Listening: a port of one's own, connections that may not dawdle, and an end that lets streams finish."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from fipo_model.errors import InputError, explain_missing
from fipo_model.serve.descriptors import tell_shortage_once
from fipo_model.serve.settings import Limits, ServeSettings, in_address

with explain_missing("serve", "starlette", "uvicorn", "h11"):
    import h11
    import uvicorn
    from starlette.types import ASGIApp
    from uvicorn.protocols.http.h11_impl import H11Protocol

_BACKLOG = 2048


def bind(settings: ServeSettings) -> socket.socket:
    """Binds the port before anything slow begins. Raises `InputError` where that is not possible."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sends small packets at once only where a socket says that it is TCP; otherwise replies take 40 ms more.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)  # or a second gateway could take the port meanwhile
    except (OSError, OverflowError) as error:
        listener.close()
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot listen on {in_address(settings.host)}:{settings.port}: {why}. Choose another --port."
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Where clients find it."""
    host, port = listener.getsockname()[:2]
    return f"http://{in_address(host)}:{port}"


def serve(app: ASGIApp, listener: socket.socket, limits: Limits) -> None:
    """Answer until the process is told to stop (SIGINT, SIGTERM), and then until open streams have ended."""
    make_server(app, limits).run(sockets=[listener])


def make_server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """A server that keeps to the limits."""
    _quieten()
    config = uvicorn.Config(
        app,
        http=_patient_protocol(limits.header_time),
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=limits.header,
        # asyncio gets it as it is, and takes fractions of a second.
        timeout_graceful_shutdown=limits.stopping_time,  # type: ignore[arg-type]
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn's server, but a signal to stop is over once it has stopped, so that the process ends normally."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        tell_shortage_once(asyncio.get_running_loop())
        await super().startup(sockets)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.force_exit:  # a second Ctrl-C ends streams, but finished rewrites are still written
            await self.lifespan.shutdown()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _patient_protocol(seconds: float) -> type[H11Protocol]:
    class PatientProtocol(_PatientProtocol):
        patience = seconds

    return PatientProtocol


class _PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with limited patience.

    By itself it waits forever for the end of a request's headers, and of a body that nobody reads.
    """

    patience: ClassVar[float]
    """Seconds."""
    deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(_Joined(transport, self.loop))  # type: ignore[arg-type]
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether to go on: a client that has said that this request is its last may still listen.

        Any other client is assumed to have gone, because closing looks the same.
        """
        return self.conn.their_state is h11.MUST_CLOSE

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watch()

    def _watch(self) -> None:
        """Have the clock run while a request's headers are awaited, or a body that is answered already.

        Such a client may read the reply first: hanging up at once could take it away.
        """
        is_answered = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        is_awaited = self.conn.their_state is h11.IDLE or is_answered
        if not is_awaited or self.transport.is_closing():
            self._stop_watch()
        elif self.deadline is None:
            self.deadline = self.loop.call_later(self.patience, self.transport.close)

    def _stop_watch(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None


class _Joined:
    """A transport that sends what is written in one turn of the event loop together: clients wake up once."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._unsent: list[bytes] = []
        self.is_closing, self.get_extra_info = transport.is_closing, transport.get_extra_info
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def write(self, data: bytes) -> None:
        if data and not self._unsent:
            self._loop.call_soon(self._send)
        if data:
            self._unsent.append(data)

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()


def _quieten() -> None:
    """uvicorn's log without what clients can bring about (replies that break off, requests that are none) or a stop."""
    logger = logging.getLogger("uvicorn.error")
    logger.setLevel(logging.ERROR)
    if not any(isinstance(each, _NoEndings) for each in logger.filters):
        logger.addFilter(_NoEndings())


class _NoEndings(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        # Whatever is under way when the gateway stops for good is cancelled.
        is_cancelled = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
        return not is_cancelled and "returned without completing response" not in record.getMessage()
