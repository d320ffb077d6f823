"""`fipo serve`: a gateway in front of a server of models or a model of this machine."""

import logging
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer

from fipo_model.callers import are_under_way
from fipo_model.cli.notes import finish_notes, lost_notes, note
from fipo_model.cli.optimize import SPEC_HELP
from fipo_model.errors import InputError
from fipo_model.optimizer import PromptOptimizer
from fipo_model.serve.settings import LOGS, Limits, Log, Role, ServeSettings
from fipo_model.store import RewriteStore

_MIB = 2**20


def serve(  # noqa: PLR0913 - one parameter for each option
    *,
    upstream: Annotated[
        str | None,
        typer.Option(help="Address of the server behind the gateway, ending in /v1, or the name of a local model."),
    ] = None,
    model: Annotated[str | None, typer.Option(help=f"The model that rewrites. {SPEC_HELP}")] = None,
    roles: Annotated[str, typer.Option(help="Whose text is rewritten: system, user, or system,user.")] = "system",
    store: Annotated[Path | None, typer.Option(help="File of rewrites: looked up first, and added to.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="Use only the store's rewrites; load no model.")] = False,
    approved: Annotated[
        bool, typer.Option("--approved", help="Use a rewrite only once it is approved in the store; see `fipo store`.")
    ] = False,
    deadline: Annotated[
        int, typer.Option(min=0, help="Milliseconds to wait for a rewrite before the text is sent as it is.")
    ] = 10_000,
    host: Annotated[str, typer.Option(help="Interface to listen on; any but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8300,
    token: Annotated[
        str | None, typer.Option(envvar="FIPO_TOKEN", help="Token that clients send in the header x-fipo-token.")
    ] = None,
    log: Annotated[str, typer.Option(help=f"What to log on stderr: {', '.join(LOGS)}.")] = "requests",
    max_body: Annotated[int, typer.Option(min=1, help="Largest body of a request, in MiB.")] = Limits().body // _MIB,
    max_connections: Annotated[int, typer.Option(min=1, help="The most connections at a time.")] = Limits().connections,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for a silent upstream.")
    ] = Limits().reply_time,
    grace: Annotated[
        float, typer.Option(min=0, help="Seconds that open streams have to finish after a stop signal.")
    ] = Limits().stopping_time,
) -> None:
    """Run a gateway that rewrites prompts between an application and its model, with a page to try it on.

    It prints two addresses: point clients at the one that ends in /v1, and open the other in a browser. The header
    x-fipo-outcome of a reply says what happened to the prompt. A request with the header x-fipo: off is not changed.
    """
    if upstream is None:
        raise InputError(
            "name an upstream: --upstream http://HOST:PORT/v1, or a model on this machine, such as --upstream default"
        )
    if (frozen or approved) and store is None:
        raise InputError("--frozen and --approved need a store of rewrites: name one with --store FILE")
    opened = None if store is None else RewriteStore(store, is_frozen=frozen, only_approved=approved)
    limits = Limits(body=max_body * _MIB, connections=max_connections, reply_time=timeout, stopping_time=grace)
    settings = ServeSettings(
        host=host,
        port=port,
        roles=cast("tuple[Role, ...]", tuple(dict.fromkeys(roles.replace(" ", "").split(",")))),
        deadline=deadline / 1000,
        token=token,
        log=cast("Log", log),
        limits=limits,
    )
    _run(settings, upstream, model, opened)


def _run(settings: ServeSettings, upstream: str, model: str | None, store: RewriteStore | None) -> None:
    from fipo_model.serve.app import build_app
    from fipo_model.serve.descriptors import fitted, needed_for
    from fipo_model.serve.opening import lacks_v1, open_upstream
    from fipo_model.serve.rewriting import Rewriting
    from fipo_model.serve.running import address_of, bind, serve

    wanted = settings.limits.connections
    settings = replace(settings, limits=fitted(settings.limits))
    listener = bind(settings)
    with listener:
        opened = open_upstream(upstream, settings.limits)
        if lacks_v1(upstream):
            better = f"{opened.name.rstrip('/')}/v1"
            note(f"{opened.name} has no models, but {better} has: start again with --upstream {better}")
        is_frozen = store is not None and store.is_frozen
        optimizer = None if is_frozen else PromptOptimizer.from_pretrained(model)
        rewriting = Rewriting(optimizer, store, deadline=settings.deadline)
        rewriting.metrics.lost_lines.set_function(lost_notes)
        app = build_app(settings, opened, rewriting)
        note(f"the gateway to {opened.name} is {address_of(listener)}/v1, and its page {address_of(listener)}/")
        if settings.limits.connections < wanted:
            possible = f"there are file descriptors for {settings.limits.connections} connections, not for {wanted}"
            note(f"{possible}; `ulimit -n {needed_for(wanted)}` before the start would be enough")
        serve(app, listener, settings.limits)
    note("stopped")
    _end()


def _end() -> None:
    """End the process without the model calls that are still under way: nobody waits for their replies."""
    if are_under_way():
        logging.shutdown()
        sys.stdout.flush()
        finish_notes()
        os._exit(0)
