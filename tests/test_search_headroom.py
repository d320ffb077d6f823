"""How much a search could gain, told before any."""

import json
import re
import time
import zlib
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fipo_model import PromptOptimizer
from fipo_model.backends import opening
from fipo_model.cli import app
from fipo_model.errors import InputError, ServerError
from fipo_model.rewriter import Rewriter
from fipo_model.search import Example, UnmeasurableError, headroom
from fipo_model.search.examples import filled
from fipo_model.search.headroom import chosen_elsewhere
from fipo_model.search.wordings import wordings
from fipo_model.search.words import headroom_sentences
from fipo_model.testing import ScriptedGenerator, ScriptedScorer

PROMPT = "Say whether the film is liked."
GUIDANCE = "Consider every part of it carefully."
ROWS = [(f"film {number}", "yes" if number % 2 else "no") for number in range(24)]


def optimizer() -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(lambda asked: f"{PROMPT} {GUIDANCE}"))


def scorer(better: str, by: float = 1.0) -> ScriptedScorer:
    return ScriptedScorer(lambda asked, response: -2.0 + by * (better in asked[0]["content"]))


def test_words_that_do_better_are_worth_a_search():
    found = optimizer().headroom(PROMPT, ROWS, models=[scorer(GUIDANCE)])
    assert found.verdict == "worth it"
    assert found.gain.value == 1
    rewrites = [one for one in found.wordings if one.kind == "rewrite"]
    assert [(one.text.startswith(f"{PROMPT} {GUIDANCE}"), one.gain.value) for one in rewrites[:1]] == [(True, 1.0)]
    assert [one.kind for one in found.wordings[:3]] == ["yours", "empty", "fullest"]
    assert found.examples == 20  # four of them are solved in the fullest wording


def test_where_all_wordings_are_alike_a_search_is_not_worth_it():
    found = optimizer().headroom(PROMPT, ROWS, models=[scorer("nothing has this")])
    assert found.verdict == "not worth it"
    assert (found.done.value, found.left.value, found.gain.value, found.spread.value) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("empty", "fullest", "verdict"),
    [(-0.1, 1.0, "worth it"), (-1.5, 0.5, "not worth it"), (-1.0, 0.0, "not worth it"), (0.0, -0.5, "not worth it")],
)
def test_it_is_worth_it_where_more_is_left_than_the_prompt_has_gained(empty, fullest, verdict):
    def likely(asked, response):
        text = asked[0]["content"]
        lead = fullest if text.count("film 1") > 1 or "Output: " in text else empty if PROMPT not in text else 0.0
        return -3.0 + lead

    found = optimizer().headroom(PROMPT, ROWS, models=[ScriptedScorer(likely)])
    assert found.verdict == verdict
    assert (found.done.value, found.left.value) == (pytest.approx(-empty), pytest.approx(fullest))


def test_a_form_that_the_rewriter_proposes_is_a_rewrite():
    twice = PromptOptimizer(ScriptedGenerator(lambda asked: f"{PROMPT}\n\n{PROMPT}"))
    found = twice.headroom(PROMPT, ROWS, models=[scorer(f"{PROMPT}\n\n{PROMPT}")])
    assert (found.verdict, found.gain.value) == ("worth it", 1)


def test_what_only_the_empty_wording_gains_is_no_reason_to_search():
    empty = ScriptedScorer(lambda asked, response: -1.0 if asked[0]["content"].startswith("film") else -2.0)
    found = optimizer().headroom("Is it liked: {film}?", ROWS, models=[empty])
    assert next(one for one in found.wordings if one.kind == "empty").gain.value == 1
    assert found.verdict == "not worth it"


def test_a_prompt_that_is_right_about_everything_is_perfect():
    right = ScriptedGenerator(lambda asked: "yes" if _last_number(asked) % 2 else "no")
    found = optimizer().headroom(PROMPT, ROWS, metric="exact", models=[right])
    assert (found.verdict, found.is_perfect) == ("not worth it", True)


def _last_number(asked) -> int:
    return int(re.findall(r"film (\d+)", asked[-1]["content"])[-1])


def test_chance_alone_is_no_headroom():
    """The best of several wordings leads on the examples that chose it; on others it does not."""
    noise = ScriptedScorer(lambda asked, response: -2.0 + zlib.crc32(asked[0]["content"].encode()) % 1000 / 1000)
    found = [optimizer().headroom(PROMPT, ROWS, models=[noise], seed=seed) for seed in range(3)]
    assert all(one.verdict != "worth it" for one in found)


def test_the_best_is_chosen_on_other_examples_than_it_is_measured_on():
    yours, lucky, good = [[0.0] * 6], [[9.0, -1, -1, -1, -1, -1]], [[1.0] * 6]
    assert chosen_elsewhere([yours, good]) == good
    assert chosen_elsewhere([yours, good], is_worst=True) == yours
    (once,) = chosen_elsewhere([yours, lucky])
    assert once[0] == 0  # where it is lucky, it was not chosen
    assert sum(once) < 0
    # Of two judges, the one who likes an arm least counts.
    assert chosen_elsewhere([[[0.0] * 6] * 2, [[1.0] * 6, [-1.0] * 6]]) == [[0.0] * 6] * 2


def test_when_the_time_is_up_what_was_measured_is_told():
    def slow(asked, response):
        time.sleep(0.02)
        return -1.0

    found = optimizer().headroom(PROMPT, ROWS, models=[ScriptedScorer(slow)], max_seconds=0.2)
    assert found.stopped_by == "max_seconds"
    assert 1 <= len(found.wordings) < 6
    assert found.examples == 4


def test_without_a_measured_rewrite_nobody_knows_that_it_is_not_worth_it():
    found = optimizer().headroom(PROMPT, ROWS, models=[scorer("nothing has this")])
    unmeasured = replace(found, gain=None, stopped_by="max_seconds")
    assert (found.verdict, unmeasured.verdict) == ("not worth it", "unclear")
    assert replace(unmeasured, is_perfect=True).verdict == "not worth it"
    assert replace(unmeasured, stopped_by=None).verdict == "not worth it"  # no rewrite passed the checks


def test_a_slow_rewriter_leaves_time_to_measure_what_a_rule_made():
    def slow(asked):
        time.sleep(0.3)
        return f"{PROMPT} {GUIDANCE}"

    labelled = ScriptedScorer(lambda asked, response: -2.0 + ("one of: no, yes" in asked[0]["content"]))
    began = time.monotonic()
    found = PromptOptimizer(ScriptedGenerator(slow)).headroom(PROMPT, ROWS, models=[labelled], max_seconds=1.0)
    assert time.monotonic() - began < 3
    assert (found.verdict, found.gain.value) == ("worth it", 1)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[:1], "at least 2 examples that are not repeated, and there is 1"),
        (ROWS[:1] * 2, "at least 2 examples that are not repeated, and there is 1"),
        ([], "at least 2 examples that are not repeated, and there are 0"),
        ([{"input": "film"}] * 4, "has no right output"),
    ],
)
def test_examples_that_cannot_decide_are_said_to_be(rows, said):
    with pytest.raises(InputError, match=said):
        optimizer().headroom(PROMPT, rows, models=[scorer("x")])


def test_one_example_that_every_wording_was_measured_on_gives_no_verdict(monkeypatch):
    """Of two equal examples one was left, and because the prompt was right about it a search was not worth it."""
    monkeypatch.setattr(headroom, "_PATIENCE", 0.0)

    def down_for_one(asked):
        if _last_number(asked) % 3 and GUIDANCE in asked[-1]["content"]:
            raise ServerError("down")
        return "yes" if _last_number(asked) % 2 else "no"

    using = optimizer()
    with pytest.raises(UnmeasurableError, match=r"only 1 of 2 examples was measured with every wording"):
        using.headroom(PROMPT, ROWS[:2], metric="exact", models=[ScriptedGenerator(down_for_one)])


def test_a_model_that_is_down_is_told():
    def down(asked):
        raise ServerError("down")

    with pytest.raises(UnmeasurableError, match="could not be measured: ServerError: down"):
        optimizer().headroom(PROMPT, ROWS, metric="exact", models=[ScriptedGenerator(down)], max_seconds=0.1)


def test_a_wording_that_the_model_never_answers_is_left_out(monkeypatch):
    monkeypatch.setattr(headroom, "_PATIENCE", 0.0)

    def slow(asked):
        if GUIDANCE in asked[-1]["content"]:
            raise ServerError("timed out")
        return "no idea"

    found = optimizer().headroom(PROMPT, ROWS, metric="exact", models=[ScriptedGenerator(slow)])
    assert found.stopped_by is None
    assert found.examples == 20  # four of them are solved in the fullest wording
    assert not any(GUIDANCE in tried.text for tried in found.wordings)


def test_a_model_that_goes_away_is_told_and_not_to_be_raised(monkeypatch):
    """It once said "Raise unreachable."."""
    monkeypatch.setattr(headroom, "_PATIENCE", 0.0)

    refused = []

    def going(asked):
        if refused or PROMPT not in asked[-1]["content"]:
            refused.append(asked)
            raise ServerError("down")
        return "no idea"

    found = optimizer().headroom(PROMPT, ROWS, metric="exact", models=[ScriptedGenerator(going)])
    assert (found.verdict, found.stopped_by) == ("unclear", "unreachable")
    said = list(headroom_sentences(found))
    assert "A model that could not be reached ended this before every wording was measured." in said
    assert said[-1].endswith("how much a better wording would gain. Try again when the model can be reached.")
    for limit in ("max_seconds", "max_cost"):
        (*_, ended, advice) = headroom_sentences(replace(found, stopped_by=limit))
        assert (ended.split()[0], advice.split(". ")[1]) == (limit, f"Raise {limit}.")


def test_a_prompt_that_takes_too_long_to_measure_is_told_with_what_to_raise(monkeypatch):
    monkeypatch.setattr(headroom, "_RUNS_AT_ONCE", 1)
    with pytest.raises(UnmeasurableError, match=r"could not be measured: max_seconds was reached\. Raise it\."):
        optimizer().headroom(PROMPT, ROWS, models=[scorer("x")], max_seconds=0)


# Wordings

SOLVED = [Example(input="cat", outputs=("Katze",)), Example(input="dog", outputs=("Hund",))]


def test_wordings_of_a_prompt_without_variables():
    made = {one.kind: one.text for one in wordings("german", SOLVED[0], SOLVED)}
    assert filled(made["empty"], "owl") == "owl"
    assert filled(made["fullest"], "owl") == (
        "german\n\nInput: cat\nOutput: Katze\n\nInput: dog\nOutput: Hund\n\nInput: owl\nOutput:"
    )
    assert filled(made["form"], "owl") == "owl\n\ngerman"


def test_wordings_keep_a_prompts_variables():
    made = wordings("Say {word} in German.", SOLVED[0], SOLVED)
    assert [filled(one.text, "owl") for one in made] == [
        "Say owl in German.",
        "owl",
        "Say cat in German.\nKatze\n\nSay dog in German.\nHund\n\nSay owl in German.",
        "Say owl in German.\n\nSay owl in German.",
        "Task: Say owl in German.",
    ]


def test_wordings_of_inputs_with_several_fields():
    one = Example(input={"from": "en", "word": "cat"}, outputs=("Katze",))
    assert filled(wordings("Translate.", one, [])[1].text, one.input) == "from: en\nword: cat"


# The command


def invoke(monkeypatch, tmp_path, *options):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"input": given, "output": output}) + "\n" for given, output in ROWS))
    monkeypatch.setattr(Rewriter, "from_pretrained", lambda *_, **__: optimizer().rewriter)
    monkeypatch.setattr(opening, "open_scorer", lambda spec: scorer(GUIDANCE))
    return CliRunner().invoke(app, ["worth-it", PROMPT, "--examples", str(rows), "--model", "any", *options])


def test_the_command_prints_the_verdict_and_tells_the_figures(monkeypatch, tmp_path):
    done = invoke(monkeypatch, tmp_path)
    assert (done.exit_code, done.stdout) == (0, "worth it\n")
    assert "fipo: your prompt: score 0: Say whether" in done.stderr
    assert "What the best rewrite gains: +1.000" in done.stderr
    assert json.loads(invoke(monkeypatch, tmp_path, "--json").stdout)["verdict"] == "worth it"
