"""Nothing but a whole, fitting, harmless model is ever loaded."""

import json
import os
import shutil
import sys
import time
import warnings

import pytest

from fipo_model.errors import MissingExtraError, ModelError
from fipo_model.generation import Sampling, complete

# peft 0.21 still asks transformers 5.23 by the old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ASKED = [[{"role": "user", "content": "Name a colour."}]]


def load(directory, **options):
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_pretrained(directory, **options)


@pytest.fixture(scope="module")
def make_adapter(tmp_path_factory):
    """Makes a LoRA adapter with random weights on a base and returns its directory."""

    def make(base, **options):
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(1)
        settings = {"r": 4, "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} | options
        config = LoraConfig(task_type="CAUSAL_LM", **settings)
        directory = tmp_path_factory.mktemp("adapter") / "adapter"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what peft says while saving is not what is tested
            get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(directory)
        return directory

    return make


@pytest.fixture(scope="module")
def tiny_adapter(make_adapter, tiny_model):
    return make_adapter(tiny_model)


@pytest.mark.tiny
def test_an_adapter_changes_what_the_model_says_and_keeps_to_itself(tiny_model, tiny_adapter):
    greedy = Sampling(max_new_tokens=16)
    plain, adapted = load(tiny_model), load(tiny_model, adapter=tiny_adapter)
    said = complete(adapted, ASKED, greedy)
    assert said[0].text != complete(plain, ASKED, greedy)[0].text
    assert adapted.name == "tiny+adapter"


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:Model with .tie_word_embeddings=True. and the:UserWarning")
@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"modules_to_save": ["lm_head"]},
        {"use_dora": True},
        {"alora_invocation_tokens": [5]},
    ],
    ids=lambda options: "-".join(options),
)
def test_adapters_of_many_kinds_compute_what_peft_computes(altered, make_adapter, options, is_tied, recwarn):
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    def logits(model):
        with torch.no_grad():
            return model(torch.arange(3, 67).reshape(1, 64)).logits.float()

    base = altered(config={"tie_word_embeddings": is_tied})
    if is_tied:
        tensors = load_file(base / "model.safetensors")
        del tensors["lm_head.weight"]  # with a head of its own in the file, transformers does not tie it
        save_file(tensors, base / "model.safetensors", {"format": "pt"})
    adapter = make_adapter(base, **options)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "a-name-of-ours"}))
    loaded = load(base, adapter=adapter)
    # No look at the hub for the base.
    assert not [warning for warning in recwarn if "Could not find a config file" in str(warning.message)]
    loaded.generate(ASKED, Sampling(max_new_tokens=2))

    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    unadapted = logits(plain)
    expected = logits(PeftModel.from_pretrained(plain, adapter).eval())
    effect = (expected - unadapted).std()
    assert effect > 0.1 or "alora_invocation_tokens" in options or "modules_to_save" in options
    assert (logits(loaded.model) - expected).std() < max(0.1 * effect, 0.05 * expected.std())


@pytest.mark.tiny
def test_loading_shows_no_bars_and_a_users_own_models_keep_theirs(tiny_adapter, altered, capfd):
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import set_tqdm_hook

    own = altered()  # a place of its own: a model that is in memory is not loaded again
    (own / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError):
        load(own)
    altered()
    load(own, adapter=tiny_adapter)
    assert capfd.readouterr().err == ""
    AutoModelForCausalLM.from_pretrained(own)
    assert "Loading weights" in capfd.readouterr().err
    assert set_tqdm_hook(None) is None


@pytest.mark.tiny
@pytest.mark.filterwarnings("ignore:Found missing adapter keys:UserWarning")
@pytest.mark.parametrize(
    "shape", [{"hidden_size": 96, "head_dim": 24}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}]
)
def test_an_adapter_for_another_base_is_refused(tiny_model, tiny_adapter, tmp_path, shape):
    from transformers import AutoConfig, LlamaForCausalLM

    other = shutil.copytree(tiny_model, tmp_path / "other")
    config = AutoConfig.from_pretrained(tiny_model)
    config.update(shape)
    LlamaForCausalLM(config).save_pretrained(other)
    with pytest.raises(ModelError, match=r"the adapter .*adapter does not fit the model other"):
        load(other, adapter=tiny_adapter)


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.safetensors", b"\x20\0\0\0\0\0\0\0{}"),
        ("adapter_model.safetensors", None),
        ("adapter_config.json", b'{"peft_type": "NEVER_HEARD_OF"}'),
        ("adapter_config.json", b'{"peft'),
    ],
)
def test_a_damaged_adapter_is_refused(tiny_model, tiny_adapter, tmp_path, name, content):
    damaged = shutil.copytree(tiny_adapter, tmp_path / "damaged")
    (damaged / name).unlink()
    if content is not None:
        (damaged / name).write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        load(tiny_model, adapter=damaged)


@pytest.mark.tiny
@pytest.mark.parametrize("name", ["someone/some-model", "no/such/directory", ""])
def test_a_model_that_is_not_there_is_said_to_be_so(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=rf"cannot load the model '{name}': it must be a directory .* or a hub id"):
        load(name)


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    """A hub that does not answer, and an empty cache of it."""
    from huggingface_hub import constants

    nowhere = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", nowhere)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.tiny
def test_a_hub_that_does_not_answer_is_asked_once(no_hub, capfd):
    from fipo_model.backends.transformers.chat import ChatTokenizer

    started = time.monotonic()
    for door in (load, ChatTokenizer.from_pretrained):
        with pytest.raises(ModelError, match=r"'someone/some-model' is neither .* cannot be reached \(ConnectError"):
            door("someone/some-model")
    assert time.monotonic() - started < 5
    assert capfd.readouterr().err == ""


@pytest.mark.tiny
def test_what_is_in_the_hubs_cache_needs_no_answer(no_hub, monkeypatch):
    from huggingface_hub import constants

    from fipo_model.models.hub import check_reachable

    kept = no_hub / "models--someone--some-model"
    (kept / "snapshots" / "0123").mkdir(parents=True)
    (kept / "refs").mkdir()
    (kept / "refs" / "main").write_text("0123")
    with pytest.raises(ModelError, match="cannot be reached"):
        check_reachable("someone/some-model")
    (kept / "snapshots" / "0123" / "tokenizer.json").write_text("{}")
    check_reachable("someone/some-model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    check_reachable("someone/another-model")


@pytest.mark.tiny
def test_a_directory_without_a_model_is_told_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"\. holds no model \(no config\.json\)"):
        load(".")


@pytest.mark.tiny
@pytest.mark.parametrize("size", [0, 40, 5000])
def test_a_model_copied_in_part_is_refused(altered, size):
    weights = (directory := altered()) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(ModelError, match=r"cannot load the model .*: its files are damaged.* copy them again\."):
        load(directory)


@pytest.mark.tiny
def test_a_model_that_lacks_weights_is_not_filled_up_with_random_ones(altered):
    with pytest.raises(ModelError, match=r"incomplete: its files lack 9 tensors, such as model\.layers\.2\."):
        load(altered(config={"num_hidden_layers": 3}))


@pytest.mark.tiny
def test_code_in_a_models_directory_is_not_run_whatever_the_user_would_answer(altered, monkeypatch):
    code = {
        "AutoConfig": "code.Config",
        "AutoModelForCausalLM": "code.Model",
        "AutoTokenizer": [None, "code.Tokenizer"],
    }
    directory = altered(
        config={"auto_map": code, "model_type": "ours"}, tokenizer_config={"auto_map": code, "tokenizer_class": "Ours"}
    )
    (directory / "code.py").write_text(
        "import os\nos.environ['FIPO_TEST_CODE_RAN'] = '1'\nfrom transformers import LlamaConfig as Config\n"
        "from transformers import LlamaForCausalLM as Model, PreTrainedTokenizerFast as Tokenizer\n"
    )
    monkeypatch.setattr("builtins.input", lambda _question: "y")
    with pytest.raises(ModelError, match="custom code"):
        load(directory)
    assert "FIPO_TEST_CODE_RAN" not in os.environ


class _Harm:
    def __reduce__(self):
        return (os.putenv, ("FIPO_TEST_CODE_RAN", "1"))


@pytest.mark.tiny
def test_a_pickle_among_the_weights_is_not_executed(altered):
    import torch

    directory = altered()
    (directory / "model.safetensors").unlink()
    torch.save({"model.norm.weight": _Harm()}, directory / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot load the model"):
        load(directory)


@pytest.mark.tiny
def test_a_tokenizer_without_a_chat_template_is_refused(altered):
    directory = altered()
    (directory / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match=r"altered has no chat template.*instruction-tuned"):
        load(directory)


@pytest.mark.tiny
def test_the_name_is_the_directorys_also_from_inside_it(tiny_model, monkeypatch):
    monkeypatch.chdir(tiny_model)
    assert load(".").name == "tiny"


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({}, "float32"),
        ({"avx512_bf16": False, "amx_bf16": False}, "float32"),
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"bf16": True}, "bfloat16"),  # Arm's
    ],
)
def test_a_cpu_never_computes_in_half_precision_it_would_have_to_emulate(
    tiny_model, own_number_format, monkeypatch, capabilities, expected
):
    import torch

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    directory = tiny_model
    devices = ["cpu"] if torch.accelerator.is_available() else ["cpu", "auto", None]
    for device in devices:
        generator = load(directory, device_map=device)
        assert generator.model.dtype == getattr(torch, expected)
        assert complete(generator, ASKED, Sampling(max_new_tokens=4))[0].completion_tokens > 0


@pytest.mark.tiny
def test_in_bf16_a_merged_adapter_is_the_exact_sum_but_for_rounding(tiny_model, altered, tiny_adapter, monkeypatch):
    import torch

    exact = dict(load(tiny_model, adapter=tiny_adapter).model.named_parameters())
    monkeypatch.setenv("FIPO_DTYPE", "bfloat16")
    rounded = dict(load(tiny_model, adapter=tiny_adapter).model.named_parameters())
    assert exact.keys() == rounded.keys()
    for name, weight in exact.items():
        assert rounded[name].dtype == torch.bfloat16
        # The product is rounded, and then the sum.
        torch.testing.assert_close(rounded[name].float(), weight, rtol=2**-7, atol=2**-9)


@pytest.mark.gpu
def test_a_gpu_computes_in_half_precision(tiny_model, own_number_format):
    import torch

    generator = load(tiny_model)
    assert generator.model.device.type == "cuda"
    assert generator.model.dtype in (torch.bfloat16, torch.float16)
    assert complete(generator, ASKED, Sampling(max_new_tokens=4))[0].completion_tokens > 0


@pytest.mark.tiny
def test_loading_in_4_bit_names_the_extra_it_needs(tiny_model, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"bitsandbytes.*pip install '\.\[4bit\]'"):
        load(tiny_model, load_in_4bit=True)
