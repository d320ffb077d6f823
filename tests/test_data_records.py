"""Records: three formats from files and from data sets, and what is said about rows that cannot be used."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fipo_model.data import Record, open_records, parse_record, read_hub_records, read_records
from fipo_model.data.records import PARTS, Format, parse_records
from fipo_model.errors import InputError, MissingExtraError
from fipo_model.jsonl import BadRow, encode_object, parse_object
from support.files import SHARED_DATA, write

ROWS: dict[Format, dict[str, Any]] = {
    "own": {
        "id": "r1",
        "source": "made up",
        "instruction": "Tell me about rain.",
        "context": "It rains in Bergen.",
        "silver_response": "Rain is wet.",
        "golden_response": "Rain is water that falls from clouds.",
        "chosen": "Explain how rain forms, in three steps.",
        "rejected": "Say more about rain.",
    },
    "pop": {
        "id": 7,
        "raw_prompt": "Tell me about rain.",
        "text003_response_based_raw": "Rain is wet.",
        "gpt4_response_based_raw": "Rain is water that falls from clouds.",
        "gpt4_optimized_prompt": "Explain how rain forms, in three steps.",
        "chatgpt_optimized_prompt": "Say more about rain.",
    },
    "bpo": {
        "prompt": "Tell me about rain.",
        "bad_res": "Rain is wet.",
        "good_res": "Rain is water that falls from clouds.",
        "optimized_prompt": "Explain how rain forms, in three steps.",
    },
}
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


def usable(items: Iterator[Record | BadRow]) -> list[Record]:
    found = list(items)
    assert [str(item) for item in found if isinstance(item, BadRow)] == []
    return [item for item in found if isinstance(item, Record)]


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("is_named", [True, False])
def test_every_format_gives_the_same_parts_named_or_recognised(tmp_path: Path, name: Format, is_named: bool) -> None:
    [record] = usable(read_records(write(tmp_path / "in", ROWS[name]), format=name if is_named else None))
    assert record.instruction == "Tell me about rain."
    assert record.silver_response == "Rain is wet."
    assert record.golden_response == "Rain is water that falls from clouds."
    assert record.chosen == "Explain how rain forms, in three steps."
    assert record.rejected == (None if name == "bpo" else "Say more about rain.")
    assert record.context == ("It rains in Bergen." if name == "own" else None)
    assert record.source == {"own": "made up", "pop": "pop", "bpo": "bpo"}[name]


def test_a_file_may_mix_formats(tmp_path: Path) -> None:
    records = usable(read_records(write(tmp_path / "in", *ROWS.values())))
    assert [record.source for record in records] == ["made up", "pop", "bpo"]


def test_optimized_is_understood_as_chosen_where_there_is_no_chosen() -> None:
    row = {"instruction": "Rain?", "optimized": "Explain rain."}
    assert parse_record(row).chosen == "Explain rain."
    assert parse_record(row | {"chosen": ""}).chosen == "Explain rain."
    assert parse_record(row | {"chosen": "Explain rain well."}).chosen == "Explain rain well."


def test_empty_texts_and_nulls_are_parts_that_are_not_there() -> None:
    nothing = {"context": "", "silver_response": " \n", "golden_response": None, "chosen": "", "rejected": "", "id": ""}
    record = parse_record({"instruction": "Rain?"} | nothing)
    assert all(getattr(record, part) is None for part in PARTS[1:])
    assert list(record.to_fields()) == ["id", "instruction"]


def test_a_row_keeps_its_id_and_one_without_gets_one_that_other_rows_do_not_change(tmp_path: Path) -> None:
    bare = [{"instruction": f"Explain topic {number}."} for number in range(3)]
    before = usable(read_records(write(tmp_path / "in", *bare, ROWS["own"], ROWS["pop"])))
    after = usable(read_records(write(tmp_path / "in", *bare[1:], ROWS["own"], ROWS["pop"])))
    assert before[1:] == after
    assert [record.id for record in before[3:]] == ["r1", "7"]
    assert len({record.id for record in before}) == 5


@given(st.fixed_dictionaries({"instruction": TEXTS}, optional={part: TEXTS for part in (*PARTS[1:], "source", "id")}))
def test_what_is_written_is_what_is_read(parts: dict[str, str]) -> None:
    if "chosen" in parts and parts["chosen"].strip() == parts.get("rejected", "").strip():
        del parts["rejected"]
    record = Record(**{"id": "1", **parts})
    line = encode_object(record.to_fields())
    assert line.count(b"\n") == 1
    assert parse_record(parse_object(line)) == record


BAD_LINES = [
    (b"not json", "not JSON"),
    (b'{"instruction": "caf\xe9"}', "UTF-8"),
    (b"[1]", "object"),
    (b"{}", "found none"),
    (b'{"id": "b", "text": "x", "label": 1}', "found 'id', 'text', 'label'"),
    (b'{"instruction": " "}', "instruction is empty"),
    (b'{"instruction": null}', "instruction is empty"),
    (b'{"instruction": 5}', "instruction must be text, not int"),
    (b'{"instruction": "Rain?", "golden_response": ["wet"]}', "golden_response must be text, not list"),
    (b'{"instruction": "Rain \\ud800?"}', "not valid UTF-8"),
    (b'{"instruction": "Rain?", "id": [1]}', "the id must be"),
    (b'{"instruction": "Rain?", "id": true}', "the id must be"),
    (b'{"instruction": "Rain?", "chosen": "Explain rain.", "rejected": " Explain rain.\\n"}', "are equal"),
    (b'{"raw_prompt": "", "gpt4_optimized_prompt": "a", "chatgpt_optimized_prompt": "b"}', "raw_prompt is empty"),
    (b'{"raw_prompt": "Rain?", "gpt4_optimized_prompt": "a"}', "chatgpt_optimized_prompt"),
]


def test_lines_that_cannot_be_used_are_named_with_number_and_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = encode_object(ROWS["own"]).strip()
    items = list(read_records(write(tmp_path / "in", good, b"", *(line for line, _ in BAD_LINES), good)))
    assert [isinstance(item, Record) for item in items] == [True, *(False for _ in BAD_LINES), True]
    for number, item, (_, words) in zip(range(3, 100), items[1:-1], BAD_LINES, strict=False):
        assert isinstance(item, BadRow)
        assert item.line == number
        assert words in item.reason


def test_a_data_set_without_the_needed_fields_says_which_are_needed_and_what_it_found(tmp_path: Path) -> None:
    path = write(tmp_path / "in", {"question": "Rain?", "answer": "Wet."}, {"question": "Snow?", "answer": "Cold."})
    with pytest.raises(InputError) as caught:
        list(read_records(path))
    message = str(caught.value)
    needed = (
        *("own needs instruction;", "pop needs raw_prompt, gpt4_optimized_prompt, chatgpt_optimized_prompt;"),
        "bpo needs prompt, optimized_prompt",
    )
    for words in (str(path), "line 1", *needed, "found 'question', 'answer'"):
        assert words in message
    with pytest.raises(InputError, match=r"\(bpo needs prompt, optimized_prompt\); found 'question', 'answer'"):
        list(read_records(path, format="bpo"))


def test_a_named_format_is_not_replaced_by_one_that_would_fit(tmp_path: Path) -> None:
    items = list(read_records(write(tmp_path / "in", ROWS["own"], ROWS["pop"]), format="pop"))
    assert [type(item) for item in items] == [BadRow, Record]
    with pytest.raises(InputError, match="there is no format 'alpaca', only own, pop, bpo"):
        parse_record(ROWS["own"], format="alpaca")  # type: ignore[arg-type]


def test_found_fields_are_shortened_and_escaped() -> None:
    with pytest.raises(InputError) as caught:
        parse_record({"\x1b[31m" + "x" * 500: 1} | {f"field {number}": 1 for number in range(99)})
    assert "and 88 more" in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_and_a_missing_one_are_clear(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"holds no usable record$"):
        list(read_records(write(tmp_path / "in", content)))
    with pytest.raises(InputError, match=r"cannot read .*absent"):
        list(read_records(tmp_path / "absent"))


def test_rows_are_read_one_at_a_time() -> None:
    read = []

    def rows() -> Iterator[tuple[int, dict[str, Any]]]:
        for number in range(1, 4):
            read.append(number)
            yield number, {"id": number, "instruction": "Rain?"}

    first = next(parse_records(rows(), origin="here"))
    assert isinstance(first, Record)
    assert (first.id, read) == ("1", [1])


@pytest.mark.parametrize("part", ["id", *PARTS, "source"])
def test_a_record_has_no_empty_parts(part: str) -> None:
    with pytest.raises(InputError, match=f"{part} is empty"):
        Record(**{"id": "1", "instruction": "Rain?", part: " "})


def test_a_record_has_a_preference_or_none() -> None:
    with pytest.raises(InputError, match="are equal"):
        Record(id="1", instruction="Rain?", chosen="Explain rain.", rejected="Explain rain. ")


def test_a_directory_is_read_as_a_data_set_split_by_split(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS["pop"], ROWS["pop"] | {"id": 8, "raw_prompt": None})
    write(tmp_path / "test.jsonl", ROWS["pop"] | {"id": 9})
    first, second = open_records(tmp_path)
    assert isinstance(first, Record)
    assert (first.id, first.source, first.instruction) == ("7", "pop", "Tell me about rain.")
    assert str(second) == "line 2: the raw_prompt is empty"
    assert [record.id for record in usable(open_records(tmp_path, split="test"))] == ["9"]
    with pytest.raises(InputError, match=r"the split dev of the data set .* cannot be read"):
        list(read_hub_records(str(tmp_path), "dev"))


def test_a_file_is_read_as_a_file_though_the_hub_may_have_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("squad"), ROWS["own"])
    assert [record.id for record in usable(open_records("squad"))] == ["r1"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """Data sets by name and split, in the place of those on the hub; only `load_dataset` is replaced."""
    import datasets.load

    held: dict[str, list[dict[str, Any]]] = {}

    def load_dataset(name: str, *, split: str, streaming: bool) -> Iterator[dict[str, Any]]:
        assert streaming
        if f"{name} {split}" not in held:
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub")
        for row in held[f"{name} {split}"]:
            if "broken" in row:
                raise TimeoutError("the connection was lost")
            yield row

    monkeypatch.setattr(datasets.load, "load_dataset", load_dataset)
    return held


def test_a_name_that_is_no_file_is_a_data_set_on_the_hub(hub: dict[str, list[dict[str, Any]]]) -> None:
    hub["somebody/pairs train"] = [ROWS["bpo"], {"prompt": "Rain?", "optimized_prompt": 5}]
    hub["somebody/pairs test"] = [ROWS["pop"]]
    first, second = open_records("somebody/pairs")
    assert isinstance(first, Record)
    assert first.source == "bpo"
    assert str(second) == "line 2: optimized_prompt must be text, not int"
    assert [record.id for record in usable(read_hub_records("somebody/pairs", "test", format="pop"))] == ["7"]


def test_what_is_neither_a_file_nor_on_the_hub_says_that_both_were_tried(hub: dict[str, list[dict[str, Any]]]) -> None:
    with pytest.raises(InputError, match=r"no file somebody/pears, and .*data set somebody/pears cannot be .*reach"):
        list(open_records("somebody/pears"))


@pytest.mark.parametrize("source", ["/data/pairs", "data/more/pairs", "data/trian.jsonl", "trian.json", "../x"])
def test_what_can_only_be_a_path_is_not_looked_up_on_the_hub(
    hub: dict[str, list[dict[str, Any]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    hub[f"{source} train"] = [ROWS["own"]]
    with pytest.raises(InputError, match="no file"):
        list(open_records(source))


def test_a_connection_lost_midway_is_an_error_and_not_the_end(hub: dict[str, list[dict[str, Any]]]) -> None:
    hub["pairs train"] = [ROWS["own"], {"broken": True}]
    records = read_hub_records("pairs")
    assert isinstance(next(records), Record)
    with pytest.raises(InputError, match=r"^the split train of .*: TimeoutError: the connection was lost"):
        next(records)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(MissingExtraError, match=r"'datasets'.*pip install '\.\[train\]'"):
        next(read_hub_records("somebody/pairs"))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "count", "parts"),
    [
        ("prompt_pairs/train.jsonl", 2299, {"chosen": 2299}),
        ("prompt_pairs/bpo.jsonl", 300, {"chosen": 300, "silver_response": 298, "golden_response": 300}),
        ("instructions/with_golden_response.jsonl", 463, {"golden_response": 463}),
        ("instructions/more_with_golden_response.jsonl", 4555, {"golden_response": 4555}),
    ],
)
def test_every_row_of_the_shared_data_is_a_record(file: str, count: int, parts: dict[str, int]) -> None:
    records = usable(read_records(SHARED_DATA / file))
    lines = (SHARED_DATA / file).read_text(encoding="utf-8").splitlines()
    assert len(records) == count == len({record.id for record in records})
    assert json.loads(lines[-1])["instruction"] == records[-1].instruction
    have = {part: sum(getattr(record, part) is not None for record in records) for part in PARTS}
    assert {part: have[part] for part in PARTS[2:] if have[part]} == parts
