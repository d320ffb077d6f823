"""Preference pairs by what rewrites do to the golden response."""

import json
from dataclasses import replace

import pytest

from fipo_model.data.ranking import Ranked, added_reference, rank, repeated, sampled
from fipo_model.data.records import Record
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.rewriter import Rewriter
from fipo_model.templates import FIPO_2
from fipo_model.testing import ScriptedGenerator
from support.telling import Telling


def rewriter(replies, candidates=3):
    """Samples that end in "(sample-0.N)" as ScriptedGenerator makes them."""
    return Rewriter(ScriptedGenerator(lambda conversation: replies), template=FIPO_2, samples=candidates)


def measure(prompts):
    """The later the sample, the better; the naive prompt has 0."""
    return [float(text.rpartition(".")[2].rstrip(")")) if "sample" in text else 0.0 for _, text in prompts]


RECORDS = [
    Record(id="a", instruction="Explain rain.", golden_response="Water falls."),
    Record(id="b", instruction="Explain snow.", context="In winter.", golden_response="Ice falls."),
]


def test_what_the_rewriter_is_unsure_of_is_measured_too():
    unsure = Rewriter(
        Telling("Explain it with examples.", likelihood=-3.0), template=FIPO_2, samples=3, least_likelihood=-0.75
    )
    first, _ = rank(RECORDS, [sampled(unsure)], [measure])
    assert len(first.gains) == 3


def test_rewrites_come_from_the_best_to_the_worst_with_what_they_gain():
    first, second = rank(RECORDS, [sampled(rewriter("Explain it with examples."))], [measure])
    assert first.record is RECORDS[0]
    assert [gain for _, gain in second.gains] == [2.0, 1.0, 0.0]
    assert second.gains[0][0] == "Explain snow.\n\nExplain it with examples. (sample-0.2)"


def test_of_several_test_models_the_least_gain_counts():
    (ranked, _) = rank(RECORDS, [sampled(rewriter("Explain it."))], [measure, lambda p: [-v for v in measure(p)]])
    assert [gain for _, gain in ranked.gains] == [0.0, -1.0, -2.0]


def test_a_measure_is_asked_once_for_a_batch_and_sees_what_the_request_is():
    asked = []

    def noting(prompts):
        asked.append(prompts)
        return [0.0] * len(prompts)

    list(rank(RECORDS, [sampled(rewriter("Explain it.")), repeated], [noting]))
    assert len(asked) == 1
    assert {(request.golden_response, request.context) for request, _ in asked[0]} == {
        ("Water falls.", None),
        ("Ice falls.", "In winter."),
    }


def test_records_that_cannot_be_ranked_come_with_their_error():
    records = [Record(id="c", instruction="Explain fog."), *RECORDS]

    def too_long(prompts):
        return [
            PromptTooLongError(index=0, tokens=9, limit=1) if "rain" in request.instruction else 0.0
            for request, _ in prompts
        ]

    found = list(rank(records, [sampled(rewriter("Explain it."))], [too_long]))
    assert [isinstance(item, Ranked) for item in found] == [False, False, True]
    assert "golden response" in str(found[0][1])
    assert isinstance(found[1][1], PromptTooLongError)


def test_the_prompt_said_twice_and_the_records_own_rewrite_can_be_ranked_too():
    records = [replace(RECORDS[0], chosen="Explain rain to a child."), RECORDS[1]]
    first, second = rank(records, [repeated, added_reference], [lambda prompts: [len(text) for _, text in prompts]])
    assert [text for text, _ in first.gains] == [
        "Explain rain.\n\nExplain rain to a child.",
        "Explain rain.\n\nExplain rain.",
    ]
    assert [text for text, _ in second.gains] == ["Explain snow.\n\nExplain snow."]


def test_what_is_proposed_twice_is_ranked_once():
    def with_a_blank_behind(records):
        return [tuple(replace(one, text=f"{one.text} ") for one in some) for some in repeated(records)]

    (first, _) = rank(RECORDS, [repeated, repeated, with_a_blank_behind], [measure])
    assert len(first.gains) == 1


def ranked(*gains, failed=()):
    texts = [(f"Explain rain. {gain}", gain) for gain in gains]
    return Ranked(record=RECORDS[0], gains=tuple(texts), failed=failed)


@pytest.mark.parametrize(
    ("item", "chosen", "rejected"),
    [
        (ranked(0.2, 0.1, -0.3), "Explain rain. 0.2", "Explain rain. -0.3"),
        (ranked(0.2, 0.19), "Explain rain. 0.2", None),  # none is clearly worse than the best
        (ranked(0.02, -0.3), "Explain rain.", "Explain rain. -0.3"),  # none is clearly better than the naive prompt
        (ranked(0.02), "Explain rain.", None),
        (ranked(), "Explain rain.", None),
        (ranked(0.2, failed=((" ", "empty"), ("Rain rain", "repetitive"))), "Explain rain. 0.2", "Rain rain"),
        (ranked(failed=(("Rain rain", "repetitive"),)), "Explain rain.", "Rain rain"),
        (ranked(failed=(("Explain rain. ", "repetitive"),)), "Explain rain.", None),  # white space is no difference
    ],
)
def test_the_pair_is_the_best_and_the_worst_with_the_naive_prompt_among_them(item, chosen, rejected):
    pair = item.pair(0.05)
    assert (pair.chosen, pair.rejected) == (chosen, rejected)
    fields = json.loads(json.dumps(item.to_fields(0.05)))
    assert [row["gain"] for row in fields["ranked"]] == [gain for _, gain in item.gains]


def test_a_failing_optimizer_is_an_error_in_its_place():
    generator = ScriptedGenerator(lambda conversation: "Explain it.", context_tokens=200)
    short = Record(id="s", instruction="Explain rain.", golden_response="x")
    long = Record(id="l", instruction="Explain " + "rain " * 60, golden_response="x")
    found = list(rank([long, short], [sampled(Rewriter(generator, template=FIPO_2))], [measure]))
    assert isinstance(found[0][1], InputError)
    assert isinstance(found[1], Ranked)
