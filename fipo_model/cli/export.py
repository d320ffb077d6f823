"""`fipo export`: rewrites and adapters for other programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from fipo_model import jsonl, places
from fipo_model.cli.examples import read_rows
from fipo_model.cli.notes import note, say
from fipo_model.errors import InputError
from fipo_model.export import (
    ADAPTER_FORMS,
    ONE_EACH,
    SUFFIXES,
    Form,
    Rewrite,
    TextForm,
    Wishes,
    read_rewrites,
)
from fipo_model.export import export as exported
from fipo_model.export.forms import Module, Speaker
from fipo_model.store import State

_STDIN = Path("/dev/stdin")


def export(  # noqa: PLR0913 - one parameter for each option
    source: Annotated[
        str,
        typer.Argument(
            help="A store, or a file (- for stdin) that `optimize --json`, `tune --json` or `optimize --input` wrote. "
            "For the adapter formats: a name from `fipo weights list`, or the directory of an adapter."
        ),
    ],
    keys: Annotated[
        list[str] | None, typer.Argument(help="Keys of rewrites in a store; by default, all approved ones.")
    ] = None,
    *,
    form: Annotated[
        Form,
        typer.Option("--as", help="The format; safetensors (merged into the base), gguf and ollama are for adapters."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="File to write instead of stdout; for several rewrites as text or dspy, a directory."),
    ] = None,
    state: Annotated[State, typer.Option(help="Which rewrites of a store to write, if you name no keys.")] = "approved",
    speaker: Annotated[Speaker, typer.Option("--role", help="Role of the message, for chat and langchain.")] = "system",
    signature: Annotated[str, typer.Option(help="Fields of the program, for dspy.")] = "input -> output",
    module: Annotated[Module, typer.Option(help="Module of the program, for dspy.")] = "Predict",
    examples: Annotated[
        Path | None, typer.Option(help="JSONL file of rows with `input` and `output`, for promptfoo's tests.")
    ] = None,
    provider: Annotated[
        str | None, typer.Option(help="Provider of answers, for promptfoo; without it, the file has a place for one.")
    ] = None,
) -> None:
    """Write rewrites or an adapter in a format that another program reads."""
    if form in ADAPTER_FORMS:
        from fipo_model.export.adapter import export_adapter

        if out is None or keys:
            raise typer.BadParameter(f"--as {form} needs an adapter, no keys, and --out")
        export_adapter(source, form, out)
        note(f"written to {out}")
        return
    file = _STDIN if source == "-" else Path(source)
    rewrites = read_rewrites(file, keys=keys or (), state=state)
    rows = read_rows(examples) if examples is not None else ()
    wishes = Wishes(speaker=speaker, signature=signature, module=module, examples=rows, provider=provider)
    _write(rewrites, cast(TextForm, form), wishes, out)


def _write(rewrites: Sequence[Rewrite], form: TextForm, wishes: Wishes, out: Path | None) -> None:
    if out is None:
        say(exported(rewrites, form, wishes).removesuffix("\n"))
        return
    parts = {out: rewrites}
    if form in ONE_EACH and len(rewrites) > 1:
        if places.exists(out) and not places.is_directory(out):
            raise InputError(f"{out} is a file, but {len(rewrites)} rewrites need a directory: name one with --out")
        parts = {out / f"{one.name}{SUFFIXES[form]}": [one] for one in rewrites}
    for file, own in parts.items():
        content = exported(own, form, wishes)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {file.parent}: {error.strerror}") from error
        with jsonl.replacing(file) as opened:
            opened.write(content.encode())
    note(f"{len(rewrites)} written to {out}")
