"""What an addition says of the output's form, held against the right outputs that are shown."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest, ShownExample, fidelity


def outcome(addition, *examples, naive="rework it"):
    request = OptimizationRequest(naive, examples=tuple(ShownExample(*example) for example in examples))
    return fidelity.check(f"{naive}\n\n{addition}", request, FidelitySettings(), FIPO_2).outcome


LINES = ("a, b", "a\nb")
DASHED = ("a b", "a-b")
SPACED = ("ab", "a b")
QUOTED = ("a", '"a"')
BRACKETED = ("a", "[a]")
STOPPED = ("a b", "a b.")
COUNTED = ("pear", "4")

# What is said of the form, outputs of which it is true, and others of which it is not.
CLAIMS = [
    ("Rework it and write each part on its own line.", LINES, DASHED),
    ("Rework it and write one part per line.", LINES, SPACED),
    ("Rework it and write the parts on one line.", SPACED, LINES),
    ("Rework it and write all of it on the same line.", SPACED, LINES),
    ("Rework it without line breaks.", SPACED, LINES),
    ("Rework it, with a line break between the parts.", LINES, SPACED),
    ("Rework it without spaces.", DASHED, SPACED),
    ("Rework it, with a space between the parts.", SPACED, DASHED),
    ("Rework it, with a comma and a space between the parts.", ("a b", "a, b"), LINES),
    ("Rework it and write the parts separated by a hyphen.", DASHED, SPACED),
    ('Rework it and write the parts separated by "-".', DASHED, SPACED),
    ("Rework it and write it in quotation marks.", QUOTED, DASHED),
    ("Rework it and write it without quotation marks.", DASHED, QUOTED),
    ("Rework it and write it in square brackets.", BRACKETED, DASHED),
    ("Rework it and write it without brackets.", DASHED, BRACKETED),
    ("Rework it and put a full stop at the end.", STOPPED, SPACED),
    ("Rework it without a full stop.", SPACED, STOPPED),
    ("Rework it and write the result in digits.", COUNTED, SPACED),
]


@pytest.mark.parametrize(("addition", "true", "false"), CLAIMS, ids=[addition for addition, *_ in CLAIMS])
def test_what_is_said_of_the_form_must_be_true_of_the_outputs_shown(addition, true, false):
    assert outcome(addition, true) == "optimized"
    assert outcome(addition, false) == "form_contradicted"


@pytest.mark.parametrize(("addition", "true", "false"), CLAIMS, ids=[addition for addition, *_ in CLAIMS])
def test_nothing_is_held_against_outputs_that_nobody_shows(addition, true, false):
    assert outcome(addition, false[:1]) != "form_contradicted"
    assert outcome(addition) != "form_contradicted"


@pytest.mark.parametrize(
    ("addition", "example"),
    [
        ("Copy the words in quotation marks.", ('"a" said he', "a")),
        ("Copy the words in the round brackets.", ("he (a) said", "a")),
        ("Pick the longest of the words separated by commas.", ("a, bb", "bb")),
    ],
)
def test_what_the_inputs_have_may_be_said_of_them(addition, example):
    assert outcome(addition, example, naive="copy") != "form_contradicted"


def test_what_the_prompt_says_itself_is_no_contradiction():
    naive = "rework it, each part on its own line"
    assert outcome("Rework it and write each part on its own line.", DASHED, naive=naive) == "optimized"


@pytest.mark.parametrize(
    ("addition", "example"),
    [
        ("Rework it and write the number in words, not in digits.", ("3", "three")),
        ("Rework it and do not put a full stop after it.", ("a b", "yes")),
        ("Rework it and never write it in brackets.", ("a b", "a b")),
    ],
)
def test_what_is_denied_is_not_claimed(addition, example):
    assert outcome(addition, example) != "form_contradicted"


def test_what_is_denied_once_may_be_claimed_after_that():
    said = "Do not write it in digits, but write the sum in digits."
    assert outcome(said, ("3", "three")) == "form_contradicted"


@pytest.mark.parametrize("sign", ["','", '","', "“,”", "commas", "a comma", ","])
def test_a_sign_may_be_named_or_quoted(sign):
    addition = f"Rework it and write the parts separated by {sign}."
    assert outcome(addition, ("Ann Bob", "Ann,Bob")) == "optimized"
    assert outcome(addition, ("Ann Bob", "Ann/Bob")) in ("form_contradicted", "format_invented")
    assert outcome("Rework it, the parts separated by slashes.", ("Ann Bob", "Ann,Bob")) == "form_contradicted"


@pytest.mark.parametrize(
    ("shown", "expected"), [("abc", "optimized"), ("abcd", "form_contradicted"), ("aabbc", "optimized")]
)
def test_a_count_of_choices_must_do_for_the_outputs_shown(shown, expected):
    examples = [(f"it {number}", f"sort {letter}") for number, letter in enumerate(shown)]
    assert outcome("Rework it and reply with one of the three sorts.", *examples) == expected


@pytest.mark.parametrize(("outputs", "expected"), [(["9", "12"], "optimized"), (["09", "12"], "form_contradicted")])
def test_zeros_that_outputs_begin_with_cannot_be_excluded(outputs, expected):
    examples = [(f"it {number}", output) for number, output in enumerate(outputs)]
    assert outcome("Rework it and write it without a leading zero.", *examples) == expected


@pytest.mark.parametrize(
    "addition",
    [
        "Rework it and write each part on one line.",
        "Rework it and write every part on a single line.",
        "Rework it and write one part on one line.",
        "Rework it and never put two parts on one line.",
        "Rework it and put each of the parts on one line of its own.",
    ],
)
def test_one_line_for_each_part_is_no_single_line(addition):
    assert outcome(addition, LINES) == "optimized"
