"""Statistics of files of records and of training rows."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fipo_model.data import Diversification, Record, diversify, file_stats
from fipo_model.data.stats import Lengths, _LengthTally
from fipo_model.errors import InputError
from fipo_model.jsonl import BadRow
from support.files import SHARED_DATA, write


def lengths(*counts: int) -> Lengths:
    tally = _LengthTally()
    for count in counts:
        tally.add(count)
    return tally.result()


def test_records_are_counted_by_source_and_part(tmp_path: Path) -> None:
    path = write(
        tmp_path / "in",
        {"instruction": "Tell me about rain.", "source": "a", "chosen": "Explain rain.", "context": ""},
        {"instruction": "Snow?", "source": "a"},
        {"prompt": "Fog?", "optimized_prompt": "Explain fog in two steps.", "good_res": "Fog is a cloud."},
        {"instruction": "雪は何ですか", "golden_response": "Water."},
    )
    found = file_stats(path)
    assert (found.records, found.training_rows, found.bad_lines) == (4, 0, 0)
    assert found.sources == {"a": 2, "bpo": 1, "": 1}
    assert (found.kinds, found.types, found.bad_reasons, found.first_bad) == ({}, {}, {}, ())
    assert {part: (of.count, of.mean, of.max) for part, of in found.parts.items()} == {
        "instruction": (4, 3, 6),
        "chosen": (2, 3.5, 5),
        "golden_response": (2, 2.5, 4),
    }


def test_training_rows_are_counted_by_kind_and_type(tmp_path: Path) -> None:
    records = [
        Record(id=str(number), instruction="Rain?", chosen="Explain rain.", rejected="Rain!", golden_response="Wet.")
        for number in range(40)
    ]
    rows = list(diversify(records, Diversification(iterative=True)))
    found = file_stats(write(tmp_path / "in", *(row.to_fields() for row in rows)))
    assert (found.records, found.training_rows, found.bad_lines) == (0, 80, 0)
    assert found.kinds["rewriting"] == 40
    assert set(found.kinds) == {"rewriting", "answering", "discrimination"}
    assert found.types == {kind: sum(row.type == kind for row in rows) for kind in {row.type for row in rows}}
    assert sum(found.types.values()) == sum(found.kinds.values()) == 80
    assert found.parts["chosen"].count == 80
    assert found.parts["rejected"].count == sum(row.rejected is not None for row in rows) < 80
    whole = ["\n".join(message["content"] for message in row.prompt).split() for row in rows]
    assert found.parts["prompt"].mean == pytest.approx(sum(map(len, whole)) / 80)


def test_bad_lines_are_counted_by_reason_and_the_first_are_named(tmp_path: Path) -> None:
    broken = [b'{"id": %d' % number for number in range(10)]
    path = write(tmp_path / "in", {"instruction": "Rain?"}, b"", *broken, b"[]", {"kind": "x", "prompt": [], "id": "1"})
    found = file_stats(path)
    assert (found.records, found.training_rows, found.bad_lines) == (1, 0, 12)
    assert [row.line for row in found.first_bad] == [3, 4, 5, 6, 7]
    assert all("not JSON" in row.reason for row in found.first_bad)
    assert sorted(found.bad_reasons.values()) == [1, 1, 10]
    assert any(reason.startswith("not a JSON object but an array") for reason in found.bad_reasons)
    assert next(iter(found.bad_reasons)).startswith("not JSON: ")


def test_a_named_format_is_the_one_that_counts(tmp_path: Path) -> None:
    row = {"prompt": "Rain?", "optimized_prompt": "Explain rain."}
    path = write(tmp_path / "in", row, {"instruction": "Snow?"})
    found = file_stats(path, format="bpo")
    assert (found.records, found.bad_lines) == (1, 1)
    assert found.first_bad[0].line == 2
    assert "bpo needs prompt, optimized_prompt" in found.first_bad[0].reason
    training_row = {"id": "1", "kind": "answering", "type": "t", "prompt": [{"role": "user", "content": "Rain?"}]}
    path = write(tmp_path / "rows", training_row | {"chosen": "Wet."})
    assert file_stats(path).training_rows == 1
    assert (file_stats(path, format="own").training_rows, file_stats(path, format="own").bad_lines) == (0, 1)


def test_names_without_end_are_counted_together(tmp_path: Path) -> None:
    rows = [{"instruction": "Rain?", "source": f"source {number}" + "x" * 9999} for number in range(150)]
    unknown = [{f"field {number}x": 1} for number in range(150)]
    found = file_stats(write(tmp_path / "in", *rows, rows[0], *unknown))
    assert found.sources["(others)"] == 50
    assert found.sources["source 0" + "x" * 492] == 2
    assert len(found.sources) == len(found.bad_reasons) == 101
    assert sum(found.sources.values()) == 151
    assert sum(found.bad_reasons.values()) == found.bad_lines == 150


def test_an_empty_file_holds_nothing_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    found = file_stats(write(tmp_path / "in"))
    assert (found.records, found.training_rows, found.bad_lines, found.parts) == (0, 0, 0, {})
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        file_stats(tmp_path / "absent")


def test_a_file_without_a_usable_line_is_described_too(tmp_path: Path) -> None:
    found = file_stats(write(tmp_path / "in", b"x"))
    assert found.bad_lines == 1
    assert isinstance(found.first_bad[0], BadRow)


def test_quantiles_of_short_texts_are_exact() -> None:
    assert lengths(*range(1, 201)) == Lengths(count=200, mean=100.5, median=100, p90=180, p99=198, max=200)
    assert lengths(7) == Lengths(count=1, mean=7, median=7, p90=7, p99=7, max=7)


@given(st.lists(st.integers(0, 10**6), min_size=1))
def test_quantiles_of_long_texts_are_rounded_down_by_less_than_one_percent(counts: list[int]) -> None:
    found = lengths(*counts)
    in_order = sorted(counts)
    for share, rounded in ((50, found.median), (90, found.p90), (99, found.p99)):
        exact = in_order[-(-len(counts) * share // 100) - 1]
        assert 0.99 * exact < rounded <= exact or exact == rounded == 0
    assert found.max == in_order[-1]
    assert found.mean == pytest.approx(sum(counts) / len(counts))


def test_the_histogram_has_a_bounded_size() -> None:
    tally = _LengthTally()
    for count in range(100_000):
        tally.add(count)
    assert len(tally.buckets) < 256 + 9 * 128


@pytest.mark.shared
def test_the_shared_pairs_are_described() -> None:
    path = SHARED_DATA / "prompt_pairs" / "train.jsonl"
    found = file_stats(path)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert (found.records, found.bad_lines) == (2299, 0)
    assert found.sources == {name: sum(row["source"] == name for row in rows) for name in {r["source"] for r in rows}}
    assert found.parts["context"].count == sum(bool(row["context"].strip()) for row in rows)
    assert set(found.parts) == {"instruction", "context", "chosen"}


@pytest.mark.shared
def test_shared_data_of_another_kind_is_described_by_what_is_missing() -> None:
    found = file_stats(SHARED_DATA / "benchmarks" / "gsm8k.jsonl")
    assert (found.records, found.bad_lines) == (0, 668)
    [reason] = found.bad_reasons
    assert reason.endswith("found 'id', 'question', 'answer', 'rationale'")
