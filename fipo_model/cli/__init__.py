"""The command line. stdout holds results and nothing else; notes go to stderr."""

import errno
import os
import sys
from typing import Annotated

import typer

import fipo_model
from fipo_model.cli import compare, data, store, train, weights
from fipo_model.cli.evaluate import evaluate
from fipo_model.cli.export import export
from fipo_model.cli.helping import with_joined_lines
from fipo_model.cli.notes import finish_notes, note, say, show_log
from fipo_model.cli.optimize import optimize
from fipo_model.cli.score import score
from fipo_model.cli.serve import serve
from fipo_model.cli.tune import tune
from fipo_model.cli.worth_it import worth_it
from fipo_model.errors import FipoError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _say_version(is_asked: bool) -> None:
    if is_asked:
        say(f"fipo {fipo_model.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Rewrite hasty prompts into better ones with a local model. Prompts are sent to a server only if you name one."""


app.command()(optimize)
app.command("worth-it")(worth_it)
app.command()(tune)
app.command()(score)
app.command("eval")(evaluate)
app.command()(export)
app.command()(serve)
app.add_typer(compare.app, name="compare")
app.add_typer(data.app, name="data")
app.add_typer(store.app, name="store")
app.add_typer(train.app, name="train")
app.add_typer(weights.app, name="weights")
with_joined_lines(app)


def main() -> None:
    """Entry point: our own errors become one line on stderr and exit code 1, never a traceback."""
    # Third-party progress bars are for long waits, not for loading 270 MB.
    os.environ.setdefault("TQDM_DELAY", "5")
    show_log()
    try:
        app()
    except FipoError as error:
        note(f"error: {error}")
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        note(f"error: cannot write the output: {error.strerror}")
        sys.exit(1)
    except KeyboardInterrupt:
        note("stopped")
        sys.exit(130)
    finally:
        finish_notes()
