"""From a spec to an upstream that can be asked."""

import asyncio

from fipo_model.backends.opening import open_generator
from fipo_model.serve.local import LocalUpstream
from fipo_model.serve.remote import RemoteUpstream
from fipo_model.serve.settings import Limits
from fipo_model.serve.upstream import Call, Upstream, UpstreamError

_PATIENCE = 2.0  # seconds; a server that is slow, or starts later than the gateway, is not waited for
_NOT_FOUND, _SERVER_ERRORS = 404, 500


def open_upstream(spec: str, limits: Limits) -> Upstream:
    """A server for an address, and for any other spec a model of this machine.

    Raises `InputError` for an invalid address, and what `open_generator` raises for a model.
    """
    if _is_address(spec):
        return RemoteUpstream(spec, limits=limits)
    # People read along, one prompt at a time, and only llama.cpp says its words as they come.
    return LocalUpstream(open_generator(spec, role=None, load="one"))


def lacks_v1(spec: str) -> bool:
    """Whether a server has no models under its address but has some under /v1 there, which somebody forgot."""
    return _is_address(spec) and not spec.rstrip("/").endswith("/v1") and asyncio.run(_answers_under_v1_alone(spec))


def _is_address(spec: str) -> bool:
    return spec.startswith(("http://", "https://"))


async def _answers_under_v1_alone(address: str) -> bool:
    upstream = RemoteUpstream(address)

    async def status(path: bytes) -> int:
        async with upstream.open(Call(method="GET", path=path, query=b"", headers=[], body=b"")) as reply:
            return reply.status

    try:
        async with asyncio.timeout(_PATIENCE):
            if await status(b"/models") != _NOT_FOUND:
                return False
            found = await status(b"/v1/models")
            return found != _NOT_FOUND and found < _SERVER_ERRORS  # one that asks for a key (401) is there, too
    except (UpstreamError, TimeoutError):
        return False
    finally:
        await upstream.close()
