"""Which naive instructions make a task: those whose accuracy is neither chance nor perfect."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fipo_model import Generator, Sampling, places
from fipo_model.comparing.optimizers.tasks import first_named, read_set
from fipo_model.errors import InputError
from fipo_model.generation import Message, complete

CHANCE_OR_PERFECT = (0.15, 0.85)
"""A task is used if its naive program scores between these on rows of the train split."""

CANDIDATES = {
    "sst2": (
        "sentiment?",
        "positive or negative?",
        "Classify the review.",
        "Label the sentiment.",
        "Is this review positive or negative?",
        "What sentiment does this have?",
        "What is the sentiment of this review?",
    ),
    "subj": (
        "subjective or objective?",
        "Is this subjective or objective?",
        "Classify the sentence as subjective or objective.",
    ),
    "agnews": (
        "World, Sports, Business or Tech?",
        "What is this news about: World, Sports, Business or Tech?",
        "Classify this news article as World, Sports, Business or Tech.",
        "Is this article about World, Sports, Business or Tech? Answer with one word.",
    ),
    "logical_fallacy_detection": ("fallacy or not", "Is the argument Valid or Invalid?"),
    "winowhy": ("correct reasoning?", "Is the reasoning correct or incorrect?"),
    "banking77_eight": (
        "what is it about?",
        "Is this about card arrival, cash withdrawal charge, exchange rate, lost or stolen card, pin blocked, "
        "terminate account, top up failed or transfer timing?",
    ),
    "trec": ("Answer type: Description, Entity, Expression, Human, Location or Number?",),
    "sst-5": ("How good is the movie: terrible, bad, okay, good or great?",),
}
"""Naive instructions that were considered, by data set; `--survey` measures them."""

HEADER = ("data set", "naive instruction", "right", "names a label", "usable")
_ROWS = 60


def survey(folder: Path, generator: Generator, *, max_tokens: int) -> list[dict[str, Any]]:
    """Measure each candidate naive instruction on rows of the train split, and say which may be used.

    Data sets that are not in the folder are left out, unless all are missing. Raises `InputError` for one without rows
    of the train split.
    """
    found = []
    there = {name: own for name, own in CANDIDATES.items() if places.is_file(folder / f"{name}.jsonl")}
    for dataset, instructions in (there or CANDIDATES).items():
        train = [row for row in read_set(folder, dataset) if row["split"] == "train"]
        if not train:
            raise InputError(
                f'{dataset} has no rows to train on (whose "split" is "train"), which the survey asks about'
            )
        sample = random.Random("survey").sample(train, min(_ROWS, len(train)))
        for instruction in instructions:
            measured = _measure(instruction, sample, generator, Sampling(max_new_tokens=max_tokens))
            found.append({"dataset": dataset, "instruction": instruction, **measured})
    return found


def table_rows(found: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Write a survey as rows under the `HEADER`."""
    for one in found:
        right, named = (f"{one[share]:.0%}" for share in ("score", "named"))
        yield one["dataset"], one["instruction"], right, named, "yes" if one["usable"] else "no"


def _measure(
    instruction: str, rows: Sequence[Mapping[str, Any]], generator: Generator, sampling: Sampling
) -> dict[str, Any]:
    asked: list[list[Message]] = [
        [{"role": "user", "content": f"{instruction}\n\ntext: {row['text']}"}] for row in rows
    ]
    replies = complete(generator, asked, sampling)
    named = [first_named(reply.text, row["labels"]) for reply, row in zip(replies, rows, strict=True)]
    right = [label == row["label"] for label, row in zip(named, rows, strict=True)]
    score = sum(right) / len(rows)
    low, high = CHANCE_OR_PERFECT
    return {
        "rows": len(rows),
        "score": score,
        "named": sum(label is not None for label in named) / len(rows),
        "usable": low <= score <= high,
    }
