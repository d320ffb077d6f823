"""`fipo weights merge`: one ordinary model that says what base and adapter said, or nothing at all."""

import json
import os
import shutil
import subprocess
import sys
import warnings

import pytest
from typer.testing import CliRunner

from fipo_model import PromptOptimizer, cli
from fipo_model.errors import InputError, ModelError, TemplateError

# peft 0.21 still asks transformers 5.23 by the old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ASKED = [[{"role": "user", "content": text}] for text in ("Name a colour.", "Tell a long story.", "Invent a word.")]


def merge(checkpoint, target, **options):
    # Imported here, so that collecting this file for a run without these tests does not wait for torch.
    from fipo_model.backends.transformers.merge import merge

    merge(checkpoint, target, **options)


@pytest.fixture(scope="module")
def make_checkpoint(tmp_path_factory):
    """Makes what a training run writes: a LoRA adapter, with random weights, and the notes on base and template."""

    def make(base, notes=None, **options):
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        settings = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False} | options
        directory = tmp_path_factory.mktemp("run") / "checkpoint"
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")  # what peft says while saving is not what is tested
            torch.manual_seed(1)
            adapted = get_peft_model(
                AutoModelForCausalLM.from_pretrained(base), LoraConfig(task_type="CAUSAL_LM", **settings)
            )
            adapted.save_pretrained(directory)
        notes = {"template": "fipo-1", "base_model": str(base)} if notes is None else notes
        (directory / "fipo.json").write_text(json.dumps(notes))
        return directory

    return make


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint, tiny_model):
    return make_checkpoint(tiny_model)


@pytest.fixture
def damaged(checkpoint, tmp_path):
    """A copy of the checkpoint, to be broken."""
    return shutil.copytree(checkpoint, tmp_path / "damaged")


def plain(directory, adapter=None):
    """The model as transformers and peft load it, in fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()


def logits(model):
    import torch

    with torch.no_grad():
        return model(torch.arange(3, 131).reshape(2, 64)).logits


def replies(model, directory):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    found = []
    for conversation in ASKED:
        ids = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_tensors="pt")
        found.append(model.generate(**ids, max_new_tokens=24, do_sample=False).tolist())
    return found


def stored_formats(directory):
    from safetensors import safe_open

    with safe_open(directory / "model.safetensors", "pt") as file:
        return {str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118 - not a mapping


@pytest.mark.tiny
def test_the_merged_model_computes_and_says_what_base_and_adapter_do(tiny_model, checkpoint, tmp_path):
    import torch

    merge(checkpoint, tmp_path / "merged")
    expected, found = plain(tiny_model, checkpoint), plain(tmp_path / "merged")
    torch.testing.assert_close(logits(found), logits(expected), atol=1e-4, rtol=1e-4)
    assert (logits(expected) - logits(plain(tiny_model))).abs().max() > 0.1  # else there was nothing to merge
    assert replies(found, tmp_path / "merged") == replies(expected, tiny_model)
    assert stored_formats(tmp_path / "merged") == {"F32"}  # as the base's files


@pytest.mark.tiny
def test_in_bf16_it_is_the_exact_sum_rounded_once(tiny_model, checkpoint, tmp_path):
    import torch
    from safetensors.torch import load_file

    merge(checkpoint, tmp_path / "exact")
    merge(checkpoint, tmp_path / "merged", number_format="bfloat16")
    assert stored_formats(tmp_path / "merged") == {"BF16"}
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["dtype"] == "bfloat16"
    exact, rounded = (load_file(tmp_path / name / "model.safetensors") for name in ("exact", "merged"))
    assert exact.keys() == rounded.keys()
    assert all(torch.equal(exact[name].to(torch.bfloat16), rounded[name]) for name in exact)
    spread = logits(plain(tiny_model, checkpoint))
    assert (logits(plain(tmp_path / "merged")) - spread).std() < 0.05 * spread.std()


@pytest.mark.tiny
def test_a_base_stored_in_bf16_stays_so(tiny_model, make_checkpoint, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    base = shutil.copytree(tiny_model, tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).save_pretrained(base)
    merge(make_checkpoint(base), tmp_path / "merged")
    assert stored_formats(tmp_path / "merged") == {"BF16"}


@pytest.mark.tiny
def test_it_is_an_ordinary_directory_that_everyone_may_read(tiny_model, checkpoint, tmp_path):
    merge(checkpoint, tmp_path / "some" / "where" / "merged")
    files = {file.name: file for file in (tmp_path / "some" / "where" / "merged").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "fipo.json"} <= files.keys()
    assert {file.suffix for file in files.values()} <= {".json", ".safetensors", ".jinja"}
    assert len({file.stat().st_mode for file in files.values()}) == 1
    assert [entry.name for entry in (tmp_path / "some" / "where").iterdir()] == ["merged"]
    notes = json.loads(files["fipo.json"].read_text())
    assert notes == {"template": "fipo-1", "base_model": str(tiny_model)}
    told = {"least_likelihood": -0.75, "may_repeat": True}  # how its replies are read stays the same
    other = shutil.copytree(checkpoint, tmp_path / "other")
    (other / "fipo.json").write_text(json.dumps(notes | told))
    merge(other, tmp_path / "told")
    assert json.loads((tmp_path / "told" / "fipo.json").read_text()) == notes | told
    del files["fipo.json"], files["model.safetensors"]
    assert not [name for name, file in files.items() if str(tiny_model.parent) in file.read_text()]


@pytest.mark.tiny
def test_an_optimizer_on_it_says_what_one_on_the_adapter_says(checkpoint, tmp_path):
    merge(checkpoint, tmp_path / "merged")
    adapted, merged = PromptOptimizer.from_pretrained(checkpoint), PromptOptimizer.from_pretrained(tmp_path / "merged")
    assert merged.rewriter.template == adapted.rewriter.template
    assert merged.rewriter.name == "merged"
    assert merged.optimize("Name a colour.").template == "fipo-1"


@pytest.mark.tiny
def test_a_template_in_a_file_of_its_own_comes_along(tiny_model, damaged, tmp_path):
    texts = {
        "optimizer": "Rewrite S_P O_C in at most G_N words.",
        "s_r": "It got S_R.",
        "g_r": "It should get G_R.",
        "discriminator": "R_P, G_R: P_A or P_B?",
    }
    (damaged / "mine.json").write_text(json.dumps(texts))
    (damaged / "fipo.json").write_text(json.dumps({"template": "mine.json", "base_model": str(tiny_model)}))
    merge(damaged, tmp_path / "merged")
    optimizer = PromptOptimizer.from_pretrained(tmp_path / "merged")
    assert optimizer.rewriter.template == PromptOptimizer.from_pretrained(damaged).rewriter.template
    assert optimizer.rewriter.template.name == "mine"


@pytest.mark.tiny
def test_a_checkpoint_without_notes_is_merged_into_the_base_peft_names(damaged, tiny_model, tmp_path):
    (damaged / "fipo.json").unlink()
    merge(damaged, tmp_path / "merged")
    notes = json.loads((tmp_path / "merged" / "fipo.json").read_text())
    assert notes == {"template": "fipo-1", "base_model": str(tiny_model)}


@pytest.mark.tiny
def test_a_template_nobody_knows_is_not_merged(checkpoint, tmp_path, damaged):
    (damaged / "fipo.json").write_text(json.dumps({"template": "fipo-9"}))
    with pytest.raises(TemplateError, match=r"no template named 'fipo-9'"):
        merge(damaged, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.real
def test_real_weights_are_noted_by_their_name(small_weights, make_checkpoint, tmp_path):
    checkpoint = make_checkpoint(
        small_weights, {"template": "fipo-1", "base_model": "SmolLM2-135M-Instruct"}, target_modules=["q_proj"]
    )
    merge(checkpoint, tmp_path / "merged")
    notes = json.loads((tmp_path / "merged" / "fipo.json").read_text())
    assert notes == {"template": "fipo-1", "base_model": "smollm2-135m"}
    assert stored_formats(tmp_path / "merged") == {"BF16"}
    assert PromptOptimizer.from_pretrained(tmp_path / "merged").rewriter.name == "merged"


@pytest.mark.tiny
@pytest.mark.parametrize("options", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"use_rslora": True}])
def test_adapters_of_other_kinds_are_merged_too(tiny_model, make_checkpoint, options, tmp_path):
    import torch

    checkpoint = make_checkpoint(tiny_model, **{"target_modules": ["q_proj", "v_proj"]} | options)
    merge(checkpoint, tmp_path / "merged")
    expected = logits(plain(tiny_model, checkpoint))
    torch.testing.assert_close(logits(plain(tmp_path / "merged")), expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def tied(tiny_model, tmp_path):
    """A base whose input and output embeddings are one tensor, as in the default weights."""
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(tiny_model)
    config.tie_word_embeddings = True
    directory = shutil.copytree(tiny_model, tmp_path / "tied")
    with torch.random.fork_rng():
        torch.manual_seed(2)
        LlamaForCausalLM(config).save_pretrained(directory)
    return directory


@pytest.mark.tiny
def test_embeddings_that_are_one_tensor_stay_one(tied, make_checkpoint, tmp_path):
    import torch

    checkpoint = make_checkpoint(tied)
    merge(checkpoint, tmp_path / "merged")
    torch.testing.assert_close(logits(plain(tmp_path / "merged")), logits(plain(tied, checkpoint)), atol=1e-4, rtol=0)
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["tie_word_embeddings"] is True


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings=True:UserWarning")
@pytest.mark.parametrize(
    "options", [{"target_modules": ["q_proj", "embed_tokens"]}, {"modules_to_save": ["lm_head"], "r": 2}]
)
def test_an_adapter_that_would_change_one_side_of_shared_embeddings_is_refused(
    tied, make_checkpoint, options, tmp_path
):
    checkpoint = make_checkpoint(tied, **options)
    with pytest.raises(ModelError, match=r"cannot be merged into .*tied: it changes the embeddings"):
        merge(checkpoint, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.tiny
def test_an_adapter_that_is_no_change_of_weights_is_refused(tiny_model, tmp_path):
    from peft import PromptTuningConfig, get_peft_model

    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(plain(tiny_model), config).save_pretrained(tmp_path / "prompt")
    with pytest.raises(ModelError):
        merge(tmp_path / "prompt", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
@pytest.mark.parametrize("shape", [{"hidden_size": 96, "head_dim": 24}, {"num_hidden_layers": 3}])
def test_an_adapter_of_another_base_is_refused(tiny_model, make_checkpoint, tmp_path, shape):
    from transformers import AutoConfig, LlamaForCausalLM

    checkpoint = make_checkpoint(tiny_model, target_modules=["q_proj", "v_proj"])
    config = AutoConfig.from_pretrained(tiny_model)
    config.update(shape)
    other = shutil.copytree(tiny_model, tmp_path / "other")
    LlamaForCausalLM(config).save_pretrained(other)
    (checkpoint / "fipo.json").write_text(json.dumps({"base_model": str(other)}))
    with pytest.raises(ModelError, match=r"the adapter .*checkpoint does not fit the model .*other"):
        merge(checkpoint, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.tiny
def test_weights_that_are_not_numbers_are_not_merged(damaged, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(damaged / "adapter_model.safetensors")
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, damaged / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="cannot be merged"):
        merge(damaged, tmp_path / "merged")


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"num_hidden_layers": 3}, "lack 9 tensors"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "quantiz"),
        ({"model_type": "never-heard-of"}, "never-heard-of"),
    ],
)
def test_a_base_that_cannot_be_used_is_refused(altered, damaged, tmp_path, config, reason):
    base = altered(config=config)
    (damaged / "fipo.json").write_text(json.dumps({"base_model": str(base)}))
    with pytest.raises(ModelError, match=rf"model '.*altered'.*{reason}"):
        merge(damaged, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.tiny
def test_a_base_or_checkpoint_that_is_not_there_is_said_to_be_so(damaged, tmp_path):
    (damaged / "fipo.json").write_text(json.dumps({"base_model": "no/such/directory"}))
    with pytest.raises(ModelError, match="cannot load the model 'no/such/directory'"):
        merge(damaged, tmp_path / "merged")
    for nothing in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ModelError, match="holds no PEFT adapter"):
            merge(nothing, tmp_path / "merged")


@pytest.mark.tiny
def test_an_empty_directory_is_written_to_and_any_other_target_is_left_alone(checkpoint, tmp_path):
    (tmp_path / "empty").mkdir()
    merge(checkpoint, tmp_path / "empty")
    assert (tmp_path / "empty" / "model.safetensors").is_file()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("kept")
    with pytest.raises(InputError, match=r"mine is not empty. Nothing was written"):
        merge(checkpoint, tmp_path / "mine")
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["letter"]
    for target in (tmp_path / "mine" / "letter", tmp_path / "mine" / "letter" / "merged"):
        with pytest.raises(InputError, match=r"is a file|cannot write"):
            merge(checkpoint, target)
    assert (tmp_path / "mine" / "letter").read_text() == "kept"


@pytest.mark.tiny
def test_a_directory_filled_meanwhile_is_left_alone(checkpoint, tmp_path, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    save = PreTrainedTokenizerFast.save_pretrained

    def save_late(self, *arguments, **options):
        (tmp_path / "merged").mkdir()
        (tmp_path / "merged" / "letter").write_text("kept")
        return save(self, *arguments, **options)

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", save_late)
    with pytest.raises(InputError, match="cannot write the merged model"):
        merge(checkpoint, tmp_path / "merged")
    assert [file.name for file in (tmp_path / "merged").iterdir()] == ["letter"]
    assert not list(tmp_path.glob(".merged-*"))


@pytest.mark.tiny
def test_interrupted_it_leaves_nothing(checkpoint, tmp_path, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    def interrupt(self, *arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", interrupt)
    with pytest.raises(KeyboardInterrupt):
        merge(checkpoint, tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.tiny
def test_killed_halfway_it_leaves_nothing_under_the_final_name_and_can_be_started_again(checkpoint, tmp_path):
    script = (
        "import os, sys, transformers\n"
        "transformers.PreTrainedTokenizerFast.save_pretrained = lambda *a, **o: os._exit(9)\n"  # the model is written
        "from fipo_model.backends.transformers.merge import merge\n"
        "merge(sys.argv[1], sys.argv[2])\n"
    )
    command = [sys.executable, "-c", script, str(checkpoint), str(tmp_path / "merged")]
    done = subprocess.run(command, capture_output=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 9, done.stderr.decode()
    assert list(tmp_path.rglob("model.safetensors")) != []
    assert not (tmp_path / "merged").exists()
    merge(checkpoint, tmp_path / "merged")
    assert (tmp_path / "merged" / "fipo.json").is_file()


def run(monkeypatch, capsys, *arguments):
    """The exit code and the output of the command line, in this process: the exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["fipo", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return (stopped.value.code or 0, *capsys.readouterr())


@pytest.mark.tiny
def test_the_command_merges_and_says_where(checkpoint, tmp_path, monkeypatch, capsys):
    code, out, err = run(
        monkeypatch, capsys, "weights", "merge", checkpoint, tmp_path / "merged", "--dtype", "bfloat16"
    )
    assert (code, out) == (0, "")
    assert f"fipo: the merged model is in {tmp_path / 'merged'}" in err
    assert stored_formats(tmp_path / "merged") == {"BF16"}


@pytest.mark.tiny
def test_an_error_of_the_command_is_one_line(checkpoint, tmp_path, monkeypatch, capsys):
    code, out, err = run(monkeypatch, capsys, "weights", "merge", checkpoint, checkpoint)
    assert (code, out) == (1, "")
    assert err.startswith("fipo: error: ")
    assert err.count("\n") == 1


@pytest.mark.tiny
def test_fipo_export_writes_the_same(checkpoint, tmp_path):
    merge(checkpoint, tmp_path / "merged")
    done = CliRunner().invoke(
        cli.app, ["export", str(checkpoint), "--as", "safetensors", "--out", str(tmp_path / "exported")]
    )
    assert done.exit_code == 0
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("merged", "exported")]
    assert files[0] == files[1]
