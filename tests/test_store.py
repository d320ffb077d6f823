"""RewriteStore: rewrites in a file that people read and edit, and that processes share."""

import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import filelock
import pytest

from fipo_model import OptimizationRequest, OptimizedPrompt, PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.store import RewriteStore, State, key_of
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.permissions import needs_capabilities, without_roots_powers

ASKED = OptimizationRequest("Explain tides.", context="To a child.")
OTHER = OptimizationRequest("Explain rain.")
COLOUR = OptimizationRequest("Name a colour.")


@pytest.fixture
def optimizer() -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(lambda conversation: f"{naive_in(conversation)} Be brief."))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prompts" / "rewrites.jsonl"


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def proposal(text: str) -> OptimizedPrompt:
    """What a model finds that answers a request for a colour with this text."""
    return PromptOptimizer(ScriptedGenerator(lambda _: text)).optimize(COLOUR)


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


def test_a_pending_rewrite_is_not_lost_to_an_attempt_that_finds_nothing(path: Path):
    def kept_by(reply: str) -> RewriteStore:
        made = PromptOptimizer(ScriptedGenerator(lambda _: reply))
        store = RewriteStore(path)
        store.keep([made.optimize("Name a colour.")])
        return store

    (entry,) = kept_by("Name a colour. Be kind.").entries()
    assert entry.text == "Name a colour. Be kind."
    assert kept_by("Name a colour.").entries() == [entry]
    (later,) = kept_by("Name a colour. Be clear.").entries()
    assert later.text == "Name a colour. Be clear."


def test_of_several_results_for_a_prompt_the_last_one_that_is_a_rewrite_is_kept(path: Path):
    replies = ["Name a colour. Be kind.", "Name a colour. Be clear.", "Name a colour."]
    found = [PromptOptimizer(ScriptedGenerator(lambda _, reply=reply: reply)).optimize(reply[:14]) for reply in replies]
    assert [result.outcome for result in found] == ["optimized", "optimized", "unchanged"]
    store = RewriteStore(path)
    store.keep(found)
    assert [entry.text for entry in store.entries()] == ["Name a colour. Be clear."]
    assert [row["text"] for row in rows(path)] == ["Name a colour. Be clear."]
    store.decide([key_of(found[0].request)], "rejected", by="Ann")
    store.keep([found[0], found[1], found[2]])  # what was rejected is not proposed again by being said last
    assert [(entry.text, entry.state) for entry in store.entries()] == [("Name a colour. Be kind.", "pending")]
    store.keep([found[1], found[0]])
    assert [entry.text for entry in store.entries()] == ["Name a colour. Be kind."]


def test_the_last_row_of_a_prompt_counts(path: Path, optimizer: PromptOptimizer):
    store = RewriteStore(path)
    store.optimized([ASKED], optimizer.optimize_each)
    other = PromptOptimizer(ScriptedGenerator(lambda conversation: f"{naive_in(conversation)} Be kind."))
    store.keep(other.optimize_batch([ASKED]))
    for each in (store, RewriteStore(path)):
        result = each.recall(ASKED)
        assert result is not None
        assert result.text == "Explain tides. Be kind."


@pytest.mark.parametrize(("line", "reason"), [("{", "not JSON"), ('{"key": "a", "naive": "b"}', "not a row of")])
def test_a_damaged_line_is_named(path: Path, line: str, reason: str):
    path.parent.mkdir()
    path.write_text(f"\n{line}\n")
    with pytest.raises(InputError, match=f"line 2: {reason}"):
        RewriteStore(path)


@pytest.mark.parametrize("field", ["text", "naive", "context", "keep"])
def test_half_of_a_character_that_somebody_wrote_is_named(path: Path, optimizer: PromptOptimizer, field: str):
    store = RewriteStore(path)
    store.optimized([ASKED], optimizer.optimize_each)
    (row,) = rows(path)
    half = "Explain \ud83d."
    path.write_text(json.dumps({**row, field: [half] if field == "keep" else half}) + "\n")
    with pytest.raises(InputError, match=f"line 1: not a row of a store: {field} has half of a character"):
        RewriteStore(path)
    result = store.recall(ASKED)  # what was read before stays
    assert result is not None
    assert result.text == "Explain tides. Be brief."


def test_a_directory_is_no_store(tmp_path: Path):
    with pytest.raises(InputError, match=r"not a file|cannot read"):
        RewriteStore(tmp_path)


def test_a_copy_in_another_process_reads_the_same_file(path: Path, optimizer: PromptOptimizer):
    store = RewriteStore(path)
    store.optimized([ASKED], optimizer.optimize_each)
    copy = pickle.loads(pickle.dumps(store))
    assert copy.recall(ASKED) == store.recall(ASKED)


class TestReview:
    def test_nothing_is_reviewed_before_somebody_does(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.optimized([ASKED], optimizer.optimize_each)
        (entry,) = store.entries()
        assert (entry.state, entry.by, entry.context) == ("pending", "", "To a child.")
        assert RewriteStore(path, only_approved=True).recall(ASKED) is None
        assert store.recall(ASKED) is not None

    def test_who_approved_what_and_why_is_in_the_file(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.keep([optimizer.optimize(ASKED)], evidence="3 of 4 readers preferred it")
        store.decide([key_of(ASKED)[:6]], "approved", by="Ann", why="shorter answers")
        row = rows(path)[-1]
        assert (row["state"], row["by"], row["why"], row["evidence"]) == (
            *("approved", "Ann", "shorter answers"),
            "3 of 4 readers preferred it",
        )
        assert datetime.fromisoformat(row["at"]).tzinfo is UTC
        assert len(rows(path)) == 2  # what was there before stays to be read
        result = RewriteStore(path, only_approved=True, is_frozen=True).recall(ASKED)
        assert result is not None
        assert (result.text, result.outcome) == ("Explain tides. Be brief.", "optimized")

    def test_what_was_rejected_is_not_used_and_not_asked_for_again(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.optimized([ASKED], optimizer.optimize_each)
        store.decide([key_of(ASKED)], "rejected", by="Ann", why="too curt")
        for each in (store, RewriteStore(path, only_approved=True)):
            (result,) = each.optimized([ASKED], lambda requests: pytest.fail("it was rejected"))
            assert isinstance(result, OptimizedPrompt)
            assert (result.text, result.outcome, result.detail) == (
                *("Explain tides.", "not_preferred"),
                "rejected by Ann: too curt",
            )
        store.keep([optimizer.optimize(ASKED)])
        assert store.find(key_of(ASKED)).state == "rejected"
        other = PromptOptimizer(ScriptedGenerator(lambda conversation: f"{naive_in(conversation)} Be kind."))
        store.keep([other.optimize(ASKED)])
        assert (store.find(key_of(ASKED)).state, store.find(key_of(ASKED)).text) == (
            *("pending",),
            "Explain tides. Be kind.",
        )

    def test_a_rejected_text_does_not_come_back_by_a_detour(self, path: Path):
        def attempt(text: str, *, evidence: str = "") -> tuple[str, str]:
            RewriteStore(path).keep([proposal(text)], evidence=evidence)
            store.keep([proposal(text)], evidence=evidence)  # one that read the file piece by piece
            (entry,) = store.entries()
            assert RewriteStore(path).entries() == [entry]
            return entry.state, entry.text

        store = RewriteStore(path)
        store.keep([proposal("Name a colour. Be kind.")])
        store.decide([key_of(COLOUR)], "rejected", by="Ann")
        assert attempt("Name a colour.") == ("rejected", "Name a colour. Be kind.")  # nothing was found
        assert attempt("Name a colour. Be clear.") == ("pending", "Name a colour. Be clear.")
        for evidence in ("", "On 30 examples a gain of +0.4."):
            assert attempt("Name a colour. Be kind.", evidence=evidence) == ("pending", "Name a colour. Be clear.")
        store.decide([store.entries()[0].key], "rejected", by="Ann")
        assert attempt("Name a colour. Be kind.") == ("rejected", "Name a colour. Be clear.")

    @pytest.mark.parametrize("state", ["approved", "pending"])
    def test_whoever_takes_a_rejection_back_may_be_proposed_the_text_again(self, path: Path, state: State):
        store = RewriteStore(path)
        kind, clear = proposal("Name a colour. Be kind."), proposal("Name a colour. Be clear.")
        store.keep([kind])
        for decided in ("rejected", state, "pending"):
            store.decide([key_of(kind.request)], decided, by="Ann")
        for result in (clear, kind):
            store.keep([result])
            assert [entry.text for entry in store.entries()] == [result.text]

    def test_a_rejection_that_an_editor_left_without_its_line_end_holds(self, path: Path):
        store = RewriteStore(path)
        kind, clear = proposal("Name a colour. Be kind."), proposal("Name a colour. Be clear.")
        store.keep([kind])
        store.decide([key_of(kind.request)], "rejected", by="Ann")
        path.write_bytes(path.read_bytes().rstrip(b"\n"))
        for result in (kind, clear, kind):
            store.keep([result])
        assert [(entry.state, entry.text) for entry in store.entries()] == [("pending", clear.text)]

    def test_what_examples_spoke_for_is_not_replaced_by_what_only_passed_the_checks(self, path: Path):
        store = RewriteStore(path)
        measured = "On 30 examples a gain of +0.4."
        store.keep([proposal("Name a colour. Be kind.")])
        store.keep([proposal("Name a colour. Be clear.")], evidence=measured)
        for text in ("Name a colour. Be kind.", "Name a colour. Be clear.", "Name a colour."):
            RewriteStore(path, only_approved=True).optimized([COLOUR], lambda _, text=text: [proposal(text)])
            assert [(one.text, one.evidence) for one in store.entries()] == [("Name a colour. Be clear.", measured)]
        store.keep([proposal("Name a colour. Be brief.")], evidence="On 60 examples a gain of +0.5.")
        assert [entry.text for entry in store.entries()] == ["Name a colour. Be brief."]

    @pytest.mark.parametrize("name", ["by", "why", "text", "evidence"])
    def test_words_that_cannot_be_written_are_told_and_nothing_is_decided(self, path: Path, name: str):
        store = RewriteStore(path)
        store.keep([proposal("Name a colour. Be kind.")])
        before = path.read_bytes()
        words = {"by": "Ann", name: "caf\udce9"}
        with pytest.raises(InputError, match=rf"^{name} is not valid UTF-8 text"):
            store.decide([store.entries()[0].key], "approved", **words)
        with pytest.raises(InputError, match=r"^evidence is not valid UTF-8 text"):
            store.keep([proposal("Name a colour. Be clear.")], evidence="caf\udce9")
        assert path.read_bytes() == before

    def test_a_new_proposal_does_not_take_an_approved_ones_place(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.optimized([ASKED], optimizer.optimize_each)
        store.decide([key_of(ASKED)], "approved", by="Ann", text="Explain the tides, please.")
        other = PromptOptimizer(ScriptedGenerator(lambda conversation: f"{naive_in(conversation)} Be kind."))
        store.keep([other.optimize(ASKED)])
        assert store.find(key_of(ASKED)).used == "Explain the tides, please."
        assert len(rows(path)) == 2

    def test_what_was_said_of_a_text_does_not_stay_with_another(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.keep([optimizer.optimize(ASKED)], evidence="3 of 4 readers preferred it")
        (same,) = store.decide([key_of(ASKED)], "approved", by="Ann", text="Explain tides. Be brief.")
        assert (same.model, same.evidence) == ("scripted", "3 of 4 readers preferred it")
        (other,) = store.decide([key_of(ASKED)], "approved", by="Ann", text="Explain the tides, please.")
        assert (other.model, other.template, other.evidence) == ("", "", "")
        (again,) = store.decide([key_of(ASKED)], "approved", by="Ann", text="Tides?", evidence="tried by Ann")
        assert (again.evidence, RewriteStore(path).find(key_of(ASKED)).evidence) == ("tried by Ann", "tried by Ann")

    def test_frozen_and_approved_only_leaves_what_is_pending_alone(self, path: Path, optimizer: PromptOptimizer):
        RewriteStore(path).optimized([ASKED], optimizer.optimize_each)
        strict = RewriteStore(path, is_frozen=True, only_approved=True)
        (result,) = strict.optimized([ASKED], lambda requests: pytest.fail("a model was asked"))
        assert isinstance(result, OptimizedPrompt)
        assert (result.text, result.detail) == (
            "Explain tides.",
            f"{path} does not have it approved, and is frozen",
        )
        with pytest.raises(InputError, match="is frozen"):
            strict.decide([key_of(ASKED)], "approved", by="Ann")

    @pytest.mark.parametrize("key", ["", "abc", "f" * 24])
    def test_a_key_that_names_no_single_rewrite_is_told(self, path: Path, optimizer: PromptOptimizer, key: str):
        store = RewriteStore(path)
        store.optimized([ASKED, OTHER], optimizer.optimize_each)
        with pytest.raises(InputError, match=rf"has no rewrite with the key '{key}'; `fipo store list"):
            store.decide([key_of(ASKED), key], "approved", by="Ann")
        assert store.entries("approved") == []


class TestSharing:
    def test_what_another_process_decides_is_seen_with_the_next_prompt(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.optimized([ASKED], optimizer.optimize_each)
        RewriteStore(path).decide([key_of(ASKED)], "rejected", by="Ann")
        result = store.recall(ASKED)
        assert result is not None
        assert result.outcome == "not_preferred"

    def test_a_file_that_is_damaged_meanwhile_leaves_what_was_read(
        self, path: Path, optimizer: PromptOptimizer, caplog: pytest.LogCaptureFixture
    ):
        store = RewriteStore(path)
        (found,) = store.optimized([ASKED], optimizer.optimize_each)
        path.write_text("{\n")
        for _ in range(2):
            result = store.recall(ASKED)
            assert result is not None
            assert result.text == found.text
        assert [record.getMessage().count("line 1: not JSON") for record in caplog.records] == [1]

    def test_of_two_processes_on_one_file_neither_loses_a_row(self, path: Path):
        code = (
            "import sys\n"
            "from fipo_model import OptimizationRequest, PromptOptimizer\n"
            "from fipo_model.store import RewriteStore\n"
            "from fipo_model.testing import ScriptedGenerator\n"
            "store = RewriteStore(sys.argv[1])\n"
            "optimizer = PromptOptimizer(ScriptedGenerator(lambda _: 'Explain.'))\n"
            "for number in range(40):\n"
            "    prompt = OptimizationRequest(f'Explain topic {number} to {sys.argv[2]}.')\n"
            "    store.optimized([prompt], optimizer.optimize_each)\n"
        )
        started = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in ("Ann", "Bob")]
        assert [process.wait(60) for process in started] == [0, 0]
        assert len({row["naive"] for row in rows(path)}) == len(rows(path)) == 80

    def test_who_does_not_get_the_file_is_told_in_one_line(
        self, path: Path, optimizer: PromptOptimizer, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("fipo_model.store.file._PATIENCE", 0.1)
        path.parent.mkdir()
        result = optimizer.optimize(ASKED)
        held = filelock.FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)
        with held, pytest.raises(InputError, match="another process has been writing to"):
            RewriteStore(path).keep([result])

    def test_whoever_waits_for_the_file_keeps_nobody_from_reading(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.optimized([ASKED], optimizer.optimize_each)
        other = optimizer.optimize(OTHER)
        held = filelock.FileLock(path.with_name(f".{path.name}.lock"), thread_local=False)
        with ThreadPoolExecutor(1) as pool, held:
            writing = pool.submit(store.keep, [other])
            time.sleep(0.3)
            path.write_bytes(path.read_bytes() + b"\n")  # so that it is read again
            started = time.monotonic()
            assert store.recall(ASKED) is not None
            assert time.monotonic() - started < 2
            held.release()
            writing.result()
        assert RewriteStore(path).recall(OTHER) is not None


def stored(number: int, *, text: str = "Be brief.", state: str = "approved") -> str:
    """A row for topic `number`, of about 5,000 characters."""
    naive = f"Explain topic {number:06}."
    evidence = "Measured. " * 480
    key = key_of(OptimizationRequest(naive))
    return json.dumps({"key": key, "naive": naive, "text": text, "state": state, "evidence": evidence}) + "\n"


def topic(number: int) -> OptimizationRequest:
    return OptimizationRequest(f"Explain topic {number:06}.")


def bytes_read() -> int:
    """How much this process has read from files so far."""
    return int(Path("/proc/self/io").read_text().split()[1])


class TestGrowth:
    """Of a file that has only grown, no more is read than what is new; of any other, everything."""

    @pytest.fixture
    def shared(self, path: Path) -> Path:
        path.parent.mkdir()
        path.write_text("".join(map(stored, range(4))))
        return path

    @pytest.mark.skipif(not os.access("/proc/self/io", os.R_OK), reason="needs Linux's count of what was read")
    def test_of_a_large_file_only_the_new_rows_are_read(self, path: Path, optimizer: PromptOptimizer):
        path.parent.mkdir()
        evidence = "Measured. " * 480
        path.write_text("".join(stored(number).replace(evidence, "") for number in range(30_000)))
        one, other = RewriteStore(path), RewriteStore(path)
        other.keep([optimizer.optimize(ASKED)])
        before = bytes_read()
        assert one.recall(ASKED) is not None
        assert bytes_read() - before < 30_000  # of six million
        assert (len(one), len(other)) == (30_001, 30_001)
        before = bytes_read()
        other.keep([optimizer.optimize(OTHER)])  # nor is the whole file read to add a row
        assert other.recall(OTHER) is not None
        assert bytes_read() - before < 200_000

    @pytest.mark.parametrize(
        "change",
        [
            lambda lines: [stored(0, text="Be very brief indeed."), *lines[1:], stored(4)],
            lambda lines: [*lines[:3], stored(3, state="rejected"), stored(4)],
            lambda lines: [*lines[:3], stored(4), stored(5)],
            lambda lines: [*lines[1:], stored(4), stored(5)],
            lambda lines: ["\n", *lines, stored(4)],
            lambda lines: lines[2:],
            lambda lines: [stored(0, state="rejected"), *lines[1:]],
            lambda lines: [],
        ],
        ids=["longer", "last", "last removed", "first removed", "shifted", "shorter", "as long", "empty"],
    )
    @pytest.mark.parametrize("is_replaced", [False, True])
    def test_whatever_an_editor_does_is_read(self, shared: Path, change: Callable, is_replaced: bool):
        store = RewriteStore(shared)
        target = shared.with_name("new") if is_replaced else shared
        target.write_text("".join(change(shared.read_text().splitlines(keepends=True))))
        target.replace(shared)
        assert store.entries() == RewriteStore(shared).entries()

    def test_a_last_row_without_its_line_end_may_still_change(self, shared: Path):
        whole = shared.read_text()
        shared.write_text(whole + stored(4).rstrip())
        store = RewriteStore(shared)
        assert topic(4) in store
        shared.write_text(whole + stored(5) + stored(6))
        assert (topic(4) in store, topic(5) in store, topic(6) in store) == (False, True, True)

    def test_a_row_that_is_half_written_is_read_once_it_is_whole(self, shared: Path, optimizer: PromptOptimizer):
        store = RewriteStore(shared)
        for part in (stored(4)[:100], stored(4)[100:-1], "\n" + stored(5) + stored(6)[:50]):
            with shared.open("a") as file:
                file.write(part)
            assert store.entries() == RewriteStore(shared).entries()
        assert (topic(4) in store, topic(5) in store, topic(6) in store) == (True, True, False)
        RewriteStore(shared).keep([optimizer.optimize(ASKED)])
        assert ASKED in store
        assert len(store) == 7

    def test_a_mistake_in_what_is_new_is_named_by_its_line(self, shared: Path, caplog: pytest.LogCaptureFixture):
        store = RewriteStore(shared)
        with shared.open("a") as file:
            file.write(stored(4))
        assert topic(4) in store
        with shared.open("a") as file:
            file.write("\nno row\n")
        assert topic(4) in store
        assert [record.getMessage().count("line 7: not JSON") for record in caplog.records] == [1]

    def test_an_edit_of_the_same_length_beside_an_addition_is_found(
        self, shared: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("fipo_model.store.rewrites._CHECK_SECONDS", 0.1)
        store = RewriteStore(shared)
        shared.write_text(stored(0, state="rejected") + "".join(map(stored, range(1, 5))))
        assert topic(4) in store  # which reads only the end
        for _ in range(100):
            if store.find(key_of(topic(0))).state == "rejected":
                break
            time.sleep(0.1)
        assert store.entries() == RewriteStore(shared).entries()

    def test_a_decision_is_about_the_text_in_the_file(self, shared: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("fipo_model.store.rewrites._CHECK_SECONDS", 1000)
        store = RewriteStore(shared)
        shared.write_text(stored(0, text="Be short.") + "".join(map(stored, range(1, 5))))
        assert topic(4) in store  # which reads only the end
        (decided,) = store.decide([key_of(topic(0))], "approved", by="Ann")
        assert (decided.text, RewriteStore(shared).find(key_of(topic(0))).text) == ("Be short.", "Be short.")


class TestDamage:
    def test_a_row_whose_writer_was_killed_is_cut_off_by_the_next_one(self, path: Path, optimizer: PromptOptimizer):
        store = RewriteStore(path)
        store.optimized([ASKED, OTHER], optimizer.optimize_each)
        whole = path.read_bytes()
        for end in range(whole.index(b"\n") + 2, len(whole) - 1):
            path.write_bytes(whole[:end])
            assert len(RewriteStore(path)) == 1
        RewriteStore(path).optimized([OTHER], optimizer.optimize_each)
        assert path.read_bytes() == whole

    @pytest.mark.parametrize(
        ("right", "wrong"),
        [
            ('"state": "pending"', '"state": "approved" "why": "x"'),
            ('"template": "fipo-1"}', '"template": "fipo-1}'),  # so that the text does not end
            ('"template": "fipo-1"}', '"template": "fipo-1",}'),
        ],
    )
    def test_a_mistake_in_the_last_row_is_named_and_the_row_stays(
        self, path: Path, optimizer: PromptOptimizer, right: str, wrong: str
    ):
        store = RewriteStore(path)
        store.optimized([OTHER, ASKED], optimizer.optimize_each)
        whole = path.read_text(encoding="utf-8").rstrip("\n")  # as many editors leave it
        begin, changed, end = whole.rpartition(right)
        assert changed
        path.write_text(f"{begin}{wrong}{end}", encoding="utf-8")
        assert store.recall(ASKED) is not None  # what was read before
        for _ in range(2):
            with pytest.raises(InputError, match=r"line 2: not JSON.*Fix the line"):
                store.keep([optimizer.optimize("Explain fog.")])
        with pytest.raises(InputError, match="line 2: not JSON"):
            RewriteStore(path)
        assert path.read_text(encoding="utf-8") == f"{begin}{wrong}{end}"
        path.write_text(f"{whole}\n", encoding="utf-8")
        store.keep([optimizer.optimize("Explain fog.")])
        assert [row["naive"] for row in rows(path)] == ["Explain rain.", "Explain tides.", "Explain fog."]

    def test_a_long_row_whose_writer_was_killed_is_cut_off_and_told(
        self, path: Path, optimizer: PromptOptimizer, caplog: pytest.LogCaptureFixture
    ):
        store = RewriteStore(path)
        store.optimized([ASKED], optimizer.optimize_each)
        whole = path.read_bytes()
        path.write_bytes(whole + b'{"key": "a", "naive": "' + b"Explain. " * 50_000)
        store.keep([optimizer.optimize(OTHER)])
        assert path.read_bytes().startswith(whole)
        assert [row["naive"] for row in rows(path)] == ["Explain tides.", "Explain rain."]
        assert [record.getMessage() for record in caplog.records] == [
            f"{path}: removed its last row, whose writer was killed before it was finished"
        ]

    def test_a_last_line_without_its_end_is_kept(self, path: Path, optimizer: PromptOptimizer):
        RewriteStore(path).optimized([ASKED], optimizer.optimize_each)
        path.write_bytes(path.read_bytes().rstrip(b"\n"))  # as some editors leave it
        RewriteStore(path).optimized([OTHER], optimizer.optimize_each)
        assert [row["naive"] for row in rows(path)] == ["Explain tides.", "Explain rain."]

    def test_somebody_elses_last_line_is_not_cut_off(self, path: Path):
        path.parent.mkdir()
        path.write_text("some notes")
        with pytest.raises(InputError, match="line 1: not JSON"):
            RewriteStore(path)
        assert path.read_text() == "some notes"

    def test_a_store_from_a_later_version_is_refused_in_one_line(self, path: Path):
        path.parent.mkdir()
        path.write_text(json.dumps({"key": "a", "naive": "b", "text": "c", "version": 2}) + "\n")
        with pytest.raises(InputError, match=r"line 1: written by a later version .* Update FIPO"):
            RewriteStore(path)

    def test_a_row_from_before_there_were_versions_is_pending(self, path: Path):
        path.parent.mkdir()
        row = {"key": key_of(OTHER), "naive": OTHER.instruction, "text": "Explain rain, please."}
        path.write_text(json.dumps(row) + "\n")
        store = RewriteStore(path)
        assert store.recall(OTHER) is not None
        assert [entry.state for entry in store.entries()] == ["pending"]

    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"state": "maybe"}, "not a row of a store: the state must be one of"),
            ({"state": []}, "not a row of a store: the state must be one of"),
            ({"by": 3}, "not a row of a store: by must be text"),
            ({"keep": "x"}, "not a row of a store: keep must be a list"),
            ({"keep": [1]}, "not a row of a store: keep must be a list"),
            ({"max_words": "9"}, "not a row of a store: max_words must be"),
            ({"version": "1"}, "written by a later version"),
        ],
    )
    def test_a_field_that_is_none_of_a_stores_is_named(self, path: Path, wrong: dict, told: str):
        path.parent.mkdir()
        path.write_text(json.dumps({"key": "a", "naive": "b", "text": "c", **wrong}) + "\n")
        with pytest.raises(InputError, match=f"line 1: {told}"):
            RewriteStore(path)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits on the size of a file")
    def test_a_full_disk_is_told_in_one_line_and_leaves_whole_rows(self, path: Path, optimizer: PromptOptimizer):
        RewriteStore(path).optimized([ASKED], optimizer.optimize_each)
        before = path.read_bytes()
        code = (
            "import resource, sys\n"
            "from fipo_model import OptimizationRequest, PromptOptimizer\n"
            "from fipo_model.errors import FipoError\n"
            "from fipo_model.store import RewriteStore\n"
            "from fipo_model.testing import ScriptedGenerator\n"
            "size = int(sys.argv[2])\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
            "optimizer = PromptOptimizer(ScriptedGenerator(lambda _: 'Explain.'))\n"
            "try:\n"
            "    RewriteStore(sys.argv[1]).optimized([OptimizationRequest('Explain fog.')], optimizer.optimize_each)\n"
            "except FipoError as error:\n"
            "    print(error)\n"
        )
        command = [sys.executable, "-c", code, str(path), str(len(before) + 20)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"cannot write to {path}: File too large. Nothing was added.\n"
        assert done.stderr == ""
        assert path.read_bytes() == before

    @needs_capabilities
    def test_a_folder_that_nobody_may_write_to_is_told_in_one_line(self, path: Path, optimizer: PromptOptimizer):
        path.parent.mkdir(mode=0o500)
        result = optimizer.optimize(ASKED)
        with without_roots_powers(), pytest.raises(InputError, match=r"cannot write to .*: Permission denied"):
            RewriteStore(path).keep([result])
