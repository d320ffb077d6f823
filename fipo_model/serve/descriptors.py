"""File descriptors: as many as the system gives, no more connections than they are enough for, and no noise without."""

import asyncio
import errno
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

from fipo_model.serve.settings import Limits

# A client's and the upstream's.
_PER_CONNECTION = 2
# The store, a model, a rewriter behind a server, what Python itself has open.
_FOR_THE_REST = 64
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = logging.getLogger("fipo_model.serve")


def needed_for(connections: int) -> int:
    """How many descriptors a gateway with so many connections may have open."""
    return connections * _PER_CONNECTION + _FOR_THE_REST


def fitted(limits: Limits) -> Limits:
    """The limits, with fewer connections if the system does not give this process enough descriptors."""
    possible = (_most_descriptors(needed_for(limits.connections)) - _FOR_THE_REST) // _PER_CONNECTION
    return limits if limits.connections <= possible else replace(limits, connections=max(1, possible))


def _most_descriptors(wanted: int) -> int:
    """How many descriptors this process may have, once its own limit is as high as the system allows."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for more in (hard, max(soft, wanted)):  # macOS has no hard limit, and yet refuses high ones
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            break
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == resource.RLIM_INFINITY else soft


def tell_shortage_once(loop: asyncio.AbstractEventLoop) -> None:
    """Have a line say that connections wait for descriptors, instead of asyncio's traceback for each attempt."""
    is_told = False

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal is_told
        if not _is_about_accepting(context):
            loop.default_exception_handler(context)
        elif not is_told:
            is_told = True
            _log.warning("there are no more file descriptors; new connections wait until others have ended")

    loop.set_exception_handler(handle)


def _is_about_accepting(context: dict[str, Any]) -> bool:
    error = context.get("exception")
    is_shortage = "socket" in context and isinstance(error, OSError) and error.errno in _SHORTAGES
    # asyncio tries again a second later, even if nobody listens any more.
    return is_shortage or "_start_serving" in context["message"]
