"""`fipo export`: each form is read by the program that it is for."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment
from typer.testing import CliRunner, Result

from fipo_model import OptimizationRequest, OptimizedPrompt
from fipo_model.cli import app
from fipo_model.export import SUFFIXES, Rewrite, Wishes, export
from fipo_model.store import RewriteStore
from support.gguf import TEMPLATE, write_gguf

PLAIN, NAMED = "Name three rivers.", "Explain {topic} to a {reader}."
ODD = 'Reply as JSON: {"a": 1}, {{% x %}}, {# c #}, \'q\', """, é and \u2028 \x85 end.'


TEXT_FORMS = tuple(SUFFIXES)


@pytest.fixture
def store(tmp_path: Path) -> RewriteStore:
    """Two rewrites that were approved, and one that nobody has reviewed."""
    made = RewriteStore(tmp_path / "rewrites.jsonl")
    for naive in (PLAIN, NAMED, "Name a bird."):
        request = OptimizationRequest(naive)
        text = f"{naive}\n\n{ODD}"
        result = OptimizedPrompt(
            text=text, request=request, outcome="optimized", candidates=(), model="m", template="fipo-2"
        )
        made.keep([result])
    made.decide([entry.key for entry in made.entries()[:2]], "approved", by="Ann")
    return made


def fipo(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *(str(each) for each in arguments)])


def key(store: RewriteStore, naive: str) -> str:
    (found,) = [entry.key for entry in store.entries() if entry.naive == naive]
    return found


def test_one_rewrite_is_its_text(store: RewriteStore):
    assert fipo(store.path, key(store, PLAIN), "--as", "text").stdout == f"{PLAIN}\n\n{ODD}\n"


def test_what_nobody_approved_is_exported_only_when_that_is_said(store: RewriteStore):
    assert set(json.loads(fipo(store.path, "--as", "chat").stdout)) == {PLAIN, NAMED}
    pending = fipo(store.path, "--as", "chat", "--state", "pending")
    assert json.loads(pending.stdout) == [{"role": "system", "content": f"Name a bird.\n\n{ODD}"}]
    store.decide([entry.key for entry in store.entries()], "rejected", by="Ann")
    assert "nothing in" in str(fipo(store.path, "--as", "chat").exception)
    rejected = fipo(store.path, key(store, PLAIN), "--as", "text")
    assert rejected.stdout == f"{PLAIN}\n"  # the text to use is then the prompt's own


def test_several_texts_need_a_directory(store: RewriteStore, tmp_path: Path):
    assert "2 rewrites do not fit into one text file" in str(fipo(store.path, "--as", "text").exception)
    assert fipo(store.path, "--as", "text", "--out", tmp_path / "out").exit_code == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["explain-topic-to-a-reader", "name-three-rivers"]
    taken = fipo(store.path, "--as", "text", "--out", store.path)
    assert "is a file, but 2 rewrites need a directory" in str(taken.exception)


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_langchain_loads_it_and_fills_the_variables(store: RewriteStore):
    from langchain_core.load import loads

    done = fipo(store.path, key(store, NAMED), "--as", "langchain", "--role", "user")
    prompt = loads(done.stdout, allowed_objects="core")
    assert prompt.input_variables == ["reader", "topic"]
    (message,) = prompt.format_messages(topic="rain", reader="child")
    assert (message.type, message.content) == ("human", f"Explain rain to a child.\n\n{ODD}")
    several = loads(fipo(store.path, "--as", "langchain").stdout, allowed_objects="core")
    assert several[PLAIN].format_messages()[0].content == f"{PLAIN}\n\n{ODD}"


@pytest.mark.parametrize("module", ["Predict", "ChainOfThought"])
def test_a_program_of_dspys_loads_it(store: RewriteStore, tmp_path: Path, module: str):
    import dspy

    options = ["--signature", "question -> answer", "--module", module]
    fipo(store.path, key(store, PLAIN), "--as", "dspy", "--out", tmp_path / "state.json", *options)
    program = getattr(dspy, module)("question -> answer")
    program.load(tmp_path / "state.json")
    (predictor,) = program.predictors()
    assert predictor.signature.instructions == f"{PLAIN}\n\n{ODD}"
    wrong = fipo(store.path, key(store, PLAIN), "--as", "dspy", "--signature", "question")
    assert "'question' is not a DSPy signature" in str(wrong.exception)


def test_python_imports_it(store: RewriteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert fipo(store.path, "--as", "python", "--out", tmp_path / "exported_rewrites.py").exit_code == 0
    monkeypatch.syspath_prepend(str(tmp_path))
    import exported_rewrites

    try:
        assert exported_rewrites.better(PLAIN) == f"{PLAIN}\n\n{ODD}"
        assert exported_rewrites.better("Another one.") == "Another one."
        assert list(exported_rewrites.REWRITES) == [PLAIN, NAMED]
    finally:
        del sys.modules["exported_rewrites"]


def test_a_prompt_with_a_rewrite_for_each_context_is_not_exported_as_one(tmp_path: Path):
    store = RewriteStore(tmp_path / "rewrites.jsonl")
    for context in ("a", "b"):
        request = OptimizationRequest(PLAIN, context=context)
        text = f"{PLAIN} {context}"
        store.keep(
            [OptimizedPrompt(text=text, request=request, outcome="optimized", candidates=(), model="", template="")]
        )
    done = fipo(store.path, "--as", "python", "--state", "pending")
    assert "several rewrites of 'Name three rivers.', made for different contexts" in str(done.exception)


class TestPromptfoo:
    """Nunjucks, which promptfoo renders prompts with, has Jinja's variables and comments."""

    def rendered(self, raw: str, **given: str) -> str:
        return Environment(keep_trailing_newline=True).from_string(raw).render(given)

    def test_its_shape_is_the_documented_one(self, store: RewriteStore):
        made = yaml.safe_load(fipo(store.path, "--as", "promptfoo").stdout)
        assert set(made) == {"description", "providers", "prompts", "tests"}
        assert [set(prompt) for prompt in made["prompts"]] == [{"id", "label", "raw"}] * 4
        labels = [prompt["label"] for prompt in made["prompts"]]
        assert [test["prompts"] for test in made["tests"]] == [labels[:2], labels[2:]]
        assert [test["vars"] for test in made["tests"]] == [{}, {"topic": "<topic>", "reader": "<reader>"}]

    def test_who_answers_is_to_be_filled_in_and_is_no_echo(self, store: RewriteStore):
        written = fipo(store.path, "--as", "promptfoo").stdout
        (provider,) = yaml.safe_load(written)["providers"]
        assert provider["id"] == "openai:chat:YOUR-MODEL"
        assert provider["config"]["apiBaseUrl"].endswith("/v1")
        assert "# Fill in the model" in written

    def test_what_it_sends_is_the_prompt_and_the_rewrite(self, store: RewriteStore):
        made = yaml.safe_load(fipo(store.path, key(store, NAMED), "--as", "promptfoo", "--provider", "x:y").stdout)
        sent = [self.rendered(prompt["raw"], topic="rain", reader="child") for prompt in made["prompts"]]
        assert sent == ["Explain rain to a child.", f"Explain rain to a child.\n\n{ODD}"]
        assert made["providers"] == ["x:y"]

    def test_examples_are_its_tests(self, store: RewriteStore, tmp_path: Path):
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"input": "in Europe", "output": "Rhine"}\n{"input": "in Asia", "outputs": ["Indus", "Ob"]}\n')
        made = yaml.safe_load(fipo(store.path, key(store, PLAIN), "--as", "promptfoo", "--examples", rows).stdout)
        assert [test["vars"] for test in made["tests"]] == [{"input": "in Europe"}, {"input": "in Asia"}]
        assert [test["assert"] for test in made["tests"]] == [
            [{"type": "javascript", "value": '["rhine"].includes(output.trim().toLowerCase())'}],
            [{"type": "javascript", "value": '["indus", "ob"].includes(output.trim().toLowerCase())'}],
        ]
        assert self.rendered(made["prompts"][0]["raw"], input="in Asia") == f"{PLAIN}\n\nin Asia"
        several = fipo(store.path, key(store, NAMED), "--as", "promptfoo", "--examples", rows)
        assert "has the variables topic, reader: give each example's input as an object" in str(several.exception)

    @pytest.mark.parametrize(
        ("right", "answer", "passes"),
        [
            (["other"], " Other\n", True),
            (["other"], "another", False),
            (['it\'s "{{so}}"'], 'It\'s "{{so}}"', True),
            (["a", "b"], "B", True),
            (["a", "b"], "ab", False),
        ],
    )
    def test_a_short_answer_is_right_only_as_a_whole(
        self, store: RewriteStore, tmp_path: Path, right: list[str], answer: str, passes: bool
    ):
        (check,) = self.checks(store, tmp_path, right)
        assert "{" not in check["value"]  # promptfoo takes it for a template
        program = f"const output = {json.dumps(answer)}; console.log({check['value']})"
        node = shutil.which("node") or pytest.skip("node is not installed")
        said = subprocess.run([node, "-e", program], capture_output=True, text=True, check=True, timeout=60).stdout
        assert said.strip() == str(passes).lower()

    def test_a_long_answer_may_stand_among_other_words(self, store: RewriteStore, tmp_path: Path):
        long = "It flows into the North Sea."
        assert self.checks(store, tmp_path, [long]) == [{"type": "icontains", "value": long}]
        assert self.checks(store, tmp_path, [long, "Ob"]) == [{"type": "icontains-any", "value": [long, "Ob"]}]

    def checks(self, store: RewriteStore, tmp_path: Path, right: list[str]) -> list[dict]:
        rows = tmp_path / "rows.jsonl"
        rows.write_text(json.dumps({"input": "x", "outputs": right}) + "\n")
        made = yaml.safe_load(fipo(store.path, key(store, PLAIN), "--as", "promptfoo", "--examples", rows).stdout)
        return made["tests"][0]["assert"]


@pytest.mark.parametrize("form", TEXT_FORMS)
def test_every_file_ends_with_one_line_break_of_its_own(store: RewriteStore, tmp_path: Path, form: str):
    fipo(store.path, key(store, PLAIN), "--as", form, "--out", tmp_path / "out")
    written = (tmp_path / "out").read_text(encoding="utf-8")
    assert written.endswith("\n")
    assert not written.endswith("\n\n")
    rewrite = Rewrite(naive=PLAIN, text=f"{PLAIN}\n\n{ODD}")
    assert export([rewrite], form, Wishes()) == written == fipo(store.path, key(store, PLAIN), "--as", form).stdout


def test_files_of_several_forms_have_several_names():
    assert len(set(SUFFIXES.values())) == len(SUFFIXES)
    assert [SUFFIXES[form] for form in ("chat", "langchain", "dspy")] == [
        *("-chat.json", "-langchain.json", "-dspy.json"),
    ]


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Better.", "request": {"instruction": PLAIN}},
        {"texts": [{"naive": PLAIN, "text": "Better."}]},
        {"id": 1, "naive_instruction": PLAIN, "instruction": "Better."},
    ],
)
def test_what_commands_print_is_exported_too(tmp_path: Path, row: dict):
    (tmp_path / "result.json").write_text(json.dumps(row) + "\n")
    assert fipo(tmp_path / "result.json", "--as", "text").stdout == "Better.\n"
    assert "have no keys" in str(fipo(tmp_path / "result.json", "abcd", "--as", "text").exception)


def test_what_a_command_prints_goes_through_a_pipe():
    command = [sys.executable, "-m", "fipo_model.cli", "export", "-", "--as", "chat"]
    given = json.dumps({"text": "Better.", "request": {"instruction": PLAIN}})
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == [{"role": "system", "content": "Better."}]


@pytest.mark.parametrize(("content", "told"), [("", "is empty"), ("[1]", "line 1"), ('{"a": 1}', "line 1: this takes")])
def test_what_is_no_rewrite_is_told(tmp_path: Path, content: str, told: str):
    (tmp_path / "rows.json").write_text(content)
    assert told in str(fipo(tmp_path / "rows.json", "--as", "text").exception)


class TestAdapters:
    @pytest.fixture
    def adapter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A LoRA adapter of a small model in a GGUF file."""
        import numpy as np
        from safetensors.numpy import save_file

        monkeypatch.setenv("FIPO_CACHE", str(tmp_path / "cache"))
        base = write_gguf(tmp_path / "small.gguf")
        folder = tmp_path / "run"
        folder.mkdir()
        place = "base_model.model.model.layers.0.self_attn.q_proj"
        tensors = {"lora_A": np.ones((4, 64), np.float32), "lora_B": np.ones((64, 4), np.float32)}
        save_file(
            {f"{place}.{name}.weight": tensor for name, tensor in tensors.items()},
            folder / "adapter_model.safetensors",
        )
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
        (folder / "fipo.json").write_text(json.dumps({"template": "fipo-2", "base_model": f"gguf:{base}"}))
        return folder

    def test_gguf_is_what_the_formats_own_package_reads(self, adapter: Path, tmp_path: Path):
        from gguf import GGUFReader

        assert fipo(adapter, "--as", "gguf", "--out", tmp_path / "out" / "fipo.gguf").exit_code == 0
        read = GGUFReader(tmp_path / "out" / "fipo.gguf")
        assert sorted(tensor.name for tensor in read.tensors) == [
            "blk.0.attn_q.weight.lora_a",
            "blk.0.attn_q.weight.lora_b",
        ]
        again = fipo(adapter, "--as", "gguf", "--out", tmp_path / "out" / "fipo.gguf")
        assert "already exists. Nothing was written" in str(again.exception)

    def test_ollama_gets_a_folder_with_base_adapter_and_the_chats_template(self, adapter: Path, tmp_path: Path):
        assert fipo(adapter, "--as", "ollama", "--out", tmp_path / "out").exit_code == 0
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            *("Modelfile", "adapter.gguf", "small.gguf"),
        ]
        lines = (tmp_path / "out" / "Modelfile").read_text().splitlines()
        assert [line for line in lines if line.startswith(("FROM", "ADAPTER", "PARAMETER"))] == [
            *("FROM ./small.gguf", "ADAPTER ./adapter.gguf"),
            *('PARAMETER stop "<|im_end|>"', "PARAMETER num_ctx 256", "PARAMETER temperature 0"),
        ]

    def test_the_template_says_what_the_models_own_does(self):
        from fipo_model.export.ollama import go_template

        made = go_template(TEMPLATE)
        with_system, without = made.removeprefix("{{ if .System }}").removesuffix("{{ end }}").split("{{ else }}")
        for shown, system in ((with_system, [{"role": "system", "content": "S"}]), (without, [])):
            asked = Environment().from_string(TEMPLATE)
            expected = asked.render(messages=[*system, {"role": "user", "content": "P"}], add_generation_prompt=True)
            assert shown.replace("{{ .System }}", "S").replace("{{ .Prompt }}", "P") == expected
        assert go_template("{{ raise_exception('no system') }}") is None
        assert go_template("{% for m in messages %}{{ m.content.__class__.mro() }}{% endfor %}") is None

    def test_what_has_no_adapter_is_told(self, adapter: Path, tmp_path: Path):
        base = f"gguf:{tmp_path / 'small.gguf'}"
        assert "has no adapter" in str(fipo(base, "--as", "gguf", "--out", tmp_path / "x").exception)
        assert fipo(adapter, "--as", "gguf").exit_code == 2

    def test_a_disk_without_room_leaves_nothing(self, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shutil, "copyfile", full)
        done = fipo(adapter, "--as", "ollama", "--out", tmp_path / "out")
        assert "No space left on device. Nothing was written." in str(done.exception)
        assert not (tmp_path / "out").exists()
