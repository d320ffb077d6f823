"""The tasks of a comparison: programs with naive instructions, data, and how a reply is scored."""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy
from dspy.signatures import make_signature
from dspy.teleprompt.gepa.gepa_utils import ScoreWithFeedback

from fipo_model import places
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow, read_objects


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A program to optimize, and the data set it works on."""

    name: str
    dataset: str
    student: Callable[[], dspy.Module]


class Classify(dspy.Module):
    """One predictor: a text's label."""

    def __init__(self, instruction: str) -> None:
        super().__init__()
        self.classify = dspy.Predict(make_signature("text -> label", instruction))

    def forward(self, text: str) -> dspy.Prediction:
        """Give the label, in whatever words."""
        found: dspy.Prediction = self.classify(text=text)
        return found


class NoteThenClassify(dspy.Module):
    """Two predictors: a note on the text, and the label of the text with its note."""

    def __init__(self, note: str, classify: str) -> None:
        super().__init__()
        self.note = dspy.Predict(make_signature("text -> note", note))
        self.classify = dspy.Predict(make_signature("text, note -> label", classify))

    def forward(self, text: str) -> dspy.Prediction:
        """Give the label, in whatever words."""
        noted = self.note(text=text)
        found: dspy.Prediction = self.classify(text=text, note=noted.note)
        return found


_TASKS = (
    Task(
        name="sst2",
        dataset="sst2",
        student=lambda: Classify("Label the sentiment."),
    ),
    Task(
        name="sst2-note",
        dataset="sst2",
        student=lambda: NoteThenClassify("What does the reviewer feel?", "Is the review positive or negative?"),
    ),
    Task(
        name="agnews",
        dataset="agnews",
        student=lambda: Classify("Is this article about World, Sports, Business or Tech? Answer with one word."),
    ),
    Task(
        name="fallacy",
        dataset="logical_fallacy_detection",
        student=lambda: Classify("Is the argument Valid or Invalid?"),
    ),
    Task(
        name="reasoning",
        dataset="winowhy",
        student=lambda: Classify("Is the reasoning correct or incorrect?"),
    ),
    Task(
        name="banking",
        dataset="banking77_eight",
        student=lambda: Classify(
            "Is this about card arrival, cash withdrawal charge, exchange rate, lost or stolen card, pin blocked, "
            "terminate account, top up failed or transfer timing?"
        ),
    ),
)
TASKS = {task.name: task for task in _TASKS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The examples of a task for one seed; the test examples are the same for every seed."""

    trainset: list[dspy.Example]
    valset: list[dspy.Example]
    testset: list[dspy.Example]


def read_data(folder: Path, task: Task, *, seed: int, train: int, val: int, test: int) -> Data:
    """Draw examples from the train split by the seed, and from the test split always the same."""
    rows = read_set(folder, task.dataset)
    to_train = [row for row in rows if row["split"] == "train"]
    to_test = [row for row in rows if row["split"] == "test"]
    if len(to_train) < train + val or len(to_test) < test:
        raise InputError(
            f"{task.dataset} has {len(to_train)} rows to train on and {len(to_test)} to test with, but "
            f"{train + val} and {test} are needed"
        )
    drawn = random.Random(seed).sample(to_train, train + val)
    tested = random.Random(task.dataset).sample(to_test, test)
    return Data(
        trainset=_make_examples(drawn[:train]),
        valset=_make_examples(drawn[train:]),
        testset=_make_examples(tested),
    )


def first_named(text: str, labels: Sequence[str]) -> str | None:
    """Find the label that a reply names first; None if it names none.

    Of labels at the same place the longest counts.
    """
    places = {label: text.lower().find(label.lower()) for label in labels}
    named = [label for label in labels if places[label] >= 0]
    return min(named, key=lambda label: (places[label], -len(label)), default=None)


def is_right(example: dspy.Example, prediction: Any, trace: Any = None) -> bool:
    """Score a prediction: whether the label it names first is the right one."""
    named = first_named(str(prediction.label), example.labels_known)
    return bool(named == example.label)


def score_with_feedback(
    gold: dspy.Example,
    pred: dspy.Prediction,
    trace: Any = None,
    pred_name: str | None = None,
    pred_trace: Any = None,
    program_trace: Any = None,
) -> ScoreWithFeedback:
    """Score a prediction as GEPA wants it."""
    return ScoreWithFeedback(score=float(is_right(gold, pred)), feedback=f"The correct answer is '{gold.label}'.")


def tasks_of(folder: Path) -> tuple[str, ...]:
    """The tasks whose data set is in a folder; all tasks where none is, so that errors can name what is missing."""
    found = [name for name, task in TASKS.items() if places.is_file(folder / f"{task.dataset}.jsonl")]
    return tuple(found or TASKS)


def fingerprint(folder: Path, dataset: str) -> str:
    """A digest of a data set's rows, wherever they lie. Raises `InputError` for invalid rows."""
    return hashlib.sha256(json.dumps(read_set(folder, dataset)).encode()).hexdigest()[:12]


def read_set(folder: Path, dataset: str) -> list[dict[str, Any]]:
    """Read the rows of a data set. Raises `InputError` where there are none, or one lacks a field."""
    path = folder / f"{dataset}.jsonl"
    if not places.is_file(path):
        raise InputError(
            f"there is no {path}; --data names a folder with one JSONL file for each data set, whose rows have "
            '"split" ("train" or "test"), "text", "label", and in "labels" all labels of the set'
        )
    rows = []
    for row in read_objects(path):
        if isinstance(row, BadRow):
            raise InputError(f"{path}, {row}")
        line, fields = row
        missing = {"split", "text", "label", "labels"} - fields.keys()
        if missing:
            raise InputError(f"{path}, line {line}: there is no {min(missing)}")
        rows.append(fields)
    return rows


def _make_examples(rows: Sequence[dict[str, Any]]) -> list[dspy.Example]:
    examples = []
    for row in rows:
        # `labels` is a method of dspy.Example.
        example = dspy.Example(text=row["text"], label=row["label"], labels_known=row["labels"])
        examples.append(example.with_inputs("text"))
    return examples
