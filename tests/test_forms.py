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
        # numbers
        (["7", "12", "-3"], "a number in digits"),
        (["2,513,620", "73,636"], "a number in digits with commas between the thousands"),
        (["1,234.50", "2,345.60"], "a number in digits with commas between the thousands and two decimal places"),
        (["1.234.567", "2.000.000"], "a number in digits with dots between the thousands and nothing"),
        (["1.234,50", "12,00"], "a number in digits with dots between the thousands and a decimal comma"),
        (["5,00 €", "12,50 €"], 'a number in digits with a decimal comma followed by " €"'),
        (
            ["0,567 kg", "1,234 kg", "2,750 kg"],
            "a number in digits with a decimal comma and three decimal places followed",
        ),
        (["-0,567", "1,234", "2,751", "9,001"], "a number in digits with a decimal comma and three decimal places"),
        (["0,567 €", "1,234 €"], 'a number in digits with a decimal comma followed by " €"'),
        (["0", "1,234"], "a number in digits with commas between the thousands"),
        (["0.50", "1,234.50"], "a number in digits with commas between the thousands and two decimal places"),
        (["90.32", "45.15", "3.04"], "a number with two decimal places"),
        (["90.32", "45.15"], "a number in digits"),
        (["90.30", "45.15"], "a number with two decimal places"),
        (["02139", "10001", "94105"], "five digits"),
        (
            ["95.7 miles", "119.9 miles", "3.2 miles", "8.0 miles"],
            'a number with one decimal place followed by " miles"',
        ),
        (["44 %", "32 %"], 'a number in digits followed by " %"'),
        (["5 km/h", "12 km/h", "30 km/h"], 'a number in digits followed by " km/h"'),
        (["8/10", "7/10", "3/10"], 'a number in digits followed by "/10"'),
        (["$97.95", "$647.99"], 'a number with two decimal places preceded by "$"'),
        (["$1,234", "$56,789"], 'a number in digits with commas between the thousands preceded by "$"'),
        (["$5.2 billion", "$3.0 billion"], None),
        (["$5.2 billion", "$3.0 billion", "$12.1 billion"], "a number with one decimal place preceded by"),
        (["5", "N/A", "7"], 'a number in digits or "N/A"'),
        # dates and times
        (["2026-03-03"], "a date in the form YYYY-MM-DD"),
        (["2024-01-05", "unknown", "2023-01-02"], 'a date in the form YYYY-MM-DD or "unknown"'),
        (["2024-01-05T10:00:00Z", "2023-12-31T09:30:15Z"], "a date and time in the form YYYY-MM-DDTHH:MM:SSZ"),
        (["20240105", "20231231"], "a date in the form YYYYMMDD"),
        (["2024/01/05", "2023/12/31"], "a date in the form YYYY/MM/DD"),
        (["26.09.1991", "03.12.2017"], "a date in the form DD.MM.YYYY"),
        (["5.1.2024", "31.12.2023"], "a date in the form D.M.YYYY"),
        (["09/14/2003", "01/08/2019"], "a date in the form MM/DD/YYYY"),
        (["1/2/2024", "12/31/2023"], "a date in the form M/D/YYYY"),
        (["07/08/1972", "04/03/1985"], 'a date of two, two and four digits with "/" between them,'),
        (["January 5, 2024", "December 31, 2023"], 'a date in the form "Month D, YYYY"'),
        (["5 January 2024", "31 May 2023"], 'a date in the form "D Month YYYY"'),
        (["05 March 2024", "12 May 2023"], 'a date in the form "DD Month YYYY"'),
        (["March 05, 2024", "May 12, 2023"], 'a date in the form "Month DD, YYYY"'),
        (["05 Mar 2024", "12 Apr 2023"], 'a date in the form "DD Mon YYYY"'),
        (["Mar 05, 2024", "N/A", "Apr 12, 2023"], 'a date in the form "Mon DD, YYYY" or "N/A"'),
        (["15 March 2024", "12 May 2023"], 'a date in the form "D Month YYYY"'),  # they do not tell
        (["06:13", "22:39"], "a time in the form HH:MM"),
        (["10:05", "14:30"], 'a time in hours and minutes with ":" between them'),
        (["9:05", "12:00"], "a time in the form H:MM"),
        (["3:10 am", "9:20 pm"], 'a time in the form H:MM followed by " am" or " pm"'),
        (["3pm", "9pm", "11pm"], 'the hour followed by "am" or "pm"'),
        (["09:05 AM", "12:10 PM"], 'a time in the form HH:MM followed by " AM" or " PM"'),
        (["10:05 AM", "12:10 PM"], 'a time in the form H:MM followed by " AM" or " PM"'),
        (["09 AM", "11 PM"], 'the hour in two digits followed by " AM" or " PM"'),
        # one of two
        (["yes", "no"], '"yes" or "no"'),
        (["Yes"] * 4, '"Yes" or "No"'),
        (["TRUE", "FALSE"], '"TRUE" or "FALSE"'),
        (["pass", "fail", "pass"], '"pass" or "fail"'),
        # JSON
        (['{"name": "Ann", "age": 3}', '{"age": 4, "name": "Bo"}'], 'a JSON object with the keys "name", "age",'),
        (['{"name": "Ann"}', '{"age": 4}'], "a JSON object"),
        (['{"apple": 2, "pear": 3}'], "a JSON object and"),
        (['[{"a": 1}]', '[{"a": 2}, {"a": 3}]'], 'a JSON list of objects with the key "a"'),
        (['["a", "b"]', "[]"], "a JSON list"),
        (["[1]", "[2]"], "a number in digits in square brackets"),
        # lists and records
        (["- a\n- b", "- c"], 'a list with one item per line and "- " before each,'),
        (["1. a\n2. b", "1. c\n2. d"], "a numbered list with one item per line"),
        (["1) a\n2) b", "1) c\n2) d"], 'a numbered list with one item per line and ")" after the numbers'),
        (["a\nb", "c\nd\ne"], "a list with one item per line"),
        (["Name: Ann\nAge: 3", "Name: Bo\nAge: 4"], '2 lines that begin with "Name: " and "Age: "'),
        (["2, 4, 42", "7, 9"], "a list with a comma and a space between the items,"),
        (["1,0,1", "0,1,1"], "a list with a comma and no space between the items,"),
        (["Ann Lee,3,Oslo", "Bo Ray,4,Rome"], "a list with a comma between the items and"),
        (
            ["red, tin and oak", "sea, sky and fog, rain and ice"],
            "a list with a comma and a space between the items, with",
        ),
        (["toxic, insult, threat", "toxic", "none"], "a list with a comma and a space between the items,"),
        (["a / b / c", "d / e"], 'a list with " / " between the items'),
        (["a, b; c, d", "e, f; g, h; i, j"], None),
        (['"aa", "bb"', '"cc", "dd"'], "a list with a comma and a space between the items, each in double quotes,"),
        (["#a #b", "#c #d"], 'a list with spaces between the items, each beginning with "#",'),
        (["Paris, France", "Berlin, Germany", "Oslo, Norway"], "two parts with a comma and a space between them,"),
        # marks
        (["[a/b]", "[c/d]"], "the answer in square brackets"),
        (["<b>c</b>", "<b>d</b>", "<b>x</b>"], 'one lower-case letter between "<b>" and "</b>",'),
        (["<ul><li>a</li><li>b</li></ul>", "<ul><li>c</li></ul>", "<ul><li>d</li></ul>"], "the answer between"),
        (['"red"', '"blue"', '"tin"'], "one word in lower case in double quotes"),
        (["(a)", "(b)", "(c)"], "one lower-case letter in parentheses"),
        (["Answer: 4", "Answer: 17"], 'a number in digits preceded by "Answer: "'),
        (["Final answer: yes", "Final answer: no"], '"yes" or "no" preceded by "Final answer: "'),
        (["class=spam", "class=ham", "class=spam"], 'one word in lower case preceded by "class="'),
        (["Option A", "Option B", "Option C"], 'one capital letter preceded by "Option "'),
        (["# The Bottle", "# A Tunnel", "# My Boat"], 'a few words preceded by "# "'),
        (["@ann", "@bo", "@cy_lee"], 'one word preceded by "@"'),
        # codes
        (["C-07", "E-14"], 'one capital letter, "-" and two digits,'),
        (["2h05m", "11h40m", "0h30m"], 'a number, "h", two digits and "m",'),
        (["1h30m", "2h05m"], 'a number, "h", two digits and "m",'),
        (["BY-83771", "AY-79458"], 'two capital letters, "-" and a number,'),
        (
            ["(436) 357-3271", "(644) 960-4471", "(206) 555-1234", "(310) 777-9090"],
            '"(", three digits, ") ", three digits',
        ),
        (["room 160", "room 168", "room 9"], '"room " and a number,'),
        (["9 h 10 min", "2 h 37 min", "1 h 5 min"], 'a number, " h ", a number and " min",'),
        (["Q1", "Q3", "Q4"], '"Q" and a number,'),
        (["192.168.1.1", "10.0.0.1"], 'four numbers with "." between them'),
        (["25:10", "28:59"], 'two numbers with ":" between them'),
        (["5-10", "12-20"], 'two numbers with "-" between them'),
        (["ann@a.example", "bo@b.example"], "an e-mail address"),
        (["https://a.example/1", "http://b.example"], "a link"),
        # words
        (["dark_gentle_filter", "young_museum", "old_street"], "one word in snake_case"),
        (["card_arrival", "lost_card", "cancel"], "one word in snake_case"),
        (["silentLuckyCeiling", "eagerLadder", "warmOffice"], "one word in camelCase"),
        (["CARD_ARRIVAL", "LOST_CARD", "CANCEL"], "one word in capital letters with underscores"),
        (["SHI-RED-M", "PAN-BLU-L", "CAP-S"], "one word in capital letters with hyphens"),
        (["LXI", "XLVII", "XCI"], "one word in capital letters"),
        (["EUR", "USD", "GBP", "CHF"], "three capital letters"),
        (["DE", "FR", "IT", "ES", "DE"], "two capital letters"),
        (["EUR", "USD", "GBP"], "one word in capital letters"),
        (["EUR", "USD", "GBP", "USDT"], "one word in capital letters"),
        (["Monday", "Friday", "Tuesday"], "one word"),
        (["It weighs 3.5 kg.", "A dog ran off!", "It rained."], "one sentence"),
        (["The cat sat.", "A dog ran off!", "It rained."], "one sentence"),
        (["Yes, it is.", "No, it isn't.", "Yes, they are."], "one sentence"),
        (["Where is it?", "Who are you?", "What is that?"], "one question"),
        (["involve courts.", "types of house.", "have segments."], "a few words in lower case with a full stop"),
        (["lost card", "exchange rate", "wrong amount"], "a few words in lower case"),
        (["lost card", "exchange rate", "cash"], "a word or a few in lower case"),
    ],
)
def test_what_outputs_have_in_common_is_said(outputs, form):
    said = form_sentence(outputs)
    if form is None:
        assert said is None
        return
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
        ["4th", "5th", "6th"],
        ["+1", "+5"],
        ["44 BC", "480 BC", "12 BC"],
        ["5 km", "12 km"],  # the next may be in metres
        ["1.234", "5.678"],  # thousands or thousandths
        ["0,567 kg", "1,234,567 kg", "2,750 kg"],  # neither
        ["0,567", "1,234", "2,751"],  # perhaps lists
        ["10,20", "30,40", "5,6"],
        ["[The Sea](https://a.example)", "[The Sky](https://b.example)"],
        ["The sea is wide. It is blue.", "The sky."],
        ["=", "=", "="],
        # no lists
        ["Great product, fast delivery", "Nice, but it is expensive"],
        ["src/main.py", "src/util.py", "docs/index.md"],
        ["text/html", "image/png", "text/css"],
        ["rgb(1, 2, 3)", "rgb(40, 50, 60)"],
        ["positive\n0.93", "negative\n0.71"],
        ["SELECT name\nFROM users", "SELECT id\nFROM orders"],
        ["import os\nimport sys", "import re\nimport json\nimport csv"],
        ["12 Main St\nBoston", "4 Elm Ave\nDallas"],
        ["def f():\n    return 1", "x = 2\ny = 3"],
        ["a, b\n1, 2", "c, d\n3, 4"],
        # half of a pair, or signs by chance
        ["Ann <ann@a.com>", "Bo <bo@b.com>"],
        ['"a" and "b"', '"c" and "d"', '"e" and "f"'],
        ["**Note** a b", "**Tip** c d"],
        ["<a>x</a>", "<b>y</b>"],
        ['<a x="1">5</a>', '<a x="1">7</a>'],
        ["aGVsbG8=", "d29ybGQ="],
        [":)", ":(", ":D"],
        ["केला", "लड़का", "घोड़ा"][:2],
        ["❤️", "☀️"],
        ["🇩🇪", "🇩🇰"],
        # no words, or words that say more than their number
        ["/usr/bin/python", "/etc/hosts", "/var/log/syslog"],
        ["report.pdf", "image.png", "notes.txt"],
        ["SELECT name FROM users", "SELECT id FROM orders", "SELECT age FROM people"],
        ["A+", "B-", "C"],
        ["Lopez, M.", "Braun, K.", "Ito, S."],
        ["The answer is 5.", "The answer is 12.", "The answer is 7."],
        ["我认为这部电影非常好看，推荐大家去看", "他昨天去了北京的一家医院", "这个产品质量很差"],
        ["no", "no"],
        ["Paris", "Paris", "Paris"],
        # braces would be a variable
        ["{red}", "{blue}", "{tin}"],
        ["{{red}}", "{{blue}}", "{{tin}}"],
        ["\\boxed{5}", "\\boxed{12}", "\\boxed{7}"],
    ],
)
def test_nothing_is_said_of_what_has_no_plain_name_or_may_be_chance(outputs):
    assert form_sentence(outputs) is None


@pytest.mark.parametrize(
    "outputs",
    [
        ["00,123 kg", "01,234 kg", "12,345 kg"],
        ["012,345", "123,456", "234,567"],
        ["0.123,45 kg", "1.234,56 kg", "2.345,67 kg"],
    ],
)
def test_thousands_never_begin_with_a_zero(outputs):
    assert "thousands" not in (form_sentence(outputs) or "")


@pytest.mark.parametrize(
    "outputs",
    [
        ["05 March 2024", "5 May 2023"],
        ["March 05, 2024", "May 5, 2023", "June 12, 2022"],
        ["09:05 AM", "9:10 PM"],
        ["09 AM", "9 PM"],
        ["05.1.2024", "31.12.2023"],
        ["1/05/2024", "12/31/2023"],
    ],
)
def test_nothing_is_said_of_zeros_before_days_and_hours_that_come_and_go(outputs):
    said = form_sentence(outputs) or ""
    assert "form" not in said
    assert "hour" not in said


def a_time(source):
    return f"{source.randint(0, 23):02}:{source.randint(0, 59):02}"


KINDS = {
    "hours": lambda source: f"{source.randint(1, 12)}{source.choice(['am', 'pm'])}",
    "signed": lambda source: f"{source.choice('+-')}{source.randint(1, 9)}",
    "lengths": lambda source: f"{source.randint(1, 999)} {source.choice(['km', 'm', 'cm'])}",
    "decimal commas": lambda source: f"{source.randint(1, 999)},{source.randint(0, 99):02}",
    "rooms": lambda source: f"{source.choice('ABC')}{source.randint(1, 999)}",
    "times": a_time,
    "times with what is missing": lambda source: a_time(source) if source.random() < 0.7 else "unknown",
    "ranges": lambda source: f"{source.randint(1, 20)}-{source.randint(20, 40)}",
    "labels": lambda source: source.choice(["spam", "ham", "not sure"]),
    "some of them": lambda source: source.choice(["red", "red, tin", "red, tin, oak", "none"]),
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_what_four_outputs_have_in_common_by_chance_is_seldom_said(kind):
    """A quoted mark that other outputs of the same kind lack was a coincidence of the four."""
    wrong = 0
    for seed in range(100):
        source = random.Random(seed)
        outputs = [kind(source) for _ in range(60)]
        said = re.sub(r'"[^"]*" or "[^"]*"|or "unknown"', "", form_sentence(outputs[:4]) or "")
        marks = re.findall(r'"([^"]*)"', said)
        wrong += any(not all(mark in output for output in outputs if output != "unknown") for mark in marks)
    assert wrong <= 10


@given(st.lists(st.text(max_size=12), max_size=5))
def test_any_outputs_are_read(outputs):
    said = form_sentence(outputs)
    assert said is None or re.fullmatch(r"Reply with .+ and nothing else\.", said, re.DOTALL)


@pytest.mark.parametrize(
    "text", ["a b " * 50_000, "<" * 200_000, "1," * 100_000, "(x) " * 50_000, "A-" * 100_000, "A x" + ",1" * 140 + "?!"]
)
def test_long_outputs_are_read_in_no_time(text):
    started = time.process_time()
    form_sentence([f"{text}a", f"{text}b", f"{text}c"])
    form_sentence([text, f"{text}!", f"A {text}"])
    assert time.process_time() - started < 1


@pytest.mark.parametrize("signs", ["aA1 .,", "a,1 !", "A-_ 1", "a' <>/", "1.,/: ", '[]()"*` a'])
def test_no_mixture_of_signs_takes_long(signs):
    """Patterns whose parts overlap take exponential time on some texts that do not match."""
    source, started = random.Random(signs), time.process_time()
    for _ in range(30):
        unit = "".join(source.choices(signs, k=source.randint(1, 4)))
        text = (unit * 300)[: source.randint(20, 299)]
        form_sentence([f"{text}{source.choice('.!?a1')}" for _ in range(3)] + [f"B {text}?!"])
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
    for reply, likelihood in (
        ("Write the month in capital letters.", -0.3),
        ("Copy the date.", -0.9),
        ("Due date.", -0.3),  # which only says the prompt again
    ):
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


@pytest.mark.parametrize(
    ("prompt", "is_said"),
    [
        ("positive, negative or neutral?", False),
        ("good or bad", False),
        ("pos/neg", True),
        ("mood of the review", True),
        ("label", True),
        ("answer POS, NEG or NEU", True),
    ],
)
def test_other_words_than_the_prompt_offers_get_no_form_of_their_own(prompt, is_said):
    shown = tuple(
        ShownExample(text, label) for text, label in (("good", "POS"), ("bad", "NEG"), ("ok", "NEU"), ("fine", "POS"))
    )
    found = optimized("Copy the date.", -0.9, prompt=prompt, shown=shown)
    assert ("capital letters" in found.text) == is_said


@pytest.mark.parametrize(
    ("prompt", "outputs", "form"),
    [
        ("total of the order in dollars or euros", ("39.00 EUR", "37.50 EUR"), " EUR"),
        ("spam or ham?", ("yes", "no"), '"yes" or "no"'),
    ],
)
def test_a_form_that_names_what_to_reply_with_misleads_nobody(prompt, outputs, form):
    shown = tuple(ShownExample(f"text {number}", output) for number, output in enumerate(outputs))
    assert form in optimized("Copy the date.", -0.9, prompt=prompt, shown=shown).text


def test_labels_are_named_once_there_are_enough_right_outputs_to_know_them_all():
    teams = ("billing", "workshop", "delivery")
    rows = [(f"message {number}", teams[number % 3]) for number in range(9)]
    of_all = PromptOptimizer.from_rewriter(rewriter("Copy the message.", -0.9)).optimize("which team", examples=rows)
    assert of_all.text == "which team\n\nAnswer with one of: billing, delivery, workshop"
    few = PromptOptimizer.from_rewriter(rewriter("Copy the message.", -0.9)).optimize("which team", examples=rows[:6])
    assert few.text == "which team\n\nReply with one word in lower case and nothing else."
    named = rewriter("Name the team that the message is for: billing, workshop or delivery.")
    said = PromptOptimizer.from_rewriter(named).optimize("which team", examples=rows)
    assert said.text.endswith("workshop or delivery.")
    asked = "billing, workshop or delivery?"
    named = PromptOptimizer.from_rewriter(rewriter("Copy the message.", -0.9)).optimize(asked, examples=rows)
    assert named.text == f"{asked}\n\nAnswer with one of: billing, delivery, workshop"


@pytest.mark.parametrize(
    ("right", "said"),
    [
        (("1", "2", "3"), "Reply with a number in digits and nothing else."),
        (("2.5", "3.0", "3.5"), "Reply with a number with one decimal place and nothing else."),
        (("$5", "$10"), 'Reply with a number in digits preceded by "$" and nothing else.'),
        (("2026-01-01", "2026-02-02"), "Reply with a date in the form YYYY-MM-DD and nothing else."),
        (("5 January 2024", "31 May 2023"), 'Reply with a date in the form "D Month YYYY" and nothing else.'),
        (("9:05", "12:00"), "Reply with a time in the form H:MM and nothing else."),
        (("Monday", "Friday", "Tuesday"), "Reply with one word and nothing else."),
        (("one", "two", "three"), "Reply with one word in lower case and nothing else."),
        (("0", "1"), "Answer with one of: 0, 1"),
        (("Q1", "Q2"), "Answer with one of: Q1, Q2"),
        (("1", "2", "more than 2"), "Answer with one of: 1, 2, more than 2"),
        (("none", "some"), "Answer with one of: none, some"),
    ],
)
def test_no_number_or_day_is_forbidden_because_the_outputs_shown_lack_it(right, said):
    """Without evidence: a search may try such labels, and its examples decide."""
    rows = [(f"message {number}", right[number % len(right)]) for number in range(9)]
    found = PromptOptimizer.from_rewriter(rewriter("Copy the message.", -0.9)).optimize("what is it", examples=rows)
    assert found.text == f"what is it\n\n{said}"


@pytest.mark.parametrize("right", [("1", "2", "N/A"), ("1.234", "5.678"), ("5 km", "12 km"), ("9:05", "09:10")])
def test_no_amount_or_time_is_forbidden_though_its_form_cannot_be_said(right):
    rows = [(f"message {number}", right[number % len(right)]) for number in range(9)]
    found = PromptOptimizer.from_rewriter(rewriter("Copy the message.", -0.9)).optimize("what is it", examples=rows)
    assert "one of" not in found.text


def test_numbers_that_the_prompt_itself_names_are_labels():
    rows = [(f"message {number}", str(number % 3 + 1)) for number in range(9)]
    asked = "urgency: 1, 2 or 3?"
    found = PromptOptimizer.from_rewriter(rewriter("Copy the message.", -0.9)).optimize(asked, examples=rows)
    assert found.text == f"{asked}\n\nAnswer with one of: 1, 2, 3"
