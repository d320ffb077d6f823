"""Prompts that are measured side by side on the same rows."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fipo_model import PromptOptimizer
from fipo_model.backends import opening
from fipo_model.cli import app
from fipo_model.errors import InputError, ServerError
from fipo_model.search import PromptScores, UnmeasurableError, scoring
from fipo_model.testing import ScriptedScorer
from support.prompt_searches import GUIDANCE, PROMPT, ROWS, answering, likely, model

CAREFUL = f"{PROMPT} {GUIDANCE}"


def scores(*prompts: str, rows: Any = ROWS, models: Any = None, **options: Any) -> PromptScores:
    options = {"metric": "exact", **options}
    return PromptOptimizer.score(list(prompts), rows, models=models or [model()], **options)


def test_each_prompt_has_its_level_and_its_paired_gain_over_the_first():
    found = scores(PROMPT, CAREFUL, PROMPT)
    levels = [one.level.score for one in found.prompts]
    assert levels == [0.25, 1, 0.25]  # the model is right about every fourth film without care
    first, careful, same = found.prompts
    assert first.gain is None
    assert (careful.gain.value, careful.gain.level) == (0.75, 0.95)
    assert 0.5 < careful.gain.low < 0.75 < careful.gain.high < 1
    assert (same.gain.low, same.gain.high) == (0, 0)
    assert (len(careful.scores), careful.answers[:2]) == (24, ["no", "yes"])
    assert json.loads(json.dumps(found.to_fields()))["prompts"][1]["level"]["score"] == 1


def test_they_print_as_lines_that_say_what_the_scores_are():
    first, second, what, ranges, constant = str(scores(PROMPT, CAREFUL)).splitlines()
    assert first == f"score 0.25: {PROMPT}"
    assert second.startswith("score 1, gain +0.750 (+0.")
    assert second.endswith(f" over the first: {CAREFUL}")
    assert what == "Measured on 24 rows. Scores are what the metric exact gives the answers of scripted."
    assert ranges.startswith("The ranges in parentheses are 95 % intervals.")
    assert constant == "For comparison: 'no' as the answer to everything would score 0.5."
    assert str(scores(PROMPT, rows=ROWS[:1])).splitlines()[1].startswith("Measured on 1 row.")


def test_without_a_metric_likelihoods_are_gains_over_the_first_prompt():
    found = scores(PROMPT, CAREFUL, models=[ScriptedScorer(likely)], metric=None)
    assert [one.level.score for one in found.prompts] == [0, 1]
    assert found.prompts[1].answers == [None] * 24
    assert "nats per token" in str(found)


def test_every_prompt_is_compared_on_the_rows_on_which_all_ran(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scoring, "_PATIENCE", 0.0)

    def down_for_one(asked: Any) -> str:
        if GUIDANCE in asked[-1]["content"] and asked[-1]["content"].endswith("film 4"):
            raise ServerError("down")
        return answering(asked)

    first, careful = scores(PROMPT, CAREFUL, models=[model(down_for_one)]).prompts
    assert (first.level.score, careful.level.score) == (5 / 23, 1)
    assert (careful.level.missing, careful.scores[4], careful.gain.value) == (1, None, 18 / 23)
    assert "(1 row could not be measured)" in str(scores(PROMPT, CAREFUL, models=[model(down_for_one)]))


def test_a_model_that_is_down_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scoring, "_PATIENCE", 0.0)

    def down(asked: Any) -> str:
        raise ServerError("down")

    with pytest.raises(UnmeasurableError, match="no row could be measured with every prompt; ServerError: down"):
        scores(PROMPT, models=[model(down)])


def test_one_answer_to_everything_is_told():
    found = scores(PROMPT, CAREFUL, models=[model(lambda asked: "yes" if GUIDANCE in str(asked) else answering(asked))])
    assert found.notes[0] == "with prompt 2, the model answers 'yes' to 24 of 24 rows"
    assert scores(PROMPT, rows=ROWS[1::2], models=[model(lambda _: "yes")]).notes == []  # all are "yes"


def test_one_answer_to_everything_is_told_of_one_of_several_models():
    found = scores(PROMPT, models=[model(), model(lambda _: "yes", name="constant")])
    assert found.notes[0] == "with prompt 1, one of the 2 models answers 'yes' to 24 of 24 rows"


def test_where_no_prompt_gets_any_row_right_an_answer_is_shown():
    found = scores(PROMPT, CAREFUL, models=[model(lambda _: "no idea")])
    assert "To the input 'film 0' the model answered 'no idea'; the right output is 'no'" in found.notes[-1]


def test_rows_that_are_repeated_count_once():
    found = scores(PROMPT, rows=[*ROWS, *ROWS])
    assert (found.rows, found.notes[0]) == (24, "24 of the examples are repeated and count once")


@pytest.mark.parametrize(
    ("prompts", "rows", "said"),
    [
        (PROMPT, ROWS, "takes a list of prompts, not a str"),
        ([], ROWS, "there is no prompt to score"),
        ([PROMPT, " "], ROWS, "prompt 2 must be a text that is not empty"),
        ([PROMPT, None], ROWS, "prompt 2 must be a text that is not empty, not None"),
        ([PROMPT], [], "there is no row"),
        ([PROMPT], [{"input": "film"}], "prompt 1, row 1: there is no right output"),
        (
            ["{film}?", "{flim}?"],
            [({"film": "a"}, "yes")],
            r"prompt 2, row 1: the prompt has \{flim\}, but the input has 'film'",
        ),
    ],
)
def test_what_cannot_be_scored_is_said_before_anything_is_asked(prompts: Any, rows: Any, said: str):
    task = model()
    with pytest.raises(InputError, match=said):
        PromptOptimizer.score(prompts, rows, metric="exact", models=[task])
    assert task.calls == []


def test_the_command_prints_a_line_for_each_prompt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"input": given, "output": output}) + "\n" for given, output in ROWS))
    monkeypatch.setattr(opening, "open_generator", lambda *_, **__: model())
    command = ["score", "-", CAREFUL, "--examples", str(file), "--metric", "exact", "--model", "any"]
    done = CliRunner().invoke(app, command, input=PROMPT)
    assert done.exit_code == 0
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [f"score 0.25: {PROMPT}", "score 1"]
    assert "fipo: Measured on 24 rows." in done.stderr
    fields = json.loads(CliRunner().invoke(app, [*command, "--json"], input=PROMPT).stdout)
    assert fields["prompts"][1]["gain"]["value"] == 0.75
