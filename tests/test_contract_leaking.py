"""A rewrite may say what all inputs have in common, and nothing that only one of those it was shown has."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest, ShownExample
from fipo_model.fidelity import check

REVIEWS = (
    ShownExample("The pizza was cold and Maria waited 45 minutes.", "negative"),
    ShownExample("Lovely staff, lovely soup.", "positive"),
    ShownExample("Never again.", "negative"),
    ShownExample("A fine evening by the sea with friends.", "positive"),
)
AGES = (
    ShownExample("Ann is 31.", "31"),
    ShownExample("At 7, Bo swims.", "7"),
    ShownExample("Cy came.", "N/A"),
    ShownExample("Di turns 12.", "12"),
)
NOUNS = (ShownExample("house", "houses"), ShownExample("mouse", "mice"))


def outcome(addition: str, naive: str, examples: tuple[ShownExample, ...], feedback: str | None = None) -> str:
    request = OptimizationRequest(naive, examples=examples, feedback=feedback)
    return check(f"{naive}\n\n{addition}", request, FidelitySettings(), FIPO_2).outcome


@pytest.mark.parametrize(
    ("addition", "naive", "examples"),
    [
        ("Write the plural of the word house.", "plural?", NOUNS),
        ("Write the plural of the noun, such as mice.", "plural?", NOUNS),
        ("Say whether Maria liked it.", "sentiment", REVIEWS),
        ("Say what the guest thinks who waited 45 minutes.", "sentiment", REVIEWS),
        ("Say what the guest thinks of a fine evening by the sea.", "sentiment", REVIEWS),
        ("Say that the review is negative.", "sentiment", REVIEWS),
    ],
)
def test_details_of_one_example_are_refused(addition, naive, examples):
    assert outcome(addition, naive, examples) == "example_leaked"


@pytest.mark.parametrize(
    ("addition", "naive", "examples"),
    [
        ("Write the plural of the given noun.", "plural?", NOUNS),
        ('Reply with a number in digits or "N/A" and nothing else.', "age", AGES),
        ('If it is not stated, write "unknown".', "age", (*AGES[:2], ShownExample("Bo came.", "unknown"))),
        ("Say whether the review is positive or negative.", "sentiment", REVIEWS),
        ("Write the plural of the word house.", "plural of house", NOUNS),
    ],
)
def test_what_all_examples_have_in_common_is_none(addition, naive, examples):
    assert outcome(addition, naive, examples) == "optimized"


def test_what_examples_have_is_no_invention():
    addition = "Write the plural in German."
    german = (ShownExample("Haus, in German", "Häuser"), ShownExample("Maus, in German", "Mäuse"))
    assert outcome(addition, "plural?", ()) == "language_invented"
    assert outcome(addition, "plural?", german) == "optimized"


def test_what_feedback_says_is_no_secret():
    assert outcome("Write the plural of house as houses.", "plural?", NOUNS) == "example_leaked"
    addition = 'Write the plural, "mice" for one that is irregular.'
    assert outcome(addition, "plural?", NOUNS, feedback='it said "mouses", not "mice", for mouse') == "optimized"
