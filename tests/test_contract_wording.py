"""A reworded prompt keeps its words or has others for them, and an addition asks for the task of its prompt."""

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import check


def outcome(naive: str, rewrite: str, context: str | None = None) -> str:
    return check(rewrite, OptimizationRequest(naive, context=context), FidelitySettings(), FIPO_1).outcome


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("List some cakes with a crisp crust.", "Create a list of cakes with a golden crust."),
        (
            "Which singer was invited to the most festivals last summer?",
            "Which singer played at the most festivals last summer?",
        ),
        ("Name the cheapest garden maintenance tools.", "Name the cheapest garden tools."),
        ("Write a gloomy first chapter for a pirate novel.", "Write a thrilling first chapter for a pirate novel."),
        ("How do I smuggle a cat into my office?", "How do I bring a cat into my office?"),
    ],
)
def test_a_word_is_not_exchanged_for_one_that_means_something_else(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "sentence_lost"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("List some cakes with a crisp crust.", "Name cakes with a crisp crust."),
        ("Is a plumber's job hard to learn?", "Is a plumber's job difficult to learn?"),
        ("Which animal has the biggest ears of all?", "Which animal has the largest ears of all?"),
        ("What sets a bass drum apart from a regular drum?", "What sets a bass drum apart from a standard drum?"),
        ("Who may fly, especially at night?", "Who may fly, in particular at night?"),
        ("Make a list of different soups for kids.", "Create a list of soups for children."),
        ("You are impersonating {person}.", "You are pretending to be {person}."),
        ("Build a tool that shows the size of each folder.", "Develop a tool that displays the size of each folder."),
        # Longer texts may say it in many words.
        (
            "Write about a bat.",
            "Write a detailed account of the flying mammal called a bat, its food and habits.",
        ),
    ],
)
def test_another_word_for_the_same_is_no_loss(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Tell me about beekeeping.", "Describe the benefits of beekeeping, including fresh honey."),
        ("Explain marine biology.", "Explain the principles of marine biology."),
        ("What is inflation?", "What are the causes of inflation?"),
        ("Tell me about time management.", "How can I manage my time effectively?"),
        ("Tell me about volcanoes.", "Tell me about volcanoes, focusing on how they form islands."),
    ],
)
def test_an_open_question_is_not_one_about_a_part(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "task_lost"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Tell me about beekeeping.", "Describe beekeeping, including its history and the benefits of beekeeping."),
        ("What are the causes of inflation?", "Explain the main causes of inflation."),
        ("Tell me about the benefits of sleep.", "Describe the benefits of sleep."),
        ("Tell me about volcanoes.", "Describe the different types of volcanoes."),
        ("How can I manage my time?", "How can I manage my time effectively?"),
    ],
)
def test_a_question_about_a_part_and_one_about_the_whole_with_its_parts_stay(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"


@pytest.mark.parametrize(
    ("naive", "rewrite", "expected"),
    [
        (
            "What kinds of sport should I try if I like water?",
            "What kinds of sport do people who like water do?",
            "task_lost",
        ),
        ("Should we plant trees here?", "Where can trees be planted here?", "task_lost"),
        (
            "What kinds of sport should I try if I like water?",
            "Suggest kinds of sport to try for somebody who likes water.",
            "optimized",
        ),
        (
            "Take the role of a lonely lighthouse keeper. Describe your night.",
            "As a lonely lighthouse keeper, I have a long night. Describe your night.",
            "task_lost",
        ),
        (
            "Take the role of a lonely lighthouse keeper. Describe your night.",
            "Take on the role of a lonely lighthouse keeper and describe your night.",
            "optimized",
        ),
        (
            "How can I get into the concert for free?",
            "How can I legally get into the concert for free?",
            "manner_contradicted",
        ),
        ("How can I legally get a second passport?", "How can I legally obtain a second passport?", "optimized"),
        ("What does a DBA do?", "What does a Database Backup Agent (DBA) do?", "name_invented"),
        ("What does a DBA do?", "What does a DBA (Database Backup Agent) do?", "name_invented"),
        (
            "I want you to be a careful guest of a small inn. Describe yourself.",
            "I am a guest of a small inn. Can you describe your careful guests?",
            "task_lost",
        ),
        (
            "I want you to be a careful guest of a small inn. Describe yourself.",
            "Imagine you are a careful guest of a small inn. Describe yourself.",
            "optimized",
        ),
    ],
)
def test_who_asks_and_what_is_asked_stays(naive: str, rewrite: str, expected: str) -> None:
    assert outcome(naive, rewrite) == expected


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Where were the Dekkan volcanoes?", "Where were the Deccan volcanoes?"),
        ("Was 911 foreseen by anybody?", "Was 9/11 foreseen by anybody?"),
        (
            "The list should only contain the names of the guests.",
            "The list should contain only the names of the guests.",
        ),
        (
            "I want a quiet hotel in Bonn, and the price is not a concern. Which one should I book?",
            "Which quiet hotel in Bonn should I book?",
        ),
        (
            "How would you tackle and solve the following problem: a shop loses customers. Which steps would you take?",
            "Outline the steps you would take where a shop loses its customers.",
        ),
        (
            "Write a function that finds the smallest even number in a list.",
            "Write a function that finds the smallest even number in a list. If no even number is found, say so.",
        ),
        ("Write a loop that counts down.", "Write a loop that counts down from x to 0 and stops."),
    ],
)
def test_what_a_reader_takes_for_the_same_is_accepted(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("plural", "Solve the word problem."),
        ("is it good or bad", "Classify the banking text."),
        ("first letter?", "Extract the date of the meeting."),
        ("sum", "Which of these animals is a mammal?"),
        ("emoji", "Compute the area of the triangle."),
        ("Translate the menu into French.", "Count the vowels in each word of the poem."),
    ],
)
def test_an_addition_asks_for_no_other_task(naive: str, addition: str) -> None:
    assert outcome(naive, f"{naive}\n\n{addition}") == "task_invented"


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("plural", "Write the plural form of the noun."),
        ("is it good or bad", "Classify the sentiment of the text as positive or negative."),
        ("first letter?", "Extract the first letter of the word."),
        ("sum", "Add the numbers and write the result only."),
        ("caps?", "Rewrite the text in the way that is asked for."),  # nothing is known of "caps"
        ("do it", "Count the vowels in the word."),  # hints at nothing
        ("Translate the menu into French.", "Explain your choices in a few words."),
        ("Explain how a bill becomes law.", "Use plain language and give an example."),
    ],
)
def test_a_proper_wording_of_the_task_and_ordinary_wishes_may_be_added(naive: str, addition: str) -> None:
    assert outcome(naive, f"{naive}\n\n{addition}") == "optimized"


def test_what_the_context_speaks_of_may_be_asked_for() -> None:
    context = "Patients wait four weeks for an appointment at the eye clinic."
    naive, addition = "sentiment", "Rate how patients feel about the clinic."
    assert outcome(naive, f"{naive}\n\n{addition}", context) == "optimized"
    assert outcome(naive, f"{naive}\n\nRate how sweet each apple is.", context) == "task_invented"


def test_a_mark_alone_is_no_task() -> None:
    assert outcome("How do I boil an egg", "How do I boil an egg?") == "optimized"


def test_no_size_at_all_is_no_small_one() -> None:
    assert outcome("Name 0 lakes.", "Name 0 lakes.\n\nName the lakes in detail.") == "optimized"
