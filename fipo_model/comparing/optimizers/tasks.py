"""The tasks of a comparison: programs with naive instructions, data, and how a reply is scored."""

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dspy

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
        self.classify = dspy.Predict(dspy.Signature("text -> label", instruction))

    def forward(self, text: str) -> dspy.Prediction:
        """The label, in whatever words."""
        return self.classify(text=text)


class NoteThenClassify(dspy.Module):
    """Two predictors: a note on the text, and the label of the text with its note."""

    def __init__(self, note: str, classify: str) -> None:
        super().__init__()
        self.note = dspy.Predict(dspy.Signature("text -> note", note))
        self.classify = dspy.Predict(dspy.Signature("text, note -> label", classify))

    def forward(self, text: str) -> dspy.Prediction:
        """The label, in whatever words."""
        return self.classify(text=text, note=self.note(text=text).note)


TASKS = {
    task.name: task
    for task in (
        Task(name="sst2", dataset="sst2", student=lambda: Classify("Label the sentiment.")),
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
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The examples of a task for one seed; the test examples are the same for every seed."""

    trainset: list[dspy.Example]
    valset: list[dspy.Example]
    testset: list[dspy.Example]


def read_data(folder: Path, task: Task, *, seed: int, train: int, val: int, test: int) -> Data:
    """Examples drawn by the seed from the train split, and the first of a fixed order of the test split."""
    split = {
        name: [row for row in read_set(folder, task.dataset) if row["split"] == name] for name in ("train", "test")
    }
    if len(split["train"]) < train + val or len(split["test"]) < test:
        raise InputError(
            f"{task.dataset} has {len(split['train'])} rows to train on and {len(split['test'])} to test with; "
            f"{train + val} and {test} are wanted"
        )
    drawn = random.Random(seed).sample(split["train"], train + val)
    tested = random.Random(task.dataset).sample(split["test"], test)
    return Data(trainset=_examples(drawn[:train]), valset=_examples(drawn[train:]), testset=_examples(tested))


def first_named(text: str, labels: Sequence[str]) -> str | None:
    """The label that a reply names first; None if it names none. At one place the longest counts."""
    places = {label: text.lower().find(label.lower()) for label in labels}
    named = [label for label in labels if places[label] >= 0]
    return min(named, key=lambda label: (places[label], -len(label))) if named else None


def is_right(example: dspy.Example, prediction: Any, trace: Any = None) -> bool:
    """The metric: whether the label named first is the right one."""
    return first_named(str(prediction.label), example.labels_known) == example.label


def with_feedback(
    gold: dspy.Example, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None
) -> dspy.Prediction:
    """The metric as GEPA wants it."""
    return dspy.Prediction(score=float(is_right(gold, pred)), feedback=f"The correct answer is '{gold.label}'.")


def fingerprint(folder: Path, dataset: str) -> str:
    """Tells a data set's rows apart from others, wherever they lie. Raises `InputError` for rows that are none."""
    return hashlib.sha256(json.dumps(read_set(folder, dataset)).encode()).hexdigest()[:12]


def read_set(folder: Path, dataset: str) -> list[dict[str, Any]]:
    path = folder / f"{dataset}.jsonl"
    if not path.is_file():
        raise InputError(f"there is no {path}; --data names the folder of the data sets")
    rows = []
    for row in read_objects(path):
        if isinstance(row, BadRow):
            raise InputError(f"{path}, {row}")
        line, fields = row
        if missing := {"split", "text", "label", "labels"} - fields.keys():
            raise InputError(f"{path}, line {line}: there is no {min(missing)}")
        rows.append(fields)
    return rows


def _examples(rows: Sequence[dict[str, Any]]) -> list[dspy.Example]:
    # `labels` is a method of dspy.Example.
    return [
        dspy.Example(text=row["text"], label=row["label"], labels_known=row["labels"]).with_inputs("text")
        for row in rows
    ]
