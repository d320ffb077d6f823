"""What the examples of a request say without words is no invention: form of outputs, labels, counts of the input."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest, ShownExample
from fipo_model.contract.shown import formats_shown, forms_of_inputs, labels_shown
from fipo_model.fidelity import check


def examples(*outputs: str, text: str = "a thing") -> tuple[ShownExample, ...]:
    return tuple(ShownExample(f"{text} {number}", output) for number, output in enumerate(outputs))


def request(naive: str, *outputs: str, text: str = "a thing") -> OptimizationRequest:
    return OptimizationRequest(naive, examples=examples(*outputs, text=text))


def outcome(addition: str, asked: OptimizationRequest) -> str:
    return check(f"{asked.instruction}\n\n{addition}", asked, FidelitySettings(), FIPO_2).outcome


@pytest.mark.parametrize(
    ("outputs", "form"),
    [
        (("yes", "no"), "yes or no"),
        (("Ja", "Nein."), "yes or no"),
        (("SÌ", "NO"), "yes or no"),
        (("spoon", "big"), "one word"),
        (("a spoon", "big"), "lowercase"),
        (("A SPOON", "BIG"), "uppercase"),
        (('{"a": 1}', "[]"), "json"),
        (("- a\n- b", "* c"), "bullets"),
        (("1. a\n2. b", "1. c"), "numbered list"),
        (("It rains.", "Does it rain?"), "one sentence"),
        (("<b>spoon</b>", "<b>big</b>"), "one word"),
        (("Answer: spoon", "Answer: big"), "lowercase"),
        (('{"answer": "YES"}', '{"answer": "NO"}'), "uppercase"),
        (('{"answer": "YES"}', '{"answer": "NO"}'), "yes or no"),
        (("SELECT name FROM customers;", "SELECT * FROM orders;"), "uppercase"),
        (("#FF0080", "#102030"), "uppercase"),
        (('Answer: {"a": 1}', 'Answer: {"b": 2}.'), "json"),
        (("| a | b |\n| - | - |", "| c | d |"), "table"),
        (("spoon, fork", "knife, cup, pan"), "csv"),
    ],
)
def test_the_form_of_all_outputs_is_shown(outputs, form):
    assert form in formats_shown(request("x", *outputs))
    assert form not in formats_shown(request("x", *outputs, "Something else: 5 & more"))
    assert form in formats_shown(request("x", outputs[0]))


def test_outputs_of_brackets_alone_show_no_form():
    assert "json" not in formats_shown(request("x", "[" * 1000 + "]" * 1000, "[1]"))


def test_a_table_of_the_inputs_may_be_called_one():
    csv = (ShownExample("a,b\n1,2", "2"), ShownExample("a,b\n3,4", "4"))
    assert "csv" in forms_of_inputs(OptimizationRequest("b?", examples=csv))
    assert "csv" not in forms_of_inputs(request("b?", "2", "4"))
    asked = OptimizationRequest("sum of b", examples=csv)
    assert outcome("Sum column b of the CSV table.", asked) == "optimized"
    assert outcome("Sum column b and write it as CSV.", asked) == "format_invented"


@pytest.mark.parametrize(
    ("shown", "form"),
    [
        ("spoon, fork, knife", "csv"),
        ('{"age": 42}\nage', "json"),
        ("{'age': 42, 'city': 'Rome'}", "json"),
        ("article,stock\nchair,4\nlamp,7\nlamp", "table"),
    ],
)
def test_the_form_of_the_input_may_be_named(shown, form):
    assert form in forms_of_inputs(OptimizationRequest("x", examples=(ShownExample(shown),)))
    assert form not in forms_of_inputs(
        OptimizationRequest("x", examples=(ShownExample(shown), ShownExample("It rains.")))
    )
    assert form not in forms_of_inputs(
        OptimizationRequest("x", examples=(ShownExample("We came, we saw it all, we left."),))
    )


@pytest.mark.parametrize(
    ("addition", "shown", "other"),
    [
        ("Write the name of the Python function.", "def save(a, b):\n    print(a)", "save a to b"),
        ("Say what the JavaScript does.", "const a = 1; console.log(a)", "a is 1"),
        ("Say what the SQL statement finds.", "select name from people", "select a name"),
    ],
)
def test_what_inputs_are_written_in_may_be_named(addition, shown, other):
    assert outcome(addition, OptimizationRequest("say it", examples=(ShownExample(shown),))) == "optimized"
    assert outcome(addition, OptimizationRequest("say it", examples=(ShownExample(other),))) != "optimized"


@pytest.mark.parametrize(
    ("naive", "addition"),
    [
        ("md link", "Make a link in Markdown."),
        ("js version", "Rewrite the code in JavaScript."),
        ("us phone nr", "Write the number in the American way."),
    ],
)
def test_an_abbreviation_may_be_spelled_out(naive, addition):
    assert outcome(addition, OptimizationRequest(naive)) == "optimized"
    assert outcome(addition, OptimizationRequest("how to write it")) == "name_invented"


@pytest.mark.parametrize(
    ("addition", "outputs"),
    [
        ('Does the word name an animal? Write "yes" or "no".', ("yes", "no", "yes")),
        ("Write the name of the thing in one word, in small letters.", ("spoon", "fork")),
        ("Write the abbreviation in capitals.", ("NATO", "WHO")),
        ("Write the answer as JSON.", ('{"a": 1}', '{"a": 2}')),
        ("Write the result of the two numbers of the input.", ("5", "7")),
        ('Classify the living thing. Write "animal" or "plant".', ("animal", "animal")),
        ("Choose among even, odd and neither, and write that.", ("even", "odd")),
    ],
)
def test_what_outputs_show_may_be_said(addition, outputs):
    assert outcome(addition, request("which", *outputs)) == "optimized"


@pytest.mark.parametrize(
    ("addition", "outputs"),
    [
        ('Write "yes" or "no".', ("spoon", "fork")),
        ("Write it in one word.", ("a spoon", "a fork")),
        ("Write the answer as JSON.", ("spoon", "fork")),
        ("Write the name in capitals.", ("spoon", "fork")),
        ("Write two sentences about the thing.", ("spoon", "fork")),
    ],
)
def test_what_outputs_do_not_show_is_still_invented(addition, outputs):
    assert outcome(addition, request("which", *outputs)) in ("format_invented", "number_invented")


@pytest.mark.parametrize(
    ("addition", "outputs", "named"),
    [
        ('Write "animal" or "plant".', ("animal", "plant"), {"animal", "plant"}),
        ('Write "animal" or "plant".', ("animal",), {"animal"}),
        ("Write animal.", ("animal",), set()),
        ('Write "animal" or "plant".', ("animal", "stone"), set()),
        ("Write the name, such as spoon or fork.", ("spoon", "fork"), set()),
        ("Write the kind of thing, such as spoon or fork.", ("spoon", "fork"), {"spoon", "fork"}),
        ("Write the kind of thing in one word, such as spoon.", ("spoon",), {"spoon"}),
        ("Write the priority code, such as P1, P2 or P3.", ("P1", "P3", "P2"), {"P1", "P2", "P3"}),
        ("Name the continent, for instance Asia.", ("Asia", "Europe", "Asia"), {"Asia"}),
        ("Name the continent, for instance Asia.", ("Asia", "Europe"), set()),
        ("Name the kind of place, for instance Rome.", ("Rome",), set()),
        ("Name the kind, such as things.", ("things",), set()),
        ('Reply with one word such as "yes".', ("yes",), {"yes"}),
        ("Write the mark of the right one, (a) or (b).", ("(a)",), {"(a)"}),
        ("Say a b c d e f or z.", ("a b c d e f", "z"), set()),
    ],
)
def test_labels_are_named_all_or_none(addition, outputs, named):
    assert labels_shown(addition, request("which", *outputs)) == named


@pytest.mark.parametrize(
    ("naive", "addition", "expected"),
    [
        ("leap year?", "Is the year a leap year? Answer yes or no.", "optimized"),
        ("leap year?", "Decide whether it is a leap year. Answer yes or no.", "optimized"),
        ("is it a leap year", "Is the year a leap year? Answer yes or no.", "optimized"),
        ("caps", "Write the text in capital letters.", "optimized"),
        ("invert case", "Write small letters in uppercase and capitals in lowercase.", "optimized"),
        ("name it", "Write the name in uppercase.", "format_invented"),
        ("formal?", 'Is the message formal or informal? Answer "formal" or "informal".', "optimized"),
        ("formal letter to the mayor", "Write an informal letter to the mayor.", "manner_contradicted"),
        ("same start?", "Say yes or no: do the words have the same start?", "optimized"),
        ("file with it?", "Judge whether a file is attached to it, and answer with yes or no.", "optimized"),
        ("is it a prime nr", "Test the number for being prime and answer yes or no.", "optimized"),
        ("still heads up", "Determine whether heads is still up. Answer yes or no.", "optimized"),
        ("y/n from the text", "Decide by the text how to answer the question. Reply with yes or no.", "optimized"),
        ("ist das eine Rechnung", "Beurteile, ob es eine Rechnung ist. Antworte mit Ja oder Nein.", "optimized"),
        ("¿es una queja?", "Decide si se trata de una queja. Responde sí o no.", "optimized"),
        ("can you explain rain", "Explain the rain. Answer yes or no.", "format_invented"),
        ("when?", "Find the time and whether it is near. Answer yes or no.", "format_invented"),
        ("fruit or veg", "Decide whether it is a fruit or a vegetable and answer with that one word.", "optimized"),
        ("bird/insect", "Decide whether it is a bird or an insect, in one word.", "optimized"),
        ("fruit or veg", "Answer yes or no.", "format_invented"),
        ("name the fruit", "Name the fruit in one word.", "format_invented"),
        ("pronoun", "Write the pronoun that fits, and only this one word.", "optimized"),
        ("symbol", "Write the symbol, with correct capital and small letters.", "optimized"),
        ("symbol", "Write the symbol in small letters.", "format_invented"),
        ("colour?", "What is the colour of the thing? Answer yes or no.", "format_invented"),
        ("explain rain", "Is it about rain? Answer yes or no.", "format_invented"),
        ("which is larger", "Write the larger of the two numbers.", "optimized"),
        ("summarize", "Summarize the text in the two sentences.", "number_invented"),
        ("number in words", "Write the number in English words.", "optimized"),
        ("translate to german", "Translate the text from English to German.", "language_invented"),
        ("translate it", "Translate the words to English.", "language_invented"),
        ("date?", "Write the date in the form YYYY-MM-DD.", "optimized"),
        ("who?", "Write the name of NATO.", "name_invented"),
    ],
)
def test_alone_a_wording_allows_what_it_implies_and_no_more(naive, addition, expected):
    assert outcome(addition, OptimizationRequest(naive)) == expected
