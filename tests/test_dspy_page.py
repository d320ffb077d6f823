"""The page of a compile: what a reader finds on it, and that no text gets out of its place."""

import json
import re
from pathlib import Path

import dspy
import pytest

from fipo_integrations.dspy import render_page
from fipo_integrations.dspy.results import Report
from fipo_model.errors import InputError
from support.dspy_programs import GUIDANCE, Zoo, any_lead, better_with_guidance, careful, exact, examples, fipo, task_lm

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<body>")[2])).replace("\u00a0", " ")


@pytest.fixture
def compiled() -> dspy.Module:
    with dspy.context(lm=task_lm(better_with_guidance)):
        return fipo(metric=exact, num_threads=1).compile(Zoo(), valset=examples())


def test_the_page_says_what_was_gained_and_what_it_cost(compiled):
    page = render_page(compiled.fipo_report)
    text = text_of(page)
    assert "1 of 2 instructions were rewritten; the program goes from 33.33 % to 100 % on 3 examples." in text
    assert f"It took {compiled.total_calls} runs of the program." in text
    assert "What was gained: +66.7 (0 to +100.0)" in text
    assert "expect less on others" in text
    assert f"<ins> {GUIDANCE.replace(' ', ' ')}</ins>" in page
    assert "turned down" in text or "left alone" in text


def test_every_trial_and_every_proposal_is_on_it(compiled):
    report = compiled.fipo_report
    text = text_of(render_page(report))
    for trial in report["trials"]:
        assert f"{trial['score']:g} % {trial['examples']} {trial['failed']}" in text
    for row in report["predictors"]:
        assert f"Proposals: {len(row['candidates'])}" in text
        assert all(re.sub(r"\s+", " ", each["text"]) in text for each in row["candidates"])


def test_without_a_metric_it_claims_nothing():
    text = text_of(render_page(fipo().compile(Zoo()).fipo_report))
    assert "2 of 2 instructions were rewritten. Nothing was measured: there was no metric." in text
    assert "What was gained" not in text
    assert "What was tried" not in text


def test_what_a_report_is_read_as_becomes_the_same_plain_data_again(compiled):
    for fields in (compiled.fipo_report, fipo().compile(Zoo()).fipo_report):
        again = Report.from_fields(json.loads(json.dumps(fields))).to_fields()
        assert again == fields
        assert list(again) == list(fields)
    first = ("model", "predictors", "seed", "scores", "gain", "trials", "metric_calls", "metric_calls_resumed")
    last = ("stopped_by", "tried_again", "first_failure", "demos", "demonstrations", "attached", "left_alone")
    assert tuple(compiled.fipo_report) == (*first, *last)


def test_where_nothing_changed_it_shows_no_gain():
    with dspy.context(lm=task_lm(lambda instruction, question: better_with_guidance("", question))):
        same = fipo(metric=exact, num_threads=1).compile(Zoo(), valset=examples())
    text = text_of(render_page(same.fipo_report))
    assert "0 of 2 instructions were rewritten; the program stays at 33.33 % on 3 examples." in text
    assert "What was gained" not in text
    assert "left alone: no rewrite was shown to be better" in text


def test_texts_are_shown_and_never_interpreted():
    def hostile(conversation):
        return f"{careful(conversation)} <script>alert(1)</script>"

    report = fipo(hostile).compile(Zoo()).fipo_report
    report["predictors"][0]["candidates"][0]["text"] = "half of a pair \ud800"
    page = render_page(report)
    assert "<script" not in page
    assert "script-src" in page
    assert page.encode("utf-8")


def test_it_lies_beside_the_report_and_a_new_one_takes_its_place(tmp_path: Path):
    for script in (careful, lambda conversation: f"{careful(conversation)} And briefly."):
        compiled = fipo(script, search=any_lead(log_dir=tmp_path)).compile(Zoo())
        assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_page(compiled.fipo_report)
    assert "And briefly." in render_page(compiled.fipo_report)


def test_a_report_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match="cannot write to the log_dir"):
        fipo(search=any_lead(log_dir=tmp_path)).compile(Zoo())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
