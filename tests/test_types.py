"""What goes in is checked where it goes in; what comes out cannot be changed."""

import copy
import dataclasses
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fipo_model import Candidate, FipoError, OptimizationRequest, OptimizedPrompt
from fipo_model.errors import InputError
from fipo_model.types import OUTCOMES, count_words

REQUEST = OptimizationRequest("Name a colour.", context="The sky.", golden_response="Blue.", keep=("colour",))


def optimized(**changes: object) -> OptimizedPrompt:
    kept = OptimizedPrompt(
        text="Name a colour.",
        request=REQUEST,
        outcome="number_lost",
        candidates=(
            Candidate(text="", outcome="empty", detail="nothing"),
            Candidate(text="Name.", outcome="number_lost", detail="lost '7'"),
            Candidate(text="Say.", outcome="number_lost", detail="lost '8'"),
        ),
        model="scripted",
        template="fipo-1",
    )
    return dataclasses.replace(kept, **changes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        (" \n\t ", 0),
        ("one", 1),
        ("it's a well-known {topic}, isn't it?", 6),
        ("two  words\n", 2),
        ("世界", 2),
        ("世界 hello 世界", 5),
        ("GPT世界4", 4),
        ("カタカナ", 4),
        ("한국어", 3),
        ("สวัสดี", 6),
        ("naïve Übung слово", 3),
    ],
)
def test_words_are_runs_and_characters_of_scripts_without_spaces(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize(
    ("words", "limit"), [(1, 60), (30, 60), (31, 120), (60, 120), (61, 240), (120, 240), (121, 480), (5000, 15360)]
)
def test_the_word_limit_climbs_a_ladder(words: int, limit: int) -> None:
    assert OptimizationRequest("word " * words).word_limit == limit


@given(st.integers(min_value=1, max_value=3000))
@settings(deadline=None, max_examples=50)
def test_the_word_limit_leaves_room_for_twice_the_prompt_but_not_for_five_times(words: int) -> None:
    limit = OptimizationRequest("word " * words).word_limit
    assert limit >= 2 * words
    assert limit == 60 or limit < 4 * words


def test_max_words_overrules_the_ladder() -> None:
    assert OptimizationRequest("word " * 100, max_words=7).word_limit == 7


@pytest.mark.parametrize("blank", ["", " ", "\n\t ", "\u2003"])
def test_a_blank_prompt_is_refused(blank: str) -> None:
    with pytest.raises(InputError, match="the prompt is empty"):
        OptimizationRequest(blank)


@pytest.mark.parametrize("field", ["instruction", "context", "silver_response", "golden_response"])
@pytest.mark.parametrize(("value", "kind"), [(7, "int"), (b"bytes", "bytes"), (["a"], "list")])
def test_what_is_not_text_is_refused_by_its_name(field: str, value: object, kind: str) -> None:
    with pytest.raises(InputError, match=f"{field} must be text, not {kind}"):
        OptimizationRequest(**({"instruction": "Name a colour."} | {field: value}))


def test_an_instruction_cannot_be_left_out_as_none() -> None:
    with pytest.raises(InputError, match="instruction must be text, not NoneType"):
        OptimizationRequest(None)


@pytest.mark.parametrize("field", ["instruction", "context", "silver_response", "golden_response"])
def test_a_lone_surrogate_is_refused_with_its_place(field: str) -> None:
    with pytest.raises(InputError, match=f"{field} is not valid UTF-8 text: .* at character 3"):
        OptimizationRequest(**({"instruction": "Name a colour."} | {field: "abc\ud800"}))


@pytest.mark.parametrize("text", ["\0", "🦜", "<|im_end|>", "{x} {{y}} $z", "a\u202eb"])
def test_any_other_text_is_accepted_as_it_is(text: str) -> None:
    assert OptimizationRequest(text, context=text).instruction == text


@pytest.mark.parametrize("max_words", [0, -1])
def test_a_word_limit_below_one_is_refused(max_words: int) -> None:
    with pytest.raises(InputError, match=f"max_words must be at least 1, not {max_words}"):
        OptimizationRequest("Name a colour.", max_words=max_words)


@pytest.mark.parametrize("max_words", ["40", 2.5])
def test_a_word_limit_is_a_whole_number(max_words: object) -> None:
    with pytest.raises(InputError, match=f"max_words must be a whole number, not {max_words!r}"):
        OptimizationRequest("Name a colour.", max_words=max_words)


def test_a_literal_to_keep_must_be_in_the_prompt() -> None:
    with pytest.raises(InputError, match="keep names '<b>', which the prompt does not contain"):
        OptimizationRequest("Name <a>.", keep=("<a>", "<b>"))


@pytest.mark.parametrize("keep", ["<a>", ["<a>"], (7,)])
def test_literals_to_keep_come_as_a_tuple_of_texts(keep: object) -> None:
    # A bare string once passed: each of its letters was in the prompt, and the literal itself was not kept.
    with pytest.raises(InputError, match=r"keep must be a tuple of texts, such as \('<name>',\)"):
        OptimizationRequest("Name <a>.", keep=keep)


def test_input_errors_are_value_errors_and_fipo_errors() -> None:
    with pytest.raises(ValueError, match="empty") as caught:
        OptimizationRequest("")
    assert isinstance(caught.value, FipoError)


def test_everything_but_the_instruction_is_named() -> None:
    with pytest.raises(TypeError):
        OptimizationRequest("Name a colour.", "The sky.")  # type: ignore[misc]


@pytest.mark.parametrize("value", [REQUEST, Candidate(text="a", outcome="empty"), optimized()])
def test_values_are_frozen_hashable_and_copyable(value: object) -> None:
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, "changed")
    for twin in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value), dataclasses.replace(value)):
        assert twin == value
        assert hash(twin) == hash(value)


@pytest.mark.parametrize(
    "change",
    [
        {"instruction": "Name the colour."},
        {"context": None},
        {"silver_response": "x"},
        {"golden_response": "Red."},
        {"max_words": 9},
        {"keep": ()},
    ],
)
def test_requests_that_differ_in_anything_are_different(change: dict[str, object]) -> None:
    assert dataclasses.replace(REQUEST, **change) != REQUEST


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_the_outcome_optimized_counts_as_rewritten(outcome: str) -> None:
    assert optimized(outcome=outcome).is_rewritten == (outcome == "optimized")


def test_the_detail_is_of_the_first_candidate_that_has_the_outcome() -> None:
    assert optimized().detail == "lost '7'"


def test_an_optimized_prompt_has_no_detail_and_reads_as_its_text() -> None:
    done = optimized(
        text="Name one colour.",
        outcome="optimized",
        candidates=(
            Candidate(text="", outcome="empty", detail="nothing"),
            Candidate(text="Name one colour.", outcome="optimized"),
        ),
    )
    assert done.detail == ""
    assert str(done) == f"{done}" == "Name one colour."
