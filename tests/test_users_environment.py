"""The commands as a user has them, without anything that conftest.py and the Makefile set for the tests.

In the machine's own number format, and with nothing but good manners to keep off the hub. The default weights run on
all threads; for training that would be minutes where other tests run beside it, so it keeps the number it is given.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SET_FOR_TESTS = {"FIPO_DTYPE", "HF_HUB_OFFLINE", "TOKENIZERS_PARALLELISM", "CI"}

RECIPE = """
output = "{output}"
model = "{model}"
{more}

[data]
train = "{data}"
max_length = 400
held_out = 0.2

[trainer]
per_device_train_batch_size = 4
gradient_accumulation_steps = 1
logging_steps = 1
learning_rate = 1e-3
max_steps = 4
eval_steps = 4
"""


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """In the Hugging Face hub's place: its address, and what it was asked."""
    asked: list[str] = []

    class Hub(BaseHTTPRequestHandler):
        def _note(self) -> None:
            asked.append(f"{self.command} {self.path}")
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = _note  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def recipe(tiny_model: Path, tmp_path: Path):
    """Writes a recipe with lines of its own and returns its file and its output."""
    rows = [
        {
            "id": f"r{i}",
            "instruction": f"Name {i} towns.",
            "silver_response": "A town.",
            "golden_response": "A quiet town, and a small one.",
            "chosen": f"Name {i} small, quiet towns.",
            "rejected": f"Tell {i} stories.",
        }
        for i in range(20)
    ]
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def write(name: str, *more: str) -> tuple[Path, Path]:
        file, output = tmp_path / f"{name}.toml", tmp_path / name
        file.write_text(RECIPE.format(output=output, model=tiny_model, data=data, more="\n".join(more)))
        return file, output

    return write


def fipo(
    *arguments: object, hub: str, home: Path, unset: frozenset[str] = frozenset()
) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if name not in SET_FOR_TESTS | unset}
    environment |= {"HF_ENDPOINT": hub, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-m", "fipo_model.cli", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr
    assert "forked" not in done.stderr  # what the tokenizers say where their threads are in the way
    return done


def losses(output: Path) -> list[float]:
    log = map(json.loads, (output / "log.jsonl").read_text().splitlines())
    return [entry["eval_loss"] for entry in log if "eval_loss" in entry]


@pytest.mark.tiny
def test_a_model_is_trained_in_both_ways_and_used_and_nobody_is_asked(
    recipe, hub: tuple[str, list[str]], own_number_format: None, tmp_path: Path
) -> None:
    from fipo_model.backends.transformers.loading import best_device, best_dtype

    address, asked = hub
    settings = {"hub": address, "home": tmp_path / "home"}
    first, first_output = recipe("first")
    fipo("train", "sft", first, **settings)
    lines = (f'adapter = "{first_output}"', "rounds = 2", 'judge = "likelihood"', "max_new_tokens = 8")
    second, second_output = recipe("second", *lines)
    fipo("train", "iterative", second, **settings)
    for output in (first_output, second_output):
        note = json.loads((output / "fipo.json").read_text())
        assert f"torch.{note['number_format']}" == str(best_dtype(best_device()))
        assert losses(output)[-1] < losses(output)[0]
    assert fipo("optimize", "--model", second_output, "Name a town.", **settings).stdout.strip()
    assert asked == []


@pytest.mark.real
def test_the_default_weights_rewrite_a_prompt_and_nobody_is_asked(
    default_weights: Path, hub: tuple[str, list[str]], tmp_path: Path
) -> None:
    address, asked = hub
    prompt = "List three advantages of trains over planes, and say who profits from each of them."
    done = fipo("optimize", prompt, hub=address, home=tmp_path / "home", unset=frozenset({"OMP_NUM_THREADS"}))
    assert prompt in done.stdout  # what the default adapter was trained for: to leave it, or to add to it
    assert asked == []
