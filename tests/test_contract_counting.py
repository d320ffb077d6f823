"""Numbers that a list beside them contradicts."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest
from fipo_model.contract.counting import miscounted
from fipo_model.contract.reading import read
from fipo_model.fidelity import check


def verdict(naive: str, rewrite: str) -> tuple[str, str]:
    candidate = check(rewrite, OptimizationRequest(naive), FidelitySettings(), FIPO_2)
    return candidate.outcome, candidate.detail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Assign the message to one of the three categories: network, hardware, account or billing.",
            "says three, lists four",
        ),
        ("Answer with one of these two words: yes, no, maybe.", "says two, lists three"),
        ("Use the three labels (a, b, c, d).", "says three, lists four"),
        ("Answer in two parts: x, y and z.", "says two, lists three"),
        ("Sort it into the 3 groups: red, green, blue, and yellow.", "says 3, lists four"),
        ("Reply with one of these two words: yes/no/maybe.", "says two, lists three"),
        ("Choose one of the four options - small, medium or large - and reply with it.", "says four, lists three"),
        ("Classify it into three classes (positive, negative).", "says three, lists two"),
        ("Pick one of these three labels:\n- a\n- b\n- c\n- d\n\nReply with it.", "says three, lists four"),
        ("Nenne eine der drei Farben: rot, grün, blau oder gelb.", "says drei, lists vier"),
    ],
)
def test_a_number_may_not_contradict_the_list_beside_it(text, expected):
    assert miscounted(read(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Assign the message to one of the three categories: network, hardware, or billing.",
        "Answer with one of these two words: yes or no, and nothing else.",
        "Reply with one of the two labels: spam, ham, in lower case.",
        "Pick one of these two labels:\n- a\n  - as here\n- b\n\nReply with it.",
        # Other numbers.
        "Use at least two of: a, b, c.",
        "Choose up to three of the following: a, b, c, d.",
        "Choose two labels: a, b, c, d.",
        "The first two words (a, b, c) count.",
        # What something is like, or about.
        "Write it in two sentences: short, clear and friendly.",
        "Give three ideas: short and cheap.",
        "Answer in two parts: cause and effect.",
        "Give it in two parts: first the answer, then the reason and the source.",
        "Name the highest total of fouls during the 3rd quarter of all games (regular season and playoffs).",
        "Sort the story under one of four headings: World politics, Sports, Business, Science and technology.",
        "Use one of the four topics: politics, sports, business, science and technology.",
        # Items with commas or conjunctions of their own.
        "Sort into two groups: fruits and vegetables, tools and machines.",
        "Use three groups: fruits and vegetables, tools and machines, and clothes.",
        "Write the three fields: name, price (in euros, cents), and date.",
        "Use the two columns: name, which comes first, and price, which is a number.",
        "Use the three levels: low, medium, high; when unsure, choose medium.",
        "Use the two labels: spam (ads, scams, phishing) or ham.",
        "It takes the 3 steps: mix, bake, cool and serve them with a lot of cream on top.",
        "Use the two kinds: fruit, such as apples, pears, and vegetables.",
    ],
)
def test_numbers_that_may_be_right_contradict_nothing(text):
    assert miscounted(read(text)) is None


def test_only_what_the_rewrite_says_itself_is_counted():
    wrong = "one of the three categories: network, hardware, account or billing"
    assert verdict("sort the message", f"sort the message\n\nAssign the message to {wrong}.") == (
        "number_invented",
        "says three, lists four",
    )
    naive = f"Assign the message to {wrong}."
    assert verdict(naive, f"You are a helpful expert. {naive}")[0] == "optimized"
