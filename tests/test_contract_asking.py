"""Requests are told from statements by their form."""

import json
from pathlib import Path

import pytest

from fipo_model.contract.asking import asks

_PAIRS = Path(__file__).parents[2] / "shared" / "data" / "prompt_pairs"


@pytest.mark.parametrize(
    "text",
    [
        "Name three rivers.",
        "What is a river",
        "Is the Nile long?",
        "You are a geographer. Three rivers are wanted.",
        "Given a map, list its rivers.",
        "Rivers: describe them",
        "- Summarize the text",
        "1. Find the river",
        "I want to know more about rivers.",
        "The answer should be short.",
        "Look at the map; then name its rivers",
        "Only ever answer from the atlas.",
        "Then simply name a river.",
    ],
)
def test_a_request_asks(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "The Nile is the longest river.",
        "Rivers are bodies of water that flow to the sea and present many sights.",
        "1. 2.\nA team that delivers exceptional results.",
        "The three longest rivers are: 1. The Nile, 2. The Amazon, and 3. The Yangtze.",
        "Die Donau ist ein Fluss.",
        "It only ever rains in May.",
        "",
    ],
)
def test_a_statement_does_not_ask(text: str) -> None:
    assert not asks(text)


@pytest.mark.shared
def test_better_versions_of_public_prompts_still_ask() -> None:
    files = [_PAIRS / f"{name}.jsonl" for name in ("bpo", "train")]
    rows = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    asking = [row for row in rows if asks(row["instruction"])]
    silent = [row for row in asking if not asks(row["optimized"])]
    assert len(asking) > 0.95 * len(rows)
    assert len(silent) < 0.005 * len(asking)
