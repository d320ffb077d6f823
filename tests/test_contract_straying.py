"""What strays from a task before examples decide: nonsense of the right form does, proper requests do not."""

import json
import random
from pathlib import Path

import pytest

from fipo_model.contract.straying import Ground, strays
from fipo_model.fidelity import FidelitySettings, as_addition, check
from fipo_model.templates import FIPO_1
from fipo_model.types import OptimizationRequest, ShownExample

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"

LOWER = ("lower", ("Gentle Happy badge", "Heavy Calm napkin"), ("gentle happy badge", "heavy calm napkin"))
LARGEST = ("max", ("41, 89, 84", "50, 19, 68"), ("89", "68"))
KIND = ("type of mail", ("The lamp broke.", "Come on Sunday.", "It broke again."), ("complaint", "invitation") * 2)
BIG = ("ALL CAPS PLEASE", ("small flute", "proud wagon"), ("SMALL FLUTE", "PROUD WAGON"))
WHOLE = ("Say whether the film is liked.", ("film 1", "film 2"), ("yes", "no"))


def found(task, addition: str, *, is_answered: bool = False) -> str | None:
    wordings, inputs, outputs = task
    known = {"wordings": wordings, "is_well_worded": False, "inputs": inputs, "outputs": outputs}
    return strays(addition, Ground(**known, is_answered=is_answered))


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


LIKED = ("liked?", ("a fine film", "a bore"), ("yes", "no") * 2)


@pytest.mark.parametrize(
    ("task", "addition", "is_task"),
    [
        (LIKED, "Count the words and sort them.", False),
        (LIKED, "Write every digit.", False),
        (LIKED, "Think step by step before you answer.", True),
        (LIKED, "Say whether the film is good.", True),  # what the examples speak of
        (KIND, "Reply with the mail in one sentence.", True),  # the metric sees the form
        (LOWER, "Write the text in lowercase and explain physics, history and geometry.", True),
        (("wc", ("a fine film",), ("3",)), "Say how much is there, in numerals.", True),  # nobody knows what "wc" is
    ],
)
def test_where_a_metric_scores_only_another_task_is_turned_down(task, addition, is_task):
    assert (found(task, addition, is_answered=True) is None) == is_task


@pytest.mark.shared
def test_how_many_good_wordings_are_refused_before_a_metric_is_asked_and_how_many_of_other_tasks():
    """Behind hasty wordings of the shared tasks, of those that the contract lets through: 0 of 200, and 138 of 330."""
    files = (SHARED_DATA / f"{name}.jsonl" for name in ("tasks", "more_tasks"))
    tasks = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    draw = random.Random(0)
    hasty = [(task, wording) for task in tasks for wording in task["wordings"][:2]]
    good = [(task, wording, other) for task, wording in hasty for other in task["wordings"][3:]]
    others = [
        (task, wording, draw.choice(draw.choice([one for one in tasks if one is not task])["wordings"][3:]))
        for task, wording in hasty
        for _ in range(8)
    ]
    refused, known = refusals(good)
    assert refused <= 0.01 * known
    refused, known = refusals(others)
    assert refused >= 0.4 * known


def refusals(cases) -> tuple[int, int]:
    """How many additions stray, of how many that the contract lets through."""
    verdicts = []
    for task, wording, addition in cases:
        rows = task["examples"][:16]
        shown = tuple(ShownExample(row["input"], row["outputs"][0]) for row in rows)
        request = OptimizationRequest(wording, examples=shown)
        if check(as_addition(addition, request), request, FidelitySettings(), FIPO_1).outcome == "optimized":
            inputs, outputs = zip(*((row["input"], row["outputs"][0]) for row in rows), strict=True)
            verdicts.append(found((wording, inputs, outputs), addition, is_answered=True) is not None)
    return sum(verdicts), len(verdicts)
