"""What strays from a task where likelihood decides: nonsense of the right form does, proper requests do not."""

import pytest

from fipo_model.contract.straying import Ground, strays

LOWER = ("lower", ("Gentle Happy badge", "Heavy Calm napkin"), ("gentle happy badge", "heavy calm napkin"))
LARGEST = ("max", ("41, 89, 84", "50, 19, 68"), ("89", "68"))
KIND = ("type of mail", ("The lamp broke.", "Come on Sunday.", "It broke again."), ("complaint", "invitation") * 2)
BIG = ("ALL CAPS PLEASE", ("small flute", "proud wagon"), ("SMALL FLUTE", "PROUD WAGON"))
WHOLE = ("Say whether the film is liked.", ("film 1", "film 2"), ("yes", "no"))


def found(task, addition: str) -> str | None:
    wordings, inputs, outputs = task
    return strays(addition, Ground(wordings=wordings, is_well_worded=False, inputs=inputs, outputs=outputs))


@pytest.mark.parametrize(
    ("task", "addition", "reason"),
    [
        # It made the right outputs likelier by 1.41 and 0.53 nats per token under two models.
        (
            LOWER,
            "Write the word with a space between the letters and the digit, as it stands in the text.",
            "mentions 'digit', which no example has",
        ),
        (LOWER, "Write the words with commas between them.", "mentions 'commas'"),
        (LOWER, "Translate the phrase to Czech and sort the items of the shop.", "no content word"),
        (LOWER, "Write the text in lowercase and explain physics, history and geometry.", "physic"),
        (LOWER, "Write the text in capital letters.", "asks for 'uppercase', but right outputs have another form"),
        (LARGEST, "Write the longest sentence about fashion.", "no content word"),
        (KIND, "Reply with the mail in one sentence.", "asks for 'one sentence'"),
        (KIND, "Reply in lowercase with one-word JSON.", "asks for 'json'"),
        (WHOLE, "Count every digit.", "mentions"),
    ],
)
def test_what_only_brings_about_the_form_is_turned_down(task, addition, reason):
    if task is WHOLE:
        task = (WHOLE[0], ("a film", "a bore"), WHOLE[2])
    assert reason in (found(task, addition) or "")


@pytest.mark.parametrize(
    ("task", "addition"),
    [
        (LOWER, "Write the text in lowercase letters."),
        (LOWER, "Convert every uppercase letter to lowercase and change nothing else."),
        (LARGEST, "Find the largest number and write it alone, without a comma."),
        (LARGEST, "Write the largest number without brackets."),
        (KIND, "Say whether it is a complaint or an invitation."),
        (BIG, "Write the text in all uppercase letters."),
        (WHOLE, "Consider every part of it carefully."),
        (("größer?", ("1, 2",), ("2",)), "Schreibe die größte Zahl der Liste und sonst gar nichts."),
    ],
)
def test_proper_requests_of_new_words_are_not(task, addition):
    assert found(task, addition) is None


def test_where_good_wordings_are_known_what_is_only_related_is_not_the_task():
    inputs, outputs = ("mouse", "tree", "house"), ("mice", "trees", "houses")
    wordings = "plural?\nWrite the plural of the noun."
    for is_known in (True, False):
        ground = Ground(wordings=wordings, is_well_worded=is_known, inputs=inputs, outputs=outputs)
        assert strays("Write the plural of the noun.", ground) is None
        assert ground.near({"singul"}) == (frozenset() if is_known else {"singul"})
