"""Speed and memory of the core, on the default weights. `make bench`; figures and targets are in README.md beside this.

Every comparison is a ratio within one run: ours and the peer take turns, and medians are compared, because machines
differ and are shared. A target that is missed fails.
"""

import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from measuring import in_turns
from transformers import AutoModelForCausalLM, AutoTokenizer

from fipo_model import FIPO_1, OptimizationRequest, PromptOptimizer, Sampling
from fipo_model.backends.transformers.cpu import mirror_linear_layers
from fipo_model.backends.transformers.generator import TransformersGenerator
from fipo_model.models.registry import DEFAULT
from fipo_model.models.weights import fetch

MAX_WORDS = 12
_TASKS = (
    "Tell me about {}.",
    "Explain {} to a child of six, and give one example from everyday life that a child would know.",
    "Write a letter to the editor of a local newspaper about {}. Say who you are, what you have seen yourself, why it "
    "matters to the people who live here, what the council should do about it within this year, and who should pay.",
    "What is {}?",
)
_TOPICS = (
    *("photography", "tax law", "rain", "jazz", "recycling", "chess openings", "sleep", "volcanoes"),
    *("public libraries", "bread", "black holes", "school uniforms", "bees", "vaccines", "bridges", "poetry"),
)
PROMPTS = [task.format(topic) for topic in _TOPICS for task in _TASKS]  # 64, of 5 to 60 words, in mixed order
REQUESTS = [OptimizationRequest(prompt, max_words=MAX_WORDS) for prompt in PROMPTS]
SAMPLING = Sampling(max_new_tokens=2 * MAX_WORDS + 16)  # what the optimizer asks for with that word limit


@pytest.fixture(scope="module")
def generator() -> TransformersGenerator:
    generator = TransformersGenerator.from_pretrained(DEFAULT.name)
    generator.generate([FIPO_1.render(REQUESTS[0])], Sampling(max_new_tokens=4))
    return generator


def fresh(generator: Any) -> PromptOptimizer:
    """An optimizer that remembers nothing."""
    return PromptOptimizer(generator)


def loop_of_single_calls(generator: TransformersGenerator, requests: list[OptimizationRequest]) -> None:
    optimizer = fresh(generator)
    for request in requests:
        optimizer.optimize(request)


def test_a_batch_of_64(benchmark: Any, generator: TransformersGenerator) -> None:
    """Against a loop of single calls, and against plain transformers in batches of 8 in the order they come."""
    directory = fetch(DEFAULT)
    tokenizer = AutoTokenizer.from_pretrained(directory, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=generator.model.dtype)
    model.to(generator.model.device).eval()

    def plain_batches() -> None:
        conversations: list[Any] = [FIPO_1.render(request) for request in REQUESTS]
        for start in range(0, len(conversations), 8):
            texts = tokenizer.apply_chat_template(
                conversations[start : start + 8], tokenize=False, add_generation_prompt=True
            )
            inputs = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
            with torch.inference_mode():
                model.generate(**inputs, max_new_tokens=SAMPLING.max_new_tokens, do_sample=False)

    ratios = in_turns(
        benchmark,
        lambda: fresh(generator).optimize_batch(REQUESTS),
        single_calls=lambda: loop_of_single_calls(generator, REQUESTS),
        plain_batches_of_8=plain_batches,
    )
    assert ratios["single_calls"] >= 4
    assert ratios["plain_batches_of_8"] >= 1.3


def test_16_threads_against_sequential_calls(benchmark: Any, generator: TransformersGenerator) -> None:
    requests = REQUESTS[:16]

    def threads() -> None:
        optimizer = fresh(generator)
        running = [threading.Thread(target=optimizer.optimize, args=(request,)) for request in requests]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    ratios = in_turns(benchmark, threads, single_calls=lambda: loop_of_single_calls(generator, requests))
    assert ratios["single_calls"] >= 4


def test_mirrored_linear_layers_against_plain_ones(benchmark: Any, generator: TransformersGenerator) -> None:
    if generator.model.dtype != torch.float32:
        pytest.skip("this machine computes in bf16; the mirrored product is for fp32 on the CPU")
    plain, mirrored = (torch.nn.ModuleList(torch.nn.Linear(576, 1536) for _ in range(120)) for _ in range(2))
    mirror_linear_layers(mirrored)
    rows = torch.randn(32, 576)

    def run(layers: torch.nn.ModuleList) -> None:
        with torch.inference_mode():
            for layer in [*layers] * 5:
                layer(rows)

    ratios = in_turns(benchmark, lambda: run(mirrored), plain=lambda: run(plain))
    assert ratios["plain"] >= 1.2


def seconds_of(*command: str) -> float:
    """Median wall time of a whole process, of five, after one that fills the file cache."""
    times = []
    for _ in range(6):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])


def test_importing_is_quick_and_brings_no_torch(benchmark: Any) -> None:
    code = "import sys, time; t = time.perf_counter(); import fipo_model; print(time.perf_counter() - t, *sys.modules)"
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        for _ in range(5)
    ]
    seconds = statistics.median(float(run[0]) for run in runs)
    benchmark.extra_info["import_seconds"] = seconds
    benchmark.pedantic(lambda: None)
    print(f"\nimport fipo_model: {seconds:.3f} s")
    assert "torch" not in runs[0]
    assert seconds < 0.15


def test_help_is_quick(benchmark: Any) -> None:
    seconds = seconds_of(sys.executable, "-m", "fipo_model.cli", "--help")
    benchmark.extra_info["help_seconds"] = seconds
    benchmark.pedantic(lambda: None)
    print(f"\nfipo --help: {seconds:.3f} s")
    assert seconds < 0.6


_FIRST_TOKEN = """
from fipo_model import FIPO_1, OptimizationRequest, PromptOptimizer, Sampling
optimizer = PromptOptimizer.from_pretrained()
optimizer.rewriter.generator.generate([FIPO_1.render(OptimizationRequest("Explain rain."))], Sampling(max_new_tokens=1))
"""


def test_second_start_to_first_token(benchmark: Any) -> None:
    fetch(DEFAULT)
    seconds = seconds_of(sys.executable, "-c", _FIRST_TOKEN)
    benchmark.extra_info["first_token_seconds"] = seconds
    benchmark.pedantic(lambda: None)
    print(f"\nprocess start to first token: {seconds:.2f} s")
    assert seconds < 6


_PEAK = """
import sys
sys.path.insert(0, sys.argv[1])
from test_speed import REQUESTS
from fipo_model import PromptOptimizer
PromptOptimizer.from_pretrained().optimize_batch(REQUESTS)
# Not getrusage: a child begins with its parent's maximum there.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_peak_memory_of_64_prompts(benchmark: Any) -> None:
    command = [sys.executable, "-c", _PEAK, str(Path(__file__).parent)]
    kib = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    benchmark.extra_info["peak_gib"] = kib / 2**20
    benchmark.pedantic(lambda: None)
    print(f"\npeak memory: {kib / 2**20:.2f} GiB (VmHWM of the process)")
    assert kib < 1.5 * 2**20
