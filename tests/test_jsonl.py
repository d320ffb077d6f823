"""The end of a file of JSON lines: what a killed writer left there, and what somebody wrote."""

import json
from typing import Any

import pytest

from fipo_model.jsonl import encode_object, is_part

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
