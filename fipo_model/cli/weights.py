"""`fipo weights`: the default weights."""

import typer

from fipo_model.cli.notes import note

app = typer.Typer(help="Fetch, find and check the default weights.", no_args_is_help=True)


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
