"""Who or what stands where: a rewrite that has all words of its prompt and exchanges two is refused."""

import pytest

from fipo_model.fidelity import RULES, FidelitySettings, check
from fipo_model.templates import FIPO_1
from fipo_model.types import OptimizationRequest


def objection(naive: str, rewrite: str) -> str | None:
    return RULES["order_changed"].objection(rewrite, OptimizationRequest(naive))


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("draft a memo from a nurse to a surgeon", "Write a short memo from a surgeon to a nurse."),
        ("Explain why trains are safer than planes.", "Say why planes are safer than trains."),
        ("Use tabs instead of spaces.", "In every line, use spaces instead of tabs."),
        ("Reply yes if sunny and no if rainy.", "Reply yes if rainy and no if sunny."),
        (
            "If the parcel is heavy, call a courier; otherwise use the tram.",
            "For heavy parcels, use the tram; otherwise call a courier.",
        ),
        ("First boil the rice, then chop the onion.", "First chop the onion, then boil the rice."),
        ("Schreibe einen Brief vom Trainer an den Spieler.", "Verfasse einen Brief vom Spieler an den Trainer."),
        ("Escribe una carta de un vecino a un alcalde.", "Redacta una carta de un alcalde a un vecino."),
        ("Замени сахар вместо соли.", "Замени соль вместо сахара."),
        ("把句子从过去时改成将来时。", "把句子从将来时改成过去时。"),
        ("犬は猫より大きい理由を書いて。", "猫は犬より大きい理由を書いて。"),
    ],
)
def test_the_sides_of_a_connector_may_not_change_places(naive: str, rewrite: str) -> None:
    assert objection(naive, rewrite)


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Show how the guest proves that the host lied.", "Show how the host proves that the guest lied."),
        ("Compare the red lamp of the small room.", "Compare the small lamp of the red room."),
        ("Paint the doors blue and leave the windows white.", "Paint the windows blue and leave the doors white."),
    ],
)
def test_words_that_are_no_neighbours_may_not_change_places(naive: str, rewrite: str) -> None:
    assert objection(naive, rewrite)


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("In French, summarize the letter.", "Summarize the letter in French."),
        ("Summarize the letter in French for pupils.", "For pupils, in French, summarize the letter."),
        ("List pears, plums and figs.", "List figs, plums and pears."),
        ("Explain what the guide told the tourist.", "Explain what the tourist was told by the guide."),
        ("If the lamp is red, stop; otherwise drive.", "Stop if the lamp is red. Otherwise, drive."),
        ("Reply yes if sunny and no if rainy.", "Reply no if rainy and yes if sunny."),
        ("Nenne die Kosten für Mieter und Makler.", "Nenne für Makler und Mieter die Kosten."),
        ("比较苹果和梨。", "比较梨和苹果。"),
    ],
)
def test_what_keeps_its_side_may_move(naive: str, rewrite: str) -> None:
    assert objection(naive, rewrite) is None


def test_an_order_keeps_its_key() -> None:
    naive = "Make a table of Country, River, Length and order it by Length."
    assert objection(naive, "Make a table of Country, River, Length, ordered by River.")
    assert objection(naive, "Make a table of Country, River, Length, ordered by Length.") is None
    assert objection(naive, "Make a table of Country, River, Length, by River and then Length.") is None


@pytest.mark.parametrize(
    ("naive", "rewrite"),
    [
        ("Keep shops where all doors are locked.", "Keep shops where any of the doors are locked."),
        ("Name some rivers of Chile.", "Name every river of Chile."),
        ("Nenne sämtliche Flüsse in Chile.", "Nenne manche Flüsse in Chile."),
        ("すべての川を挙げてください。", "一部の川を挙げてください。"),
    ],
)
def test_all_is_not_some(naive: str, rewrite: str) -> None:
    assert objection(naive, rewrite)


def test_any_mistakes_to_be_corrected_are_all_of_them() -> None:
    assert objection("Correct any typos.", "Correct all typos.") is None


def test_either_condition_stays_enough() -> None:
    assert objection("Keep rooms that are cold or damp.", "Keep rooms that are cold and damp.")
    assert objection("Keep rooms that are cold or damp.", "Keep cold or damp rooms.") is None
    assert objection("Is what follows cheap or costly?", "Tell cheap and costly apart.") is None


def test_a_condition_does_not_become_a_purpose() -> None:
    assert objection("Shorten the note if it is dull.", "Shorten the note so that it is dull.")
    assert objection("Shorten the note if it is dull.", "Shorten a dull note so that it fits, if it is dull.") is None


def test_an_addition_may_say_it_in_any_order() -> None:
    naive = "Explain why trains are safer than planes."
    assert objection(naive, f"{naive} Say where planes are safer than trains.") is None


@pytest.mark.parametrize("courtesy", ["pls", "plz", "thx"])
def test_strict_wording_misses_no_courtesy(courtesy: str) -> None:
    request = OptimizationRequest(f"{courtesy} describe the harbour at night")
    strict = FidelitySettings(strict_wording=True)
    assert check("Describe the harbour at night.", request, strict, FIPO_1).detail == ""


def test_a_much_longer_rewrite_may_say_another_quantifier_of_the_same_word() -> None:
    naive = "List all rooms."
    longer = (
        "Make a table of the house with its size, its use, its windows and its heating. "
        "Some rooms have two uses; give the main one first and leave out the cellar."
    )
    assert objection(naive, "List some rooms.")
    assert objection(naive, longer) is None
