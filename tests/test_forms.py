"""The form of right outputs in a sentence: what is said is true of every one of them, and nobody had to guess it."""

import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fipo_model import FIPO_2, OptimizationRequest, PromptOptimizer, ShownExample
from fipo_model.forms import form_sentence
from fipo_model.rewriter import Rewriter
from support.telling import Telling


@pytest.mark.parametrize(
    ("outputs", "form"),
    [
        (["7", "12", "-3"], "a number in digits"),
        (["2,513,620", "73,636"], "a number in digits with commas between the thousands"),
        (["90.32", "45.15"], "a number with two decimal places"),
        (["95.7 miles", "119.9 miles"], 'a number with one decimal place followed by " miles"'),
        (["44 %", "32 %"], 'a number in digits followed by " %"'),
        (["$97.95", "$647.99"], 'a number with two decimal places preceded by "$"'),
        (["2026-03-03"], "a date in the form YYYY-MM-DD"),
        (["26.09.1991", "03.12.2017"], "a date in the form DD.MM.YYYY"),
        (["09/14/2003", "01/08/2019"], "a date in the form MM/DD/YYYY"),
        (["07/08/1972", "04/03/1985"], 'a date of two, two and four digits with "/" between them,'),
        (["06:13", "22:39"], "a time in the form HH:MM"),
        (["9:05", "12:00"], "a time in the form H:MM"),
        (["yes", "no"], '"yes" or "no"'),
        (["Yes", "Yes"], '"Yes" or "No"'),
        (["TRUE", "FALSE"], '"TRUE" or "FALSE"'),
        (['{"name": "Ann", "age": 3}', '{"name": "Bo", "age": 4}'], 'a JSON object with the keys "name", "age",'),
        (['{"name": "Ann"}', '{"age": 4}'], "a JSON object"),
        (['["a", "b"]', "[]"], "a JSON list"),
        (["- a\n- b", "- c"], 'one item per line, each after "-",'),
        (["1. a\n2. b", "1. c\n2. d"], "a numbered list with one item per line"),
        (["a\nb", "c\nd"], "one item per line"),
        (["2, 4, 42", "7, 9"], "the items, separated by a comma and a space,"),
        (["red, tin and oak", "sea and sky, rain and fog"], 'the items, separated by a comma and a space, with "and"'),
        (["a / b / c", "d / e"], "the items, separated by a slash with spaces around it,"),
        (['"aa", "bb"', '"cc", "dd"'], "the items, each in double quotes, separated by a comma and a space,"),
        (["#a #b", "#c #d"], 'the items, each after "#", separated by spaces,'),
        (["[a/b]", "[c/d]"], 'the items, separated by a slash, all between "[" and "]",'),
        (["<b>c</b>", "<b>d</b>", "<b>x</b>"], 'one lower-case letter between "<b>" and "</b>",'),
        (["<ul><li>a</li><li>b</li></ul>", "<ul><li>c</li></ul>", "<ul><li>d</li></ul>"], "the answer between"),
        (['"red"', '"blue"', '"tin"'], "one word in lower case in double quotes"),
        (["(a)", "(b)", "(c)"], 'one lower-case letter between "(" and ")",'),
        (["Answer: 4", "Answer: 17"], 'a number in digits preceded by "Answer: "'),
        (["dark_gentle_filter", "young_museum", "old_street"], "one word in snake_case"),
        (["silentLuckyCeiling", "eagerLadder", "warmOffice"], "one word in camelCase"),
        (["C-07", "E-14"], 'one capital letter, "-" and two digits,'),
        (["2h05m", "11h40m", "0h30m"], 'digits, "h", two digits and "m",'),
        (["BY-83771", "AY-79458"], 'two capital letters, "-" and five digits,'),
        (["(436) 357-3271", "(644) 960-4471"], '"(", three digits, ") ", three digits, "-" and four digits,'),
        (["room 160", "room 168", "room 9"], '"room " and digits,'),
        (["9 h 10 min", "2 h 37 min", "1 h 5 min"], 'digits, " h ", digits and " min",'),
        (["Q1", "Q3", "Q4"], '"Q" and digits,'),
        (["LXI", "XLVII", "XCI"], "one word in capital letters"),
        (["Monday", "Friday", "Tuesday"], "one word"),
        (["ann@a.example", "bo@b.example"], "an e-mail address"),
        (["https://a.example/1", "http://b.example"], "a link"),
        (["The cat sat.", "A dog ran off!", "It rained."], "one sentence"),
        (["involve courts.", "types of house.", "have segments."], "a few words in lower case"),
        (["lost card", "exchange rate", "wrong amount"], "a few words in lower case"),
        (["lost card", "exchange rate", "cash"], "one word or a few in lower case"),
    ],
)
def test_what_outputs_have_in_common_is_said(outputs, form):
    said = form_sentence(outputs)
    assert said is not None
    assert said.startswith(f"Reply with {form}"), said
    assert said.endswith(" and nothing else.")


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        [""],
        ["41", "Porto"],
        ["red"],  # one word or two may be of any form
        ["red", "tin"],
        ["19 June", "8 June"],  # June is no unit
        ["3:10 am", "9:20 am"],
        ["[The Sea](https://a.example)", "[The Sky](https://b.example)"],
        ["The sea is wide. It is blue.", "The sky."],
        ["=", "=", "="],
        ["def f():\n    return 1", "x = 2\ny = 3"],
        ["a, b\n1, 2", "c, d\n3, 4"],
        ["{red}", "{blue}", "{tin}"],  # which would be a variable
        ["{{red}}", "{{blue}}", "{{tin}}"],
    ],
)
def test_nothing_is_said_of_what_has_no_plain_name_or_may_be_chance(outputs):
    assert form_sentence(outputs) is None


@given(st.lists(st.text(max_size=12), max_size=5))
def test_any_outputs_are_read(outputs):
    said = form_sentence(outputs)
    assert said is None or re.fullmatch(r"Reply with .+ and nothing else\.", said, re.DOTALL)


@pytest.mark.parametrize("text", ["a b " * 50_000, "<" * 200_000, "1," * 100_000, "(x) " * 50_000, "A-" * 100_000])
def test_long_outputs_are_read_in_no_time(text):
    started = time.process_time()
    form_sentence([f"{text}a", f"{text}b", f"{text}c"])
    assert time.process_time() - started < 1


@pytest.mark.parametrize("seed", range(30))
def test_the_order_of_outputs_does_not_matter(seed):
    source = random.Random(seed)
    outputs = [f"{source.randint(1, 400)} km", f"{source.randint(1, 400)} km", f"{source.random():.1f} km"]
    assert form_sentence(outputs) == form_sentence(outputs[::-1])


# Where a rewriter has nothing to say that passes


SHOWN = (ShownExample("Pay by 14 July 2025.", "2025-07-14"), ShownExample("Due 3 March 2026.", "2026-03-03"))
FORM = "Reply with a date in the form YYYY-MM-DD and nothing else."


def rewriter(reply: str, likelihood: float = -0.3, **options) -> Rewriter:
    return Rewriter(Telling(reply, likelihood), template=FIPO_2, least_likelihood=-0.75, **options)


def optimized(reply: str, likelihood: float = -0.3, *, prompt: str = "due date", shown=SHOWN, **options):
    return PromptOptimizer.from_rewriter(rewriter(reply, likelihood, **options)).optimize(
        OptimizationRequest(prompt, examples=shown)
    )


def test_the_form_takes_the_place_of_an_addition_that_is_refused_or_unsure():
    for reply, likelihood in (("Write the month in capital letters.", -0.3), ("Copy the date.", -0.9)):
        found = optimized(reply, likelihood)
        assert (found.text, found.outcome) == (f"due date\n\n{FORM}", "optimized")
        assert found.detail == "no model wrote this: it states the form of the right outputs shown"
        assert found.candidates[0].text == f"due date\n\n{reply}"
        assert found.candidates[0].outcome != "optimized"


def test_the_form_follows_an_addition_that_does_not_say_it():
    found = optimized("Copy the day on which to pay")
    assert (found.text, found.detail) == (f"due date\n\nCopy the day on which to pay. {FORM}", "")
    said = "Write the date of payment in the form YYYY-MM-DD."
    assert optimized(said).text == f"due date\n\n{said}"
    answers = (ShownExample("noon", "yes"), ShownExample("sea", "no"))
    for reply, is_said in (("Say whether it is a palindrome.", False), ("Is it a palindrome? Answer yes or no.", True)):
        text = optimized(reply, prompt="palindrome?", shown=answers).text
        assert text.endswith(reply) == is_said
        assert text.endswith('Reply with "yes" or "no" and nothing else.') != is_said
    assert optimized("Copy the day on which to pay.", max_words=12).text.endswith("on which to pay.")


def test_the_model_has_to_be_surer_where_the_form_is_known():
    assert optimized("Copy the day on which to pay.", -0.7).text == f"due date\n\n{FORM}"
    assert "on which to pay" in optimized("Copy the day on which to pay.", -0.6).text
    assert "on which to pay" in optimized("Copy the day on which to pay.", -0.7, shown=()).text


def test_the_form_is_not_added_where_nothing_is_to_be_added_or_nothing_is_known_of_it():
    assert optimized("Nothing.").outcome == "unchanged"
    inputs = tuple(ShownExample(one.input) for one in SHOWN)
    assert optimized("Write the month in capital letters.", shown=inputs).outcome != "optimized"
    german = "Bis wann muss der Kunde zahlen?"
    assert optimized("Schreibe das Datum.", -0.9, prompt=german).text == german
    assert optimized("Copy the date.", -0.9, max_words=5).outcome == "uncertain"
    several = rewriter("Copy the date.", -0.9, samples=2).propose([OptimizationRequest("due date", examples=SHOWN)])
    assert {one.outcome for one in several[0]} == {"uncertain"}
