"""`fipo compare optimizers`: its arithmetic, its records, and everybody who takes part, on a scripted model."""

import json
import runpy
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import dspy
import pytest
from typer.testing import CliRunner

from fipo_model import PromptOptimizer, Rewriter, Sampling
from fipo_model.cli import app
from fipo_model.comparing import opening
from fipo_model.errors import ServerError
from fipo_model.generation import Message
from fipo_model.jobs import SETTINGS
from fipo_model.testing import ScriptedGenerator

pytest.importorskip("dspy.lm15", reason="the comparison's models are engines, which DSPy has since 3.4")

from fipo_model.comparing.optimizers import (
    contenders,
    counting,
    job,
    models,
    page,
    running,
    stopwatch,
    survey,
    tasks,
    words,
)

GUIDANCE = "Name the label."
GOOD, BAD = "a fine film", "a poor film"


def reply(conversation: list[Message]) -> str:
    """Labels a film where it is told to, or was shown how; to anything else it answers with the guidance."""
    asked = conversation[-1]["content"]
    last = asked.rsplit("text: ", 1)[-1]
    if last.startswith((GOOD, BAD)) and "###" not in asked:
        is_told = GUIDANCE in conversation[0]["content"] or len(conversation) > 1 or GOOD in last
        return ("positive" if last.startswith(GOOD) else "negative") if is_told else "I liked it."
    return GUIDANCE


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for dataset, labels in (("sst2", ["negative", "positive"]), ("agnews", ["World", "Sports"])):
        with (folder / f"{dataset}.jsonl").open("w") as file:
            for number in range(60):
                text, label = ((GOOD, labels[1]), (BAD, labels[0]))[number % 2]
                row = {"text": f"{text} {number}", "label": label, "labels": labels}
                file.write(json.dumps(row | {"split": "train" if number < 30 else "test"}) + "\n")
    return folder


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedGenerator:
    generator = ScriptedGenerator(reply)
    rewriter = Rewriter(ScriptedGenerator(lambda conversation: f"{GUIDANCE} Label the sentiment."))
    monkeypatch.setattr(opening, "open_answerer", lambda **options: generator)
    monkeypatch.setattr(Rewriter, "from_pretrained", lambda *args, **kwargs: rewriter)
    return generator


def started(data: Path, output: Path, *options: str, code: int = 0) -> Any:
    command = ["--data", str(data), "--output", str(output), "--effort", "least", "--train", "6", "--limit-val", "6"]
    sizes = ["--limit-test", "8", "--seeds", "1", "--threads", "2"]
    result = CliRunner().invoke(app, ["compare", "optimizers", *command, *sizes, *options])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def records_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / job.RESULTS).read_text().splitlines()]


def record(task: str, contender: str, seed: int, test: list[float], **fields: Any) -> dict[str, Any]:
    calls, seconds = fields.pop("calls", 10), fields.pop("seconds", 1.0)
    one = {"calls": calls, "batches": 1, "input_tokens": 5, "output_tokens": 1}
    none = dict.fromkeys(one, 0)
    costs = {
        "seconds": seconds,
        "processor_seconds": seconds,
        "models": {"task": one, "proposer": none, "rewriter": none},
    }
    program = {"words": 3, "demos": 0, "digest": contender, "predictors": {}}
    found = {"task": task, "contender": contender, "seed": seed, "error": None, "costs": costs, "program": program}
    return found | {"test": test, "score": sum(test) / len(test), "protected": None} | fields


def by_key(*found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {counting.key(one["task"], one["contender"], one["seed"]): one for one in found}


def test_everybody_compiles_and_is_tested(data: Path, tmp_path: Path, scripted: ScriptedGenerator):
    pytest.importorskip("optuna", reason="MIPROv2 needs dspy[optuna]")
    result = started(data, tmp_path / "out", "--tasks", "sst2")
    found = {one["contender"]: one for one in records_of(tmp_path / "out")}
    assert list(found) == list(contenders.CONTENDERS)
    assert {name: one["error"] for name, one in found.items()} == dict.fromkeys(contenders.CONTENDERS)
    student = found["student"]["score"]  # good films alone are named unasked
    assert 0 < student < 1
    assert {name for name, one in found.items() if one["score"] == 1.0} >= {"fipo", "fipo-metric", "bootstrap", "copro"}
    assert found["fipo"]["costs"]["models"]["task"]["calls"] == 0
    assert found["fipo"]["costs"]["models"]["rewriter"]["batches"] == 1
    assert found["fipo"]["costs"]["models"]["rewriter"]["calls"] == 1
    assert found["fipo"]["proposals"]["classify"][0]["outcome"] == "optimized"
    assert found["copro"]["costs"]["models"]["proposer"]["calls"] > 0
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["tasks"]["sst2"]["fipo-metric"]["gain"]["value"] == pytest.approx(1 - student)
    assert summary["page"] == str(tmp_path / "out" / job.PAGE)


def test_a_program_of_two_predictors(data: Path, tmp_path: Path, scripted: ScriptedGenerator):
    started(data, tmp_path / "out", "--tasks", "sst2-note", "--optimizers", "fipo,bootstrap")
    found = {one["contender"]: one for one in records_of(tmp_path / "out")}
    assert list(found["fipo"]["program"]["predictors"]) == ["note", "classify"]
    assert found["fipo"]["costs"]["models"]["rewriter"]["batches"] == 1
    assert found["bootstrap"]["error"] is None


def test_a_finished_comparison_asks_nothing_again(data: Path, tmp_path: Path, scripted: ScriptedGenerator):
    options = ("--tasks", "sst2", "--optimizers", "fipo,fipo-metric")
    started(data, tmp_path / "out", *options)
    asked = len(scripted.calls)
    started(data, tmp_path / "out", *options)
    assert len(scripted.calls) == asked
    started(data, tmp_path / "out", *options, "--optimizers", "bootstrap")
    assert [one["contender"] for one in records_of(tmp_path / "out")][-1] == "bootstrap"


def test_a_kill_loses_only_what_was_going_on(
    data: Path, tmp_path: Path, scripted: ScriptedGenerator, monkeypatch: pytest.MonkeyPatch
):
    def killed(bench: contenders.Bench, student: dspy.Module) -> dspy.Module:
        raise KeyboardInterrupt

    options = ("--tasks", "sst2", "--optimizers", "fipo,bootstrap")
    with monkeypatch.context() as patch:
        patch.setitem(contenders.CONTENDERS, "bootstrap", ("BootstrapFewShot", killed))
        started(data, tmp_path / "out", *options, code=130)
    assert len(records_of(tmp_path / "out")) == 2
    with (tmp_path / "out" / job.RESULTS).open("a") as file:
        file.write('{"key": "0/boots')  # and the machine went down while it wrote
    started(data, tmp_path / "out", *options)
    assert [one["contender"] for one in records_of(tmp_path / "out")] == ["student", "fipo", "bootstrap"]


def test_other_settings_are_refused_with_the_difference(data: Path, tmp_path: Path, scripted: ScriptedGenerator):
    options = ("--tasks", "sst2", "--optimizers", "fipo")
    started(data, tmp_path / "out", *options)
    refused = started(data, tmp_path / "out", *options, "--limit-val", "8", code=2)
    assert "val was 6 and is now 8" in refused.stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").touch()
    assert "does not hold a comparison" in started(data, tmp_path / "other", code=2).stderr


def test_other_data_are_refused_but_not_the_same_in_another_folder(
    data: Path, tmp_path: Path, scripted: ScriptedGenerator
):
    options = ("--tasks", "sst2", "--optimizers", "student")
    started(data, tmp_path / "out", *options)
    moved = data.rename(tmp_path / "moved")
    started(moved, tmp_path / "out", *options)
    started(moved, tmp_path / "out", *options, "--tasks", "agnews")
    for dataset in ("sst2", "agnews"):
        file = moved / f"{dataset}.jsonl"
        before = file.read_text()
        file.write_text(before.replace(GOOD, "a film of another domain"))
        refused = started(moved, tmp_path / "out", *options, "--tasks", dataset, code=2)
        assert f"other settings: data.{dataset} was " in refused.stderr
        file.write_text(before)
    # A directory of before the data were noted goes on, and notes them.
    noted = tmp_path / "out" / SETTINGS
    fields = json.loads(noted.read_text())
    data_before = fields.pop("data")
    noted.write_text(json.dumps(fields))
    started(moved, tmp_path / "out", *options)
    assert json.loads(noted.read_text())["data"] == {"sst2": data_before["sst2"]}


@pytest.mark.parametrize(
    ("line", "told"), [('{"split": "test"', "not JSON"), ("[]", "not a JSON object"), ('{"split": "test"}', "no label")]
)
def test_a_broken_line_of_the_data_is_named_and_can_be_mended(
    data: Path, tmp_path: Path, scripted: ScriptedGenerator, line: str, told: str
):
    options = ("--tasks", "sst2", "--optimizers", "student")
    before = (data / "sst2.jsonl").read_text()
    (data / "sst2.jsonl").write_text(f"{before}{line}\n")
    refused = started(data, tmp_path / "out", *options, code=2)
    assert "sst2.jsonl, line 61: " in refused.stderr
    assert told in refused.stderr
    (data / "sst2.jsonl").write_text(before)
    started(data, tmp_path / "out", *options)


def test_options_that_name_nothing(data: Path, tmp_path: Path):
    assert "there is no task 'nope'" in started(data, tmp_path / "out", "--tasks", "nope", code=2).stderr
    assert "there is no optimizer" in started(data, tmp_path / "out", "--optimizers", "nope", code=2).stderr
    assert "'huge' is not one of" in started(data, tmp_path / "out", "--effort", "huge", code=2).stderr
    assert "--server ADDRESS and --name MODEL" in started(data, tmp_path / "out", "--server", "http://x", code=2).stderr


def test_too_few_rows_are_an_error(data: Path, tmp_path: Path, scripted: ScriptedGenerator):
    refused = started(data, tmp_path / "out", "--tasks", "sst2", "--train", "28", code=2)
    assert "34 and 8 are needed" in refused.stderr


def test_an_optimizer_that_fails_is_a_row(
    data: Path, tmp_path: Path, scripted: ScriptedGenerator, monkeypatch: pytest.MonkeyPatch
):
    def broken(bench: contenders.Bench, student: dspy.Module) -> dspy.Module:
        raise ValueError("no <proposal> could be parsed")

    monkeypatch.setitem(contenders.CONTENDERS, "mipro", ("MIPROv2", broken))
    result = started(data, tmp_path / "out", "--tasks", "sst2", "--optimizers", "fipo,mipro")
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["failed"] == ["0/mipro/sst2"]
    assert summary["tasks"]["sst2"]["mipro"]["first_error"] == "ValueError: no <proposal> could be parsed"
    assert "1 compiles failed" in result.stdout
    written = (tmp_path / "out" / job.PAGE).read_text()
    assert "no &lt;proposal&gt; could be parsed" in written
    assert "<proposal>" not in written


def test_a_server_that_goes_down_stops_everything(
    data: Path, tmp_path: Path, scripted: ScriptedGenerator, monkeypatch: pytest.MonkeyPatch
):
    options = ("--tasks", "sst2", "--optimizers", "fipo-metric")

    def down(conversation: list[Message]) -> str:
        raise ServerError("the server is down")

    with monkeypatch.context() as patch:
        patch.setattr(scripted, "script", down)
        stopped = started(data, tmp_path / "out", *options, code=1)
    assert "the server is down" in stopped.stderr
    assert not (tmp_path / "out" / job.RESULTS).exists() or not records_of(tmp_path / "out")
    started(data, tmp_path / "out", *options)
    assert len(records_of(tmp_path / "out")) == 2


def test_a_program_that_came_back_unchanged_is_not_tested_again(data: Path, scripted: ScriptedGenerator):
    repeating = PromptOptimizer(ScriptedGenerator(lambda conversation: "Label the sentiment."))
    runner = running.Runner(
        scripted,
        rewriter=repeating,
        sampler=repeating,
        max_tokens=12,
        proposal_tokens=64,
        num_threads=1,
        effort="least",
    )
    examples = tasks.read_data(data, tasks.TASKS["sst2"], seed=0, train=6, val=6, test=8)
    first = runner.record("sst2", "student", 0, examples, {})
    asked = len(scripted.calls)
    again = runner.record("sst2", "fipo", 0, examples, {"0/student/sst2": first})
    assert len(scripted.calls) == asked
    assert again["test"] == first["test"]


def test_a_stop_of_the_whole_process_is_no_time_of_the_compile(monkeypatch: pytest.MonkeyPatch):
    with stopwatch.Stopwatch(tick=0.01, pause=0.5) as watch:
        now = stopwatch.time.perf_counter
        monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now() + 100)  # as after a stop of 100 seconds
        time.sleep(0.2)
    assert 0.1 < watch.seconds < 10
    assert watch.as_fields()["paused_seconds"] == pytest.approx(100, abs=5)


def test_the_first_output_is_the_reply_and_the_others_are_empty():
    signature = dspy.Signature("a -> b, c", "Say it.")
    assert models.FirstOutput().format(signature, [{"a": "1", "b": "2"}], {"a": "3"}) == [
        {"role": "user", "content": "Say it.\n\na: 1"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "a: 3"},
    ]
    assert models.FirstOutput().parse(signature, " x ") == {"b": "x", "c": ""}


@pytest.mark.parametrize(("said", "answer"), [("", "(nothing)"), (" x\n", "x")])
def test_an_empty_reply_is_an_answer(said: str, answer: str):
    meter = models.Meter()
    model = models.Answering(ScriptedGenerator(lambda _: said), meter, "task")
    ((found,),) = model.generate([[{"role": "user", "content": "?"}]], Sampling())
    assert found.text == answer
    assert meter.as_fields()["task"]["calls"] == 1


def test_the_label_named_first_counts():
    labels = ["bad", "good", "goods"]
    assert tasks.first_named("Goods, not bad", labels) == "goods"
    assert tasks.first_named("nothing", labels) is None


def test_the_test_rows_are_the_same_for_every_seed_and_apart_from_the_others(data: Path):
    found = [tasks.read_data(data, tasks.TASKS["sst2"], seed=seed, train=6, val=6, test=8) for seed in (0, 1)]
    texts = [[example.text for example in one.testset] for one in found]
    assert texts[0] == texts[1]
    assert [e.text for e in found[0].trainset] != [e.text for e in found[1].trainset]
    own = [example.text for one in found for example in (*one.trainset, *one.valset)]
    assert not set(own) & set(texts[0])


def test_gains_are_paired_and_seeds_are_averaged_first():
    rows = by_key(
        *(record("sst2", "student", seed, [0, 0, 1, 1]) for seed in (0, 1)),
        record("sst2", "fipo", 0, [1, 1, 1, 1]),
        record("sst2", "fipo", 1, [0, 0, 1, 1]),
    )
    found = counting.summarize(rows, ["sst2"], seed=0)["tasks"]["sst2"]
    assert found["fipo"]["score"]["value"] == 0.75
    assert found["fipo"]["gain"]["value"] == 0.25
    assert 0 <= found["fipo"]["gain"]["low"] <= found["fipo"]["gain"]["high"] <= 0.5
    assert found["student"]["gain"] is None


def test_targets_are_held_against_the_cheapest_and_the_best():
    rows = by_key(
        *(record("sst2", "student", seed, [0, 1]) for seed in range(3)),
        *(record("sst2", "fipo-metric", seed, [1, 1], calls=20, seconds=1.0) for seed in range(3)),
        *(record("sst2", "mipro", seed, [1, 1], calls=200, seconds=20.0) for seed in range(3)),
        *(record("sst2", "copro", seed, [0, 1], calls=400, seconds=4.0) for seed in range(3)),
        *(record("sst2", "gepa", seed, [0, 0], calls=900, seconds=90.0) for seed in range(3)),
    )
    found = counting.summarize(rows, ["sst2"], seed=0)["targets"]["fipo-metric"]
    one = found["by_task"]["sst2"]
    assert (one["calls"], one["seconds"], one["best_rival"]) == (0.1, 0.25, "mipro")
    assert found["calls_met"]
    assert not found["time_met"]
    assert found["tasks_not_below"] == 1
    assert found["tasks_above"] == 0
    assert found["complete"]


def test_a_compile_below_the_student_is_counted():
    twice, refused = {"text": "a", "outcome": "optimized"}, {"text": "b", "outcome": "unchanged"}
    worse = {"student": 60.0, "compiled": 50.0}
    rows = by_key(
        record("sst2", "student", 0, [0, 1]),
        record("sst2", "fipo-metric", 0, [0, 0], protected=worse, proposals={"classify": [twice, twice, refused]}),
    )
    found = counting.summarize(rows, ["sst2"], seed=0)["protection"]["fipo-metric"]
    assert found == {
        "compiles": 1,
        "measured_on_valset": 1,
        "below_on_valset": 1,
        "usable_rewrites": 1,
        "mean_gain_on_test": -0.5,
        "below_on_test": 1,
    }


def test_the_page_draws_scores_against_calls(data: Path, tmp_path: Path, scripted: ScriptedGenerator):
    started(data, tmp_path / "out", "--tasks", "sst2", "--optimizers", "fipo,fipo-metric,copro")
    written = (tmp_path / "out" / job.PAGE).read_text()
    assert "COPRO: 100 % after" in written
    assert "fipo 100 % after 1 calls" in written
    assert "Without a metric, a program of five predictors took" in written
    assert "http://" not in written
    assert "https://" not in written


def test_names_of_dots_that_are_close_do_not_cover_each_other():
    taken: list[tuple[float, float]] = []
    places = [page._free_height(taken, 20.0, height) for height in (30.0, 31.0, 32.0)]
    assert all(after - before >= page._LABEL_GAP for before, after in pairwise(places))


def test_the_first_sentence_is_about_the_metric_and_the_table_has_every_task():
    costs = {"calls": 10, "seconds": 1.0}
    rows = by_key(
        record("sst2", "student", 0, [0, 1]),
        record("sst2", "fipo", 0, [0, 1]),
        record("sst2", "fipo-metric", 0, [1, 1], **costs),
        record("sst2", "mipro", 0, [1, 0], calls=40, seconds=4.0),
    )
    speed = {"error": None, "costs": record("sst2", "fipo", 0, [0, 1])["costs"]}
    summary = counting.summarize(rows, ["sst2"], seed=0) | {"without_metric": speed}
    first = next(words.sentences(summary))
    assert first.startswith(
        "FIPO with the metric is not shown to be below the best rival on 1 of 1 tasks, and scores above"
    )
    assert "0.25 times the calls of the cheapest rival (target 0.1: missed)" in first
    metric, plain = words.against_rivals(summary)
    assert metric[:4] == ("fipo-metric", "sst2", "mipro", "mipro")
    assert plain[0] == "fipo"
    assert len(metric) == len(words.AGAINST)


def test_an_unfinished_comparison_says_so():
    rows = by_key(record("sst2", "student", 0, [0, 1]), record("sst2", "fipo", 0, [0, 1]))
    costs = record("sst2", "fipo", 0, [0, 1])["costs"]
    summary = counting.summarize(rows, ["sst2"], seed=0) | {"without_metric": {"error": None, "costs": costs}}
    said = list(words.sentences(summary))
    assert said[0].startswith("Not enough has run")
    assert any("unfinished" in text for text in said)


def test_the_survey_says_what_may_be_used(data: Path, scripted: ScriptedGenerator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(survey, "CANDIDATES", {"sst2": ("Label the sentiment.",)})
    result = CliRunner().invoke(app, ["compare", "optimizers", "--data", str(data), "--survey"])
    assert json.loads(result.stdout.splitlines()[-1])[0]["usable"]


def test_a_survey_of_a_data_set_without_rows_to_train_on_names_it(
    data: Path, scripted: ScriptedGenerator, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(survey, "CANDIDATES", {"sst2": ("Label the sentiment.",)})
    file = data / "sst2.jsonl"
    file.write_text(file.read_text().replace('"train"', '"test"'))
    result = CliRunner().invoke(app, ["compare", "optimizers", "--data", str(data), "--survey"])
    assert result.exit_code == 2, result.exception
    assert "sst2 has no rows to train on" in result.stderr


def test_without_names_the_tasks_are_those_whose_data_are_there(
    data: Path, tmp_path: Path, scripted: ScriptedGenerator
):
    started(data, tmp_path / "out", "--optimizers", "student")
    assert {one["task"] for one in records_of(tmp_path / "out")} == {"sst2", "sst2-note", "agnews"}
    missing = started(tmp_path, tmp_path / "other", "--optimizers", "student", code=2)
    assert "there is no" in missing.stderr


def test_tasks_of_a_later_version_are_no_other_settings_but_other_instructions_are(
    data: Path, tmp_path: Path, scripted: ScriptedGenerator, monkeypatch: pytest.MonkeyPatch
):
    options = ("--tasks", "sst2", "--optimizers", "student")
    started(data, tmp_path / "out", *options)
    new = replace(tasks.TASKS["sst2"], name="new")
    monkeypatch.setitem(tasks.TASKS, "new", new)
    started(data, tmp_path / "out", "--tasks", "sst2,new", "--optimizers", "student")
    noted = json.loads((tmp_path / "out" / SETTINGS).read_text())["students"]
    assert list(noted) == ["sst2", "new"]
    monkeypatch.setitem(tasks.TASKS, "new", replace(new, student=lambda: tasks.Classify("Label it.")))
    refused = started(data, tmp_path / "out", "--tasks", "new", "--optimizers", "student", code=2)
    assert "students.new.classify was " in refused.stderr


def test_the_benchmark_makes_data_sets_of_tasks(tmp_path: Path):
    script = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "compare_optimizers.py"))
    (tmp_path / "classification").mkdir()
    for name in ("sst2", "agnews"):
        (tmp_path / "classification" / f"{name}.jsonl").write_text("{}\n")
    claim = {"input": "All men are mortal.", "outputs": ["Valid"], "choices": ["Valid", "Invalid"]}
    charge = {"input": "What was that fee?", "outputs": ["top up failed"], "choices": ["top up failed", "pin blocked"]}
    for file, name, one in (
        ("tasks", "logical_fallacy_detection", claim),
        ("more_tasks", "banking77_eight", charge),
    ):
        row = {"task": name, "examples": [one] * 4}
        (tmp_path / f"{file}.jsonl").write_text(json.dumps(row) + "\n")
    script["write_sets"](tmp_path, tmp_path / "sets")
    assert tasks.tasks_of(tmp_path / "sets") == ("sst2", "sst2-note", "agnews", "fallacy", "banking")
    made = tasks.read_data(tmp_path / "sets", tasks.TASKS["banking"], seed=0, train=1, val=1, test=2)
    assert [len(made.trainset), len(made.valset), len(made.testset)] == [1, 1, 2]
    right, wrong = (dspy.Prediction(label=f"It is {answer}.") for answer in ("top up failed", "pin blocked"))
    assert tasks.is_right(made.testset[0], right)
    assert not tasks.is_right(made.testset[0], wrong)
    command = list(script["compare"](tmp_path, "smollm2-135m", "student", quick=True))
    assert CliRunner().invoke(app, [*command[3:], "--tasks", "none"]).exit_code == 2
