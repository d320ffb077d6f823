"""A server as upstream: calls go to its address, and replies come back byte for byte."""

import base64
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fipo_model.addresses import check_address, host_of, is_loopback, show_address
from fipo_model.errors import InputError, explain_missing
from fipo_model.serve.connecting import Backend, Stream
from fipo_model.serve.settings import Limits
from fipo_model.serve.upstream import Call, Reply, UpstreamError

with explain_missing("serve", "httpx", "httpcore"):
    import httpcore
    import httpx

_CONNECT_SECONDS = 10.0
# Shorter than most servers', so that no call meets a connection that is just being closed.
_KEEPALIVE_SECONDS = 4.0
_KEPT_ALIVE = 100
_STATUSES_END = 600
# httpcore's errors have no common base.
_ERRORS = (
    *(httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError),
    *(httpcore.ProxyError, httpcore.UnsupportedProtocol),
)


class RemoteUpstream:
    """An OpenAI-compatible server; `base_url` is what clients were given before, and usually ends in /v1.

    Redirects are not followed: they go back to the client, as every reply does. On this machine no proxy is used.
    """

    def __init__(self, base_url: str, *, limits: Limits | None = None) -> None:
        check_address(base_url)
        if "#" in base_url or "?" in base_url:
            raise InputError(f"{show_address(base_url)} is not the address of a server: leave out what follows # or ?")
        limits = limits or Limits()
        address = httpx.URL(base_url.rstrip("/"))
        path = address.raw_path.rstrip(b"/")
        self._base = httpcore.URL(scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=path)
        self._host = (b"host", address.netloc)
        self._key = _key_of(address)
        self.name = show_address(base_url)
        self._extensions = {"timeout": httpx.Timeout(limits.reply_time, connect=_CONNECT_SECONDS).as_dict()}
        # A full client would keep all users' cookies in one jar, add headers of its own, and take longer.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context() if address.scheme == "https" else None,
            proxy=_proxy_for(base_url),
            max_connections=None,
            max_keepalive_connections=_KEPT_ALIVE,
            keepalive_expiry=_KEEPALIVE_SECONDS,
            network_backend=Backend(),
        )

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Reply]:
        """The server's reply. Raises `UpstreamError` where there is none, or it breaks off."""
        try:
            response = await self._pool.handle_async_request(self._request(call))
        except _ERRORS as error:
            raise self._explained(error) from error
        try:
            await self._check(response)
            headers = [(name.lower(), value) for name, value in response.headers]
            yield Reply(status=response.status, headers=headers, chunks=self._chunks(response))
        finally:
            await response.aclose()

    async def _check(self, response: httpcore.Response) -> None:
        """Raises `UpstreamError` for anything that must not be taken for the reply."""
        stream = response.extensions["network_stream"]
        if isinstance(stream, Stream) and not stream.has_read:
            await stream.aclose()
            raise UpstreamError(f"the upstream {self.name} sent data that was not requested")
        if response.status >= _STATUSES_END:
            raise UpstreamError(
                f"the upstream {self.name} replied with the status {response.status}, which is not valid"
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def _request(self, call: Call) -> httpcore.Request:
        base = self._base
        target = base.target + call.path + (b"?" + call.query if call.query else b"")
        url = httpcore.URL(scheme=base.scheme, host=base.host, port=base.port, target=target or b"/")
        headers = [self._host, *call.headers]
        if self._key is not None and all(name != b"authorization" for name, _ in headers):
            headers.append((b"authorization", self._key))
        if call.body or call.method in ("POST", "PUT", "PATCH"):
            headers.append((b"content-length", str(len(call.body)).encode()))
        return httpcore.Request(call.method, url, headers=headers, content=call.body, extensions=self._extensions)

    async def _chunks(self, response: httpcore.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.aiter_stream():
                yield chunk
        except _ERRORS as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> UpstreamError:
        # The words of these errors are left out: they may have the address with its password.
        if isinstance(error, httpcore.TimeoutException):
            return UpstreamError(f"the upstream {self.name} did not answer in time", status=504)
        if isinstance(error, httpcore.ConnectError | httpcore.ProxyError):
            return UpstreamError(f"the upstream {self.name} cannot be reached")
        return UpstreamError(
            f"the upstream {self.name} broke off the connection, or does not speak HTTP ({type(error).__name__})"
        )


def _key_of(address: httpx.URL) -> bytes | None:
    """The user and password of an address as a header's value, for clients that send no key."""
    if not address.userinfo:
        return None
    return b"Basic " + base64.b64encode(f"{address.username}:{address.password}".encode())


def _proxy_for(base_url: str) -> httpcore.Proxy | None:
    """The proxy that the environment names for an address."""
    host = host_of(base_url)
    if is_loopback(base_url) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    found = proxies.get(base_url.partition(":")[0]) or proxies.get("all")
    if found is None:
        return None
    proxy = httpx.Proxy(found)
    return httpcore.Proxy(str(proxy.url), auth=proxy.raw_auth)
