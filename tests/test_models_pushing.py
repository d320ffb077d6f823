"""`fipo weights push`, against a stand-in for the hub on this machine that takes what its client sends."""

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from fipo_model.errors import InputError
from fipo_model.models.pushing import planned_upload

ROOT = Path(__file__).parents[1]
CARD = "---\nbase_model: someone/base\nlicense: apache-2.0\npipeline_tag: text-generation\n---\n# A rewriter\n"


class Hub:
    """The endpoints of the hub that an upload uses. It asks for all files inline, and keeps them."""

    def __init__(self) -> None:
        self.created: list[dict[str, object]] = []
        self.files: dict[str, bytes] = {}
        self.status = 200
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = hub.answer(self.path, body)
                content = json.dumps(answer).encode()
                self.send_response(hub.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path: str, body: bytes) -> dict[str, object]:
        if self.status != 200:
            return {"error": "no"}
        if path.endswith("/api/repos/create"):
            self.created.append(json.loads(body))
            return {"url": f"{self.address}/me/mine"}
        if "/preupload/" in path:
            asked = json.loads(body)["files"]
            return {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]}
        if "/commit/" in path:
            for line in body.splitlines():
                part = json.loads(line)
                if part["key"] == "file":
                    self.files[part["value"]["path"]] = base64.b64decode(part["value"]["content"])
            return {"commitOid": "0" * 40, "commitUrl": f"{self.address}/me/mine/commit/{'0' * 40}", "success": True}
        return {"type": "model"}  # what it is asked about the metadata of a card


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The directory of a training run."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in ("adapter_model.safetensors", "adapter_config.json", "fipo.json", "samples.jsonl", "log.jsonl"):
        (folder / name).write_text("{}" if name == "fipo.json" else f"{name} of mine")
    (folder / "README.md").write_text(CARD)
    return folder


def test_a_second_adapter_goes_with_the_first(hub: Hub, run: Path):
    (run / "fipo.json").write_text('{"second": "other"}')
    (run / "other").mkdir()
    for name in ("adapter_model.safetensors", "fipo.json", "log.jsonl"):
        (run / "other" / name).write_text(f"{name} of the other")
    done = push(hub, run, "me/mine", "--yes")
    assert done.returncode == 0, done.stderr
    assert hub.files.keys() == UPLOADED | {"other/adapter_model.safetensors", "other/fipo.json"}
    assert "these stay here: checkpoints, log.jsonl, samples.jsonl, other/log.jsonl" in done.stderr
    assert "other/fipo.json, 22 bytes" in done.stderr


def push(hub: Hub, *arguments: object, asked: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.address, "HF_TOKEN": "a-token", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-m", "fipo_model.cli", "weights", "push", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, input=asked or "", capture_output=True, text=True)


UPLOADED = {"README.md", "adapter_config.json", "adapter_model.safetensors", "fipo.json"}


def test_what_a_loader_reads_is_uploaded_and_what_holds_prompts_stays(hub: Hub, run: Path):
    done = push(hub, run, "me/mine", "--yes")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{hub.address}/me/mine\n"
    assert hub.files == {name: (run / name).read_bytes() for name in UPLOADED}
    assert hub.created[0]["name"] == "mine"
    assert hub.created[0].get("private") or hub.created[0].get("visibility") == "private"
    assert "these stay here: checkpoints, log.jsonl, samples.jsonl" in done.stderr
    assert "adapter_model.safetensors, 33 bytes" in done.stderr


def test_nothing_is_uploaded_unasked(hub: Hub, run: Path):
    done = push(hub, run, "me/mine", asked="y\n")  # from a pipe: nobody reads the question
    assert done.returncode == 1
    assert "add --yes" in done.stderr
    assert (hub.created, hub.files) == ([], {})


def test_a_hub_that_refuses_is_told_in_one_line(hub: Hub, run: Path):
    hub.status = 403
    done = push(hub, run, "me/mine", "--yes")
    assert done.returncode == 1
    assert "the hub refused the upload" in done.stderr
    assert "Traceback" not in done.stderr
    assert "a-token" not in done.stderr


@pytest.mark.parametrize(
    ("change", "repository", "said"),
    [
        (lambda run: (run / "README.md").unlink(), "me/mine", "write a model card first"),
        (lambda run: (run / "README.md").write_text("# None"), "me/mine", "lacks base_model, license, pipeline_tag"),
        (lambda run: (run / "adapter_model.safetensors").unlink(), "me/mine", "holds no weights"),
        (lambda run: None, "a/b/c", "not the name of a repository"),
    ],
)
def test_what_cannot_be_pushed_is_said_before_anybody_is_asked(run: Path, change, repository: str, said: str):
    change(run)
    with pytest.raises(InputError, match=re.escape(said)):
        planned_upload(run, repository)


# FIPO's own cards

CARDS = sorted((ROOT / "fipo_model" / "adapters").rglob("README.md"))


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.parent.name)
def test_fipos_own_cards_could_be_pushed(file: Path):
    assert {one.name for one in planned_upload(file.parent, "me/mine").files} >= {"README.md", "fipo.json"}


@pytest.mark.parametrize("file", CARDS, ids=lambda file: file.parent.name)
def test_a_card_has_results_with_intervals_that_its_text_has_too(file: Path):
    card = ModelCard.load(file)
    results = card.data.eval_results
    assert results
    assert card.data.language
    for result in results:
        low, high = result.metric_args["interval"]
        assert low <= result.metric_value <= high
        digits = 3 if abs(result.metric_value) < 0.1 else 2
        value, low, high = (re.escape(f"{number:.{digits}f}") for number in (result.metric_value, low, high))
        assert re.search(rf"{value}[^\d]*(95 % interval )?[^\d]*{low}[^\d]+{high}", card.text.replace("+", ""))
