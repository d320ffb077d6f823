"""Texts that repeat themselves ten thousand times: a row of dashes, a pasted log, or somebody who means harm."""

import time

import pytest

from fipo_model import OptimizationRequest, fidelity
from fipo_model.contract import commitments, formed
from fipo_model.contract.asking import asks, asks_to_say
from fipo_model.contract.case import Case
from fipo_model.contract.literals import code_lines, quotations
from fipo_model.contract.reading import read
from fipo_model.contract.schemas import has_schema
from fipo_model.templates import FIPO_1

# Four times the text took sixteen times as long, some of it in one call that stops all other threads.
SLOW = [
    *("?", "!", ".", "{", "{a}", "$a ", "[TOPIC] ", "\u201ca", "\u00aba", "\u300ea", "\u201ea", "not ", "at most "),
    *("\u4e00", "1", "%0", "{a--", "```a", "$=", "classify a/b or aaaaaaaa"),
]
SHORT, LONG = 4_000, 16_000


def seconds(text: str, work=commitments) -> float:
    started = time.thread_time()
    work(text)
    return time.thread_time() - started


def growth(unit: str, work=commitments, sizes=(SHORT, LONG)) -> float:
    """How many times longer the long text takes; what takes no time does not count."""
    commitments("Explain tides.")  # patterns compile when they are first used
    texts = [[f"{lead} {unit * (size // len(unit))}" for lead in "xyz"] for size in sizes]
    short, long = (min(seconds(text, work) for text in own) for own in texts)
    return long / max(short, 0.01)


@pytest.mark.parametrize("unit", SLOW)
def test_four_times_the_text_takes_about_four_times_as_long(unit: str):
    assert growth(unit) < 9


@pytest.mark.parametrize("unit", ["-", " ", "a", ". ", " and give", ", alone", '"', "{format_"])
def test_so_does_taking_out_what_is_said_of_a_form(unit: str):
    def check(text: str) -> None:
        case = Case(f"topic\n\n{text} and nothing else", OptimizationRequest("topic", fixed_form="fields"))
        assert formed.forms_fixed_otherwise(case)
        formed.without_form(case)

    assert growth(unit, check) < 9


@pytest.mark.parametrize(
    "unit",
    [
        "return ",
        "return json ",
        "the output is ",
        "only the ",
        ", ",
        ". \n",
        "\n",
        "{",
        "{a",
        " {json_schema}\n",
        "in this format: ```",
    ],
)
@pytest.mark.parametrize("lead", ["", "Return JSON ", "{"])
def test_so_does_looking_for_a_schema(lead: str, unit: str):
    assert growth(unit, lambda text: has_schema(lead + text[2:])) < 9


def test_so_does_a_list_of_alternatives_as_long_as_a_book():
    """What stood before each list was read for each of them, which only showed in texts longer than these."""
    assert growth("classify a/b or bbbbbbbb", sizes=(LONG, 4 * LONG)) < 9


@pytest.mark.parametrize("lead", ["%", "$", "```", "@ ", "{a", "(", "\u201c\u201d \u201c"])
@pytest.mark.parametrize("unit", ["a", "0", "=", "-", " "])
def test_so_does_one_sign_before_a_long_run(lead: str, unit: str):
    assert growth(unit, lambda text: commitments(lead + text[2:])) < 9


@pytest.mark.parametrize("unit", ["-", "#", "*", ">", "\n", "\n-", " \n", "- ", ".", "then "])
def test_so_does_looking_for_requests(unit: str):
    assert growth(unit, lambda text: (asks(text), asks_to_say(read(text)))) < 9


@pytest.mark.parametrize("unit", ["(", "(;", "; ", "def a", "for =", "  "])
def test_so_does_looking_for_lines_of_code(unit: str):
    assert growth(unit, code_lines) < 9


@pytest.mark.parametrize("unit", ["never ", "only ", "do not ", "1 ", ". ", "5", "-"])
def test_so_does_the_check_of_a_rewrite(unit: str):
    def check(text: str) -> None:
        half = len(text) // 2
        request, other = OptimizationRequest(text), f"{text[:half]} x {text[half:]} Answer."
        for rule in fidelity.RULES.values():
            rule.objection(other, request)

    assert growth(unit, lambda text: check(text[: len(text) // 4])) < 9


@pytest.mark.parametrize("text", ["1" * 5000, "hundred " * 3000, "\u0661" * 5000, "1" * 5000 + "k", "1,111" * 900])
def test_numbers_of_any_length_are_read(text: str):
    """Python's own refuse more than 4,300 digits, and the gateway took that for a failure of its rewriter."""
    assert commitments(text)
    naive = OptimizationRequest(f"Add 1 to {text}.")
    assert fidelity.check(f"Add 2 to {text}, please.", naive, fidelity.FidelitySettings(), FIPO_1)


def test_what_is_quoted_stays_the_same():
    lines = (
        "Say \u201e\u201cHallo\u201c, \u201ca \u201cb\u201d c\u201d, \u00aba\u00bb",
        "\u201copen \u2018but this\u2019",
        "\u201c\u201d and \u201cclosed\u201d",
        "\u201eHallo\u201c",
    )
    expected = ["Hallo\u201c, \u201ca \u201cb", "a", "but this", "closed", "Hallo"]
    assert [each.text for each in quotations("\n".join(lines))] == expected
