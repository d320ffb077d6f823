"""llama.cpp in this process: it keeps the contract, and says what transformers says of the same file."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import httpx
import pytest

from fipo_model.errors import InputError, MissingExtraError, ModelError, PromptTooLongError
from fipo_model.generation import Sampling, StreamingGenerator, complete
from fipo_model.models.gguf import Texts, read_header
from fipo_model.serve.local import LocalUpstream
from fipo_model.serve.opening import open_upstream
from fipo_model.serve.settings import Limits
from fipo_model.testing import GeneratorContract
from support.gateways import gateway
from support.gguf import LAYERS, SPECIALS, TEMPLATE, WORDS, write_gguf

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings(
    "ignore:Possible set union:FutureWarning", "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
# Of letters that the small vocabulary has.
TEXTS = ("Name a colour.", "ab" * 20, "What is 2+2? Say {x} and <|im_end|> twice, then \n\n stop.", "\n x", "")
GREEDY = Sampling(max_new_tokens=24)
# Keys and values are kept in 16 bits, which tells on the random choices of random weights after a few tokens.
SHORT = Sampling(max_new_tokens=3)
ASKED = [[{"role": "user", "content": f"{text} {number}"}] for text in TEXTS for number in range(4)]


def ask(text):
    return [{"role": "user", "content": text}]


def load(file, adapter=None, second=None):
    # Imported here, so that the tests that need neither run without llama.cpp and torch.
    from fipo_model.backends.llamacpp.generator import LlamaCppGenerator

    return LlamaCppGenerator.from_gguf(file, adapter=adapter, second=second)


def load_with_transformers(file, adapter=None):
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_pretrained(f"gguf:{file}", adapter=adapter)


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def file(request, tmp_path_factory):
    """The file of a small model, in fp32: nothing is quantized, so both engines compute the same."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "small.gguf", architecture=request.param)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return write_gguf(tmp_path_factory.mktemp("qwen") / "small.gguf")


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    return load(write_gguf(tmp_path_factory.mktemp("roomy") / "small.gguf", context=1024))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch, request):
    if request.node.get_closest_marker("real") is None:
        monkeypatch.setenv("FIPO_CACHE", str(tmp_path / "cache"))


def make_adapter(file, folder, *, seed=1, **options):
    """A PEFT adapter that changes what the model says."""
    import torch
    from peft import LoraConfig, get_peft_model

    from fipo_model.backends.transformers.loading import load_base

    base, _ = load_base(f"gguf:{file}", "cpu", False, dtype=torch.float32)
    torch.manual_seed(seed)
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **options})
    adapted = get_peft_model(base, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


def differing(some, others):
    return sum(one != other for one, other in zip(some, others, strict=True))


class TestContract(GeneratorContract):
    oversized_words = 600

    @pytest.fixture(autouse=True)
    def _generator(self, roomy):
        self.generator = roomy

    def make(self):
        return self.generator

    def _sampled(self, **options):
        """Few tokens: what stands in a batch beside a row changes the last digits, and a later choice with them."""
        return replace(super()._sampled(**options), max_new_tokens=SHORT.max_new_tokens)


@pytest.mark.tiny
def test_prompts_and_greedy_texts_are_those_of_transformers(file):
    ours, theirs = load(file), load_with_transformers(file)
    assert [ours.encode(ask(text)) for text in TEXTS] == [theirs.loaded.chat.encode(ask(text)) for text in TEXTS]
    found, expected = (complete(one, ASKED, SHORT) for one in (ours, theirs))
    assert differing(found, expected) <= 2


@pytest.mark.tiny
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"target_modules": ["q_proj", "k_proj"]}])
def test_an_adapter_says_what_it_says_merged_into_its_base(file, tmp_path, options):
    adapter = make_adapter(file, tmp_path / "run", **options)
    found = complete(load(file, adapter), ASKED, SHORT)
    assert differing(found, complete(load_with_transformers(file, adapter), ASKED, SHORT)) <= 2
    assert differing(found, complete(load(file), ASKED, SHORT)) >= 10
    (cached,) = (tmp_path / "cache" / "adapters").iterdir()
    before = cached.stat().st_mtime_ns
    load(file, adapter)
    assert cached.stat().st_mtime_ns == before


@pytest.mark.tiny
def test_two_adapters_on_one_server_say_what_each_says_alone(file, tmp_path):
    one, other = (make_adapter(file, tmp_path / name, seed=seed) for seed, name in enumerate(("one", "other")))
    first = load(file, one, other)
    second = first.beside()
    assert second._server is first._server
    expected = [complete(load(file, adapter), ASKED, SHORT) for adapter in (one, other)]
    for _ in range(2):  # the second time on what the slots remember
        for both, alone in zip((first, second), expected, strict=True):
            assert differing(complete(both, ASKED, SHORT), alone) <= 2
    assert differing(*expected) >= 10
    assert pickle.loads(pickle.dumps(second))._server is copy.deepcopy(second)._server is first._server
    assert second.beside() is load(file, one).beside() is None


@pytest.mark.tiny
def test_an_adapters_file_is_one_that_the_formats_own_package_reads(file, tmp_path):
    import numpy as np
    from gguf import GGUFReader
    from safetensors.numpy import load_file

    from fipo_model.backends.llamacpp.adapters import converted

    adapter = make_adapter(file, tmp_path / "run")
    read = GGUFReader(converted(adapter, file))
    assert read.fields["general.architecture"].contents() == read_header(file).architecture
    assert read.fields["adapter.lora.alpha"].contents() == 8
    assert len(read.tensors) == LAYERS * 7 * 2
    (found,) = [tensor.data for tensor in read.tensors if tensor.name == "blk.1.ffn_down.weight.lora_b"]
    kept = load_file(adapter / "adapter_model.safetensors")
    np.testing.assert_array_equal(found, kept["base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"])


@pytest.mark.tiny
def test_a_header_is_what_the_formats_own_package_reads(qwen):
    from gguf import GGUFReader

    ours, theirs = read_header(qwen), GGUFReader(qwen)
    read = {name: list(value) if isinstance(value, Texts) else value for name, value in ours.metadata.items()}
    assert read == {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.shapes == {tensor.name: tuple(map(int, reversed(tensor.shape))) for tensor in theirs.tensors}
    assert (ours.architecture, ours.number("context_length")) == ("qwen2", 256)
    tokens = ours.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, Texts)
    assert list(tokens) == [*WORDS, *SPECIALS]
    assert tokens[-1] == SPECIALS[-1]
    assert tokens[-2:] == [*WORDS, *SPECIALS][-2:]
    assert ours.metadata["tokenizer.chat_template"] == TEMPLATE


@pytest.mark.parametrize("kept", [0, 3, 4, 10, 30, 200, 1500])
def test_a_file_that_is_cut_short_is_told_so(qwen, tmp_path, kept):
    (tmp_path / "short.gguf").write_bytes(qwen.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"short\.gguf is damaged, or not a GGUF file"):
        load(tmp_path / "short.gguf")


def test_a_file_without_its_weights_is_told_so(qwen, tmp_path):
    (tmp_path / "short.gguf").write_bytes(qwen.read_bytes()[:-5000])
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load .*short\.gguf.*a file is damaged"):
        load(tmp_path / "short.gguf")


def test_an_unknown_architecture_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"its architecture \(novel9\) is newer .*pip install -U xllamacpp"):
        load(write_gguf(tmp_path / "novel.gguf", says="novel9"))


@pytest.mark.tiny
def test_an_adapter_of_another_base_is_told_so(qwen, tmp_path, monkeypatch):
    import support.gguf

    adapter = make_adapter(qwen, tmp_path / "run")
    monkeypatch.setattr(support.gguf, "INNER", 128)
    with pytest.raises(ModelError, match=r"does not fit this base: blk\.\d\.ffn_\w+\.weight has 128, but .* 96"):
        load(write_gguf(tmp_path / "wider.gguf"), adapter)
    monkeypatch.setattr(support.gguf, "INNER", 96)
    monkeypatch.setattr(support.gguf, "LAYERS", 1)
    with pytest.raises(ModelError, match=r"blk\.1\.\w+\.weight is not there"):
        load(write_gguf(tmp_path / "shorter.gguf"), adapter)


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"use_dora": True}, "it changes .*lora_magnitude_vector"),
        ({"rank_pattern": {"q_proj": 2}}, "it is not a plain LoRA"),
        ({"bias": "all"}, "it is not a plain LoRA|it changes .*bias"),
    ],
)
def test_an_adapter_of_another_form_says_which_engine_has_it(qwen, tmp_path, options, why):
    adapter = make_adapter(qwen, tmp_path / "run", **options)
    with pytest.raises(ModelError, match=f"{why}.*FIPO_ENGINE=transformers"):
        load(qwen, adapter)


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_model.safetensors", b"[1]"),
        ("adapter_config.json", b"[1]"),
        ("adapter_config.json", b"[" * 2000),
        ("adapter_config.json", b"\xff"),
    ],
)
def test_a_damaged_adapter_is_told_so(qwen, tmp_path, name, content):
    adapter = make_adapter(qwen, tmp_path / "run")
    (adapter / name).write_bytes(content)
    with pytest.raises(ModelError, match=r"is damaged.*Copy the checkpoint again"):
        load(qwen, adapter)


@pytest.mark.tiny
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs limits on the size of a file")
def test_a_full_disk_leaves_nothing_of_an_adapter_behind(qwen, tmp_path):
    adapter = make_adapter(qwen, tmp_path / "run")
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from fipo_model.backends.llamacpp.adapters import converted\n"
        "from fipo_model.errors import ModelError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n"
        "    converted(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except ModelError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(adapter), str(qwen)], capture_output=True, text=True)
    assert "cannot write the adapter" in done.stdout, done.stderr
    assert list((tmp_path / "cache" / "adapters").iterdir()) == []


def test_a_prompt_that_is_too_long_says_by_how_much(qwen):
    with pytest.raises(PromptTooLongError) as caught:
        complete(load(qwen), [ask("Hi"), ask("word " * 60)], Sampling(max_new_tokens=200))
    assert (caught.value.index, caught.value.limit) == (1, 256)
    assert caught.value.tokens > 500


def test_more_rows_than_memory_holds_wait_for_each_other(qwen):
    generator = load(qwen)
    asked = [ask(f"{'ab' * 50}{number}") for number in range(9)]  # 150 of 256 tokens each
    together = complete(generator, asked, GREEDY)
    assert together == [complete(generator, [one], GREEDY)[0] for one in asked]


def test_a_file_is_loaded_once_and_copies_are_the_same(qwen):
    generator = load(qwen)
    assert load(str(qwen)) is copy.deepcopy(generator) is pickle.loads(pickle.dumps(generator)) is generator
    assert generator.name == "small"


def test_a_stream_that_nobody_reads_any_more_makes_room(qwen):
    generator = load(qwen)
    whole = Sampling(max_new_tokens=generator.context_tokens - len(generator.encode(ask("Name"))))
    for _ in range(2):  # the second could not begin
        growing = generator.stream(ask("Name"), whole)
        assert next(growing).completion_tokens == 1
        growing.close()
    with pytest.raises(PromptTooLongError):
        next(generator.stream(ask("Name"), Sampling(max_new_tokens=whole.max_new_tokens + 1)))


def test_a_gateway_says_what_llama_cpp_says_as_it_comes(roomy):
    with gateway(upstream=LocalUpstream(roomy)) as running:
        body = {"messages": ask("Name a colour."), "max_tokens": 40, "temperature": 1, "seed": 7}
        whole = httpx.post(f"{running.base_url}/chat/completions", json=body).json()["choices"][0]
        text, reason = whole["message"]["content"], whole["finish_reason"]
        with httpx.stream("POST", f"{running.base_url}/chat/completions", json={**body, "stream": True}) as reply:
            events = [line.removeprefix("data: ") for line in reply.iter_lines() if line]
        choices = [json.loads(event)["choices"][0] for event in events[:-1]]
        pieces = [found for each in choices if (found := each["delta"].get("content"))]
        assert ("".join(pieces), choices[-1]["finish_reason"], events[-1]) == (text, reason, "[DONE]")
        assert len(pieces) > 20
        stopped = httpx.post(f"{running.base_url}/chat/completions", json={**body, "stop": text[10:12]}).json()
        assert stopped["choices"][0]["message"]["content"] == text[: text.index(text[10:12])]
        assert stopped["usage"]["completion_tokens"] < 40


def test_only_this_process_may_ask(qwen):
    generator = load(qwen)
    address = generator._server._server.listening_address
    answer = httpx.post(f"{address}/completion", json={"prompt": "x"}, trust_env=False)
    assert (address.split(":")[1], answer.status_code) == ("//127.0.0.1", 401)


def run(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


OPENS = (
    "import os, sys; from fipo_model.backends.llamacpp.generator import LlamaCppGenerator\n"
    "from fipo_model.generation import Sampling, complete\n"
    "def say(times=1):\n"
    "    asked = [[{'role': 'user', 'content': f'Hi {number}'}] for number in range(times)]\n"
    # The line and its end are written at once, even where Python does not buffer: two processes write to the same pipe.
    "    print(f'{complete(model, asked, Sampling(max_new_tokens=8))}\\n', end='', flush=True)\n"
    "model = LlamaCppGenerator.from_gguf(sys.argv[1]); say()\n"
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_loads_for_itself_and_ends(qwen):
    code = OPENS + "child = os.fork()\nsay()\nif child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    done = run(code, qwen)
    assert (done.stderr, done.returncode) == ("", 0)
    first, *others = done.stdout.splitlines()
    assert others == [first, first]


def test_ctrl_c_ends_at_once(qwen):
    command = [sys.executable, "-c", OPENS + "say(3000)", str(qwen)]
    # Where the tests run in the background of a shell, the signal is ignored, and children inherit that.
    listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, preexec_fn=listening, **pipes) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("[Completion")
        time.sleep(0.3)
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=30)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - began < 3


def test_neither_torch_nor_transformers_is_imported(qwen):
    done = run(OPENS + "print(*{'torch', 'transformers', 'numpy'} & set(sys.modules))", qwen)
    assert (done.stderr, done.stdout.splitlines()[1:]) == ("", [""])


class TestWhichEngine:
    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch):
        from fipo_model.backends import engines

        self.there = {"torch", "xllamacpp"}
        monkeypatch.setattr(engines, "is_installed", lambda package: package in self.there)
        monkeypatch.delenv("FIPO_DTYPE")
        monkeypatch.delenv("FIPO_ENGINE", raising=False)
        self.choose = engines.choose_engine

    def test_one_prompt_goes_to_llama_cpp_and_many_to_transformers(self):
        assert [self.choose("smollm2-135m", load) for load in ("one", "many")] == ["llamacpp", "transformers"]
        assert self.choose("gguf:x.gguf", "one") == "llamacpp"

    def test_a_local_upstream_streams(self, tmp_path):
        upstream = open_upstream(f"gguf:{write_gguf(tmp_path / 'small.gguf')}", Limits())
        assert isinstance(upstream._generator, StreamingGenerator)

    def test_what_is_installed_decides(self):
        self.there = {"xllamacpp"}
        assert [self.choose("smollm2-135m", load) for load in ("one", "many")] == ["llamacpp"] * 2
        self.there = {"torch"}
        assert [self.choose("smollm2-135m", load) for load in ("one", "many")] == ["transformers"] * 2
        self.there = set()
        with pytest.raises(MissingExtraError, match=r"\.\[cpu\].*\.\[local\]"):
            self.choose("smollm2-135m", "one")

    def test_what_is_no_gguf_file_needs_transformers(self, monkeypatch):
        assert self.choose("some/model", "one") == "transformers"
        self.there = {"xllamacpp"}
        with pytest.raises(ModelError, match=r"reads only GGUF files, and some/model is not one.*\.\[local\]"):
            self.choose("some/model", "one")

    def test_nothing_is_fetched_anew_for_one_prompt(self, tmp_path):
        (tmp_path / "cache" / "smollm2-135m").mkdir(parents=True)
        assert self.choose("smollm2-135m", "one") == "transformers"
        (tmp_path / "cache" / "smollm2-135m.gguf").mkdir()
        assert self.choose("smollm2-135m", "one") == "llamacpp"

    def test_the_setting_decides(self, monkeypatch):
        for told in ("transformers", "llamacpp"):
            monkeypatch.setenv("FIPO_ENGINE", told)
            assert [self.choose("smollm2-135m", load) for load in ("one", "many")] == [told] * 2
        monkeypatch.setenv("FIPO_ENGINE", "fast")
        with pytest.raises(InputError, match="FIPO_ENGINE must be one of auto, transformers, llamacpp, not 'fast'"):
            self.choose("smollm2-135m", "one")

    def test_a_number_format_is_torchs(self, monkeypatch):
        monkeypatch.setenv("FIPO_DTYPE", "float32")
        assert self.choose("smollm2-135m", "one") == "transformers"


def test_a_spec_opens_on_the_engine_that_is_set(qwen, monkeypatch):
    from fipo_model.backends.llamacpp.generator import LlamaCppGenerator
    from fipo_model.backends.opening import open_generator, open_scorer

    monkeypatch.setenv("FIPO_ENGINE", "llamacpp")
    found = open_generator(f"gguf:{qwen}")
    assert isinstance(found, LlamaCppGenerator)
    assert found.file == qwen
    with pytest.raises(
        ModelError, match=r"llama\.cpp does not report how likely a given text is.*pip install '\.\[local\]'"
    ):
        open_scorer(f"gguf:{qwen}")


def test_without_the_extra_the_error_names_it(qwen):
    code = (
        "import sys; sys.modules['xllamacpp'] = None\n"
        "from fipo_model.backends.opening import open_generator; open_generator('gguf:' + sys.argv[1])"
    )
    done = run(code, qwen, env=os.environ | {"FIPO_ENGINE": "llamacpp"})
    assert "MissingExtraError: this needs the package 'xllamacpp'" in done.stderr
    assert "pip install '.[cpu]'" in done.stderr


@pytest.mark.real
def test_a_completion_is_as_likely_as_on_transformers(small_weights, monkeypatch):
    """Of replies that end, too: a rewriter is held to one least likelihood on both engines."""
    from fipo_model.backends.opening import open_generator

    asked = [ask(f"Say only this word: {word}") for word in "yes no rain snow Paris Rome seven nine".split()]
    sampling, found = Sampling(max_new_tokens=12, with_likelihood=True), []
    for engine in ("llamacpp", "transformers"):
        monkeypatch.setenv("FIPO_ENGINE", engine)
        found.append(complete(open_generator("smollm2-135m", adapter="none"), asked, sampling))
    same = [(a, b) for a, b in zip(*found, strict=True) if a.text == b.text and not a.is_truncated]
    assert len(same) >= 2
    for ours, theirs in same:
        assert ours.log_likelihood == pytest.approx(
            theirs.log_likelihood, abs=0.35
        )  # llama.cpp rounds; an end of turn counted halves it


@pytest.mark.real
def test_real_weights_say_what_they_say_on_transformers(small_weights, monkeypatch):
    """Both compute with the very same weights; llama.cpp rounds what they are multiplied with to 8 bits."""
    from fipo_model.backends.opening import open_generator

    asked = [ask(text) for text in ("Name a colour of the sky.", "Write a poem about the sea.", "<|im_end|> \n\n x")]
    monkeypatch.setenv("FIPO_ENGINE", "llamacpp")
    ours = open_generator("smollm2-135m")
    monkeypatch.setenv("FIPO_ENGINE", "transformers")
    theirs = open_generator("smollm2-135m")
    assert [ours.encode(one) for one in asked] == [theirs.loaded.chat.encode(one) for one in asked]
    greedy = Sampling(max_new_tokens=3)
    found, expected = ([one.text for one in complete(model, asked, greedy)] for model in (ours, theirs))
    assert sum(a == b for a, b in zip(found, expected, strict=True)) >= 2
