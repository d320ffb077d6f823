"""What the tests share: small real models, and why a test that cannot run here is skipped."""

import json
import os
import shutil
import subprocess
import sysconfig
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browsing import has_browser, start_browser
from support.files import SHARED_DATA
from support.servers import free_port

# Before anything imports huggingface_hub, which reads them once. No test needs the hub.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# One number format on every machine: in bf16, rounding alone makes texts differ that tests want equal. Tests that ask
# for `number_format` run in both; with `own_number_format`, in what a user of this machine has.
os.environ["FIPO_DTYPE"] = "float32"

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CORPUS = (
    "Rewrite the naive prompt so that a language model answers it better, and keep every name and number in it.",
    "Name a colour. Tell a long story. Invent a word for a very small, quiet town.",
    "You compare two prompts for a language model. Which prompt is better, A or B?",
)


@pytest.hookimpl(trylast=True)  # after -m and -k: what they leave out is not worth a look for a GPU
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by name and reason, what needs something this machine does not have."""
    for item in items:
        if item.get_closest_marker("shared") and not SHARED_DATA.is_dir():
            item.add_marker(pytest.mark.skip(reason="needs the development data in ../shared/data"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a GPU, and torch sees none"))
        if item.get_closest_marker("browser") and not has_browser():
            item.add_marker(pytest.mark.skip(reason="needs selenium, Chromium and chromedriver"))


@pytest.fixture(autouse=True)
def _one_thread_for_tiny_models(request: pytest.FixtureRequest) -> Iterator[None]:
    """Threads that wait for each other take most of a tiny model's time, above all on a busy machine."""
    if request.node.get_closest_marker("tiny") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["float32", "bfloat16"])
def number_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What models compute in, here and in processes started from here; torch's CPUs can do both, if slowly."""
    monkeypatch.setenv("FIPO_DTYPE", request.param)
    return str(request.param)


@pytest.fixture
def own_number_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """What models compute in is left to the machine, as it is for users."""
    monkeypatch.delenv("FIPO_DTYPE")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a two-layer Llama with random weights, always the same ones, and a ChatML tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = _train_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,  # wide, so that the most likely token stands out and rounding does not change it
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(20240219)
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[tokenizer.eos_token_id] *= 1.5  # so that half of the replies end within 40 tokens
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def altered(tiny_model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copies the tiny model and changes entries of its JSON files: altered(config={"num_hidden_layers": 3})."""

    def alter(**changes: dict[str, object]) -> Path:
        directory = tmp_path / "altered"
        shutil.copytree(tiny_model, directory, dirs_exist_ok=True)
        for name, entries in changes.items():
            file = directory / f"{name}.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | entries))
        return directory

    return alter


@pytest.fixture
def no_dspy_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """DSPy asks its models anew, also where an earlier test has asked the same."""
    import dspy

    monkeypatch.setenv("DSPY_CACHEDIR", str(tmp_path / "dspy"))
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Chromium, for tests marked `browser`."""
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def small_weights() -> Path:
    """The directory of the smallest base; the first session on a machine fetches it."""
    from fipo_model.models.registry import SMALLEST
    from fipo_model.models.weights import fetch

    return fetch(SMALLEST)


@pytest.fixture(scope="session")
def default_weights() -> Path:
    """The directory of the default weights; the first session on a machine fetches them."""
    from fipo_model.models.registry import DEFAULT
    from fipo_model.models.weights import fetch

    return fetch(DEFAULT)


@pytest.fixture(scope="session")
def served(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """`transformers serve` with the tiny model, an OpenAI-compatible server: its address and the model's name."""
    directory = tmp_path_factory.mktemp("served")
    model = shutil.copytree(tiny_model, directory / "tiny")
    # This server samples only where the model's own defaults do.
    defaults = json.loads((model / "generation_config.json").read_text())
    (model / "generation_config.json").write_text(json.dumps(defaults | {"do_sample": True}))
    (directory / "hub").mkdir()
    port = free_port()
    program = Path(sysconfig.get_path("scripts")) / "transformers"
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [program, "serve", str(model), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
            env=os.environ | {"HF_HUB_CACHE": str(directory / "hub"), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_healthy(process, port, directory / "log")
        yield f"http://127.0.0.1:{port}/v1", str(model)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(600):
        try:
            opener.open(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"transformers serve did not start:\n{log.read_text()}")


def _train_tokenizer():
    """A byte-level BPE tokenizer that knows a few words, in which any text can be written."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(_CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>", extra_special_tokens=["<|im_start|>"]
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
