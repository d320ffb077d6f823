"""Diversification: the paper's eight types, evenly and for each record by itself, and texts that stay as they are."""

import json
from collections import Counter
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fipo_model import FIPO_1, OptimizationRequest
from fipo_model.data import Diversification, Record, TrainingRow, diversify, parse_training_row
from fipo_model.data.diversify import Parts
from fipo_model.errors import InputError
from fipo_model.types import count_words

TYPES = {
    f"{given}, {form}"
    for given in ("no responses", "silver", "golden", "silver+golden")
    for form in ("generation", "multi-choice")
}
SILVER_HEADING, GOLDEN_HEADING = FIPO_1.silver_part.splitlines()[0], FIPO_1.golden_part.splitlines()[0]
OWN = st.characters(codec="utf-8")
NASTY = st.sampled_from(
    [
        *(
            "$naive_prompt",
            "${optional_parts}",
            "$$",
            "$",
            "{0}",
            "{}",
            "%s",
            "\\1",
            "\0",
            "S_R",
            "G_N",
            "🦜",
            "\u2028",
        ),
        *("Options:\nA. ", "<|im_start|>", FIPO_1.optimizer, FIPO_1.golden_part),
    ]
)
TEXTS = st.lists(NASTY | OWN, min_size=1, max_size=6).map("".join).filter(str.strip)


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    """Records with distinct ids and any of the optional parts."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        parts = draw(
            st.fixed_dictionaries(
                {"instruction": TEXTS},
                optional={name: TEXTS for name in ("context", "silver_response", "golden_response", "chosen")},
            )
        )
        if "chosen" in parts and draw(st.booleans()):
            parts["rejected"] = f"{parts['chosen']} worse"
        found.append(Record(id=f"{draw(st.text(OWN))}{number}", **parts))
    return found


SETTINGS = st.builds(
    Diversification, parts=st.sampled_from(["diversified", "none", "all"]), iterative=st.booleans(), seed=st.integers()
)


def full(number: int = 0, **parts: str | None) -> Record:
    """A record with every part but a context."""
    texts: dict[str, str | None] = {
        "instruction": "Tell me about rain.",
        "silver_response": "Rain is wet.",
        "golden_response": "Rain is water that falls from clouds.",
        "chosen": "Explain how rain forms, in three steps.",
        "rejected": "Say more about rain.",
    }
    return Record(id=f"r{number}", **(texts | parts))  # type: ignore[arg-type]


def only(record: Record, settings: Diversification | None = None) -> TrainingRow:
    [row] = diversify([record], settings)
    return row


def asked(row: TrainingRow) -> str:
    return row.prompt[-1]["content"]


def is_near(count: int, share: float, total: int) -> bool:
    """Within four standard deviations of a binomial distribution; the draws are fixed, so it cannot fail by chance."""
    return abs(count - share * total) < 4 * sqrt(share * (1 - share) * total)


@given(records(), SETTINGS, st.data())
def test_dropping_a_record_changes_no_row_of_another(
    found: list[Record], settings: Diversification, data: st.DataObject
) -> None:
    dropped = data.draw(st.sampled_from(found))
    rows = list(diversify(found, settings))
    own = list(diversify([dropped], settings))
    rest = list(diversify([record for record in found if record is not dropped], settings))
    assert [row for row in rows if row not in own] == rest
    assert len(rows) == len(own) + len(rest)


@given(records(), SETTINGS)
def test_the_rows_of_a_record_follow_from_what_it_has(found: list[Record], settings: Diversification) -> None:
    for record in found:
        rows = list(diversify([record], settings))
        kinds = [row.kind for row in rows]
        has_pair = record.chosen is not None and record.rejected is not None
        can_more = settings.iterative and (record.golden_response is not None or has_pair)
        assert kinds.count("rewriting") == (record.chosen is not None)
        assert kinds.count("answering") + kinds.count("discrimination") == can_more
        assert all((row.kind != "answering" or record.golden_response is not None) for row in rows)
        assert all((row.kind != "discrimination" or has_pair) for row in rows)
        assert len({row.id for row in rows}) == len(rows)


@given(records(), SETTINGS)
def test_nothing_of_a_users_text_is_interpreted(found: list[Record], settings: Diversification) -> None:
    for record in found:
        for row in diversify([record], settings):
            assert record.instruction in asked(row)
            assert record.context is None or record.context in asked(row)
            if row.kind == "rewriting":
                assert (row.chosen, row.rejected) == (record.chosen, record.rejected)
                assert asked(row).startswith(f"Naive prompt:\n{record.instruction}\n\n")
            if "multi-choice" in row.type:
                responses = [record.silver_response, record.golden_response]
                orders = [f"Options:\nA. {first}\nB. {second}" for first, second in (responses, responses[::-1])]
                assert any(order in asked(row) for order in orders)


@given(records(), SETTINGS)
def test_a_row_survives_its_file(found: list[Record], settings: Diversification) -> None:
    for row in diversify(found, settings):
        assert parse_training_row(json.loads(json.dumps(row.to_fields()))) == row


def test_the_eight_types_come_evenly() -> None:
    total = 8000
    types = Counter(row.type for row in diversify(full(number) for number in range(total)))
    assert set(types) == TYPES
    assert {name: count for name, count in types.items() if not is_near(count, 1 / 8, total)} == {}


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"silver_response": None}, {"no responses, generation", "golden, generation"}),
        ({"golden_response": None}, {"no responses, generation", "silver, generation"}),
        ({"silver_response": None, "golden_response": None}, {"no responses, generation"}),
        (
            {"silver_response": "Yes.", "golden_response": "Yes."},
            {f"{given}, generation" for given in ("no responses", "silver", "golden", "silver+golden")},
        ),
    ],
)
def test_types_a_record_has_no_responses_for_are_left_out_and_the_others_are_even(
    parts: dict[str, str | None], expected: set[str]
) -> None:
    total = 2000
    types = Counter(row.type for row in diversify(full(number, **parts) for number in range(total)))
    assert set(types) == expected
    assert all(is_near(count, 1 / len(expected), total) for count in types.values() if len(expected) > 1)


def test_a_type_shows_what_it_says() -> None:
    seen = set()
    for number in range(200):
        row = only(full(number))
        given, _, form = row.type.partition(", ")
        seen.add(row.type)
        assert (SILVER_HEADING in asked(row)) == ("silver" in given)
        assert (GOLDEN_HEADING in asked(row)) == ("golden" in given)
        assert ("Options:" in asked(row)) == (form == "multi-choice")
        if form == "generation":
            assert ("Rain is wet." in asked(row)) == ("silver" in given)
            assert ("Rain is water that falls from clouds." in asked(row)) == ("golden" in given)
    assert seen == TYPES


@pytest.mark.parametrize("context", [None, "It rains in Bergen."])
def test_options_follow_the_context_and_labels_name_them_but_for_the_flips(context: str | None) -> None:
    orders: Counter[bool] = Counter()
    flips: Counter[bool] = Counter()
    for number in range(8000):
        record = full(number, context=context)
        row = only(record)
        if row.type != "silver+golden, multi-choice":
            continue
        first, second = record.silver_response, record.golden_response
        is_silver_first = f"A. {first}" in asked(row)
        orders[is_silver_first] += 1
        options = f"A. {first}\nB. {second}" if is_silver_first else f"A. {second}\nB. {first}"
        golden = "B" if is_silver_first else "A"
        silver = asked(row).split(SILVER_HEADING)[1].split()[0]
        flips[silver == golden] += 1
        expected = OptimizationRequest(
            record.instruction,
            context=f"{context}\n\nOptions:\n{options}" if context else f"Options:\n{options}",
            silver_response=silver,
            golden_response=golden,
            max_words=60,
        )
        assert silver in ("A", "B")
        assert row.prompt == FIPO_1.render(expected)
    assert is_near(orders[True], 0.5, orders.total())
    assert is_near(flips[True], 0.2, flips.total())
    assert flips.total() > 900


@pytest.mark.parametrize(
    ("parts", "expected"), [("none", "no responses, generation"), ("all", "silver+golden, generation")]
)
def test_parts_may_be_none_or_all_for_every_row(parts: Parts, expected: str) -> None:
    rows = list(diversify((full(number) for number in range(50)), Diversification(parts=parts)))
    assert {row.type for row in rows} == {expected}
    request = OptimizationRequest("Tell me about rain.", max_words=60)
    if parts == "all":
        request = OptimizationRequest(
            "Tell me about rain.",
            silver_response="Rain is wet.",
            golden_response="Rain is water that falls from clouds.",
            max_words=60,
        )
    assert all(row.prompt == FIPO_1.render(request) for row in rows)


def test_parts_must_be_known() -> None:
    with pytest.raises(InputError, match="parts must be"):
        Diversification(parts="some")  # type: ignore[arg-type]


def test_the_seed_decides_and_the_same_seed_decides_the_same() -> None:
    found = [full(number) for number in range(50)]
    first = list(diversify(found, Diversification(seed=1)))
    assert list(diversify(reversed(found), Diversification(seed=1))) == first[::-1]
    assert [row.type for row in diversify(found, Diversification(seed=2))] != [row.type for row in first]


def test_iterative_rows_change_no_rewriting_row() -> None:
    found = [full(number) for number in range(50)]
    both = [row for row in diversify(found, Diversification(iterative=True)) if row.kind == "rewriting"]
    assert both == list(diversify(found))


@given(st.integers(1, 400), st.integers(1, 2000))
def test_the_word_limit_is_a_rung_that_the_chosen_rewrite_keeps_and_no_higher_than_needed(
    naive_words: int, chosen_words: int
) -> None:
    row = only(full(instruction="naive " * naive_words, chosen="better " * chosen_words))
    limit = int(asked(row).rsplit("at most ", 1)[1].split()[0])
    rungs = [60 * 2**step for step in range(10)]
    assert limit in rungs
    assert limit >= count_words(row.chosen)
    assert limit // 2 < max(2 * naive_words, chosen_words, 60)


def test_answering_and_discrimination_share_the_records_evenly() -> None:
    total = 4000
    rows = list(diversify((full(number) for number in range(total)), Diversification(iterative=True)))
    kinds = Counter(row.kind for row in rows)
    assert kinds["rewriting"] == kinds["answering"] + kinds["discrimination"] == total
    assert is_near(kinds["answering"], 0.5, total)
    choices = Counter(row.chosen for row in rows if row.kind == "discrimination")
    assert set(choices) == {"A", "B"}
    assert is_near(choices["A"], 0.5, kinds["discrimination"])


def test_answering_rows_answer_the_naive_prompt_and_discrimination_rows_choose_the_better_rewrite() -> None:
    found = [full(number, context="It rains in Bergen.") for number in range(40)]
    extra = [row for row in diversify(found, Diversification(iterative=True)) if row.kind != "rewriting"]
    request = OptimizationRequest(
        "Tell me about rain.",
        context="It rains in Bergen.",
        silver_response="Rain is wet.",
        golden_response="Rain is water that falls from clouds.",
    )
    chosen, rejected = found[0].chosen or "", found[0].rejected or ""
    assert {row.kind for row in extra} == {"answering", "discrimination"}
    for row in extra:
        if row.kind == "answering":
            assert row.prompt == [{"role": "user", "content": "Tell me about rain.\n\nIt rains in Bergen."}]
            assert (row.chosen, row.rejected) == ("Rain is water that falls from clouds.", "Rain is wet.")
        else:
            pair = (chosen, rejected) if row.chosen == "A" else (rejected, chosen)
            assert row.prompt == FIPO_1.render_comparison(request, *pair)
            assert {row.chosen, row.rejected} == {"A", "B"}


def test_with_parts_none_the_discriminator_sees_no_responses() -> None:
    found = [full(number) for number in range(20)]
    rows = diversify(found, Diversification(parts="none", iterative=True))
    compared = [asked(row) for row in rows if row.kind == "discrimination"]
    assert compared
    assert all("Prompt A:" in text and "Rain is wet." not in text and "clouds" not in text for text in compared)


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"golden_response": None}, "discrimination"),
        ({"rejected": None}, "answering"),
        ({"chosen": None, "rejected": None}, "answering"),
    ],
)
def test_a_record_that_has_not_enough_for_one_kind_becomes_the_other(parts: dict[str, str | None], kind: str) -> None:
    found = [full(number, **parts) for number in range(20)]
    extra = [row for row in diversify(found, Diversification(iterative=True)) if row.kind != "rewriting"]
    assert [row.kind for row in extra] == [kind] * 20


def test_an_answer_that_was_right_at_once_has_nothing_to_turn_away_from() -> None:
    record = full(silver_response="Wet.", golden_response="Wet.", rejected=None)
    [_, row] = diversify([record], Diversification(iterative=True))
    assert (row.kind, row.chosen, row.rejected) == ("answering", "Wet.", None)


def test_records_are_taken_one_at_a_time() -> None:
    taken = []

    def source():
        for number in range(5):
            taken.append(number)
            yield full(number)

    rows = diversify(source())
    assert next(rows).id == "r0"
    assert taken == [0]


ROW = only(full()).to_fields()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 5}, "id must be"),
        ({"type": None}, "type must be"),
        ({"chosen": ""}, "chosen must be"),
        ({"rejected": 1}, "rejected must be"),
        ({"kind": "judging"}, "kind must be one of rewriting"),
        ({"prompt": "Tell me about rain."}, "prompt must be"),
        ({"prompt": []}, "prompt must be"),
        ({"prompt": [{"role": "user"}]}, "prompt must be"),
        ({"prompt": ["Tell me about rain."]}, "prompt must be"),
    ],
)
def test_a_training_row_that_is_none_says_why(change: dict[str, object], words: str) -> None:
    assert parse_training_row(ROW).id == "r0"
    with pytest.raises(InputError, match=words):
        parse_training_row(ROW | change)
