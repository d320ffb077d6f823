"""A rewrite with the words of its prompt still asks for what the prompt asks, of whom it asks, and answers nothing."""

import pytest

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import check


def outcome(naive: str, rewrite: str) -> str:
    return check(rewrite, OptimizationRequest(naive), FidelitySettings(), FIPO_1).outcome


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Give me an idea for a garden with roses.", "Create a garden with roses."),
        ("Come up with questions about our town.", "Ask around about our town."),
        ("You should tell the story and I should draw it.", "I should tell the story and you draw it."),
        ("Tell me about bridge design.", "Design a bridge in a modern style."),
        ("What are smart watches?", "Develop a smart watch."),
        ("How come cats hate water?", "How do cats hate water?"),
        ("What is a baguette vs a ciabatta?", "What is a baguette and a ciabatta?"),
        ("Is jogging a sport or just a habit?", "Is jogging a sport or an obsession?"),
        ("What is the game called chess?", "What is the name of the game called chess?"),
        ("Make a poem about snow and silence.", "Write a poem about the relationship between snow and silence."),
        ("Tell me about boat repair.", "What are the key steps to repairing a boat?"),
        ("Tell me about kites.", "Describe the components and functions of kites."),
        ("Write code to sort books.", "Find a way to sort books."),
        ("Write a guide to repairing a bike.", "How to repair a bike."),
        ("Which bird has the longest wings?", "Which is the longest bird with wings?"),
        ("With which city is the poet most associated?", "Which city is associated with the poet?"),
    ],
)
def test_another_request_in_the_same_words(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "task_lost"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Give me an idea for a garden with roses.", "Suggest a concept for a garden with roses."),
        ("Give me ideas for a garden with roses.", "What could a garden with roses look like?"),
        ("You should tell the story.", "You should tell the story in the first person."),
        ("Tell me about bridge design.", "Explain how a bridge is designed, and what bridge design has to respect."),
        ("How come cats hate water?", "Why do cats hate water?"),
        ("What is a baguette vs a ciabatta?", "Explain the difference between a baguette and a ciabatta."),
        ("Is jogging a sport or just a habit?", "Is jogging considered a sport or simply a habit?"),
        ("Write a program to sort books.", "Write a script to sort books."),
        ("Which bird has the longest wings?", "Find the bird with the longest wings."),
        ("Name the best beaches for kids.", "List the top beaches for kids."),
        ("Use at least five sources.", "Cite a minimum of five sources."),
        ("What is snow?", "Describe the causes, effects and uses of snow."),
        ("What is the name of the game with the net?", "State the name of the game with the net."),
    ],
)
def test_the_same_request_in_other_words(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("How can I get more readers?", "How can I get more readers by writing shorter articles?"),
        (
            "Find a solution to keep birds off the roof.",
            "Find a solution to keep birds off the roof by hanging up foil.",
        ),
        (
            "Are these two words the same: hut, Hut?",
            "Are these two words the same? hut, Hut. The answer should look like this: Equal",
        ),
        ("List all colours in the text:", "List all colours in the text: red, blue, green."),
    ],
)
def test_an_answer_that_is_built_in(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "answered"


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("How can I save time by cooking for a week?", "How can I save time by cooking meals for a week?"),
        ("List all colours in the text:", "List all colours in the text:\n\nName each one once."),
        ("Describe a harbour.", "Describe a harbour by naming what one sees and hears there."),
    ],
)
def test_what_is_no_answer(naive: str, rewrite: str) -> None:
    assert outcome(naive, rewrite) == "optimized"
