"""The benchmarks' rows: read, chosen, shown to an optimizer, and checked for answers a rewrite gives away."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from string import ascii_uppercase

from fipo_model.errors import InputError
from fipo_model.evaluation.benchmarks import rows
from fipo_model.evaluation.benchmarks.cards import BENCHMARKS, BenchmarkCard
from fipo_model.evaluation.benchmarks.rows import Question
from fipo_model.types import OptimizationRequest

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def load_questions(benchmark: str, source: str | Path | None) -> list[Question]:
    """All rows of a benchmark, in order: from a directory that has `<benchmark>.jsonl`, or from the hub (None).

    Raises `InputError` for a benchmark nobody knows, for a file that cannot be read, and for a row that cannot be used,
    naming the file, the line, the field and what is expected there. On the hub, rows are counted instead of lines.
    """
    card = _card_of(benchmark)
    if source is not None:
        return rows.parse(card, rows.read(Path(source) / f"{card.name}.jsonl"))
    from fipo_model.evaluation.benchmarks import hub  # only a run on the hub's data needs the library behind it

    return rows.parse(card, hub.read(card))


def choose(
    questions: Sequence[Question], *, shots: int, limit: int | None = None, seed: int = 0
) -> tuple[list[Question], list[Question]]:
    """In-context examples, and the questions to score: never the same rows, whatever the limit.

    Rows are taken in the order of a hash of the seed and their id. In each group (task or subject) with more than
    `shots` + 1 rows the first `shots` become examples; smaller groups borrow from the others, see `score`. The rest is
    scored in turns, one from each group, so that a limit covers as many groups as it can, and a larger limit only adds.
    With a limit, groups therefore count alike, not by their size. Raises `InputError` if no group is large enough.
    """
    if shots < 0 or (limit is not None and limit < 1):
        raise InputError(f"shots must be at least 0 and limit at least 1, not {shots} and {limit}")
    groups: defaultdict[str | None, list[Question]] = defaultdict(list)
    for question in sorted(questions, key=lambda question: _hash(seed, question.id)):
        groups[question.group].append(question)
    examples = [q for group in groups.values() if len(group) > shots + 1 for q in group[:shots]]
    if len(examples) < shots or not groups:
        raise InputError(f"there are too few rows to take {shots} in-context examples from them and still score others")
    taken = {example.id for example in examples}
    left = [[q for q in group if q.id not in taken] for group in groups.values()]
    in_turn = [q for turn in zip_longest(*left) for q in turn if q is not None]
    return sorted(examples, key=lambda example: _hash(seed, example.id)), in_turn[:limit]


def naive_prompt(question: Question) -> OptimizationRequest:
    """What an optimizer is given: the question to rewrite, and the passage and the options, which nothing changes."""
    lettered = zip(ascii_uppercase, question.choices or (), strict=False)
    options = "".join(f"\n{letter}. {text}" for letter, text in lettered)
    shown = [*([question.context] if question.context else []), *([f"Options:{options}"] if options else [])]
    return OptimizationRequest(question.question, context="\n\n".join(shown) or None)


def leaks(question: Question, naive_text: str, rewritten: str) -> bool:
    """Whether a rewrite gives the answer away: it has the answer, and neither the naive question nor the passage does.

    The answer is a number, a text, or the right choice's text. A rewrite that has every choice only lists them and
    leaks none; one that singles out the right choice leaks it, although the optimizer saw them all. So does a statement
    such as "the answer is (B)". This goes by form, and case does not matter: "no" as a word of a rewrite counts where
    "No" is the answer and the naive question lacks it.
    """
    seen = f"{naive_text}\n{question.context or ''}"
    if question.choices is None or isinstance(question.answer, str):
        answer = str(question.answer)
        return _has(rewritten, answer) and not _has(seen, answer)
    letter = ascii_uppercase[question.answer]
    states_letter = re.compile(rf"(?i:\b(?:answer|option|choice)(?:\s+is)?)\s*:?\s*\(?{letter}\b(?!\s+[a-z])")
    if states_letter.search(rewritten) and not states_letter.search(seen):
        return True
    gold = question.choices[question.answer]
    is_list = all(_has(rewritten, choice) for choice in question.choices)
    return _has(rewritten, gold) and not is_list and not _has(seen, gold)


def _has(text: str, answer: str) -> bool:
    if _NUMBER.fullmatch(answer):
        wanted = answer.replace(",", "")
        return any(number.replace(",", "") == wanted for number in _NUMBER.findall(text))
    words = " ".join(answer.casefold().split()).rstrip(".")
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", " ".join(text.casefold().split())) is not None


def _card_of(benchmark: str) -> BenchmarkCard:
    for card in BENCHMARKS.values():
        if card.name == benchmark:
            return card
    raise InputError(f"there is no benchmark {benchmark!r}; the benchmarks are {', '.join(BENCHMARKS)}")


def _hash(seed: int, identity: str) -> str:
    return hashlib.sha256(f"{seed} {identity}".encode()).hexdigest()
