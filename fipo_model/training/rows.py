"""From a data file to a tokenized set, with a count of everything that was left out."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from fipo_model import places
from fipo_model.data.diversify import Diversification, TrainingRow, diversify, parse_training_row
from fipo_model.data.hub import open_records
from fipo_model.data.records import Record
from fipo_model.data.split import is_held_out
from fipo_model.errors import InputError, TrainingError, explain_missing
from fipo_model.jsonl import BadRow, read_objects
from fipo_model.templates import Template
from fipo_model.training.settings import DataSettings
from fipo_model.training.trainers import LENGTH

with explain_missing("train", "datasets", "transformers"):
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_ENCODED_AT_ONCE = 256
HAS_MARKUP = "contains the model's chat markup"


LeftOut = defaultdict[str, list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Rows ready for TRL (conversational, with their lengths in tokens), longest first, and the rows left out."""

    train: Dataset
    held_out: Dataset | None
    left_out: dict[str, list[str]]
    """For each reason, the ids of the rows that were not used; a line's number where it has no id."""


def load(
    settings: DataSettings, tokenizer: PreTrainedTokenizerBase, template: Template, *, seed: int, pairs: bool
) -> TrainingSet:
    """Read, diversify, check and measure every row. `pairs`: rows without a rejected reply are of no use.

    Raises `TrainingError` if nothing is left to train on.
    """
    left_out: LeftOut = defaultdict(list)
    parts: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    rows = _usable(_rows(settings, template, seed, left_out), tokenizer, pairs, left_out)
    while batch := list(islice(rows, _ENCODED_AT_ONCE)):
        for row, fields in zip(batch, _encode(batch, tokenizer, pairs), strict=True):
            if fields.pop("longest") > settings.max_length:
                left_out[f"longer than {settings.max_length} tokens"].append(row.id)
                continue
            parts[is_held_out(_record_of(row), settings.held_out, seed)].append(fields)
    if not parts[False]:
        kept = f"all {len(parts[True])} usable rows are held out (data.held_out)" if parts[True] else ""
        why = "; ".join(filter(None, (kept, in_words(left_out)))) or "it has no rows"
        raise TrainingError(f"{settings.train} leaves nothing to train on: {why}")
    train, held_out = (sorted(part, key=lambda fields: -fields[LENGTH]) for part in parts.values())
    return TrainingSet(
        train=Dataset.from_list(train),
        held_out=Dataset.from_list(held_out) if held_out else None,
        left_out=dict(left_out),
    )


def in_words(left_out: Mapping[str, list[str]]) -> str:
    """How many rows were not used and why, with a few of their ids."""
    reasons = sorted(left_out.items(), key=lambda item: -len(item[1]))
    return "; ".join(
        f"{reason}: {len(ids)} ({', '.join(ids[:3])}{', ...' if len(ids) > 3 else ''})" for reason, ids in reasons
    )


def _rows(settings: DataSettings, template: Template, seed: int, left_out: LeftOut) -> Iterator[TrainingRow]:
    """Training rows as the file has them, or made from its records."""
    if _holds_training_rows(settings.train):
        _refuse_what_has_no_effect(settings)
        for row in islice(_ready_made(read_objects(Path(settings.train)), left_out), settings.limit):
            if row.kind == "rewriting" and not template.may_have_rendered(row.prompt):
                raise InputError(
                    f"row {row.id} of {settings.train} was not made with the template {template.name!r}, with which "
                    "the model would be prompted. Name the right one (template), or train on the records."
                )
            yield row
        return
    choice = Diversification(parts=settings.parts, iterative=settings.iterative, seed=seed)
    parsed = open_records(settings.train, format=settings.format)
    records = (item for item in parsed if not isinstance(item, BadRow) or _note(item, left_out))
    yield from diversify(cast(Iterator[Record], islice(records, settings.limit)), choice, template=template)


def _refuse_what_has_no_effect(settings: DataSettings) -> None:
    usual = DataSettings(train=settings.train)
    names = ("format", "parts", "iterative")
    if changed := [f"data.{name}" for name in names if getattr(settings, name) != getattr(usual, name)]:
        raise InputError(
            f"{settings.train} holds training rows, which are trained on as they are: {' and '.join(changed)} would "
            "have no effect. Leave it out, or train on the records the rows were made from."
        )


def _holds_training_rows(source: str) -> bool:
    if not places.is_file(source):
        return False
    first = next(read_objects(Path(source)), None)
    return isinstance(first, tuple) and {"kind", "prompt", "chosen"} <= first[1].keys()


def _ready_made(objects: Iterable[tuple[int, dict[str, Any]] | BadRow], left_out: LeftOut) -> Iterator[TrainingRow]:
    for item in objects:
        if isinstance(item, BadRow):
            _note(item, left_out)
            continue
        try:
            yield parse_training_row(item[1])
        except InputError as error:
            _note(BadRow(line=item[0], reason=str(error)), left_out)


def _note(row: BadRow, left_out: LeftOut) -> bool:
    left_out[row.reason].append(f"line {row.line}")
    return False


def _usable(
    rows: Iterable[TrainingRow], tokenizer: PreTrainedTokenizerBase, pairs: bool, left_out: LeftOut
) -> Iterator[TrainingRow]:
    markup = chat_markup(tokenizer)
    for row in rows:
        said = "".join((*(message["content"] for message in row.prompt), row.chosen, row.rejected or ""))
        if not row.chosen.strip():
            left_out["nothing chosen"].append(row.id)
        elif pairs and row.rejected is None:
            left_out[f"no rejected reply ({row.kind})"].append(row.id)
        elif pairs and row.rejected == row.chosen:
            left_out["chosen and rejected are equal"].append(row.id)
        elif any(token in said for token in markup):
            left_out[HAS_MARKUP].append(row.id)
        else:
            yield row


def chat_markup(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The tokens that no text to train on may contain.

    TRL encodes a conversation with its chat markup as one text, so markup inside a message would change its turns.
    White space does not count as markup, though some tokenizers add tokens for it.
    """
    return tuple(token for token in tokenizer.get_added_vocab() if token.strip())


def _encode(rows: Sequence[TrainingRow], tokenizer: PreTrainedTokenizerBase, pairs: bool) -> list[dict[str, Any]]:
    """TRL's columns of each row, its length (`LENGTH`) and that of its longest conversation (`longest`), in tokens."""
    prompts = conversation_lengths([row.prompt for row in rows], tokenizer, add_generation_prompt=True)
    chosen = conversation_lengths([[*row.prompt, *_turn(row.chosen)] for row in rows], tokenizer)
    rejected = (
        conversation_lengths([[*row.prompt, *_turn(row.rejected or "")] for row in rows], tokenizer)
        if pairs
        else prompts
    )
    encoded = []
    for row, prompt, with_chosen, with_rejected in zip(rows, prompts, chosen, rejected, strict=True):
        columns = {"prompt": row.prompt, "chosen": _turn(row.chosen), "rejected": _turn(row.rejected or "")}
        if not pairs:
            columns = {"prompt": row.prompt, "completion": _turn(row.chosen)}
        length = with_chosen + with_rejected - prompt
        encoded.append({**columns, LENGTH: length, "longest": max(with_chosen, with_rejected)})
    return encoded


def _turn(reply: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": reply}]


def conversation_lengths(
    conversations: Sequence[list[Any]], tokenizer: PreTrainedTokenizerBase, *, add_generation_prompt: bool = False
) -> list[int]:
    """How many tokens each conversation has as the model meets it."""
    texts: Any = tokenizer.apply_chat_template(
        list(conversations), tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _record_of(row: TrainingRow) -> str:
    return row.id if row.kind == "rewriting" else row.id.rpartition("/")[0]
