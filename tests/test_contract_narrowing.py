"""Alternatives that an addition or a rewrite leaves out of a choice."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest, ShownExample
from fipo_model.contract.alternatives import alternatives
from fipo_model.contract.reading import read
from fipo_model.fidelity import check


def verdict(naive: str, rewrite: str, *shown: tuple[str, str | None]) -> tuple[str, str]:
    request = OptimizationRequest(naive, examples=tuple(ShownExample(*each) for each in shown))
    candidate = check(rewrite, request, FidelitySettings(), FIPO_2)
    return candidate.outcome, candidate.detail


def added(naive: str, addition: str, *shown: tuple[str, str | None]) -> tuple[str, str]:
    return verdict(naive, f"{naive}\n\n{addition}", *shown)


TICKET = "ticket type at {company}: bug, billing or question?"


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (TICKET, ("bug", "billing", "question")),
        ("bug/billing/question", ("bug", "billing", "question")),
        ("is it a bug, a billing issue or a question", ("bug", "billing issue", "question")),
        ("bug report, feature request or question?", ("bug report", "feature request", "question")),
        ("Is this a complaint, a question, praise, or other?", ("complaint", "question", "praise", "other")),
        ("sentiment: positive, negative, neutral", ("positive", "negative", "neutral")),
        ("Label it as positive, negative or mixed and explain why.", ("positive", "negative", "mixed")),
        ("Choose one of these labels:\n- bug\n- billing: about money\n- question", ("bug", "billing", "question")),
        ("classify into sports, news and tech", ("sports", "news", "tech")),
        ("ist es ein Fehler, eine Rechnung oder eine Frage?", ("fehler", "rechnung", "frage")),
        ("rate 1, 2 or 3", ("1", "2", "3")),
        ("neutral, positive or negative?", ("neutral", "positive", "negative")),
        # Two, behind what they are about; words of no choice; a list to be used.
        ("tweet, positive or negative?", ()),
        ("urgent, yes or no", ()),
        ("what has wings here, bird or insect", ()),
        ("rocky or gaseous, according to what they are made of", ()),
        ("What is next: 2, 4, 6, 8?", ()),
        ('Arrange the words: "like/to/she/barbecue/does"', ()),
        ("Write to our clients, partners or staff about the new office that we are going to open in Rome in May.", ()),
    ],
)
def test_alternatives_are_read_from_lists(prompt, expected):
    assert alternatives(read(prompt)) == ((expected,) if expected else ())


@pytest.mark.parametrize(
    ("addition", "lost"),
    [
        ("Decide whether the ticket is a question or a bug, and reply with that one word.", "billing"),
        ("Judge whether the ticket is for a billing or a question, and give the answer alone.", "bug"),
        ("Answer bug or billing.", "question"),
        ("Reply with one of bug, question.", "billing"),
        ("Choose between bug and question.", "billing"),
        ("Give the type (bug/question) alone.", "billing"),
        ("Is it a bug or a question? Write only that.", "billing"),
        ("Decide if the ticket is a bug or a question.", "billing"),
        ('Reply with "bug" or "question".', "billing"),
        ("Answer with one word: bug or question.", "billing"),
        ("Bug or question, nothing else.", "billing"),
        ("Decide whether it is a bug, a question or something else.", "billing"),
    ],
)
def test_an_addition_may_not_narrow_the_choice(addition, lost):
    assert added(TICKET, addition) == ("label_lost", f"offers only 2 of the 3 choices: '{lost}' is missing")


@pytest.mark.parametrize(
    "addition",
    [
        "Decide whether the ticket is a question, a bug or billing, and reply with that one word.",
        "Reply with one of these words.",
        "If it is a bug, say so.",
        "If both bug and billing fit, choose billing.",
        "Where it may be a bug or a question, choose bug.",
        "When in doubt between bug and question, choose question.",
        "Choose bug over question when both fit.",
        "A bug is a fault; a question asks for something. Reply with the type alone.",
        "Answer with the type alone, such as bug or question.",
        "Decide whether it is a bug or a question; where it is about money, answer billing.",
        "Reply with bug, question or bill.",
    ],
)
def test_it_may_say_all_of_it_none_of_it_or_more_about_some(addition):
    assert added(TICKET, addition)[0] == "optimized"


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("mood: pos/neg/mixed", "Say whether the mood is positive or negative.", "label_lost"),
        ("mood: pos/neg/mixed", "Say whether the mood is positive, negative or mixed.", "optimized"),
        ("toxic? yes, no or unsure", "Answer yes or no.", "label_lost"),
        (
            "plumbing, electrical, noise, parking or rent?",
            "Assign the text to the categories of plumbing, electrical, noise and parking.",
            "label_lost",
        ),
        (
            "plumbing, electrical, noise, parking or rent?",
            "Assign the text to the categories of plumbing, electrical, noise, parking and rent.",
            "optimized",
        ),
        ("toxic? yes, no or unsure", "Answer yes, no or unsure.", "optimized"),
        ("Python, JavaScript, SQL or Java?", "Name the language: Python, JavaScript, SQL or Java.", "optimized"),
        ("svelte, vue or react?", "Compare Svelte, Vue and React. Say when Svelte or Vue is better.", "optimized"),
        ("ist es ein Fehler, eine Rechnung oder eine Frage?", "Antworte mit Fehler oder Frage.", "label_lost"),
        ("tweet, positive or negative?", "Say whether it is positive or negative.", "optimized"),
    ],
)
def test_labels_may_be_abbreviated_alike_or_in_another_language(naive, addition, expected):
    assert added(naive, addition)[0] == expected


def test_a_full_rewrite_may_not_narrow_it_either():
    whole = "Decide which type the ticket at {company} has: bug, billing or question."
    assert verdict(TICKET, whole)[0] == "optimized"
    assert verdict(TICKET, f"{whole} Reply with bug or question.") == (
        "label_lost",
        "offers only 2 of the 3 choices: 'billing' is missing",
    )
    # As the prompt itself does.
    naive = "Label the mail as spam, ham or promo. Say whether it is spam or promo in bold."
    assert verdict(naive, f"You are a mail filter. {naive}")[0] == "optimized"


ANSWERS = (("a", "yes"), ("b", "no"), ("c", "maybe"))
LABELS = (("the screen broke", "bug"), ("pay", "billing"), ("how", "question"), ("why", "question"))


@pytest.mark.parametrize(
    ("naive", "addition", "shown", "expected"),
    [
        ("urgent", "Answer yes or no.", ANSWERS, "label_lost"),
        ("urgent", "Answer yes, no or maybe.", ANSWERS, "optimized"),
        ("urgent", "Answer yes or no.", ANSWERS[:2], "optimized"),
        ("urgent, yes or no", "Answer yes or no.", ANSWERS, "optimized"),
        ("bug or question?", "Decide whether it is a bug or a question.", LABELS, "optimized"),
        ("type of ticket", "Decide whether the ticket is a bug, billing or a question.", LABELS, "optimized"),
        # Words of longer outputs; numbers that were worked out.
        (
            "continent",
            "Name the continent on which the country lies, with North or South for the Americas.",
            (("Peru", "South America"), ("Mali", "Africa"), ("Cuba", "North America"), ("Togo", "Africa")),
            "optimized",
        ),
        ("how many", "Count the words, 2 or 3.", (("a b", "2"), ("a b c", "3"), ("a", "1")), "optimized"),
    ],
)
def test_outputs_shown_are_alternatives_too(naive, addition, shown, expected):
    assert added(naive, addition, *shown)[0] == expected
