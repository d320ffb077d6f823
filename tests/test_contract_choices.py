"""What follows a colon is a document, unless it is the list of choices that the request asks to choose from."""

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.contract import commitments
from fipo_model.fidelity import check

TICKET = "classify this support ticket: billing, shipping, account or other. one word"


def outcome(naive: str, rewrite: str) -> tuple[str, str]:
    found = check(rewrite, OptimizationRequest(naive), FidelitySettings(), FIPO_1)
    return found.outcome, found.detail


def documents(text: str) -> list[str]:
    return [each.text for each in commitments(text) if each.kind == "example"]


@pytest.mark.parametrize(
    "prompt",
    [
        TICKET,
        "Label the review: positive, negative or neutral.",
        "Label the review: positive, negative, neutral, mixed, unsure.",
        "Classify the email: a complaint, a question or an order. Answer in one word.",
        "classify this text: spam / ham / not sure / something else",
        "Summarize this text in one of these styles: formal, casual, funny or plain.",
        "Decide whether the article is one of these: news, opinion or satire, in lower case.",
        'Classify this sentence: "true", "false" or "unknown". Nothing else.',
        "Classify the review:\n- positive\n- negative\n- not sure\nReply with one of them.",
        "Classify this review: spam or ham. Answer with one word.",
        "Pick the tone of this email: formal, friendly, neutral or rude.",
    ],
)
def test_a_list_of_choices_is_no_document(prompt: str) -> None:
    assert documents(prompt) == []


@pytest.mark.parametrize(
    ("prompt", "document"),
    [
        ("Classify the review: The food was cold, the waiter rude and the music loud.", None),
        ("Classify this sentence: I like cats, dogs or birds.", None),
        ("Classify this review: great phone, cheap price, bad battery or so they say", None),
        ("fix this sentence: cats, dogs or birds eats all the time", None),
        ("Translate this text: red, green, blue, yellow or black", None),
        ("Classify the review:\n\nGreat phone. Cheap, too, or nearly so.", None),
    ],
)
def test_a_text_to_work_on_is_still_a_document(prompt: str, document: str | None) -> None:
    assert documents(prompt) == [document or prompt.partition(":")[2].strip()]


@pytest.mark.parametrize(
    "rewrite",
    [
        "Find the category of this support ticket: billing, shipping, account or other. Write it as one word.",
        "Classify this support ticket as billing, shipping, account or other. Reply with one word.",
    ],
)
def test_a_list_of_choices_may_be_worded_anew(rewrite: str) -> None:
    assert outcome(TICKET, rewrite) == ("optimized", "")


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        (TICKET, "Classify this support ticket as billing, shipping or account. Reply with one word."),
        (TICKET, "Classify this support ticket. Reply with one word."),
        ("Label the review: positive, negative, neutral, mixed, unsure.", "Label the review by its sentiment."),
        ("Classify the review:\n- positive\n- negative\n- not sure\nReply once.", "Classify the review. Reply once."),
    ],
)
def test_but_no_choice_may_be_lost(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite)[0] == "label_lost"
