"""`fipo eval` and `fipo data rank` as a user types them, on a two-layer model; what comes with the default weights."""

import json
import subprocess
import sys

import pytest

ROWS = [
    {"id": "a", "instruction": "Name a colour.", "golden_response": "Blue."},
    {"id": "b", "instruction": "Tell a long story.", "golden_response": "Once, in a quiet town,", "chosen": "Tell it."},
    {"id": "c", "instruction": "Invent a word."},
]


def fipo(*arguments, **options):
    command = [sys.executable, "-m", "fipo_model.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return path


@pytest.mark.tiny
def test_eval_prints_the_paths_of_its_results_and_says_the_figures_on_stderr(tiny_model, prompts, tmp_path):
    recipe = tmp_path / "eval.toml"
    recipe.write_text(
        f'output = "{tmp_path / "out"}"\ntest_models = ["{tiny_model}"]\n'
        f'[data.own]\npath = "{prompts}"\n[systems.repeat]\nkind = "repeat"\n'
    )
    done = fipo("eval", recipe, "--set", "title=Mine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "out" / name) for name in ("results.json", "report.html")]
    assert "repeat on own" in done.stderr
    assert json.loads((tmp_path / "out" / "results.json").read_text())["title"] == "Mine"
    refused = fipo("eval", recipe, "--set", "seed=3")
    assert refused.returncode == 1
    assert "seed was 0 and is now 3" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.tiny
def test_rank_writes_pairs_that_training_takes_and_goes_on(tiny_model, prompts, tmp_path):
    target = tmp_path / "pairs.jsonl"
    options = ("--candidates", 0, "--repeat", "--reference", "--test-model", tiny_model, "--margin", 0)
    done = fipo("data", "rank", prompts, target, *options)
    assert done.returncode == 1  # one record has no golden response
    assert "c: there is no golden response" in done.stderr
    made = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in made] == ["a", "b"]
    assert [len(row["ranked"]) for row in made] == [1, 2]
    for row in made:
        gains = {text["text"]: text["gain"] for text in row["ranked"]}
        assert gains.get(row["chosen"], 0) == max(0, *gains.values())
    again = fipo("data", "rank", prompts, target, *options)
    assert "0 records ranked, 2 were there" in again.stderr
    assert [json.loads(line) for line in target.read_text().splitlines()] == made
    assert fipo("data", "stats", target).returncode == 0


def test_rank_with_nothing_to_rank_says_so(prompts, tmp_path):
    done = fipo("data", "rank", prompts, tmp_path / "out.jsonl", "--candidates", 0)
    assert done.returncode == 1
    assert "ask for --candidates" in done.stderr


class TestDefaultAdapter:
    """What `PromptOptimizer.from_pretrained()` uses."""

    @pytest.mark.real
    def test_keeps_every_prompt_and_adds_to_some(self, default_weights):
        from fipo_model import PromptOptimizer

        optimizer = PromptOptimizer.from_pretrained()
        assert optimizer.rewriter.template.name == "fipo-2"
        prompts = [
            "What is intermittent fasting?",
            "Explain the logic behind the {theorem} in 3 sentences.",
            "How do I keep basil alive on a windowsill?",
            'Translate "good morning" into French.',
            "Write a Python function that reverses a string.",
            "Who was the first person in space?",
            "in roman numerals",
        ]
        results = optimizer.optimize_batch(prompts)
        assert all(result.text.startswith(prompt) for result, prompt in zip(results, prompts, strict=True))
        assert any(result.is_rewritten for result in results)

    @pytest.mark.real
    def test_the_proposing_one_proposes_more_than_one_thing(self, small_weights):
        from fipo_model import OptimizationRequest, Rewriter

        request = OptimizationRequest("Label the sentiment.")
        rewriters = (
            Rewriter.from_pretrained("smollm2-135m", role=role, samples=8) for role in ("rewriting", "proposing")
        )
        found = [rewriter.propose([request])[0] for rewriter in rewriters]
        default, proposed = ({one.text for one in own if one.outcome == "optimized"} for own in found)
        assert len(default) <= 1
        assert len(proposed) >= 4
