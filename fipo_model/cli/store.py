"""`fipo store`: list the rewrites in a file, and review them."""

import getpass
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fipo_model.cli.export import export
from fipo_model.cli.notes import note, say
from fipo_model.cli.optimize import KEY_LENGTH, word_diff
from fipo_model.errors import InputError
from fipo_model.replies import without_controls
from fipo_model.store import Entry, RewriteStore, State

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="List, review and export the rewrites in a store.", no_args_is_help=True)
app.command("export")(export)

_WIDTH = 160  # characters, of a table in a file or a pipe
_STYLES = {"pending": "yellow", "approved": "green", "rejected": "red"}

_File = Annotated[Path, typer.Argument(metavar="STORE", help="File of the store.")]
_Key = Annotated[str, typer.Argument(help="A key from `fipo store list`, or its beginning.")]
_Keys = Annotated[list[str] | None, typer.Argument(help="Keys from `fipo store list`, or their beginnings.")]
_By = Annotated[str | None, typer.Option(help="Your name; by default, your user name on this machine.")]
_Why = Annotated[str, typer.Option("--because", help="The reason, kept in the store.")]
_Json = Annotated[bool, typer.Option("--json", help="Print everything as JSON, one rewrite per line.")]


@app.command("list")
def list_(
    file: _File,
    *,
    state: Annotated[State | None, typer.Option(help="Only rewrites in this state.")] = None,
    as_json: _Json = False,
) -> None:
    """List the rewrites in a store, with their reviews."""
    entries = _opened(file).entries(state)
    if as_json:
        for entry in entries:
            say(_json(entry))
        return
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    with console.capture() as shown:
        console.print(_table(entries, f"{len(entries)} in {file}"))
    say(shown.get().rstrip("\n"))


@app.command()
def show(file: _File, key: _Key, *, as_json: _Json = False) -> None:
    """Show one rewrite: what changed, who proposed it, the evidence, and who decided."""
    entry = _opened(file).find(key)
    if as_json:
        say(_json(entry))
        return
    shown = asdict(entry) | {"keep": ", ".join(entry.keep)}
    for name, value in shown.items():
        if value:
            say(without_controls(f"{name}: {value}"))
    if entry.text != entry.naive:
        say(without_controls(f"changes: {word_diff(entry.naive, entry.text)}"))


@app.command()
def approve(
    file: _File,
    keys: _Keys = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Everything that is pending.")] = False,
    text: Annotated[str | None, typer.Option(help="Approve this text instead of the proposed one.")] = None,
    by: _By = None,
    why: _Why = "",
) -> None:
    """Approve rewrites: everyone who uses the store gets them from now on."""
    store = _opened(file)
    chosen = _chosen(store, keys, all_)
    if text is not None and (len(chosen) != 1 or not text.strip()):
        raise typer.BadParameter("--text is for one rewrite: name one key, and a text that is not empty")
    _tell(store.decide(chosen, "approved", by=by or _user(), why=why, text=text))


@app.command()
def reject(
    file: _File,
    keys: _Keys = None,
    *,
    all_: Annotated[bool, typer.Option("--all", help="Everything that is pending.")] = False,
    by: _By = None,
    why: _Why = "",
) -> None:
    """Reject rewrites: they are never used again, and their prompts stay as they are."""
    store = _opened(file)
    _tell(store.decide(_chosen(store, keys, all_), "rejected", by=by or _user(), why=why))


def _opened(file: Path) -> RewriteStore:
    if not file.exists():
        raise InputError(f"there is no store {file}; `fipo optimize PROMPT --store {file}` creates one")
    return RewriteStore(file)


def _chosen(store: RewriteStore, keys: list[str] | None, is_all: bool) -> list[str]:
    if bool(keys) == is_all:
        raise typer.BadParameter("name the keys of rewrites, or --all for everything that is pending")
    return keys or [entry.key for entry in store.entries("pending")]


def _tell(entries: list[Entry]) -> None:
    for entry in entries:
        note(f"{entry.state}: {entry.key[:KEY_LENGTH]} {' '.join(entry.naive.split())[:60]}")
    if not entries:
        note("nothing is pending")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError) as error:  # the kind depends on the version of Python
        raise InputError("this machine does not know your user name: add --by NAME") from error


def _json(entry: Entry) -> str:
    return json.dumps(asdict(entry), ensure_ascii=False)


def _table(entries: list[Entry], title: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for column in ("key", "state", "prompt", "text to use", "proposed by", "evidence", "decided by"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        state = Text(entry.state, style=_STYLES[entry.state])
        used = entry.used if entry.is_rewritten else "as it is"
        shown = (entry.naive, used, entry.model, entry.evidence or entry.detail, entry.by)
        table.add_row(Text(entry.key[:KEY_LENGTH]), state, *(Text(without_controls(each)) for each in shown))
    return table
