"""A question keeps what it is after: the way something is done, the reader it asks about, and an open answer."""

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import check


def outcome(naive: str, rewrite: str) -> str:
    return check(rewrite, OptimizationRequest(naive), FidelitySettings(), FIPO_1).outcome


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("How do I write a letter of complaint?", "Write a formal letter of complaint to a shop."),
        ("How to design a garden with little water", "Design a garden that needs little water."),
        ("How do we count votes in an election?", "Count votes in an election with care."),
        ("How can one organize a chess tournament?", "Organize a chess tournament for ten people or more."),
    ],
)
def test_doing_a_thing_is_not_how_it_is_done(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "task_lost"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("How do I write a letter of complaint?", "Write a guide to a good letter of complaint."),
        ("How do I write a letter of complaint?", "Write a clear explanation of how to write a letter of complaint."),
        ("How would you solve 3x = 9?", "Solve 3x = 9 step by step."),
        ("Explain how to bake bread.", "Explain step by step how to bake bread."),
    ],
)
def test_guidance_may_be_asked_for_in_other_words(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Are you conscious of time passing?", "Is consciousness of time passing possible?"),
        ("which books were you raised on?", "Which books were raised on?"),
        ("Have you ever been angry with a customer?", "Describe an angry customer in detail."),
    ],
)
def test_a_question_about_the_reader_is_not_one_about_nobody(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "name_lost"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Are you conscious of time passing?", "Explain whether an AI is conscious of time passing."),
        ("Are you able to list the planets?", "List the planets from the sun outwards."),
        ("Can you list the planets?", "List the planets from the sun outwards."),
    ],
)
def test_the_reader_may_be_named_and_a_polite_form_dropped(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Who is Grace Hopper?", "Who is Grace Hopper, the inventor of the compiler?"),
        ("Write a poem about Lisbon.", "Write a poem about Lisbon, known for its trams and sad songs."),
        ("Tell me about Nokia and its phones.", "Tell me about Nokia, a struggling Finnish company, and its phones."),
    ],
)
def test_an_answer_in_passing_is_an_answer(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "answered"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Who is Grace Hopper?", "Who is Grace Hopper, and what is she known for?"),
        ("Who is Grace Hopper, the admiral?", "Explain who Grace Hopper, the admiral, is."),
        ("Write a poem about Lisbon.", "Write a poem about Lisbon, a sonnet."),
        ("Write a poem about Lisbon.", "Write a poem about Lisbon, its trams and its light."),
    ],
)
def test_what_is_asked_about_a_name_is_no_answer(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"


@pytest.mark.parametrize(
    ("expected", "naive", "rewrite"),
    [
        ("task_lost", "Tell me who is Banksy.", "What is Banksy?"),
        ("task_lost", "When was the treaty of Lisbon signed?", "Where was the treaty of Lisbon signed?"),
        ("task_lost", "Why do cats purr at night?", "When do cats purr at night?"),
        ("optimized", "What's the best way to learn the piano?", "Which is the best way to learn the piano?"),
        ("task_lost", "The three stages of grief in this novel:", "What are the three stages of grief in this novel?"),
        ("optimized", "The three stages of grief in this novel:", "List the three stages of grief in this novel:"),
        ("manner_lost", "Name the fastest ships of all time.", "Name the fastest ships and say who built them."),
        ("optimized", "Name the fastest ships of all time.", "Name the fastest ships ever built and their builders."),
        ("optimized", "Why was he famous and what did he do?", "Explain this: why was he famous and what did he do?"),
        ("optimized", "Who is Banksy?", "What is known of Banksy, and who is Banksy?"),
        ("task_lost", "Predict the winner of the next election.", "Who is the winner of the next election?"),
        ("optimized", "Predict the winner of the next election.", "Estimate who will win the next election, and why."),
    ],
)
def test_another_question_word_asks_something_else(expected: str, naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == expected


@pytest.mark.parametrize(
    ("expected", "naive", "rewrite"),
    [
        ("input_requested", "Recommend a quiet beach.", "Describe a quiet beach that you have visited."),
        ("input_requested", "Name a funny film.", "What is your favourite funny film?"),
        ("input_requested", "Plan my small garden.", "Plan your small garden with herbs."),
        ("optimized", "Plan my small garden.", "Plan my small garden with herbs, and state your reasons."),
        ("optimized", "Name a funny film.", "Name a funny film, of any kind you like."),
        ("optimized", "What is your favourite funny film?", "Name your favourite funny film and say why."),
    ],
)
def test_the_reader_is_not_asked_about_itself(expected: str, naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == expected


@pytest.mark.parametrize(
    ("expected", "naive", "rewrite"),
    [
        (
            "task_lost",
            "You are a grumpy pirate. Describe a storm at sea.",
            "Describe a storm at sea with grumpy pirates.",
        ),
        ("task_lost", "Imagine you are Galileo. Describe your telescope.", "Describe the telescope of Galileo."),
        (
            "optimized",
            "You are a grumpy pirate. Describe a storm at sea.",
            "As a grumpy pirate, describe a storm at sea.",
        ),
        (
            "optimized",
            "Pretend you are Galileo. Describe the moon.",
            "Describe the moon from the perspective of Galileo.",
        ),
        ("task_lost", "He sells honey. Should he open a shop?", "Explain how he opens a shop that sells honey."),
        (
            "optimized",
            "He sells honey. Should he open a shop?",
            "He sells honey. Discuss whether he should open a shop.",
        ),
    ],
)
def test_roles_and_doubts_are_kept(expected: str, naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == expected
