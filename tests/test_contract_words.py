"""What a refusal says: what was found, in a sentence that fits it, before anything else."""

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import OTHER_OUTCOMES, RULES, check
from fipo_model.pages.changes import verdict_in_words, why_kept

TICKET = "Classify this support ticket as billing, shipping, account or other. Reply with one word."


@pytest.mark.parametrize(
    ("naive", "rewrite", "said"),
    [
        (
            TICKET,
            "Sort this support ticket as billing, shipping or account. Reply with one word.",
            "lost the label 'other'",
        ),
        (
            TICKET,
            f"{TICKET} Say whether it is billing, shipping or account.",
            "offers only 3 of the 4 choices: 'other' is missing",
        ),
        (
            "Classify it as red, green or blue.",
            "Classify it as red.",
            "lost the labels 'green', 'blue'",
        ),
        ("Name 3 rivers.", "Name some rivers.", "lost the number '3'"),
        ("See www.a.com and www.b.com.", "See them.", "lost the web addresses 'www.a.com', 'www.b.com'"),
        ("Pick a city.\nCity: x\nReason: y", "Pick a city: x, reason y.", "lost the headings 'City:', 'Reason:'"),
        ("Describe bees to a child.", "Describe bees to a child named Ada.", "invented the name 'Ada'"),
        (
            "Describe the farm but never mention the animals from the list.",
            "Describe the farm and mention the animals from the list.",
            "lost the negation 'never mention the animals from'",
        ),
    ],
)
def test_what_was_found_is_said(naive: str, rewrite: str, said: str) -> None:
    found = check(rewrite, OptimizationRequest(naive), FidelitySettings(), FIPO_1)
    assert found.detail == said
    assert verdict_in_words(found.outcome, found.detail) == f"turned down: {said}"
    assert why_kept(found.outcome, found.detail) == (f"your prompt stays as it is. The rewrite was turned down: {said}")


@pytest.mark.parametrize("outcome", [*RULES, *OTHER_OUTCOMES])
def test_every_outcome_has_words_with_and_without_a_detail(outcome) -> None:
    assert verdict_in_words(outcome, "")
    assert why_kept(outcome).startswith("your prompt stays as it is")
    if verdict_in_words(outcome, "").startswith("turned down"):
        assert verdict_in_words(outcome, "lost it") == "turned down: lost it"
