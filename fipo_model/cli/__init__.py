"""The command line. stdout holds results and nothing else; notes go to stderr."""

import os
import sys

import typer

from fipo_model.cli import compare, data, train, weights
from fipo_model.cli.evaluate import evaluate
from fipo_model.cli.notes import note
from fipo_model.cli.optimize import optimize
from fipo_model.errors import FipoError

app = typer.Typer(
    help="Rewrite naive prompts into better ones with a local model. No prompt leaves this machine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(optimize)
app.command("eval")(evaluate)
app.add_typer(compare.app, name="compare")
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(weights.app, name="weights")


def main() -> None:
    """Entry point: our own errors become one line on stderr and exit code 1, never a traceback."""
    # Third-party progress bars are for what takes long, not for loading 270 MB.
    os.environ.setdefault("TQDM_DELAY", "5")
    try:
        app()
    except FipoError as error:
        note(f"error: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        note("stopped")
        sys.exit(130)
