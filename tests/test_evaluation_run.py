"""`fipo eval` from the recipe to the page, on a two-layer model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fipo_model.errors import InputError, ModelError, TemplateError
from fipo_model.jobs import claimed_directory

pytestmark = pytest.mark.tiny

ROWS = [
    {"id": "a", "instruction": "Name a colour.", "golden_response": "Blue.", "optimized": "Name one bright colour."},
    {"id": "b", "instruction": "Invent a word for a {thing}.", "golden_response": "Townlet, a small, quiet town."},
    {"id": "c", "instruction": "Tell a long story.", "context": "A quiet town.", "golden_response": "Once, in a town,"},
    {"id": "d", "instruction": "Name 3 towns.", "optimized": "Name 3 small towns.", "rejected": "Name towns."},
    {"id": "e", "instruction": ""},
]


@pytest.fixture
def make(tiny_model, tmp_path):
    """An evaluation's settings: make(seed=1) is the usual one with another seed."""
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(map(json.dumps, ROWS)))

    def settings(**changes):
        from fipo_model.evaluation.settings import DataSettings, EvaluationSettings, SystemSettings

        usual = {
            "output": str(tmp_path / "out"),
            "data": {"own": DataSettings(path=str(data))},
            "systems": {
                "optimizer": SystemSettings(model=str(tiny_model), template="fipo-2"),
                "identity": SystemSettings(kind="identity"),
                "repeat": SystemSettings(kind="repeat"),
                "reference": SystemSettings(kind="reference"),
            },
            "test_models": [str(tiny_model)],
            "timed_prompts": 2,
        }
        return EvaluationSettings(**(usual | changes))

    return settings


@pytest.fixture
def adapted(tiny_model):
    """An adapter for the two-layer model: adapted(folder) is an untrained one, which changes nothing."""

    def save(folder, **options):
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        base = AutoModelForCausalLM.from_pretrained(tiny_model)
        lora = LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", **options)
        get_peft_model(base, lora).save_pretrained(folder)
        return folder

    return save


STORED = Path(__file__).with_name("evaluation_results.json")
"""results.json as version 0.1 wrote it; its paths, which depend on the machine, were shortened."""


def run(settings):
    from fipo_model.evaluation.run import evaluate

    return evaluate(settings)


def by_system(entries):
    return {entry.system: entry for entry in entries}


def test_results_and_page_are_made_of_paired_figures(make, tmp_path):
    results = run(make())
    gains = by_system(results.golden_gain)
    nothing = gains["identity"].gain
    assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
    assert gains["identity"].unchanged == 1
    assert gains["repeat"].gain.value != 0
    assert gains["repeat"].rows == 3
    assert gains["repeat"].left_out == {"no golden response": 1}
    assert by_system(results.rewriting)["optimizer"].seconds.p50 > 0
    assert by_system(results.rewriting)["reference"].outcomes == {"error": 2, "optimized": 2}
    assert results.preference == []  # the model has no adapter, and so no base to be compared with
    assert "instruction" in results.bad_rows["own"][0]
    assert results.made.settings["test_models"]
    assert results.made.versions["torch"]
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == json.loads(json.dumps(results.to_fields()))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Townlet, a small, quiet town." in page


def test_the_golden_gain_is_what_the_likelihoods_say(make, tiny_model):
    from fipo_model.backends.transformers.model import LoadedModel
    from fipo_model.backends.transformers.scorer import TransformersScorer

    def likelihood(prompt):
        measure = TransformersScorer(LoadedModel.from_pretrained(tiny_model))
        (value,) = measure.log_likelihoods([([{"role": "user", "content": prompt}], "Blue.")])
        return value

    found = by_system(run(make(timed_prompts=0)).golden_gain)["reference"]
    expected = likelihood("Name one bright colour.") - likelihood("Name a colour.")
    # One of three prompts has a reference; the others are left alone.
    assert found.gain.value == pytest.approx(expected / 3, abs=1e-4)


def test_an_evaluation_that_was_killed_goes_on_and_ends_the_same(make, tmp_path, monkeypatch):
    from fipo_model.evaluation import run as module

    whole = run(make(output=str(tmp_path / "whole")))
    asked = []

    def killed(measure, batch):
        asked.append(batch)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "golden_log_likelihoods", killed)
        with pytest.raises(KeyboardInterrupt):
            run(make())
    rewrites = tmp_path / "out" / "measured" / "rewrites" / "optimizer" / "own.jsonl"
    before = rewrites.read_bytes()
    again = run(make())
    assert rewrites.read_bytes() == before
    assert again.golden_gain == whole.golden_gain
    assert again.preference == whole.preference


def test_a_directory_with_other_settings_is_refused_with_the_difference(make, tmp_path):
    run(make(timed_prompts=0))
    with pytest.raises(InputError, match="seed was 0 and is now 1"):
        run(make(timed_prompts=0, seed=1))
    with claimed_directory(tmp_path / "out", kind="an evaluation"), pytest.raises(InputError, match="is at work on"):
        run(make(timed_prompts=0))
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="does not hold an evaluation"):
        run(make(output=str(other)))


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # by peft
def test_figures_under_a_test_model_whose_adapter_was_trained_again_are_not_mixed(make, tmp_path, adapted):
    adapter = adapted(tmp_path / "adapter")
    wanted = make(test_models=[str(adapter)], timed_prompts=0)
    assert run(wanted).golden_gain == run(wanted).golden_gain
    adapted(adapter, init_lora_weights=False)
    with pytest.raises(InputError, match=f"other settings: test_model_adapters.{adapter} was another one"):
        run(wanted)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        run(wanted)


@pytest.fixture
def controls(make, tmp_path, tiny_model):
    """Settings of a quick evaluation that reads every kind of file."""
    from fipo_model.evaluation.settings import BenchmarkSettings, SystemSettings

    rows = [{"id": f"p{n}", "question": f"Name {n}?", "choices": ["Blue.", "A town."], "answer": 0} for n in range(9)]
    (tmp_path / "piqa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    layout = {"optimizer": "S_P O_C G_N", "s_r": "S_R", "g_r": "G_R", "discriminator": "R_P P_A P_B G_R"}
    (tmp_path / "template.json").write_text(json.dumps(layout))
    systems = {
        "optimizer": SystemSettings(model=str(tiny_model), template=str(tmp_path / "template.json")),
        "repeat": SystemSettings(kind="repeat"),
    }
    benchmarks = BenchmarkSettings(path=str(tmp_path), names=["piqa"], systems=["repeat"], limit=1)
    return make(systems=systems, benchmarks=benchmarks, timed_prompts=0)


@pytest.mark.parametrize(
    ("name", "old", "new", "what"),
    [
        ("data.jsonl", "Name a colour.", "Name a town.", "data.own"),
        ("piqa.jsonl", "Name 0?", "Invent 0?", "benchmarks.piqa"),
        ("template.json", "S_P O_C", "S_P, O_C", "systems.optimizer.template"),
    ],
)
def test_figures_of_a_file_that_was_edited_are_not_mixed_with_those_from_before(
    controls, tmp_path, name, old, new, what
):
    # The old rewrites and likelihoods once stood beside the new prompts, because the ids were the same.
    file = tmp_path / name
    before, results = file.read_text(), run(controls)
    assert run(controls).golden_gain == results.golden_gain
    file.write_text(before.replace(old, new, 1))
    told = rf"with other settings: content\.{what} was another one\. Resume"
    with pytest.raises(InputError, match=told):
        run(controls)
    file.write_text(before)
    assert run(controls).golden_gain == results.golden_gain
    file.unlink()
    with pytest.raises((InputError, TemplateError), match=rf"(no|cannot read.*) file .*{name}|cannot read .*{name}"):
        run(controls)


def test_a_directory_from_before_contents_were_noted_goes_on_and_notes_them(make, tmp_path):
    run(make(timed_prompts=0))
    noted = tmp_path / "out" / "settings.json"
    fields = json.loads(noted.read_text())
    content = fields.pop("content")
    assert list(content) == ["data.own"]
    noted.write_text(json.dumps(fields))
    run(make(timed_prompts=0))
    assert json.loads(noted.read_text())["content"] == content


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # by peft
def test_a_directory_of_before_goes_on_if_no_test_model_has_an_adapter(make, tmp_path, adapted):
    def run_in_one_of_before(**changes):
        wanted = make(output=str(tmp_path / "before"), timed_prompts=0, **changes)
        run(wanted)
        noted = tmp_path / "before" / "settings.json"
        fields = json.loads(noted.read_text())
        del fields["test_model_adapters"]
        noted.write_text(json.dumps(fields))
        return run(wanted)

    assert run_in_one_of_before().golden_gain
    shutil.rmtree(tmp_path / "before")
    with pytest.raises(
        InputError, match=r"test_model_adapters\..* was not set and is now "
    ):  # of which weights, nobody knows
        run_in_one_of_before(test_models=[str(adapted(tmp_path / "adapter"))])


@pytest.mark.parametrize(
    ("test_models", "servers"),
    [(["org/m"], ["org/m"]), (["one/m"], ["m"]), (["one/m", "two/m"], []), ([], ["m", "m"]), (["org_m", "org/m"], [])],
)
def test_test_models_of_one_name_are_refused_before_anything_is_measured(
    make, tmp_path, monkeypatch, test_models, servers
):
    from fipo_model.evaluation.settings import BenchmarkSettings, ServerSettings

    monkeypatch.chdir(tmp_path)
    for folder in ("one/m", "two/m", "org_m"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").touch()
    served = [ServerSettings(base_url=f"http://127.0.0.1:{port}/v1", name=m) for port, m in enumerate(servers, 1)]
    with pytest.raises(InputError, match=r"go by the name '(org/)?m'.*Rename the directory, serve the model under"):
        run(make(test_models=test_models, benchmarks=BenchmarkSettings(servers=served)))
    assert not (tmp_path / "out").exists()


def test_a_test_model_without_a_chat_template_is_refused_before_anything_is_measured(make, altered, tmp_path):
    model = altered()
    (model / "chat_template.jinja").unlink(missing_ok=True)
    config = model / "tokenizer_config.json"
    fields = json.loads(config.read_text())
    fields.pop("chat_template", None)
    config.write_text(json.dumps(fields))
    plain = shutil.copytree(model, tmp_path / "plain")
    with pytest.raises(ModelError, match="no chat template"):
        run(make(test_models=[str(plain)]))
    assert not (tmp_path / "out" / "measured").exists()


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # by peft
def test_preference_accuracy_is_the_share_of_pairs_the_model_gets_right_against_its_base(
    make, tiny_model, tmp_path, adapted
):
    from fipo_model.evaluation.settings import SystemSettings

    adapter = adapted(tmp_path / "adapter")  # no pair is told apart
    systems = {"optimizer": SystemSettings(model=str(tiny_model), adapter=str(adapter), template="fipo-2")}
    results = run(make(systems=systems, timed_prompts=0))
    assert results.preference[0].rows == 1
    assert results.preference[0].accuracy.value == 0


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # by peft
def test_a_pair_that_does_not_fit_is_left_out_and_the_evaluation_goes_on(make, tiny_model, tmp_path, adapted):
    from fipo_model.evaluation.settings import DataSettings, SystemSettings

    long = {
        "id": "long",
        "instruction": "Name a town.",
        "optimized": "Tell a long story. " * 200,
        "rejected": "Name it.",
    }
    data = tmp_path / "long.jsonl"
    data.write_text("\n".join(map(json.dumps, [long, *ROWS])))
    adapter = adapted(tmp_path / "adapter", init_lora_weights=False)
    systems = {"optimizer": SystemSettings(model=str(tiny_model), adapter=str(adapter))}
    found = [
        run(make(output=str(tmp_path / name), data={"own": DataSettings(path=path)}, systems=systems, timed_prompts=0))
        for name, path in (("with", str(data)), ("without", make().data["own"].path))
    ]
    (counted,), (expected,) = (results.preference for results in found)
    assert counted == replace(expected, left_out={**expected.left_out, "too long for the model": 1})


def test_benchmarks_that_cannot_be_read_are_told_before_anything_is_measured_and_the_place_stays_free(make, tmp_path):
    from fipo_model.evaluation.settings import BenchmarkSettings, SystemSettings

    only = {"systems": {"repeat": SystemSettings(kind="repeat")}, "timed_prompts": 0}
    mistyped = BenchmarkSettings(path=str(tmp_path / "benchmark"), names=["piqa"])
    with pytest.raises(InputError, match=r"cannot read .*benchmark/piqa\.jsonl"):
        run(make(benchmarks=mistyped, **only))
    assert not (tmp_path / "out").exists()
    assert run(make(**only)).golden_gain


def test_benchmarks_compare_naive_and_rewritten_questions_row_by_row(make, tmp_path):
    from fipo_model.evaluation.settings import BenchmarkSettings

    folder = tmp_path / "benchmarks"
    folder.mkdir()
    rows = [
        {
            "id": f"p{n}",
            "question": f"How to name colour {n}?",
            "choices": ["Say blue.", "Eat a town."],
            "answer": n % 2,
        }
        for n in range(9)
    ]
    (folder / "piqa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    wanted = BenchmarkSettings(
        path=str(folder), names=["piqa"], levels=["instance", "task"], scorings=["likelihood", "letter"], limit=4,
        systems=["optimizer", "identity", "repeat"],
    )  # fmt: skip
    results = run(make(benchmarks=wanted, timed_prompts=0))
    found = results.benchmarks
    assert len(found) == 3 * 2 * 2
    for entry in found:
        assert entry.rows == 4
        assert entry.difference.value == pytest.approx(entry.optimized.value - entry.naive.value)
        if entry.system == "identity":
            # No answer changed, but four rows say little: the interval has a width all the same.
            assert entry.difference.value == 0
            assert entry.difference.low == -entry.difference.high == pytest.approx(-1.96 / 6, abs=1e-3)
    answers = tmp_path / "out" / "measured" / "benchmarks" / "answers" / "piqa" / "instance" / "letter"
    kept = {path.name for path in answers.rglob("*.jsonl")}
    assert kept == {"naive.jsonl", "optimizer.jsonl", "repeat.jsonl"} - (
        {"optimizer.jsonl"} if found[0].outcomes.get("optimized", 0) == 0 else set()
    )


def test_a_rewritten_question_counts_by_its_own_answer(make, tmp_path, monkeypatch):
    from fipo_model.evaluation import accuracy
    from fipo_model.evaluation.settings import BenchmarkSettings

    def right_if_said_twice(model, scored, *, texts, **options):
        return ["\n\n" in text for text in texts]

    choices = ["Say blue.", "Eat a town."]
    rows = [{"id": f"p{n}", "question": f"Name {n}?", "choices": choices, "answer": 0} for n in range(9)]
    (tmp_path / "piqa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr(accuracy, "score", right_if_said_twice)
    wanted = BenchmarkSettings(path=str(tmp_path), names=["piqa"], systems=["repeat"])
    (entry,) = run(make(benchmarks=wanted, timed_prompts=0)).benchmarks
    assert [entry.naive.value, entry.optimized.value, entry.difference.value] == [0, 1, 1]


def shape(value):
    """The names of all fields in their order, and what kind of value each has."""
    if isinstance(value, dict):
        return [(name, shape(inner)) for name, inner in value.items()]
    return [shape(inner) for inner in value] if isinstance(value, list) else type(value).__name__


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.* is deprecated:FutureWarning")  # by peft
def test_results_json_keeps_its_format_field_by_field(make, tiny_model, tmp_path, adapted):
    from fipo_model.evaluation.settings import BenchmarkSettings, SystemSettings

    choices = ["Say blue.", "Eat a town."]
    rows = [{"id": f"p{n}", "question": f"Name {n}?", "choices": choices, "answer": n % 2} for n in range(9)]
    (tmp_path / "piqa.jsonl").write_text("\n".join(map(json.dumps, rows)))
    adapter = adapted(tmp_path / "adapter", init_lora_weights=False)
    systems = {
        "optimizer": SystemSettings(model=str(tiny_model), adapter=str(adapter), template="fipo-2"),
        "repeat": SystemSettings(kind="repeat"),
    }
    run(
        make(
            systems=systems,
            benchmarks=BenchmarkSettings(path=str(tmp_path), names=["piqa"], limit=4, systems=["repeat"]),
        )
    )
    written, stored = (json.loads(path.read_text()) for path in (tmp_path / "out" / "results.json", STORED))
    for results in (written, stored):  # what depends on the model's random weights, and on the machine
        results["rewriting"][0] |= {"outcomes": {}, "length_ratio": None}
        results["made"] |= {"commit": None, "versions": {}, "hardware": {**results["made"]["hardware"], "gpu": None}}
        results["made"]["settings"] = {}
    assert shape(written) == shape(stored)
    assert written["golden_gain"][1]["left_out"] == stored["golden_gain"][1]["left_out"]


def test_what_becomes_json_is_everything_that_was_found():
    from pydantic import TypeAdapter

    from fipo_model.evaluation.results import Results

    text = STORED.read_text()
    fields = json.loads(text)
    assert fields.pop("format") == 1
    results = TypeAdapter(Results).validate_python(fields)
    assert json.dumps(results.to_fields(), indent=2, ensure_ascii=False) == text.rstrip()
