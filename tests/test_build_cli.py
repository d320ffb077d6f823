"""`fipo data build`: what goes to stderr and into files, with two models behind a small server in this process."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from test_build import TOPICS, instructions, read, say_strong, say_weak, write

pytest.importorskip("datasketch", reason="needs the extra train")
pytest.importorskip("matplotlib", reason="needs the extra train")


class _Models(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        say = say_weak if body["model"] == "weak" else say_strong
        if body["model"] == "broken":
            self.send_error(400, "out of order")
            return
        message = {"role": "assistant", "content": say(body["messages"])}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10},
        }
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Models) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/v1"
        running.shutdown()
        thread.join()


def both(address: str, *, strong: str = "strong") -> list[str]:
    weak = ["--weak-server", address, "--weak-name", "weak"]
    return [*weak, "--strong-server", address, "--strong-name", strong]


def fipo_build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fipo_model.cli", "data", "build", *map(str, arguments)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120, encoding="utf-8"
    )


def test_it_says_what_it_will_cost_stops_at_the_bound_and_goes_on(tmp_path: Path, address: str) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(len(TOPICS))), tmp_path / "out.jsonl"
    done = fipo_build(source, target, *both(address), "--max-calls", "20", "--batch-size", "2")
    assert (done.returncode, done.stdout) == (0, "")
    assert "to do: at most about 60 calls for 10 records" in done.stderr
    assert "20 calls are left of 20" in done.stderr
    assert "3 pairs of 10 records written" in done.stderr
    assert "7 records wait. To go on, repeat the command with a --max-calls above 20" in done.stderr
    done = fipo_build(source, target, *both(address))
    assert "to do: at most about 42 calls for 7 records" in done.stderr
    assert "10 pairs of 10 records written" in done.stderr
    assert [row["id"] for row in read(target)] == [f"r{i}" for i in range(10)]
    assert {file.name for file in tmp_path.iterdir()} == {
        *("in.jsonl", "out.jsonl", "out.jsonl.report.html", "out.jsonl.report.json", "out.jsonl.work")
    }


def test_a_dry_run_needs_no_model_and_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [*instructions(2), {"text": "no instruction"}])
    done = fipo_build(source, tmp_path / "out.jsonl", "--strong", "no/such-model", "--dry-run")
    assert done.returncode == 0
    assert "line 3: needed fields are missing" in done.stderr
    assert "at most about 12 calls for 2 records" in done.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_a_server_that_fails_is_told_with_how_to_go_on(tmp_path: Path, address: str) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl"
    done = fipo_build(source, target, *both(address, strong="broken"))
    assert done.returncode == 1
    assert f"what came back is kept in {target}.work; the same command goes on from there" in done.stderr
    assert "refused the request" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read(tmp_path / "out.jsonl.work" / "silver.jsonl")) == 2
    done = fipo_build(source, target, *both(address))
    assert (done.returncode, target.exists()) == (1, False)
    assert 'strong was "broken", is now "strong"' in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "are the same"),
        (["--weak", "a", "--strong", "a"], "are the same"),
        (["--strong-server", "http://127.0.0.1:1/v1"], "go together"),
        (["--weak-name", "x", "--strong", "a"], "go together"),
        (["--strong", "a", "--strong-server", "http://127.0.0.1:1/v1", "--strong-name", "x"], "leave --strong out"),
        (["--strong", "a", "--similarity", "2"], "similarity"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: list[str], words: str) -> None:
    done = fipo_build(write(tmp_path / "in.jsonl", instructions(1)), tmp_path / "out.jsonl", *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())


def test_failed_records_are_kept_on_demand(tmp_path: Path, address: str) -> None:
    rows = [*instructions(1), {"id": "again", "instruction": "Explain rain to a child!"}]
    source, target = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    fipo_build(source, target, *both(address), "--keep-failed")
    assert [row.get("failed") for row in read(target)] == [None, "near_duplicate"]


def test_lines_that_cannot_be_used_make_it_exit_with_1_after_the_rest_is_written(tmp_path: Path, address: str) -> None:
    source, target = write(tmp_path / "in.jsonl", [*instructions(1), {"text": "x"}]), tmp_path / "out.jsonl"
    done = fipo_build(source, target, *both(address))
    assert (done.returncode, len(read(target))) == (1, 1)
    assert "1 lines could not be used" in done.stderr
