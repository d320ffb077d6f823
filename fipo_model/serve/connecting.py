"""Connections to a server, with as few packets as possible: what is written together is sent together.

httpcore sends a request's head and its body one after the other, so that the server's process is woken twice, and
httpcore's own streams cost more time than all that FIPO does to a request.
"""

import asyncio
import ssl
from collections.abc import Iterable
from typing import cast

from fipo_model.errors import explain_missing

with explain_missing("serve", "httpcore"):
    import httpcore

_MOST_UNSENT = 64 * 2**10
# A server that sends faster than the client reads is made to wait.
_MOST_UNREAD = 256 * 2**10


class Backend(httpcore.AsyncNetworkBackend):
    """Connects httpcore's pools to servers, in the running event loop."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to a server; the last two arguments are not used here."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, stream = await loop.create_connection(Stream, host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError from error
        return stream


class Stream(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A connection whose writes wait for the next read."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._unsent: list[bytes] = []
        self._unread = bytearray()
        self._has_ended = False
        self.has_read = False
        """Whether anything was read since the last write. A reply without that is no reply to what was written."""
        self._failure: Exception | None = None
        self._changed = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some received bytes, as soon as there are any; none at the end."""
        await self._send(timeout)
        try:
            async with asyncio.timeout(timeout):
                while not self._unread and not self._has_ended:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError as error:
            raise httpcore.ReadTimeout from error
        if not self._unread and self._failure is not None:
            raise httpcore.ReadError from self._failure
        self.has_read = True
        received = bytes(self._unread[:max_bytes])
        del self._unread[:max_bytes]
        if not self._has_ended and len(self._unread) <= _MOST_UNREAD:
            self._transport.resume_reading()
        return received

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send this, at the latest with the next read."""
        self.has_read = False
        self._unsent.append(buffer)
        if sum(map(len, self._unsent)) > _MOST_UNSENT:
            await self._send(timeout)

    async def aclose(self) -> None:
        """Hang up."""
        self._has_ended = True
        self._transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        """This connection, encrypted from here on."""
        await self._send(timeout)
        try:
            async with asyncio.timeout(timeout):
                transport = await asyncio.get_running_loop().start_tls(
                    self._transport, self, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:  # ssl.SSLError is one
            raise httpcore.ConnectError from error
        if transport is None:
            raise httpcore.ConnectError
        self._transport = transport
        return self

    def get_extra_info(self, info: str) -> object:
        """What httpcore asks for: whether there is something to read, or the end, and what TLS agreed on."""
        if info == "is_readable":
            return bool(self._unread) or self._has_ended
        return self._transport.get_extra_info(info)

    async def _send(self, timeout: float | None) -> None:
        if self._unsent:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._may_write.wait()
        except TimeoutError as error:
            raise httpcore.WriteTimeout from error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop, like all methods that follow."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's have another base

    def data_received(self, data: bytes) -> None:
        self._unread += data
        if len(self._unread) > _MOST_UNREAD:
            self._transport.pause_reading()
        self._changed.set()

    def eof_received(self) -> None:
        self._has_ended = True
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._failure = exc
        self._has_ended = True
        self._changed.set()
        self._may_write.set()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()
