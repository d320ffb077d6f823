"""What the commands say on stderr; stdout belongs to their results."""

import typer


def note(text: str) -> None:
    """Tell the user something."""
    typer.echo(f"fipo: {text}", err=True)
