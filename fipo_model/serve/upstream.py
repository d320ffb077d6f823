"""What a gateway stands in front of: a server's address, or a model of this machine."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fipo_model.errors import FipoError

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as it goes upstream."""

    method: str
    path: bytes
    """What follows /v1, as the client wrote it: it begins with a slash or is empty."""
    query: bytes
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What comes back, as it comes."""

    status: int
    headers: Headers
    chunks: AsyncIterator[bytes]


class UpstreamError(FipoError):
    """There is no reply, or it breaks off. The message is for the client."""

    def __init__(self, message: str, *, status: int = 502) -> None:
        super().__init__(message)
        self.status = status


class Upstream(Protocol):
    """Answers requests under /v1. Leaving the context ends the call, whether or not the reply is complete."""

    @property
    def name(self) -> str:
        """Who it is, for people, without passwords."""
        ...

    def open(self, call: Call) -> AbstractAsyncContextManager[Reply]:
        """The reply to a call. Raises `UpstreamError`, here or in the middle of the reply."""
        ...

    async def close(self) -> None:
        """Give up connections."""
        ...
