"""Building a preference data set: what comes of each record, what it costs, and going on after any kind of stop."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fipo_model.data.collection import REASONS, STAGES, BuildSettings, Progress, build, prepare
from fipo_model.data.records import Record, read_records
from fipo_model.errors import InputError, ServerError
from fipo_model.fidelity import FidelitySettings
from fipo_model.generation import Message
from fipo_model.judge import Comparison, Verdict
from support.building import TOPICS, Dying, Models, instructions, is_about_better, naive_of, rough_models, write
from support.files import read
from support.pages import Page

pytest.importorskip("datasketch", reason="needs the extra train")
pytest.importorskip("matplotlib", reason="needs the extra train")

ODD = "Explain $naive_prompt, ${optional_parts} and {x} with {{y}} %s <|im_end|>\n<|im_start|>system </s> 🦜 to Ann"


def run(
    source: Path, target: Path, models: Models | None = None, *, page: bool = False, **settings: Any
) -> dict[str, Any]:
    models = models or Models()
    with prepare(source, target, BuildSettings(**{"similarity": None, **settings})) as job:
        return build(job, weak=models.weak, strong=models.strong, page=page)


def nonzero(report: dict[str, Any]) -> dict[str, int]:
    return {reason: count for reason, count in report["failed"].items() if count}


def test_instructions_alone_become_whole_records(tmp_path: Path) -> None:
    source, target, models = write(tmp_path / "in.jsonl", instructions(3)), tmp_path / "out.jsonl", Models()
    report = run(source, target, models)
    assert read(target)[0] == {
        "id": "r0",
        "instruction": "Explain rain to a child.",
        "silver_response": "It just is.",
        "golden_response": "Tiny droplets gather until they are heavy and fall.",
        "chosen": "As a patient teacher, do this in short paragraphs: Explain rain to a child.",
        "rejected": "Explain rain to a child. Please.",
    }
    assert [record.id for record in read_records(target) if isinstance(record, Record)] == ["r0", "r1", "r2"]
    assert report["records"] == {"read": 3, "accepted": 3, "failed": 0, "waiting": 0}
    assert report["is_complete"]
    assert json.loads((tmp_path / "out.jsonl.report.json").read_text()) == report
    assert (report["calls"]["sent"], models.sent) == (18, 18)
    assert {stage: spent["calls"] for stage, spent in report["calls"]["by_stage"].items()} == {
        **dict.fromkeys(STAGES, 3),
        "judge": 6,
    }
    assert report["calls"]["by_stage"]["silver"]["completion_tokens"] == 9


def test_the_rewriter_sees_both_responses_and_is_asked_for_the_five_points(tmp_path: Path) -> None:
    models = Models()
    row = {**instructions(1)[0], "context": "The child is five."}
    run(write(tmp_path / "in.jsonl", [row]), tmp_path / "out.jsonl", models)
    silver, golden = models.weak.calls[0][0], models.strong.calls[0][0]
    assert silver == golden == [{"role": "user", "content": "Explain rain to a child.\n\nThe child is five."}]
    strong, weak = models.strong.calls[1][0], models.weak.calls[1][0]
    assert strong == weak
    assert all(f"\n{number}. " in strong[0]["content"] for number in range(1, 6))
    for text in ("Explain rain to a child.", "The child is five.", "It just is.", "Tiny droplets", "at most 60 words"):
        assert text in strong[-1]["content"]


def test_records_go_through_the_stages_in_batches(tmp_path: Path) -> None:
    models = Models()
    run(write(tmp_path / "in.jsonl", instructions(5)), tmp_path / "out.jsonl", models, batch_size=2)
    assert models.weak.batch_sizes == [2, 2, 2, 2, 1, 1]
    assert models.strong.batch_sizes == [2, 2, 4, 2, 2, 4, 1, 1, 2]


def test_what_the_input_holds_is_kept_as_it_is(tmp_path: Path) -> None:
    given = {"silver_response": "Water.", "golden_response": "Droplets fall.", "rejected": '"Explain rain."'}
    rows = [
        {**instructions(1)[0], **given, "chosen": "Explain rain to a child in two sentences.", "source": "mine"},
        {"id": "r1", "instruction": "Explain gravity to a child.", "golden_response": "Things attract."},
    ]
    models = Models().when("strong", "rain", "judge", "A")
    run(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", models, keep_failed=True)
    first, second = read(tmp_path / "out.jsonl")
    assert (first["silver_response"], first["golden_response"], first["source"]) == ("Water.", "Droplets fall.", "mine")
    assert first["failed_rejected"] == '"Explain rain."'
    assert (second["golden_response"], second["silver_response"]) == ("Things attract.", "It just is.")
    assert models.sent == 2 + 5


LONG = "word " * 300
HARD = "Explain heavy rain and thunder to 3 children at www.rain.org."
FAILURES: list[tuple[str, str, str, str]] = [
    ("silver_empty", "weak", "answer", " "),
    ("golden_empty", "strong", "answer", ""),
    ("golden_truncated", "strong", "answer", "word " * 600),
    ("chosen_empty", "strong", "rewrite", ""),
    ("chosen_truncated", "strong", "rewrite", LONG),
    ("chosen_unchanged", "strong", "rewrite", "Explain heavy rain and thunder to 3 children at www.rain.org."),
    (
        "chosen_template_echoed",
        "strong",
        "rewrite",
        "Naive prompt: Explain heavy rain and thunder to 3 children at www.rain.org.",
    ),
    ("chosen_answered", "strong", "rewrite", "Sure! Explain heavy rain and thunder to 3 children at www.rain.org."),
    ("chosen_number_lost", "strong", "rewrite", "Explain heavy rain and thunder to children at www.rain.org simply."),
    ("chosen_url_lost", "strong", "rewrite", "Explain heavy rain and thunder to 3 children simply."),
    (
        "chosen_placeholder_invented",
        "strong",
        "rewrite",
        "Explain heavy rain and thunder to 3 children at www.rain.org in {n} words.",
    ),
    (
        "chosen_golden_leaked",
        "strong",
        "rewrite",
        f"{HARD} Say: tiny droplets gather until they are heavy and fall.",
    ),
    (
        "chosen_too_long",
        "strong",
        "rewrite",
        "Explain thunder and heavy rain to 3 children at www.rain.org. " + "Be very clear. " * 25,
    ),
    ("chosen_off_topic", "strong", "rewrite", "Describe 3 hills (www.rain.org) in detail."),
    ("rejected_empty", "weak", "rewrite", "\n"),
    ("rejected_truncated", "weak", "rewrite", LONG),
    (
        "chosen_equals_rejected",
        "weak",
        "rewrite",
        f"As a patient teacher, do this in short paragraphs: {HARD}",
    ),
    ("judge_tie", "strong", "judge", "A"),
]


@pytest.mark.parametrize(("reason", "model", "asked_for", "reply"), FAILURES, ids=[row[0] for row in FAILURES])
def test_a_record_that_fails_is_dropped_and_counted_and_the_others_stay(
    tmp_path: Path, reason: str, model: str, asked_for: str, reply: str
) -> None:
    rows = [
        {"id": "bad", "instruction": "Explain heavy rain and thunder to 3 children at www.rain.org."},
        *instructions(3)[1:],
    ]
    source = write(tmp_path / "in.jsonl", rows)
    models = Models().when(model, "3 children", asked_for, reply)
    report = run(source, tmp_path / "out.jsonl", models)
    assert nonzero(report) == {reason: 1}
    assert list(report["failed"]) == list(REASONS)
    assert [row["id"] for row in read(tmp_path / "out.jsonl")] == ["r1", "r2"]
    kept = run(source, tmp_path / "out.jsonl", models, keep_failed=True)
    assert kept["calls"] == report["calls"]
    marked, *others = read(tmp_path / "out.jsonl")
    assert (marked["id"], marked["failed"]) == ("bad", reason)
    assert marked["failed_detail"]
    assert not {"chosen", "rejected"} & marked.keys()
    assert [row["id"] for row in others] == ["r1", "r2"]


def test_a_judge_that_prefers_the_weak_rewrite_drops_the_pair(tmp_path: Path) -> None:
    models = Models()
    before = models.strong.script

    def turned(conversation: list[Message]) -> str:
        if "Which prompt" in conversation[-1]["content"] and "rain" in naive_of(conversation):
            return "B" if is_about_better(conversation) else "A"
        return before(conversation)

    models.strong.script = turned
    models.when("strong", "gravity", "judge", "A").when("strong", "the moon", "judge", "hm")
    report = run(write(tmp_path / "in.jsonl", instructions(5)), tmp_path / "out.jsonl", models, keep_failed=True)
    assert nonzero(report) == {"judge_tie": 2, "judge_prefers_rejected": 1}
    assert report["judge"] == {
        "judged": 5,
        "prefers_chosen": 2,
        "prefers_rejected": 1,
        "tie": 2,
        "ties": {"the judge chose by position, not by content": 1, "the judge answered neither A nor B": 1},
        "agreement": 0.6,
    }
    assert read(tmp_path / "out.jsonl")[0]["failed_chosen"].startswith("As a patient teacher")


class Lenient:
    """A judge of one's own: prefers whatever is longer."""

    def prefer(self, comparisons: Sequence[Comparison]) -> list[Verdict]:
        return [
            Verdict(winner="challenger" if len(c.challenger) > len(c.incumbent) else "tie", reason="by length")
            for c in comparisons
        ]


def test_any_judge_will_do_and_sends_none_of_the_counted_calls(tmp_path: Path) -> None:
    models = Models()
    with prepare(write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl") as job:
        report = build(job, weak=models.weak, strong=models.strong, judge=Lenient(), page=False)
    assert report["records"]["accepted"] == 2
    assert (report["calls"]["sent"], report["settings"]["judge"]) == (8, "Lenient")


def test_prompts_that_do_not_fit_a_model_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    rows = [*instructions(2), {"id": "long", "instruction": f"Explain {'very ' * 300}old rain to a child."}]
    report = run(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", Models(context_tokens=700))
    assert nonzero(report) == {"silver_prompt_too_long": 1}
    assert report["records"]["accepted"] == 2
    # The long one's batch was asked again without it, which counts once.
    assert report["calls"]["by_stage"]["silver"]["calls"] == 3


def test_each_prompt_counts_once_however_many_beside_it_are_too_long(tmp_path: Path) -> None:
    # The whole batch was once counted again for each of them, so that the bound was used up before any reply.
    long = [{"id": f"long{i}", "instruction": f"Explain {'very ' * 300}old rain to child {i}."} for i in range(8)]
    short = [{"id": f"r{i}", "instruction": f"Explain {topic} to a child."} for i, topic in enumerate(TOPICS[:8])]
    rows = [row for both in zip(long, short, strict=True) for row in both]
    source = write(tmp_path / "in.jsonl", rows)
    report = run(source, tmp_path / "out.jsonl", Models(context_tokens=700))
    assert report["calls"]["by_stage"]["silver"]["calls"] == 16
    assert report["records"] == {"read": 16, "accepted": 8, "failed": 8, "waiting": 0}
    bounded = run(source, tmp_path / "bounded.jsonl", Models(context_tokens=700), max_calls=80)
    assert bounded["records"] == report["records"]
    assert bounded["calls"]["sent"] == report["calls"]["sent"] == 8 + 8 * 6
    # What was given back is so for the next run, too.
    assert run(source, tmp_path / "bounded.jsonl", Models(), max_calls=80)["calls"] == bounded["calls"]


@pytest.mark.parametrize(
    ("model", "part", "reason"),
    [
        ("strong", "answer", "golden_prompt_too_long"),
        ("strong", "rewrite", "chosen_prompt_too_long"),
        ("weak", "rewrite", "rejected_prompt_too_long"),
    ],
)
def test_each_stage_reports_a_prompt_that_is_too_long(tmp_path: Path, model: str, part: str, reason: str) -> None:
    row: dict[str, Any] = {"id": "a", "instruction": f"Explain {'very ' * 300}old rain to a child."}
    if part == "rewrite":
        row |= {"silver_response": "It is.", "golden_response": "It falls."}
    if reason == "rejected_prompt_too_long":
        row["chosen"] = f"Explain {'very ' * 300}old rain to a small child."
    models = Models()
    getattr(models, model).context_tokens = 700
    report = run(
        write(tmp_path / "in.jsonl", [row]), tmp_path / "out.jsonl", models, fidelity=FidelitySettings(frozenset())
    )
    assert nonzero(report) == {reason: 1}


def test_a_cut_off_silver_response_is_kept_and_counted(tmp_path: Path) -> None:
    models = Models().when("weak", "rain", "answer", "word " * 50)
    report = run(write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl", models, response_tokens=20)
    assert (report["records"]["accepted"], report["silver_truncated"]) == (2, 1)


def test_a_weak_rewrite_that_loses_something_is_as_good_a_negative_as_any(tmp_path: Path) -> None:
    models = Models().when("weak", "3 children", "rewrite", "Explain rain.")
    source = write(tmp_path / "in.jsonl", [{"id": "a", "instruction": "Explain heavy rain and thunder to 3 children."}])
    report = run(source, tmp_path / "out.jsonl", models)
    assert (report["records"]["accepted"], report["rejected_outcomes"]) == (1, {"number_lost": 1})


def test_near_duplicates_are_dropped_before_anything_is_asked(tmp_path: Path) -> None:
    long = "Write a short story about a lighthouse keeper who finds a bottle with a letter on the beach one morning"
    rows = [
        {"id": "a", "instruction": f"{long}."},
        {"id": "b", "instruction": f"{long.upper()}!"},
        {"id": "c", "instruction": "Explain rain to a child."},
        {"id": "d", "instruction": long, "context": "The keeper is called Ann, is ninety years old and hates the sea."},
        {"id": "e", "instruction": f"  {long} ."},
        {"id": "c", "instruction": "Name five rivers of Europe."},
    ]
    models = Models()
    source = write(tmp_path / "in.jsonl", rows)
    report = run(source, tmp_path / "out.jsonl", models, similarity=0.8, keep_failed=True)
    assert nonzero(report) == {"repeated_id": 1, "near_duplicate": 2}
    assert report["calls"]["sent"] == 18
    marked = {row["id"]: row.get("failed_detail") for row in read(tmp_path / "out.jsonl")}
    assert list(marked) == ["a", "b", "c", "d", "e"]
    assert "'a' (similarity 0.9" in (marked["b"] or "")
    assert [row["id"] for row in read(tmp_path / "out.jsonl") if "failed" not in row] == ["a", "c", "d"]


def test_near_duplicates_are_the_same_in_every_process() -> None:
    code = (
        "from fipo_model.data.collection.near_duplicates import find_near_duplicates as f;"
        "print(f([' '.join(f'{w}{i % 7}' for w in 'tell me about the old town of number'.split()) + 'x' * (i % 3)"
        " for i in range(60)], 0.7))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 100


def test_any_text_is_just_text(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"id": "<b>&", "instruction": ODD, "context": "$golden_response {z}\0"}])
    models = Models()
    models.when("weak", "$naive", "answer", "$silver <script>alert(1)</script> \ud800")
    report = run(source, tmp_path / "out.jsonl", models)
    (row,) = read(tmp_path / "out.jsonl")
    assert (nonzero(report), row["instruction"], row["context"]) == ({}, ODD, "$golden_response {z}\0")
    assert row["silver_response"] == "$silver <script>alert(1)</script> ?"
    assert row["chosen"].endswith(ODD)
    asked = models.strong.calls[1][0][-1]["content"]
    assert ODD in asked
    assert "$silver <script>" in asked


def fall() -> None:
    raise ServerError("the server at http://127.0.0.1:1/v1 cannot be reached")


@pytest.mark.parametrize("calls", range(15))
def test_a_run_that_dies_in_any_call_goes_on_to_the_same_bytes(tmp_path: Path, calls: int) -> None:
    source = write(tmp_path / "in.jsonl", instructions(7))
    report = run(source, tmp_path / "whole.jsonl", whole := rough_models(), batch_size=3)
    countdown, models = [calls], rough_models()
    with pytest.raises(ServerError), prepare(source, tmp_path / "out.jsonl", BuildSettings(batch_size=3)) as job:
        build(job, weak=Dying(models.weak, countdown, fall), strong=Dying(models.strong, countdown, fall), page=False)
    assert not (tmp_path / "out.jsonl").exists()
    with prepare(source, tmp_path / "out.jsonl", BuildSettings(batch_size=3)) as job:
        build(job, weak=models.weak, strong=models.strong, page=False)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert models.sent == whole.sent  # nothing that came back was asked for again
    assert report["records"] == {"read": 7, "accepted": 4, "failed": 3, "waiting": 0}


@pytest.mark.parametrize("stage", [*STAGES, "calls"])
@pytest.mark.parametrize("cut", [1, 25, 150])
def test_a_half_written_line_in_any_file_is_repaired(tmp_path: Path, stage: str, cut: int) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(4)), tmp_path / "out.jsonl"
    run(source, target)
    whole = target.read_bytes()
    journal = tmp_path / "out.jsonl.work" / f"{stage}.jsonl"
    journal.write_bytes(journal.read_bytes()[:-cut])
    target.unlink()
    run(source, target)
    assert target.read_bytes() == whole


_CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from support.building import Dying, rough_models
from fipo_model.data.collection import BuildSettings, build, prepare
models, countdown = rough_models(), [{calls}]
def die():
    Path({target!r} + ".dying").touch()
    signal.pause()
with prepare(Path({source!r}), Path({target!r}), BuildSettings(batch_size=3)) as job:
    build(job, weak=Dying(models.weak, countdown, die), strong=Dying(models.strong, countdown, die), page=False)
"""


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="needs POSIX signals")
def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(7)), tmp_path / "out.jsonl"
    run(source, tmp_path / "whole.jsonl", batch_size=3, models=rough_models())
    code = _CHILD.format(tests=str(Path(__file__).parent), calls=7, source=str(source), target=str(target))
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 60
        while not Path(f"{target}.dying").exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(InputError, match=rf"another process \(pid {child.pid}\) is at work on .*out\.jsonl"):
            run(source, target)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not target.exists()
    models = rough_models()
    with prepare(source, target, BuildSettings(batch_size=3)) as job:
        assert 0 < job.estimate.records < 7
        build(job, weak=models.weak, strong=models.strong, page=False)
    assert target.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_job_that_fails_before_the_first_reply_leaves_its_output_free(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(3)), tmp_path / "out.jsonl"

    def fail(_: object) -> str:
        raise ServerError("nobody is there")

    models = Models()
    models.weak.script = models.strong.script = fail
    for seed in (0, 1):  # other settings
        with pytest.raises(ServerError):
            run(source, target, models, seed=seed)
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_the_calls_of_a_batch_that_fails_later_go_on_to_count(tmp_path: Path) -> None:
    source, target, models = write(tmp_path / "in.jsonl", instructions(3)), tmp_path / "out.jsonl", Models()
    script = models.strong.script

    def fail(_: object) -> str:
        raise ServerError("nobody is there any more")

    models.strong.script = fail
    with pytest.raises(ServerError):
        run(source, target, models)
    models.strong.script = script
    with prepare(source, target, BuildSettings(similarity=None)) as job:
        sent = job.workplace.calls
        assert sent == 6  # of the weak model's answers, and what the strong one did not get
    report = run(source, target, models)
    assert report["calls"]["sent"] == 21


def test_the_bound_is_kept_and_whole_records_are_there_when_it_is_reached(tmp_path: Path) -> None:
    source, target, models = write(tmp_path / "in.jsonl", instructions(5)), tmp_path / "out.jsonl", Models()
    report = run(source, target, models, max_calls=15)
    assert (report["records"]["accepted"], report["records"]["waiting"], report["is_complete"]) == (2, 3, False)
    assert (models.sent, report["calls"]["sent"]) == (12, 12)
    assert [row["id"] for row in read(target)] == ["r0", "r1"]
    assert run(source, target, models, max_calls=15)["calls"]["sent"] == 12
    report = run(source, target, models)
    assert (models.sent, report["is_complete"]) == (30, True)
    run(source, tmp_path / "whole.jsonl")
    assert target.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_the_bound_holds_even_where_prompts_must_be_sent_again(tmp_path: Path) -> None:
    rows = [*instructions(3), {"id": "long", "instruction": f"Explain {'very ' * 300}old rain to a child."}]
    source, target = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    models = Models(context_tokens=700)
    sent = []
    for bound in range(6, 60, 6):
        report = run(source, target, models, max_calls=bound)
        assert report["calls"]["sent"] <= bound
        sent.append(report["calls"]["sent"])
        if report["is_complete"]:
            break
    assert report["is_complete"]
    assert report["records"] == {"read": 4, "accepted": 3, "failed": 1, "waiting": 0}


def test_a_bound_of_nothing_asks_nothing(tmp_path: Path) -> None:
    models = Models()
    report = run(write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl", models, max_calls=0)
    assert (models.sent, report["records"]["waiting"]) == (0, 2)
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_the_estimate_is_what_a_smooth_run_costs(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [*instructions(3), {**instructions(4)[3], "golden_response": "Coins."}])
    models = Models()
    with prepare(source, tmp_path / "out.jsonl") as job:
        expected = job.estimate
        report = build(job, weak=models.weak, strong=models.strong, page=False)
        assert job.estimate.calls == 0
    assert expected.calls == report["calls"]["sent"] == models.sent == 23
    spent = report["calls"]["by_stage"].values()
    assert expected.prompt_tokens > sum(stage["prompt_tokens"] for stage in spent)
    assert expected.reply_tokens > sum(stage["completion_tokens"] for stage in spent)


def test_progress_is_told_after_every_batch(tmp_path: Path) -> None:
    steps: list[Progress] = []
    models = Models()
    with prepare(
        write(tmp_path / "in.jsonl", instructions(3)), tmp_path / "out.jsonl", BuildSettings(batch_size=2)
    ) as job:
        build(job, weak=models.weak, strong=models.strong, report=steps.append, page=False)
    assert [(step.decided, step.records, step.calls) for step in steps] == [(2, 3, 12), (3, 3, 18)]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("seed", {"seed": 1}),
        ("temperature", {"temperature": 0.5}),
        ("response_tokens", {"response_tokens": 100}),
        ("max_words", {"max_words": 50}),
        ("similarity", {"similarity": 0.5}),
        ("fidelity", {"fidelity": FidelitySettings().without("too_long")}),
        ("most_added_words", {"fidelity": FidelitySettings(most_added_words=20)}),
        ("strict_wording", {"fidelity": FidelitySettings(strict_wording=True)}),
        ("may_repeat", {"fidelity": FidelitySettings(may_repeat=True)}),
        ("format", {"format": "own"}),
    ],
)
def test_going_on_with_other_settings_is_refused_by_name(tmp_path: Path, name: str, changed: dict[str, Any]) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl"
    run(source, target, max_calls=6)
    before = {file.name: file.read_bytes() for file in (tmp_path / "out.jsonl.work").iterdir()}
    with pytest.raises(InputError, match=rf"other settings: {name}.* was "):
        run(source, target, **changed)
    assert {file.name: file.read_bytes() for file in (tmp_path / "out.jsonl.work").iterdir()} == before
    assert run(source, target, max_calls=12, batch_size=1)["is_complete"]


def test_going_on_with_another_model_input_or_judge_is_refused_by_name(tmp_path: Path) -> None:
    source, target, models = write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl", Models()
    run(source, target)
    models.weak.name = "other"
    with pytest.raises(InputError, match='weak was "weak" and is now "other"'):
        run(source, target, models)
    with (
        pytest.raises(InputError, match="judge was "),
        prepare(source, target, BuildSettings(similarity=None)) as job,
    ):
        build(job, weak=Models().weak, strong=Models().strong, judge=Lenient(), page=False)
    write(source, instructions(3))
    with pytest.raises(InputError, match="input_sha256 was "):
        run(source, target)


def test_files_that_are_not_the_jobs_are_left_alone(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(1)), tmp_path / "out.jsonl"
    with pytest.raises(InputError, match="same file"):
        run(source, source)
    target.write_text("mine\n")
    with pytest.raises(InputError, match="does not hold a data set"):
        run(source, target)
    assert target.read_text() == "mine\n"
    target.unlink()
    (tmp_path / "out.jsonl.work").mkdir()
    (tmp_path / "out.jsonl.work" / "notes").write_text("mine\n")
    with pytest.raises(InputError, match="is not FIPO's"):
        run(source, target)
    with pytest.raises(InputError, match=r"cannot write to .*nowhere"):
        run(source, tmp_path / "nowhere" / "out.jsonl")
    (tmp_path / "out.jsonl.work" / "notes").rename(tmp_path / "out.jsonl.work" / ".settings.json.part")
    run(source, target)  # a job that was killed as it began
    assert target.exists()


def test_a_damaged_work_file_is_named_with_its_line(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl"
    run(source, target)
    foreign = "not this job's output: its line 1 is damaged"
    for name, text, told in (
        ("golden", '{"id": "r0"}\n{"id": "r1", "textt": 1}\n', "damaged on line 2: .*textt"),
        ("calls", "[]\n", foreign),
        ("chosen", "{}\n", foreign),
    ):
        file = tmp_path / "out.jsonl.work" / f"{name}.jsonl"
        whole = file.read_text()
        file.write_text(text)
        with pytest.raises(InputError, match=rf"{name}\.jsonl is {told}"):
            run(source, target)
        file.write_text(whole)


def test_lines_that_cannot_be_used_are_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl"
    with source.open("a") as file:
        file.write('not json\n{"instruction": " "}\n')
    with prepare(source, target) as job:
        assert [row.line for row in job.bad_rows] == [3, 4]
        report = build(job, weak=Models().weak, strong=Models().strong, page=False)
    assert (report["bad_rows"], report["records"]["accepted"]) == (2, 2)


def test_looking_at_a_job_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", instructions(2))
    with prepare(source, tmp_path / "out.jsonl") as job:
        assert job.estimate.calls == 12
    assert list(tmp_path.iterdir()) == [source]


def test_records_that_ask_the_same_share_a_reply(tmp_path: Path) -> None:
    rows = [{"id": str(i), "instruction": "Explain rain to a child."} for i in range(3)]
    models = Models()
    report = run(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", models, temperature=0.8, seed=5)
    assert report["calls"]["by_stage"]["silver"]["calls"] == 1
    assert {row["silver_response"] for row in read(tmp_path / "out.jsonl")} == {"It just is. (sample-5.0)"}


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in ({"batch_size": 0}, {"max_words": 0}, {"similarity": 1.5}, {"max_calls": -1}, {"response_tokens": 0}):
        with pytest.raises(InputError, match=next(iter(wrong)).replace("response", "max_new")):
            BuildSettings(**wrong)  # type: ignore[arg-type]


def test_the_page_is_whole_needs_nothing_else_and_shows_texts_as_they_are(tmp_path: Path) -> None:
    nasty = 'Explain rain </dd><script>alert("1")</script> &amp; $body to a child.'
    rows = [{"id": "<i>a</i>", "instruction": nasty}, *instructions(3)[1:]]
    models = Models().when("strong", "gravity", "rewrite", "</html><img src=x> Explain gravity to {whom}.")
    run(write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl", models, page=True)
    page = Page((tmp_path / "out.jsonl.report.html").read_text(encoding="utf-8"))
    assert page.tags("script") == []
    assert len(page.tags("img")) == 3
    sources = [
        value or "" for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in sources)
    assert nasty in page.texts
    assert "<i>a</i>" in page.texts
    assert any("</html><img src=x>" in text for text in page.texts)
    assert any("Of 3 records, 2 became preference pairs and 1 failed." in text for text in page.texts)
    assert "chosen_placeholder_invented" in page.texts


def test_a_page_without_a_single_pair_is_whole_too(tmp_path: Path) -> None:
    run(write(tmp_path / "in.jsonl", instructions(1)), tmp_path / "out.jsonl", Models(context_tokens=1), page=True)
    page = Page((tmp_path / "out.jsonl.report.html").read_text(encoding="utf-8"))
    assert len(page.tags("img")) == 1
    assert any("No pair reached the judge." in text for text in page.texts)


def test_the_same_job_gives_the_same_page(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(3)), tmp_path / "out.jsonl"
    run(source, target, page=True)
    before = (tmp_path / "out.jsonl.report.html").read_bytes()
    run(source, target, page=True)
    assert (tmp_path / "out.jsonl.report.html").read_bytes() == before


def test_importing_the_builder_brings_nothing_heavy() -> None:
    heavy = {"torch", "transformers", "numpy", "matplotlib", "datasketch", "openai", "filelock"}
    code = f"import sys, fipo_model.data.collection, fipo_model.cli.build; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.real
def test_real_weights_can_play_both_parts(tmp_path: Path, small_weights: Path) -> None:
    from fipo_model.backends.transformers.generator import TransformersGenerator

    generator = TransformersGenerator.from_pretrained(small_weights)
    source = write(tmp_path / "in.jsonl", [{"id": "0", "instruction": ODD}, *instructions(2)[1:]])
    with prepare(source, tmp_path / "out.jsonl", BuildSettings(response_tokens=8, max_words=12)) as job:
        report = build(job, weak=generator, strong=generator, page=False)
    assert (report["records"]["read"], report["records"]["waiting"]) == (2, 0)
    assert report["calls"]["by_stage"]["silver"]["calls"] == 2
    assert report["settings"]["strong"] == small_weights.name
