"""From the rows of a file or the hub, which have the same shape, to questions."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fipo_model.errors import InputError
from fipo_model.evaluation.benchmarks.cards import BenchmarkCard
from fipo_model.jsonl import BadRow, read_objects

Located = tuple[str, dict[str, Any]]
"""Where a row is, for a reader of an error, and its fields."""

# BBH writes the options of a task into its questions, lettered or as a list.
_OPTIONS = re.compile(r"(?P<question>.*\S)\s*\nOptions:\s*\n(?P<options>.*)", re.DOTALL)
_OPTION = re.compile(r"(?:\((?P<letter>[A-Z])\)|-)\s+(?P<text>.*\S)\s*")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
# A BBH task without options that has at most this many answers, each given twice or more on average, is a choice
# between them.
_MOST_ANSWERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row of a benchmark."""

    id: str
    benchmark: str
    group: str | None = None
    """The task (BBH) or subject (MMLU) it belongs to."""
    question: str
    """What is rewritten; without the options, also where the benchmark writes them into it."""
    context: str | None = None
    """The passage it is about, as in CosmosQA."""
    choices: tuple[str, ...] | None = None
    """Texts of the options. None where the answer has to be generated."""
    answer: int | str
    """Index of the right choice, or the answer's text."""
    rationale: str | None = None
    """How one gets there, as in GSM8K; shown in examples."""


def read(path: Path) -> Iterator[Located]:
    """The rows of a JSONL file. Raises `InputError` for a line that is not one."""
    for row in read_objects(path):
        if isinstance(row, BadRow):
            raise InputError(f"{path}, {row}")
        line, fields = row
        yield f"{path}, line {line}", fields


def parse(card: BenchmarkCard, located: Iterable[Located]) -> list[Question]:
    """The questions of all rows. Raises `InputError` for a wrong field, and for a repeated id."""
    questions: dict[str, Question] = {}
    for where, fields in located:
        question = _question(card, fields, where)
        if question.id in questions:
            raise InputError(f"{where}, field id: {question.id!r} occurs twice; each row needs its own")
        questions[question.id] = question
    return _with_shared_answers(list(questions.values())) if card.answers == "text" else list(questions.values())


def _question(card: BenchmarkCard, fields: dict[str, Any], where: str) -> Question:
    choices = _choices(fields, where) if card.answers == "choice" else None
    question = Question(
        id=_text(fields, "id", where),
        benchmark=card.name,
        group=_text(fields, "task", where) if card.has_groups else None,
        question=_text(fields, "question", where),
        context=_text(fields, "context", where) if card.has_context else None,
        choices=choices,
        answer=_text(fields, "answer", where) if choices is None else _index(fields, len(choices), where),
        rationale=_text(fields, "rationale", where) if card.has_rationale else None,
    )
    if card.answers == "number" and not _NUMBER.fullmatch(str(question.answer)):
        raise InputError(f"{where}, field answer: a number as text is expected, such as '18', not {question.answer!r}")
    return _with_own_options(question) if card.answers == "text" else question


def _text(fields: dict[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}, field {name}: text is expected, not {value!r}")
    return value


def _choices(fields: dict[str, Any], where: str) -> tuple[str, ...]:
    value = fields.get("choices")
    if not isinstance(value, list) or not 2 <= len(value) <= 26:
        raise InputError(f"{where}, field choices: a list of 2 to 26 texts is expected, not {value!r}")
    # Reading MMLU's CSV files with pandas gives a NaN for a choice that is the word None.
    texts = ["None" if isinstance(choice, float) and math.isnan(choice) else choice for choice in value]
    for place, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{where}, field choices: text is expected at place {place}, not {text!r}")
    return tuple(texts)


def _index(fields: dict[str, Any], choices: int, where: str) -> int:
    value = fields.get("answer")
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < choices:
        raise InputError(
            f"{where}, field answer: the index of a choice, 0 to {choices - 1}, is expected, not {value!r}"
        )
    return value


def _with_own_options(question: Question) -> Question:
    """The options taken out of a BBH question.

    A question whose answer is not among them (there are two) is left as it is.
    """
    found = _OPTIONS.fullmatch(question.question)
    options = [_OPTION.fullmatch(line) for line in found["options"].splitlines()] if found else []
    listed = [option for option in options if option]
    names = [f"({option['letter']})" if option["letter"] else option["text"] for option in listed]
    if not found or len(listed) < max(2, len(options)) or names.count(str(question.answer)) != 1:
        return question
    texts = tuple(option["text"] for option in listed)
    return replace(question, question=found["question"], choices=texts, answer=names.index(str(question.answer)))


def _with_shared_answers(questions: list[Question]) -> list[Question]:
    """Choices for BBH tasks without options that have only a few answers, such as yes and no."""
    answers: defaultdict[str | None, list[str]] = defaultdict(list)
    for question in questions:
        if question.choices is None and not _OPTIONS.fullmatch(question.question):
            answers[question.group].append(str(question.answer))
    shared = {group: _few_answers(given) for group, given in answers.items()}
    return [_with_choices(question, shared.get(question.group, ())) for question in questions]


def _few_answers(given: list[str]) -> tuple[str, ...]:
    """The different answers of a task, in order; empty if there are too many, or too few, to choose from."""
    different = tuple(sorted(set(given)))
    return different if 2 <= len(different) <= min(_MOST_ANSWERS, len(given) // 2) else ()


def _with_choices(question: Question, choices: tuple[str, ...]) -> Question:
    """The question with these choices, if it has none itself and they include its answer."""
    answer = str(question.answer)
    if question.choices is not None or answer not in choices:
        return question
    return replace(question, choices=choices, answer=choices.index(answer))
