"""The rows that `make weights` trains on can be made. Training itself takes hours; `make weights ROWS=8` tries it."""

import json
from pathlib import Path

import pytest

from fipo_model.data.tasks import Task, part_of
from fipo_model.data.tasks.making import make_tasks
from support.examples import EXAMPLES, example
from support.files import SHARED_DATA

pytestmark = [pytest.mark.shared, pytest.mark.tiny]


@pytest.fixture(autouse=True)
def examples_on_the_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))  # they import each other, as they do when they are run


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    """Every fourth task of the training families that are made by rule: enough for rows of each kind."""
    return [task for task in make_tasks(examples=12) if part_of(task) == "train"][::4]


def test_the_stages_of_the_rewriter_have_rows(tasks: list[Task]):
    weights = example("rewriter_weights")
    stages = {
        "first": weights.first_rows(tasks, SHARED_DATA),
        "further": weights.further_rows(tasks, SHARED_DATA),
        "more careful": [row for row in weights.careful(2) if row],  # the careful stage has rows of the same kinds
        "final": weights.final_rows(),
        "single": weights.single_rows(tasks, SHARED_DATA),
    }
    # Far fewer than these would mean that the contract refuses what the rewriter is to learn.
    fewest = {"first": 350, "further": 750, "more careful": 650, "final": 350, "single": 1800}
    assert {name: len(rows) for name, rows in stages.items() if len(rows) < fewest[name]} == {}
    for rows in stages.values():
        assert all(row["chosen"] and row["prompt"] for row in rows)
        assert len({row["chosen"] for row in rows}) > 20


def test_the_larger_rewriter_has_rows_to_leave_alone():
    weights = example("larger_rewriter_weights")  # its other rows are those of the careful stages above
    assert len(weights.left_alone()) > weights.LEFT_ALONE
    shown = [weights.what_is_shown(row) for row in weights.written("task_additions.jsonl") if row["kind"] == "task"]
    assert shown.count("alone") > weights.ALONE
    assert shown.count("inputs") > weights.WITH_INPUTS
    assert shown.count("outputs") > weights.WITH_OUTPUTS


def test_both_stages_of_the_small_weights_have_rows(tmp_path: Path):
    weights = example("small_weights")
    assert len(weights.reference_pairs(SHARED_DATA)) > 800
    golden = weights.golden_prompts(SHARED_DATA)
    assert len(golden) > 600
    ranked = tmp_path / "ranked.jsonl"
    said_again = [{**row, "ranked": [{"text": f"{row['instruction']} Again.", "gain": 0.02}]} for row in golden[:2]]
    left_alone = [{**row, "ranked": [{"text": "Something else.", "gain": -0.1}]} for row in golden[2:3]]
    ranked.write_text("".join(json.dumps(row) + "\n" for row in said_again + left_alone), encoding="utf-8")
    assert len(weights.decisions(ranked)) == 3
