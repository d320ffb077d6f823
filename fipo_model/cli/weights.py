"""`fipo weights`: the default weights, and those that training makes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fipo_model.cli.notes import note

app = typer.Typer(help="Fetch, find and check the default weights; merge trained ones.", no_args_is_help=True)


@app.command()
def pull() -> None:
    """Fetch the default weights, or mend them if they are damaged. Does nothing if they are complete."""
    from fipo_model import weights

    weights.ready()
    note("the default weights are complete")


@app.command()
def path() -> None:
    """Print the directory of the default weights, fetching them first if need be."""
    from fipo_model import weights

    typer.echo(weights.ready())


@app.command()
def verify() -> None:
    """Check the default weights against the hashes taken when they were made."""
    from fipo_model import weights

    weights.verify()
    note("the default weights are complete")


@app.command()
def merge(
    checkpoint: Annotated[Path, typer.Argument(help="Directory of an adapter that a training run wrote.")],
    out: Annotated[Path, typer.Argument(help="Directory to write; it must not be there yet, or be empty.")],
    dtype: Annotated[
        Literal["bfloat16", "float16", "float32"] | None,
        typer.Option(help="Number format to store; by default that of the base model's files."),
    ] = None,
) -> None:
    """Merge a trained adapter into its base model: one ordinary model directory, for example to serve it."""
    from fipo_model.backends.transformers.merge import merge as merge_adapter

    merge_adapter(checkpoint, out, number_format=dtype)
    note(f"the merged model is in {out}")
