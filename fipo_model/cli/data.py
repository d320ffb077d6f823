"""`fipo data`: look at preference data, and make training rows from it."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fipo_model import jsonl
from fipo_model.cli.build import build
from fipo_model.cli.notes import note
from fipo_model.cli.rank import rank
from fipo_model.cli.rank_tasks import rank_tasks
from fipo_model.cli.tasks import tasks
from fipo_model.cli.teach import teach
from fipo_model.data.diversify import Diversification, Parts
from fipo_model.data.diversify import diversify as training_rows
from fipo_model.data.hub import open_records
from fipo_model.data.records import Format, Record
from fipo_model.data.stats import FileStats, file_stats
from fipo_model.errors import InputError
from fipo_model.pages.numbers import counted
from fipo_model.templates import FIPO_1, load_template

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="Look at preference data, and make training rows from it.", no_args_is_help=True)
app.command()(build)
app.command()(rank)
app.command()(rank_tasks)
app.command()(tasks)
app.command()(teach)

FormatOption = Annotated[
    Format | None, typer.Option("--format", help="Format of the records; detected from their fields by default.")
]


@app.command()
def stats(
    file: Annotated[Path, typer.Argument(help="JSONL file of records or of training rows.")],
    *,
    format_: FormatOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the statistics as JSON.")] = False,
) -> None:
    """Count what a file holds: parts, sources, kinds and types, lengths in words, and the lines that cannot be used."""
    found = file_stats(file, format=format_)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
        return
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    for table in _tables(found):
        console.print(table)
    for row in found.first_bad:
        note(str(row))


@app.command()
def diversify(
    source: Annotated[str, typer.Argument(metavar="IN", help="JSONL file of records, or a data set on the hub.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file of training rows to write or replace.")],
    *,
    format_: FormatOption = None,
    parts: Annotated[
        Parts, typer.Option(help="Responses that a row shows: an even mix of the paper's eight types, none, or all.")
    ] = "diversified",
    iterative: Annotated[
        bool, typer.Option("--iterative", help="Add the answering and discrimination rows of iterative training.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed for what is drawn at random for each record.")] = 0,
    template: Annotated[Path | None, typer.Option(help="Template file in the layout of the paper's own code.")] = None,
) -> None:
    """Make training rows from records. If some lines cannot be used, writes the rest and exits with 1."""
    settings = Diversification(parts=parts, iterative=iterative, seed=seed)
    asked_with = load_template(template) if template else FIPO_1
    jsonl.check_apart(Path(source), target)
    tally: Counter[str] = Counter()
    with jsonl.replacing(target) as output:
        records = _usable(open_records(source, format=format_), tally)
        for row in training_rows(records, settings, template=asked_with):
            output.write(jsonl.encode_object(row.to_fields()))
            tally[row.kind] += 1
        if not (made := tally.total() - tally["records"] - tally["bad"]):
            raise InputError(f"no record in {source} has a chosen rewrite, so there is nothing to learn from")
    of_each = ", ".join(f"{tally[kind]} {kind}" for kind in ("rewriting", "answering", "discrimination") if tally[kind])
    written = f"{counted(made, 'row')} ({of_each}) from {counted(tally['records'], 'record')} written to {target}"
    note(f"{written}, {counted(tally['bad'], 'line')} could not be used")
    if tally["bad"]:
        sys.exit(1)


def _usable(records: Iterable[Record | jsonl.BadRow], tally: Counter[str]) -> Iterator[Record]:
    for record in records:
        if isinstance(record, Record):
            tally["records"] += 1
            yield record
        else:
            tally["bad"] += 1
            note(str(record))


def _tables(found: FileStats) -> Iterator["Table"]:
    from rich.table import Table

    lines = {"records": found.records, "training rows": found.training_rows, "cannot be used": found.bad_lines}
    yield _counts("what the file holds", lines)
    for title, names in (("source", found.sources), ("kind", found.kinds), ("type", found.types)):
        if names:
            yield _counts(title, names)
    lengths = Table("part", *("lines", "mean words", "median", "90 %", "99 %", "most"))
    for part, of in found.parts.items():
        numbers = (of.count, f"{of.mean:.1f}", of.median, of.p90, of.p99, of.max)
        lengths.add_row(part, *map(str, numbers))
    if found.parts:
        yield lengths
    if found.bad_reasons:
        yield _counts("why lines cannot be used", found.bad_reasons)


def _counts(title: str, names: dict[str, int]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title, "lines")
    for name, count in names.items():
        # Untrusted text: shown, and not interpreted as markup or as a terminal's control characters.
        shown = "".join(character if character.isprintable() else "?" for character in name)
        table.add_row(Text(shown or "(none named)"), str(count))
    return table
