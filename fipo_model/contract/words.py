"""Output formats, manners and tasks, each of which a prompt may say in many ways. Pure.

Each is a class of a language's lexicon: "in a table", "tabular" and "as a markdown table" are one.
"""

from collections.abc import Mapping
from functools import lru_cache

from fipo_model.contract.commitments import Commitment, Kind
from fipo_model.contract.lookup import Classes
from fipo_model.contract.reading import Reading

# An output has one of each of these.
EXCLUSIVE = frozenset(
    {
        "one word",
        "yes or no",
        "json",
        "csv",
        "xml",
        "yaml",
        "table",
        "bullets",
        "essay",
        "one sentence",
        "numbered list",
    }
)
# Machines read these, so they are not to be added unasked.
MACHINE_READ = frozenset({"one word", "yes or no", "json", "csv", "xml", "yaml", "uppercase", "lowercase", "code only"})
OPPOSITE_LAYOUTS: Mapping[str, str] = {"one line": "newlines", "newlines": "one line"}
OPPOSITES: Mapping[str, str] = {
    **{"short": "long", "long": "short", "formal": "casual", "casual": "formal", "funny": "serious"},
    **{"serious": "funny", "sarcastic": "objective", "objective": "sarcastic", "simple": "technical"},
    **{"technical": "simple", "polite": "rude", "rude": "polite", "positive": "negative", "negative": "positive"},
}


@lru_cache(maxsize=64)
def formats(reading: Reading) -> list[Commitment]:
    """Forms of output: one word, yes or no, JSON, a table, bullets, capitals."""
    return _of_class("format", reading.lexicon.formats, reading)


@lru_cache(maxsize=64)
def manners(reading: Reading) -> list[Commitment]:
    """Length, register and tone."""
    return _of_class("manner", reading.lexicon.manners, reading)


@lru_cache(maxsize=64)
def tasks(reading: Reading) -> list[Commitment]:
    """What is to be done to a given text: summarize, translate, proofread, classify."""
    return _of_class("task", reading.lexicon.tasks, reading)


@lru_cache(maxsize=64)
def task_words(reading: Reading) -> frozenset[str]:
    """The tasks that some word of a text may stand for."""
    return frozenset(name for name, pattern in reading.lexicon.task_words.items() if pattern.search(reading.lowered))


def _of_class(kind: Kind, classes: Classes | None, reading: Reading) -> list[Commitment]:
    if classes is None:
        return []
    return [
        Commitment(kind, reading.text[match.start() : match.end()], match.span(), name)
        for name, match in classes.find(reading.lowered)
    ]
