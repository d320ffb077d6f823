"""--server and --name: a model behind an OpenAI-compatible server."""

import os

import typer


def address_of(server: str | None, name: str | None) -> str | None:
    """The server's address: with a name alone, that in OPENAI_BASE_URL. None if the model is a local one.

    Raises `typer.BadParameter` if only one of the two is known.
    """
    if server is None and name is not None:
        server = os.environ.get("OPENAI_BASE_URL") or None
    if (server is None) != (name is None):
        raise typer.BadParameter(
            "--server ADDRESS and --name MODEL go together: a server may serve several models. (Without --server, the "
            "address is that in OPENAI_BASE_URL.)"
        )
    return server
