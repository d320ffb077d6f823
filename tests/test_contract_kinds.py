"""Each kind of commitment is found, once, where it stands; harmless variation is equality."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fipo_model import FIPO_2, OptimizationRequest
from fipo_model.contract import commitments
from fipo_model.contract.case import Case
from fipo_model.contract.commitments import Commitment
from fipo_model.contract.markers import markers
from fipo_model.contract.numbers import numbers
from fipo_model.contract.reading import read
from fipo_model.fidelity import RULES, FidelitySettings, check


def texts(kind: str, text: str) -> list[str]:
    return [each.text for each in commitments(text) if each.kind == kind]


def keys(kind: str, text: str) -> set[str]:
    return {each.key for each in commitments(text) if each.kind == kind}


@pytest.mark.parametrize(
    "variable",
    [
        *(
            "{city}",
            "{0}",
            "{}",
            "{guest.name}",
            "{rows[2]}",
            "{price:.2f}",
            "{name!r}",
            "{first-name}",
            "{your name here}",
        ),
        *(
            "{{ city }}",
            "{{{city}}}",
            "{{> footer}}",
            "{{#each rows}}",
            "{{/each}}",
            "{{@key}}",
            "{{../up}}",
            "{{ x | lower }}",
        ),
        *("{% for x in y %}", "{# note #}", "{{ .City }}", "{{ range .Rows }}", "{{ f(a, b) }}", "{{ $json.text }}"),
        *("${city}", "${city:Rome}", "$city", "#{city}", "%s", "%.2f", "%(city)s", "%%city%%", "{!User.Name}"),
        *(
            "[CITY]",
            "[insert city]",
            "[[city]]",
            "[Source 3]",
            "<<city>>",
            "__CITY__",
            "<%= city %>",
            "{ciudad}",
            "{{都市}}",
        ),
    ],
)
def test_variables_of_every_dialect_are_found(variable: str) -> None:
    assert texts("variable", f"Tell the guests of {variable} about it.") == [variable]


@pytest.mark.parametrize(
    "text",
    [
        'Return {"a": 1, "b": {}}.',
        "Solve \\frac{a}{b} + \\sqrt{c}.",
        "if (x) {return y}",
        "Take 5% of it, or 100 %.",
        "Pay $5 or $3,000.",
        "See [the page](https://a.org) and note [1].",
        "Use a[i] and b[0].",
        "The set {a, b} has two.",
    ],
)
def test_what_only_looks_like_a_variable_is_none(text: str) -> None:
    assert texts("variable", text) == []


@pytest.mark.parametrize(
    ("kind", "text", "found"),
    [
        ("token", "Stop at <|im_end|> or </s>.", ["<|im_end|>", "</s>"]),
        ("tag", "Put it in <result></result>.", ["<result>", "</result>"]),
        ("url", "See https://a.org/b_(c), www.b.net/x and d.io.", ["https://a.org/b_(c)", "www.b.net/x", "d.io"]),
        ("email", "Write to ann.lee@post.co.uk.", ["ann.lee@post.co.uk"]),
        (
            "path",
            "Read /etc/hosts, C:\\a\\b.txt, notes.md and /help.",
            ["/etc/hosts", "C:\\a\\b.txt", "notes.md", "/help"],
        ),
        ("handle", "Thank @mia in #spring.", ["@mia", "#spring"]),
        ("code", "Call `f(x)` for user_id, getName and v1.2.3.", ["f(x)", "user_id", "getName", "v1.2.3"]),
        ("quotation", 'Say "good day", ‘so long’ and 「早上好」.', ["good day", "so long", "早上好"]),
        ("label", "Classify it as red, green or blue.", ["red", "green", "blue"]),
        ("label", "Thought: x\nAction Input: y", ["Thought:", "Action Input:"]),
        ("name", "Ask Ms. Okafor of Siemens about TCP.", ["Okafor", "Siemens", "TCP"]),
        ("language", "Translate from french to Korean.", ["french", "korean"]),
        ("format", "Answer yes or no, as JSON.", ["yes or no", "JSON"]),
        ("example", "Label it: good -> yes, bad -> no", ["good -> yes", "bad -> no"]),
    ],
)
def test_each_kind_is_found(kind: str, text: str, found: list[str]) -> None:
    assert set(found) <= set(texts(kind, text))


def test_commitments_stand_where_they_say() -> None:
    text = "Give Ann at least 3 reasons, in French, for {topic}; write to a@b.org."
    for each in commitments(text):
        assert 0 <= each.span[0] < each.span[1] <= len(text)
    assert [text[slice(*each.span)] for each in commitments(text) if each.kind == "variable"] == ["{topic}"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3", "three"),
        ("1.5k", "1,500"),
        ("$3,000", "$3 000"),
        ("10%", "10 percent"),
        ("0.50", "0.5"),
        (".5", "0.5"),
        ("2024-05-01", "May 1, 2024"),
        ("05.01.2024", "5.1.2024"),
        ("3pm", "3:00 PM"),
        ("\u221240", "-40"),
        ("twenty-five", "25"),
        ("two hundred", "200"),
        ("2 million", "2,000,000"),
        ("5 km", "5 kilometers"),
    ],
)
def test_numbers_are_equal_however_they_are_written(one: str, other: str) -> None:
    (first,), (second,) = numbers(read(f"Take {one} now.")), numbers(read(f"Take {other} now."))
    assert (first.value, first.unit) == (second.value, second.unit)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3", "30"),
        ("-4", "4"),
        ("3 pm", "3 am"),
        ("5 km", "5 miles"),
        ("$5", "€5"),
        ("1.5", "15"),
        ("5%", "5"),
        ("2 kg", "2 g"),
    ],
)
def test_numbers_differ_by_value_sign_and_unit(one: str, other: str) -> None:
    (first,), (second,) = numbers(read(f"Take {one} now.")), numbers(read(f"Take {other} now."))
    assert (first.value, first.unit) != (second.value, second.unit)


@pytest.mark.parametrize(
    "text", ["1. Read it.\n2. Sort it.", "Describe WW2 and GPT-4.", "No one knows.", "See v2.0.1."]
)
def test_what_numbers_nothing_is_no_number(text: str) -> None:
    assert numbers(read(text)) == []


@pytest.mark.parametrize(
    ("text", "kind", "topic"),
    [
        ("Do not mention dragons.", "not", "mentio"),
        ("It isn't finished.", "not", "finish"),
        ("Use only oak.", "only", "oak"),
        ("Name at least 3 lakes.", "least", "3"),
        ("Name no more than 3 lakes.", "most", "3"),
        ("It should not exceed 90 words.", "most", "90"),
        ("Rename all except the counters.", "except", "counte"),
        ("Wash it before peeling.", "before", "peel"),
    ],
)
def test_markers_know_what_they_concern(text: str, kind: str, topic: str) -> None:
    (marker,) = markers(read(text))
    assert (marker.kind, marker.topic) == (kind, topic)


def test_not_only_and_yes_or_no_deny_nothing() -> None:
    assert [marker.kind for marker in markers(read("Do it not only once. Answer yes or no."))] == []


def test_a_swap_is_noticed_wherever_words_say_what_a_thing_is_for() -> None:
    def objection(naive: str, rewrite: str) -> str | None:
        return RULES["order_changed"].objection(rewrite, OptimizationRequest(naive))

    assert objection("From {a} to {b}.", "From {b} to {a}.")
    assert objection("Question: {q}\nFacts: {f}", "Question: {f}\nFacts: {q}")
    assert objection("Fly from Oslo to Rome.", "Fly from Rome to Oslo.")
    assert objection("From {a} to {b}.", "Go to {b}, coming from {a}.") is None


_PIECES = st.sampled_from(
    "not never only at least exactly three 3 5% $3,000 {x} {{y}} [Z] <t> </t> . ! ? \n : - -> ' \" “ ” ‘ ’ ` ``` "
    "Paris TCP please Write explain the a of "
    "不要 只 三个 でください 않 нет не لا कम से İ ß \u200b \u2028 😈 NEVER yes/no A: "
    "x=1 \\frac{a}{b} $x^2$ 1. 2024-05-01 3pm 1/2 http://a.b @me #t a_b f(x)".split(" ")
)
_TEXTS = st.text(max_size=60) | st.lists(_PIECES, max_size=25).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(_TEXTS.filter(str.strip), _TEXTS)
def test_any_two_texts_can_be_compared(naive: str, rewrite: str) -> None:
    case = Case(rewrite, OptimizationRequest(naive))
    for rule in RULES.values():
        detail = rule.check(case)
        assert detail is None or detail
    found: list[Commitment] = commitments(naive)
    assert all(0 <= each.span[0] <= each.span[1] <= len(naive) for each in found)


def test_an_arrow_without_words_is_no_example() -> None:
    case = Case("Say briefly what the operator <=> does.", OptimizationRequest("Say what this does.\n<=>!"))
    assert RULES["example_lost"].check(case) is None


@settings(max_examples=300, deadline=None)
@given(_TEXTS.filter(str.strip))
@example("0\n<=>/")
@example("`0``````0`")
def test_a_text_keeps_everything_of_itself(text: str) -> None:
    case = Case(f"{text} ", OptimizationRequest(text))
    objections = {outcome: rule.check(case) for outcome, rule in RULES.items() if outcome.endswith("_lost")}
    assert {outcome: detail for outcome, detail in objections.items() if detail} == {}


def outcome_of(rewrite: str, prompt: str) -> str:
    return check(rewrite, OptimizationRequest(prompt), FidelitySettings(), FIPO_2).outcome


@pytest.mark.parametrize(
    ("prompt", "kept", "turned"),
    [
        ("summarize {x} in max 25 words", "Summarize {x} in at most 25 words.", "Summarize {x} in at least 25 words."),
        ("summarize {x} in max. 25 words", "Summarize {x} in at most 25 words.", "Summarize {x} in min. 25 words."),
        ("write min 200 words about bees", "Write at least 200 words about bees.", "Write max 200 words about bees."),
        (
            "fasse {x} in max. 25 Wörtern zusammen",
            "Fasse {x} in höchstens 25 Wörtern zusammen.",
            "Fasse {x} in mindestens 25 Wörtern zusammen.",
        ),
        ("résume {x} en max 25 mots", "Résume {x} en 25 mots au maximum.", "Résume {x} en au moins 25 mots."),
    ],
)
def test_short_bounds_are_bounds_in_every_language(prompt, kept, turned):
    assert outcome_of(kept, prompt) == "optimized"
    assert outcome_of(turned, prompt) == "bound_lost"


def test_minutes_are_no_bound():
    prompt = "plan a visit of 10 min 3 people can join"
    assert outcome_of("Plan a visit of 10 min that 3 people can join.", prompt) == "optimized"
