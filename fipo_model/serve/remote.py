"""A server as upstream: calls go to its address, and replies come back byte for byte."""

import base64
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fipo_model.addresses import check_address, host_of, is_loopback, show_address
from fipo_model.errors import InputError, explain_missing
from fipo_model.serve.settings import Limits
from fipo_model.serve.upstream import Call, Reply, UpstreamError

with explain_missing("serve", "httpx"):
    import httpx

_CONNECT_SECONDS = 10.0
# Shorter than most servers', so that no call meets a connection that is just being closed.
_KEEPALIVE_SECONDS = 4.0
_KEPT_ALIVE = 100


class RemoteUpstream:
    """An OpenAI-compatible server; `base_url` is what clients were given before, and usually ends in /v1.

    Redirects are not followed: they go back to the client, as every reply does. On this machine no proxy is used.
    """

    def __init__(self, base_url: str, *, limits: Limits | None = None) -> None:
        check_address(base_url)
        if "#" in base_url or "?" in base_url:
            raise InputError(f"{show_address(base_url)} is no address of a server: leave out what follows # or ?")
        limits = limits or Limits()
        address = httpx.URL(base_url.rstrip("/"))
        self._key = _key_of(address)
        self._base = address.copy_with(userinfo=b"")
        self.name = show_address(base_url)
        self._extensions = {"timeout": httpx.Timeout(limits.reply_time, connect=_CONNECT_SECONDS).as_dict()}
        # A whole client would keep the cookies of all who ask in one jar, and add headers of its own.
        self._transport = httpx.AsyncHTTPTransport(
            proxy=_proxy_for(base_url),
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=_KEPT_ALIVE, keepalive_expiry=_KEEPALIVE_SECONDS
            ),
        )

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Reply]:
        """The server's reply. Raises `UpstreamError` where there is none, or it breaks off."""
        try:
            response = await self._transport.handle_async_request(self._request(call))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._explained(error) from error
        try:
            headers = [(name.lower(), value) for name, value in response.headers.raw]
            yield Reply(status=response.status_code, headers=headers, chunks=self._chunks(response))
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    def _request(self, call: Call) -> httpx.Request:
        path = self._base.raw_path.rstrip(b"/") + call.path
        url = self._base.copy_with(raw_path=path + (b"?" + call.query if call.query else b""))
        has_key = self._key is None or any(name == b"authorization" for name, _ in call.headers)
        headers = call.headers if has_key else [*call.headers, (b"authorization", self._key or b"")]
        content = call.body if call.body or call.method in ("POST", "PUT", "PATCH") else None
        return httpx.Request(call.method, url, headers=headers, content=content, extensions=self._extensions)

    async def _chunks(self, response: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.aiter_raw():
                yield chunk
        except httpx.HTTPError as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> UpstreamError:
        # The words of httpx's errors are left out: they may have the address with its password.
        if isinstance(error, httpx.TimeoutException):
            return UpstreamError(f"the upstream {self.name} did not answer in time", status=504)
        if isinstance(error, httpx.ConnectError | httpx.ProxyError):
            return UpstreamError(f"the upstream {self.name} cannot be reached")
        return UpstreamError(f"the upstream {self.name} broke off, or does not speak HTTP ({type(error).__name__})")


def _key_of(address: httpx.URL) -> bytes | None:
    """The user and password of an address as a header's value, for clients that send no key."""
    if not address.userinfo:
        return None
    return b"Basic " + base64.b64encode(f"{address.username}:{address.password}".encode())


def _proxy_for(base_url: str) -> str | None:
    """The proxy that the environment names for an address."""
    host = host_of(base_url)
    if is_loopback(base_url) or urllib.request.proxy_bypass(host):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(base_url.partition(":")[0]) or proxies.get("all")
