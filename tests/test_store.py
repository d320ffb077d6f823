"""RewriteStore: rewrites in a file that people read and edit, and that processes share."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fipo_model import OptimizationRequest, PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

ASKED = OptimizationRequest("Explain tides.", context="To a child.")
OTHER = OptimizationRequest("Explain rain.")


@pytest.fixture
def optimizer() -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(lambda conversation: f"{naive_in(conversation)} Be brief."))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prompts" / "rewrites.jsonl"


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def test_what_one_process_found_the_next_one_has_without_a_model(path: Path, optimizer: PromptOptimizer):
    (found,) = RewriteStore(path).optimized([ASKED], optimizer.optimize_each)
    assert (found.text, found.outcome) == ("Explain tides. Be brief.", "optimized")
    later = RewriteStore(path)
    again = later.optimized([ASKED, ASKED], lambda requests: pytest.fail("it is known"))
    assert [(one.text, one.outcome, one.request) for one in again] == [(found.text, "optimized", ASKED)] * 2
    assert len(later) == 1
    (row,) = rows(path)
    assert (row["naive"], row["text"], row["context"], row["model"]) == (
        "Explain tides.",
        "Explain tides. Be brief.",
        "To a child.",
        "scripted",
    )


def test_a_prompt_that_was_kept_is_not_asked_for_again_and_says_why(path: Path):
    careless = PromptOptimizer(ScriptedGenerator(lambda _: "Explain {x}."))
    RewriteStore(path).optimized([ASKED], careless.optimize_each)
    (again,) = RewriteStore(path).optimized([ASKED], lambda requests: pytest.fail("it is known"))
    assert (again.text, again.outcome) == ("Explain tides.", "placeholder_invented")
    assert "{x}" in again.detail


def test_an_edited_text_is_used_as_it_is(path: Path, optimizer: PromptOptimizer):
    store = RewriteStore(path)
    store.optimized([ASKED, OTHER], optimizer.optimize_each)
    edited = path.read_text(encoding="utf-8").replace("Explain tides. Be brief.", "Explain the tides in 3 words.")
    path.write_text(f"\n{edited}\n", encoding="utf-8")
    store.reload()
    for each in (store, RewriteStore(path)):
        result = each.recall(ASKED)
        assert result is not None
        assert (result.text, result.outcome) == ("Explain the tides in 3 words.", "optimized")
    store.keep([])
    store.optimized([OptimizationRequest("Explain fog.")], optimizer.optimize_each)
    assert rows(path)[0]["text"] == "Explain the tides in 3 words."
    assert len(rows(path)) == 3


def test_an_edit_back_to_the_prompt_keeps_the_prompt(path: Path, optimizer: PromptOptimizer):
    RewriteStore(path).optimized([ASKED], optimizer.optimize_each)
    path.write_text(path.read_text(encoding="utf-8").replace("Explain tides. Be brief.", "Explain tides."))
    result = RewriteStore(path).recall(ASKED)
    assert result is not None
    assert (result.text, result.outcome) == ("Explain tides.", "unchanged")


def test_another_context_is_another_prompt_and_examples_and_feedback_are_none(path: Path, optimizer: PromptOptimizer):
    store = RewriteStore(path)
    store.optimized([ASKED], optimizer.optimize_each)
    assert store.recall(OptimizationRequest("Explain tides.")) is None
    assert store.recall(OptimizationRequest("Explain tides.", context="To a child.", keep=("tides",))) is None
    assert store.recall(OptimizationRequest("Explain tides.", context="To a child.", feedback="Too long.")) is not None


def test_a_frozen_store_is_never_added_to_and_loads_no_model(path: Path, optimizer: PromptOptimizer):
    with pytest.raises(InputError, match="a frozen store needs the file that was reviewed"):
        RewriteStore(path, is_frozen=True)
    RewriteStore(path).optimized([ASKED], optimizer.optimize_each)
    before = path.read_bytes()
    frozen = RewriteStore(path, is_frozen=True)
    known, unknown = frozen.optimized([ASKED, OTHER], lambda requests: pytest.fail("a model was asked"))
    assert known.text == "Explain tides. Be brief."
    assert (unknown.text, unknown.outcome) == ("Explain rain.", "unchanged")
    assert unknown.detail == f"{path} does not have it, and is frozen"
    assert path.read_bytes() == before


def test_an_error_stands_in_its_place_and_is_not_kept(path: Path):
    short = PromptOptimizer(ScriptedGenerator(lambda _: "x", context_tokens=5))
    (error,) = RewriteStore(path).optimized([ASKED], short.optimize_each)
    assert isinstance(error, InputError)
    assert len(RewriteStore(path)) == 0


def test_of_two_stores_on_one_file_neither_loses_a_row(path: Path, optimizer: PromptOptimizer):
    stores = [RewriteStore(path), RewriteStore(path)]
    requests = [OptimizationRequest(f"Explain topic {number}.") for number in range(12)]

    def work(place: int) -> None:
        stores[place % 2].optimized([requests[place]], optimizer.optimize_each)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))
    assert sorted(row["naive"] for row in rows(path)) == sorted(request.instruction for request in requests)


def test_the_last_row_of_a_prompt_counts(path: Path, optimizer: PromptOptimizer):
    store = RewriteStore(path)
    store.optimized([ASKED], optimizer.optimize_each)
    other = PromptOptimizer(ScriptedGenerator(lambda conversation: f"{naive_in(conversation)} Be kind."))
    store.keep(other.optimize_batch([ASKED]))
    for each in (store, RewriteStore(path)):
        result = each.recall(ASKED)
        assert result is not None
        assert result.text == "Explain tides. Be kind."


@pytest.mark.parametrize(("line", "reason"), [("{", "not JSON"), ('{"key": "a", "naive": "b"}', "no row of a store")])
def test_a_damaged_line_is_named(path: Path, line: str, reason: str):
    path.parent.mkdir()
    path.write_text(f"\n{line}\n")
    with pytest.raises(InputError, match=f"line 2: {reason}"):
        RewriteStore(path)


def test_a_directory_is_no_store(tmp_path: Path):
    with pytest.raises(InputError, match=r"not a file|cannot read"):
        RewriteStore(tmp_path)


def test_a_copy_in_another_process_reads_the_same_file(path: Path, optimizer: PromptOptimizer):
    store = RewriteStore(path)
    store.optimized([ASKED], optimizer.optimize_each)
    copy = pickle.loads(pickle.dumps(store))
    assert copy.recall(ASKED) == store.recall(ASKED)
