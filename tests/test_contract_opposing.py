"""What an addition may not bring: another label, what the prompt excludes, an answer or a fact told in passing."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import check


def outcome(naive: str, addition: str) -> str:
    return check(f"{naive}\n\n{addition}", OptimizationRequest(naive), FidelitySettings(), FIPO_2).outcome


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("is the driver guilty or innocent", "Choose between guilty, innocent and undecided."),
        ("wet, dry or frozen?", "Say whether it is wet, dry, frozen or muddy."),
        ("wet or dry", "Answer frozen, wet or dry."),
        ("urgent/routine", "Write urgent, routine or deferred."),
        ("ist das Tier wild oder zahm", "Nenne eines von wild, zahm und halbwild."),
        ("l'animal est sauvage ou domestique ?", "Indique sauvage, domestique ou marin."),
    ],
)
def test_the_labels_of_a_question_are_all(naive, addition):
    assert outcome(naive, addition) == "label_invented"


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("is the driver guilty or innocent", "Decide whether the driver is guilty or innocent, and add nothing."),
        ("pos/neg", "Decide whether the review is positive or negative."),
        ("tea or coffee", "Compare tea and coffee: taste, price and effect on sleep."),
        ("spam or ham", "Give the verdict, spam or ham, and nothing else."),
        ("urgent/routine", "Answer with one word, urgent or routine."),
    ],
)
def test_the_same_labels_may_come_again(naive, addition):
    assert outcome(naive, addition) == "optimized"


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("proofread only the captions", "Proofread the entire brochure, tables too."),
        ("highlight just the verbs", "Highlight every noun of the passage."),
        ("output only the total", "Justify the way you counted."),
        ("which year was it? no explanation", "Show the reasoning that leads to the year."),
        ("read the contract without shortening it", "Hand over the shortened contract."),
        ("Judge the essay. Do not use a full paragraph.", "Reply in a complete paragraph."),
        ("Judge the essay, but don't resolve the problem", "Fix the issue in the essay."),
    ],
)
def test_what_the_prompt_excludes_is_not_asked_for(naive, addition):
    assert outcome(naive, addition) in ("negation_invented", "manner_contradicted")


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("reply only with facts from the leaflet", "Give a reason for each recommendation."),
        ("proofread only the captions", "Proofread all the captions and leave the rest as it is."),
        ("proofread only the captions", "Read the whole brochure, and proofread only its captions."),
        ("cron every 15 mins only weekdays", "Give the complete cron expression and say what every field means."),
        ("output only the total", "Add up the prices without explaining how."),
        ("explain the second law only, not the answer", "Explain the second law in plain words."),
        ("read the contract without shortening it", "Say where the contract could be shortened."),
        ("why doesn't my script stop", "Find the reason that the script goes on."),
        ("Judge the essay. Do not include code.", "Judge what the code of the essay does."),
    ],
)
def test_what_respects_an_exclusion_may_be_added(naive, addition):
    assert outcome(naive, addition) == "optimized"


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("is a whale a fish", "Keep in mind that biologically a whale is a fish."),
        ("why do leaves turn red", "Explain that the green pigment is broken down in autumn."),
        ("write a flyer for the gym", "Mention that parking is free and that towels are included."),
        ("describe our hotel", "Point out that the rooms are soundproof and overlook the harbour."),
    ],
)
def test_nothing_is_told_in_passing(naive, addition):
    assert outcome(naive, addition) == "answered"


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("write a flyer for the gym that is open all night", "Mention that the gym is open all night."),
        ("is a whale a fish", "Answer the question, and say that it depends if the terms are unclear."),
        ("summarize the complaint", "Say that the reason is missing if the customer gives none."),
        ("why do leaves turn red", "Explain the cause, and make clear that some of it is not settled."),
    ],
)
def test_a_clause_may_say_what_was_given_or_what_to_do(naive, addition):
    assert outcome(naive, addition) == "optimized"
