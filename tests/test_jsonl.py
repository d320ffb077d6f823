"""The end of a file of JSON lines: what a killed writer left there, and what somebody wrote."""

import json
from typing import Any

import pytest

from fipo_model.errors import InputError
from fipo_model.json_values import are_same, is_json, parse_json
from fipo_model.jsonl import encode_object, is_part, parse_object

BEGIN = b'{"key": '
ROW: dict[str, Any] = {
    "key": "a",
    "text": 'Say "hi"\n\u0001\\ – {größe} 😀 [1, "b"',
    "keep": ["}", "]", 'a"b'],
    "numbers": [1.5e-07, -3, 1e22, float("nan"), float("-inf")],
    "nested": {"": [], "yes": True, "no": False, "none": None, "deep": {"x": [{}]}},
}


def test_every_beginning_of_a_row_is_what_a_killed_writer_leaves():
    line = encode_object(ROW).rstrip(b"\n")
    assert [end for end in range(1, len(line)) if not is_part(line[:end], BEGIN)] == []
    assert is_part(line[:-9] + b"\0" * 30, BEGIN)  # and a machine that lost its power
    assert not is_part(line, BEGIN)
    assert not is_part(b"", BEGIN)


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "a", "state": "approved" "why": "x"}',
        '{"key": "a", "state": approved}',
        '{"key": "a", "state": "approved",}',
        '{"key": "a", "state": "approved"}}',
        '{"key": "a", "text": "Say "hi".", "state": "approved"',
        '{"key": "a", "text": "a\tb", "state": "app',
        '{"key": "a", "text": "a\\x", "state": "app',
        '{"key": \'a\', "state"',
        '{"key": "a", "keep": ["b"}',
        '{"key": "a"; "b',
        '{"kez": "a", "b',
        json.dumps({"key": "a"}) + " x",
    ],
)
def test_a_row_with_a_mistake_in_its_middle_is_not(line: str):
    assert not is_part(line.encode(), BEGIN)


def test_nor_is_one_in_another_encoding():
    assert not is_part('{"key": "größe", "b": "c'.encode("latin-1"), BEGIN)


@pytest.mark.parametrize("text", ["[" * 1000, "[" * 300 + "]" * 300, '{"a": ' * 100_000, '{"a": [' * 150 + "]}" * 150])
def test_what_is_nested_too_deeply_to_be_worked_on_is_no_json(text):
    assert not is_json(text)
    with pytest.raises(ValueError, match=r"nested|Expecting"):
        parse_json(text)
    with pytest.raises(InputError, match="not JSON"):
        parse_object(b'{"a": %b}' % text.encode())


def test_many_brackets_beside_each_other_are_json():
    wide = json.dumps([{"a": [number]} for number in range(1000)])
    assert is_json(wide)
    assert parse_json(wide) == json.loads(wide)
    assert parse_json('["a\tb"]', strict=False) == ["a\tb"]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ({"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}, True),
        ([True], [1], False),
        ([None], [False], False),
        ([1, 2], [2, 1], False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, [1], False),
        ("1", 1, False),
        ("A", "a", False),
    ],
)
def test_values_are_the_same_if_json_has_them_so(one, other, is_same):
    assert (are_same(one, other), are_same(other, one)) == (is_same, is_same)


def test_texts_are_compared_as_whoever_asks_wants_them_to_be():
    assert are_same({"a": ["B", 1]}, {"a": ["b", 1.0]}, texts=lambda one, other: one.lower() == other.lower())
    assert not are_same("1", 1, texts=lambda one, other: True)
