"""`fipo eval` on held-out tasks: what is asked of whom, on which examples, and what is made of it."""

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fipo_model.data.tasks import Example, Gain, Task, part_of, write_tasks
from fipo_model.data.tasks.phrases import leaked_phrases
from fipo_model.errors import InputError
from fipo_model.evaluation.held_out import HeldOut, Models, TaskJob, read_held_out
from fipo_model.evaluation.held_out.counting import Measured, count_accuracy, count_change
from fipo_model.evaluation.held_out.wordings import Change, Way
from fipo_model.evaluation.naming import find_rewriters_among
from fipo_model.evaluation.page import render_page
from fipo_model.evaluation.results import SystemDescription, TaskResults
from fipo_model.evaluation.settings import EvaluationSettings, SystemSettings, TaskSettings
from fipo_model.evaluation.summary import summary
from fipo_model.evaluation.systems import System
from fipo_model.optimizer import PromptOptimizer
from fipo_model.templates import FIPO_2
from fipo_model.testing import ScriptedGenerator, ScriptedScorer
from support.evaluation_results import NOTHING

WANTED = TaskSettings(wordings=2, inputs=2, shown=2)


def a_task(name: str, *, examples: int = 6, check: Any = "exact") -> Task:
    return Task(
        name=name,
        family=name,
        source="here",
        hasty=(f"{name}?", f"{name} it", f"the {name}"),
        good=(f"Write the {name} of the input and nothing else.", f"Give the {name} of the word."),
        examples=tuple(Example(input=f"{name} word{n}", outputs=(f"{name.upper()}{n}",)) for n in range(examples)),
        check=check,
    )


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A file of three tasks, the last of which cannot be checked."""
    path = tmp_path / "tasks.jsonl"
    write_tasks(path, [a_task("plural"), a_task("opposite"), a_task("rhyme", check=None)])
    return path


def held_out(path: Path, **changes: Any) -> HeldOut:
    settings = {"wordings": 2, "inputs": 2, "shown": 2, "path": str(path)}
    return read_held_out(TaskSettings(**(settings | changes)), seed=0)


def score(conversation: list[Any], response: str) -> float:
    """The right output is likelier where the wording says "nothing else"."""
    wording = conversation[0]["content"].rpartition("\n\n")[0]
    return (-1.0 if "nothing else" in wording else -2.0) - 0.01 * len(response)


def answer(conversation: list[Any]) -> str:
    """Right, if the wording says how to answer."""
    *wording, text = conversation[0]["content"].split("\n\n")
    name, _, number = text.partition(" word")
    return f"{name.upper()}{number}" if "Write" in "".join(wording) else "I do not know."


class Scripted(System):
    """A system whose model is scripted."""

    def __init__(self, name: str, script: Any) -> None:
        super().__init__(name, SystemSettings(), 0)
        self.model = ScriptedGenerator(script)
        self._optimizer = PromptOptimizer(self.model, template=FIPO_2)


def add(conversation: list[Any]) -> str:
    """Adds a good wording to hasty ones, and leaves good ones alone."""
    asked = conversation[-1]["content"].splitlines()[1]
    name = asked.removesuffix(" it").removesuffix("?")
    return "Nothing." if " " in name else f"Write the {name} of the input and nothing else."


def measured(tasks: Path, folder: Path, *systems: System, **changes: Any) -> tuple[TaskJob, TaskResults]:
    models = {
        "scorers": {"one": ScriptedScorer(score, name="one"), "two": ScriptedScorer(score, name="two")},
        "generators": {"answering": ScriptedGenerator(answer)},
    }
    drawn = held_out(tasks)
    job = TaskJob(drawn, Models(**(models | changes)), WANTED, folder=folder, seed=0)
    return job, job.run(systems, lambda text: None)


def by_way(results: TaskResults) -> dict[tuple[str, str], Any]:
    return {(change.system, change.given): change for change in results.changes}


class TestDrawing:
    def test_what_is_shown_decides_and_is_measured_on_share_no_example(self, tasks: Path) -> None:
        for one in held_out(tasks).tasks:
            parts = (one.shown, one.deciding, one.measured)
            assert [len(part) for part in parts] == [2, 2, 2]
            assert len({example.input for part in parts for example in part}) == 6

    def test_the_same_seed_draws_the_same_and_another_file_has_another_digest(self, tasks: Path) -> None:
        assert held_out(tasks) == held_out(tasks)
        before = held_out(tasks).digest()
        write_tasks(tasks, [a_task("plural", examples=9), a_task("opposite"), a_task("rhyme", check=None)])
        assert held_out(tasks).digest() != before

    def test_without_a_file_they_are_the_held_out_part_of_those_made_by_rule(self) -> None:
        found = read_held_out(TaskSettings(limit=5), seed=3)
        assert {part_of(one.task) for one in found.tasks} == {"held-out"}
        assert len(found.tasks) == 5
        assert sum(map(len, found.targets.values())) > 400  # the good wordings of the training part

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            ({"task": "t", "wordings": ["a", "b", "c"]}, "the field examples is missing"),
            ({"task": "t", "examples": []}, "the field wordings is missing"),
            ({**a_task("few", examples=5).to_fields()}, r"'few' has 5 examples, but 6 are needed: 2 to show"),
            (
                {**a_task("empty").to_fields(), "examples": [{"input": "a", "outputs": []}]},
                "there is no right output",
            ),
            ({**a_task("blank").to_fields(), "examples": [{"input": "a", "outputs": [" "]}]}, "right output is empty"),
        ],
    )
    def test_a_task_that_cannot_be_used_is_told_and_the_rest_goes_on(
        self, tasks: Path, line: dict[str, Any], problem: str
    ) -> None:
        with tasks.open("a") as file:
            file.write(json.dumps(line) + "\n")
        found = held_out(tasks)
        assert len(found.tasks) == 3
        (told,) = found.bad_rows
        assert re.search(problem, told)

    def test_figures_need_two_tasks(self, tasks: Path) -> None:
        with pytest.raises(InputError, match=r"only 1 task can be used, but figures need at least two"):
            held_out(tasks, limit=1)
        with pytest.raises(InputError, match=r"0 tasks can be used.*; task 'plural' has 6 examples, but 11 are"):
            held_out(tasks, shown=7)

    def test_tasks_that_were_trained_on_are_refused(self, tasks: Path, tmp_path: Path) -> None:
        train = tmp_path / "train.jsonl"
        write_tasks(train, [a_task("anagram"), a_task("rhyme")])
        with pytest.raises(InputError, match="share the name 'rhyme'"):
            held_out(tasks, train=str(train))
        write_tasks(train, [a_task("anagram")])
        assert held_out(tasks, train=str(train)).targets == {"anagram": list(a_task("anagram").good)}


class TestMeasuring:
    def test_each_mode_shows_what_it_says_and_never_what_is_measured_on(self, tasks: Path, tmp_path: Path) -> None:
        system = Scripted("mine", add)
        measured(tasks, tmp_path, system)
        asked = [conversation[-1]["content"] for call in system.model.calls for conversation in call]
        by_task = {one.task.name: one for one in held_out(tasks).tasks}
        assert len(asked) == 3 * (3 * 2 + 2)
        for text in asked:
            one = next(own for name, own in by_task.items() if name in text)
            assert not [each.input for each in (*one.deciding, *one.measured) if each.input in text]
        shown = by_task["plural"].shown
        plural = [text for text in asked if "plural?" in text]
        assert [sum(each.input in text for each in shown) for text in plural] == [0, 2, 2]
        assert [sum(each.outputs[0] in text for each in shown) for text in plural] == [0, 0, 2]

    def test_gains_are_against_the_same_wording_and_good_ones_are_compared_with_themselves(
        self, tasks: Path, tmp_path: Path
    ) -> None:
        _, results = measured(tasks, tmp_path, Scripted("mine", add))
        found = by_way(results)
        assert [gain.model for gain in found["mine", "prompt"].gains] == ["one", "two", "least"]
        assert found["mine", "outputs"].gains[0].gain.value == pytest.approx(1.0)
        assert found["repeated", "control"].gains[0].gain.value == 0
        assert found["best wording", "control"].gains[2].gain.value == pytest.approx(1.0)
        assert found["best wording", "control"].gains[2].better.value == 1
        good = found["mine", "good wording"]
        assert (good.gains[0].gain.value, good.left_alone.value) == (0, 1)
        assert found["mine", "prompt"].left_alone.value == 0
        assert found["best wording", "control"].left_alone is None

    def test_the_best_wording_is_chosen_on_examples_that_do_not_report(self, tasks: Path, tmp_path: Path) -> None:
        deciding = {each.input for one in held_out(tasks).tasks for each in one.deciding}

        def misleading(conversation: list[Any], response: str) -> float:
            wording, _, text = conversation[0]["content"].rpartition("\n\n")
            if text in deciding:
                return -1.0 if wording.startswith("Give") else -2.0
            return -1.0 if wording.startswith("Write") else -2.0

        scorers = {"one": ScriptedScorer(misleading, name="one")}
        job, results = measured(tasks, tmp_path, scorers=scorers)
        assert {row["text"][:4] for row in job.rows() if row["system"] == "best wording"} == {"Give"}
        assert by_way(results)["best wording", "control"].gains[0].gain.value == 0

    def test_nothing_is_asked_twice_and_an_interrupted_run_goes_on(self, tasks: Path, tmp_path: Path) -> None:
        class Stopped(Exception):
            pass

        def stopping(conversation: list[Any], response: str) -> float:
            if "nothing else" in conversation[0]["content"] and "it\n\n" in conversation[0]["content"]:
                raise Stopped
            return score(conversation, response)

        system = Scripted("mine", add)
        with pytest.raises(Stopped):
            measured(tasks, tmp_path, system, scorers={"one": ScriptedScorer(stopping, name="one")})
        again, model = Scripted("mine", add), ScriptedScorer(score, name="one")
        _, results = measured(tasks, tmp_path, again, scorers={"one": model})
        assert again.model.calls == []
        pairs = [(pair[0][0]["content"], pair[1]) for call in model.calls for pair in call]
        assert len(pairs) == len(set(pairs))
        _, whole = measured(tasks, tmp_path / "whole", Scripted("mine", add), scorers={"one": model})
        assert whole == results

    def test_accuracy_counts_tasks_with_a_check_under_the_models_that_answer(self, tasks: Path, tmp_path: Path) -> None:
        _, results = measured(tasks, tmp_path, Scripted("mine", add))
        found = {(one.system, one.given): one for one in results.accuracy}
        mine = found["mine", "prompt"]
        assert (mine.model, mine.tasks) == ("answering", 2)
        assert (mine.hasty.value, mine.rewritten.value, mine.difference.value) == (0, 1, 1)
        assert found["repeated", "control"].difference.value == 0
        assert ("mine", "good wording") not in found

    def test_a_wording_that_does_not_fit_is_counted_and_the_others_are_measured(
        self, tasks: Path, tmp_path: Path
    ) -> None:
        def long(conversation: list[Any]) -> str:
            is_long = "opposite?" in conversation[-1]["content"]
            return "Think of the opposite of every word you see. " * (4 if is_long else 1)

        small = ScriptedScorer(score, name="small", context_tokens=30)
        answering = ScriptedGenerator(answer, context_tokens=30 + 64)
        models = {"scorers": {"small": small}, "generators": {"answering": answering}}
        system = Scripted("mine", long)
        _, results = measured(tasks, tmp_path, system, **models)
        change = by_way(results)["mine", "prompt"]
        assert change.wordings == 6
        assert sum(change.left_out.values()) <= 1
        assert change.gains[0].tasks == 3

    def test_the_list_has_every_addition_with_its_gains(self, tasks: Path, tmp_path: Path) -> None:
        job, _ = measured(tasks, tmp_path, Scripted("mine", add))
        rows = list(job.rows())
        assert len(rows) == 3 * (3 * 2 + 2) + 3 * 2 * 2
        row = next(row for row in rows if row["wording"] == "plural?" and row["given"] == "inputs")
        assert row["addition"] == "Write the plural of the input and nothing else."
        assert row["text"] == f"plural?\n\n{row['addition']}"
        assert set(row["gain"]) == {"one", "two"}
        assert row["least"] == min(row["gain"].values())
        assert next(row for row in rows if row["given"] == "good wording")["addition"] == ""


class TestCounting:
    def change(self, tasks: Path, number: int, **fields: Any) -> Change:
        drawn = held_out(tasks).tasks[number]
        given = {"way": Way(system="s", given="prompt"), "before": "a", "after": "b", "outcome": "optimized"}
        return Change(drawn=drawn, **(given | fields))

    def test_a_task_counts_once_however_many_wordings_it_has(self, tasks: Path) -> None:
        gains = [(0, 1.0), (0, 0.0), (1, -0.2), (1, "too long for the test model"), (2, 0.001)]
        found = [
            Measured(
                change=self.change(tasks, number),
                gain=Gain(by_model={"m": value}) if isinstance(value, float) else value,
            )
            for number, value in gains
        ]
        (gain,) = (counted := count_change(Way(system="s", given="prompt"), found, seed=0)).gains
        assert gain.gain.value == pytest.approx((0.5 - 0.2 + 0.001) / 3)
        assert (gain.tasks, gain.better.value, gain.worse.value) == (3, pytest.approx(1 / 3), pytest.approx(1 / 3))
        assert counted.left_out == {"too long for the test model": 1}

    def test_shares_are_of_what_became_of_the_proposals(self, tasks: Path) -> None:
        outcomes = ["optimized", "optimized", "unchanged", "example_leaked", "error"]
        found = [
            Measured(
                change=self.change(tasks, 0, outcome=outcome),
                gain=Gain(by_model={"m": 0.0}),
                phrases=("the banking text as",) if place == 0 else (),
            )
            for place, outcome in enumerate(outcomes)
        ]
        counted = count_change(Way(system="s", given="prompt"), found, seed=0)
        assert counted.outcomes == {"optimized": 2, "unchanged": 1, "example_leaked": 1, "error": 1}
        assert (counted.left_alone.value, counted.refused.value) == (pytest.approx(0.2), pytest.approx(0.4))
        assert counted.leaked.value == 0.5
        assert counted.gains == []  # of one task nothing can be said

    def test_accuracy_of_one_task_is_no_figure(self) -> None:
        way = Way(system="s", given="prompt")
        assert count_accuracy(way, "m", {"a": [(0.0, 1.0)]}, seed=0) is None
        found = count_accuracy(way, "m", {"a": [(0.0, 1.0), (0.5, 0.5)], "b": [(1.0, 0.5)]}, seed=0)
        assert found is not None
        assert (found.hasty.value, found.rewritten.value) == (0.625, 0.625)


class TestLeakedPhrases:
    TARGETS = (
        *(
            [f"Write the {word} form of the given word and nothing else."]
            for word in ("short", "long", "past", "plain")
        ),
        ["Classify the banking text by what the customer wants."],
        ["Solve the word problem and reply with the number.", "Solve it and give the number."],
    )

    def found(self, addition: str, *asked: str) -> tuple[str, ...]:
        (phrases,) = leaked_phrases([(addition, asked)], self.TARGETS)
        return phrases

    def test_a_phrase_of_another_task_is_found_at_its_full_length(self) -> None:
        text = "Classify the banking text as good or bad."
        assert self.found(text, "is it good or bad", "the film was dull") == ("classify the banking text",)
        assert self.found(f"{text} Solve the word problem and go.", "good?") == (
            "classify the banking text",
            "solve the word problem and",
        )

    def test_what_the_task_calls_for_is_no_leak(self) -> None:
        text = "Classify the banking text as good or bad."
        assert self.found(text, "classify this bank's letters", "a text") == ()

    def test_how_anybody_words_an_instruction_is_no_leak(self) -> None:
        assert self.found("Write the plural form of the given word and nothing else.", "plural?") == ()

    def test_fewer_than_four_words_are_no_phrase(self) -> None:
        assert self.found("Think of the banking text.", "good?") == ()
        assert self.found("", "good?") == ()


def test_a_test_model_that_is_the_rewriter_or_its_base_is_said(tmp_path: Path) -> None:
    systems = {"mine": SystemSettings(), "bare": SystemSettings(adapter="none"), "twice": SystemSettings(kind="repeat")}
    settings = EvaluationSettings(output="x", systems=systems, tasks=TaskSettings())
    default, other = "default", "qwen2.5-coder-1.5b"
    sentences = list(find_rewriters_among(settings, {"m": default, "other": other}))
    assert sentences == [
        "the model m measures rewrites of its own kind: it is the base of the rewriter of 'mine'",
        "the model m measures its own rewrites: it is the rewriter of 'bare'",
    ]
    server = EvaluationSettings(
        output="x", systems={"s": SystemSettings(model="http://127.0.0.1:1/v1#m")}, tasks=TaskSettings()
    )
    assert "own rewrites" in next(find_rewriters_among(server, {"m": "http://127.0.0.1:1/v1#m"}))


def test_page_and_summary_say_what_was_found(tasks: Path, tmp_path: Path) -> None:
    _, found = measured(tasks, tmp_path, Scripted("<mine>", add), notes=["the model <b> is the rewriter"])
    described = {"<mine>": SystemDescription(kind="optimizer", what="w", model="m", template="fipo-2")}
    results = replace(NOTHING, systems=described, tasks=found)
    lines = list(summary(results))
    assert lines[0] == "the model <b> is the rewriter"
    assert any(line.startswith("best wording on tasks (control), least: right outputs +1.0000") for line in lines)
    assert any("answering answering 2 tasks: accuracy 0.0%, then 100.0%" in line for line in lines)
    page = render_page(results, [])
    assert "best wording: control (3)" in page
    assert "&lt;mine&gt;: inputs and right outputs shown" in page
    assert "the model &lt;b&gt; is the rewriter." in page
    assert "Over 3 tasks (prompt alone, test model one), the rewrites" in page
    assert "Task gain was not measured." in render_page(NOTHING, [])
    assert json.loads(json.dumps(results.to_fields()))["tasks"]["changes"][0]["given"] == "prompt"
    assert "tasks" not in NOTHING.to_fields()


@pytest.mark.tiny
class TestWholeEvaluation:
    """From the recipe to the list of additions, on a two-layer model."""

    def settings(self, tiny_model: Path, tasks: Path, output: Path, **changes: Any) -> EvaluationSettings:
        usual = {
            "output": str(output),
            "systems": {"mine": SystemSettings(model=str(tiny_model), template="fipo-2")},
            "test_models": [str(tiny_model)],
            "tasks": TaskSettings(path=str(tasks), inputs=2, shown=2, wordings=1, answering=[str(tiny_model)]),
        }
        return EvaluationSettings(**(usual | changes))

    def test_it_writes_results_page_and_additions(
        self, tiny_model: Path, tasks: Path, tmp_path: Path, number_format: str
    ) -> None:
        from fipo_model.evaluation.run import evaluate

        wanted = self.settings(tiny_model, tasks, tmp_path / "out")
        results = evaluate(wanted)
        assert results.tasks is not None
        for change in results.tasks.changes:
            assert all(math.isfinite(gain.gain.value) for gain in change.gains)
        assert results.tasks.notes == ["the model tiny measures its own rewrites: it is the rewriter of 'mine'"]
        rows = [json.loads(line) for line in (tmp_path / "out" / "additions.jsonl").read_text().splitlines()]
        assert {row["given"] for row in rows} == {"prompt", "inputs", "outputs", "good wording", "control"}
        fields = json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]
        assert fields["tasks"] == 3
        ledgers = {path: path.read_bytes() for path in (tmp_path / "out" / "measured").rglob("*.jsonl")}
        again = evaluate(wanted)
        assert again.tasks == results.tasks
        assert {path: path.read_bytes() for path in (tmp_path / "out" / "measured").rglob("*.jsonl")} == ledgers

    def test_a_directory_with_figures_of_other_tasks_is_refused(
        self, tiny_model: Path, tasks: Path, tmp_path: Path
    ) -> None:
        from fipo_model.evaluation.run import evaluate

        wanted = self.settings(tiny_model, tasks, tmp_path / "out")
        evaluate(wanted)
        write_tasks(tasks, [a_task("plural", examples=9), a_task("opposite")])
        with pytest.raises(InputError, match="drawn_tasks was "):
            evaluate(wanted)

    def test_the_command_reads_a_recipe_and_says_where_the_list_is(
        self, tiny_model: Path, tasks: Path, tmp_path: Path
    ) -> None:
        recipe = tmp_path / "eval.toml"
        recipe.write_text(
            f'output = "{tmp_path / "out"}"\ntest_models = ["{tiny_model}"]\n'
            f'[tasks]\npath = "{tasks}"\nwordings = 1\ninputs = 2\nshown = 2\n'
            f'[systems.mine]\nmodel = "{tiny_model}"\n'
        )
        command = [sys.executable, "-m", "fipo_model.cli", "eval", str(recipe)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[-1] == str(tmp_path / "out" / "additions.jsonl")
        assert "mine on tasks (prompt), tiny: right outputs" in done.stderr
