"""The application: the gateway, the page, and information about both."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fipo_model.errors import explain_missing
from fipo_model.serve.forwarding import Gateway
from fipo_model.serve.guarding import Guard
from fipo_model.serve.metrics import CONTENT_TYPE
from fipo_model.serve.page_api import PATHS, PageAPI
from fipo_model.serve.rewriting import Rewriting
from fipo_model.serve.settings import ServeSettings
from fipo_model.serve.upstream import Upstream

with explain_missing("serve", "starlette"):
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send


def build_app(settings: ServeSettings, upstream: Upstream, rewriting: Rewriting) -> ASGIApp:
    """The gateway as an ASGI application, guarded."""
    limits = settings.limits
    gateway = Gateway(upstream, rewriting, roles=settings.roles, limits=limits, log=settings.log)
    page = PageAPI(rewriting=rewriting, upstream_name=upstream.name, roles=settings.roles, limits=limits)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await rewriting.close()
        await upstream.close()

    async def metrics(_: Request) -> Response:
        return Response(rewriting.metrics.render(), headers={"content-type": CONTENT_TYPE})

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    own = [Route("/metrics", metrics), Route("/healthz", healthz), *page.routes()]
    rest = Starlette(routes=own, lifespan=lifespan)
    rest.router.redirect_slashes = False

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Routers and middleware would take as long as finding and replacing a prompt.
        is_forwarded = scope["type"] == "http" and scope["path"].startswith("/v1/")
        await (gateway if is_forwarded else rest)(scope, receive, send)

    return Guard(app, token=settings.token, open_paths=PATHS | {"/healthz"}, most_header=limits.header)
