"""`fipo data rank`: preference pairs from prompts with golden responses."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fipo_model import jobs, jsonl
from fipo_model.addresses import show_address
from fipo_model.cli.notes import note
from fipo_model.data.hub import open_records
from fipo_model.data.records import Record
from fipo_model.errors import InputError
from fipo_model.models.registry import SMALLEST
from fipo_model.pages.numbers import counted

if TYPE_CHECKING:
    from fipo_model.data.ranking import Measure, Propose


def rank(  # noqa: PLR0913 - one parameter for each option
    source: Annotated[str, typer.Argument(metavar="IN", help="JSONL file of records, or a data set on the hub.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file of pairs to write, or to resume.")],
    *,
    model: Annotated[
        str | None,
        typer.Option(
            help="Optimizer to sample from: a name from `fipo weights list`, a directory, a hub id or http://…/v1#NAME."
        ),
    ] = None,
    candidates: Annotated[int, typer.Option(min=0, help="Rewrites to sample for each prompt.")] = 8,
    repeat: Annotated[bool, typer.Option("--repeat", help="Also try each prompt repeated.")] = False,
    reference: Annotated[bool, typer.Option("--reference", help="Also try the record's own chosen rewrite.")] = False,
    test_model: Annotated[
        list[str] | None,
        typer.Option(help="Model that measures the golden response; may be repeated. Default: smollm2-135m."),
    ] = None,
    margin: Annotated[float, typer.Option(min=0, help="Ignore gains below this, in nats per token.")] = 0.01,
    max_response_tokens: Annotated[int, typer.Option(min=1, help="Measure only the responses' first tokens.")] = 128,
    seed: Annotated[int, typer.Option(help="Seed for sampling.")] = 0,
) -> None:
    """Rank rewrites by the golden response's likelihood, and keep the best and the worst for each prompt.

    If none gains more than the margin, the naive prompt counts as the best, which teaches a model to leave it alone.
    """
    from fipo_model.data.ranking import Propose, Ranked, added_reference, repeated
    from fipo_model.data.ranking import rank as ranking

    if not (candidates or repeat or reference):
        raise InputError("there is nothing to rank: ask for --candidates, --repeat or --reference")
    jsonl.check_apart(Path(source), target)
    told = {
        "model": model and show_address(model),  # a note is no place for passwords
        "candidates": candidates,
        "repeat": repeat,
        "reference": reference,
        "test_models": test_model and [show_address(each) for each in test_model],
        "margin": margin,
        "max_response_tokens": max_response_tokens,
        "seed": seed,
    }
    tally: Counter[str] = Counter()
    with jobs.claimed_file(target, kind="a ranking", needs_note=False) as job:  # version 0.1 noted no settings
        job.check(told)
        done = _done(target)
        job.begin(told)
        jsonl.check_writable(target)
        records = list(_to_do(open_records(source), done, tally, is_same=partial(_is_same, reference=reference)))
        proposing: list[Propose] = [*([repeated] if repeat else []), *([added_reference] if reference else [])]
        if candidates:
            proposing.append(_sampling(model, candidates, seed))
        measures = _measures(test_model or [], max_response_tokens)
        for found in ranking(records, proposing, measures):
            if isinstance(found, Ranked):
                jobs.append(target, [found.to_fields(margin)])
                tally["ranked"] += 1
            else:
                tally["unusable"] += 1
                note(f"{found[0].id}: {found[1]}")
    note(
        f"{counted(tally['ranked'], 'record')} ranked, {counted(len(done), 'was', 'were')} there before, "
        f"{tally['unusable']} could not be used; see {target}"
    )
    if tally["unusable"]:
        sys.exit(1)


def _sampling(model: str | None, candidates: int, seed: int) -> "Propose":
    from fipo_model.data.ranking import sampled
    from fipo_model.rewriter import Rewriter

    return sampled(Rewriter.from_pretrained(model, samples=candidates, seed=seed))


def _measures(test_models: list[str], max_response_tokens: int) -> "list[Measure]":
    from fipo_model.backends.opening import open_scorer
    from fipo_model.likelihood import golden_log_likelihoods

    return [
        partial(golden_log_likelihoods, open_scorer(model, max_response_tokens=max_response_tokens))
        for model in test_models or [SMALLEST.name]
    ]


def _done(target: Path) -> dict[str, dict[str, Any]]:
    """The rows that are there, by their ids; of one id, earlier versions may have written several."""
    done: dict[str, dict[str, Any]] = {}
    for row in jobs.finished_rows(target, "id", "ranked"):
        done.setdefault(row["id"], row)
    return done


def _to_do(
    parsed: Iterable[Record | jsonl.BadRow],
    done: Mapping[str, Mapping[str, Any]],
    tally: Counter[str],
    *,
    is_same: Callable[[Record, Mapping[str, Any]], bool],
) -> Iterator[Record]:
    """The records that are not done yet. Raises `InputError` where an earlier run had another one under an id."""
    seen: set[str] = set()
    for record in parsed:
        if isinstance(record, jsonl.BadRow):
            tally["unusable"] += 1
            note(str(record))
        elif record.id in seen:
            tally["unusable"] += 1
            note(f"{record.id}: an earlier record has this id, too")
        elif record.id not in done:
            seen.add(record.id)
            yield record
        elif is_same(record, done[record.id]):
            seen.add(record.id)
        else:
            raise InputError(
                f"the output was made from another input: its row with the id {record.id!r} is of another record. "
                "Choose another output, or give the records ids of their own."
            )


def _is_same(record: Record, row: Mapping[str, Any], *, reference: bool) -> bool:
    """Whether a row is of this record: of its own rewrites, a row has only the one that was ranked as a reference."""
    from fipo_model.data.ranking import added_reference

    parts = ("instruction", "context", "silver_response", "golden_response")
    if any(row.get(part) != getattr(record, part) for part in parts):
        return False
    texts = {text["text"].strip() for text in (*row["ranked"], *row.get("failed", ()))}
    (proposed,) = added_reference([record])
    return not reference or isinstance(proposed, InputError) or all(one.text.strip() in texts for one in proposed)
