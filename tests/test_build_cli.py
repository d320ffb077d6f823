"""`fipo data build`: what goes to stderr and into files, with two models behind a small server in this process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.building import TOPICS, instructions, say_strong, say_weak, write
from support.files import read
from support.servers import completion, serving

pytest.importorskip("datasketch", reason="needs the extra train")
pytest.importorskip("matplotlib", reason="needs the extra train")


def answer(request: dict[str, Any], _number: int) -> dict[str, Any] | tuple[str, int]:
    """As the model that is asked for, of which one is broken."""
    if request["model"] == "broken":
        return "out of order", 400
    say = say_weak if request["model"] == "weak" else say_strong
    return completion(say(request["messages"]))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(answer) as (running, _requests):
        yield running


def both(address: str, *, strong: str = "strong") -> list[str]:
    return ["--weak", f"{address}#weak", "--strong", f"{address}#{strong}"]


def fipo_build(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fipo_model.cli", "data", "build", *map(str, arguments)]
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120, encoding="utf-8"
    )


def test_it_says_what_it_will_cost_stops_at_the_bound_and_goes_on(tmp_path: Path, address: str) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(len(TOPICS))), tmp_path / "out.jsonl"
    done = fipo_build(source, target, *both(address), "--max-calls", "20", "--batch-size", "2")
    assert (done.returncode, done.stdout) == (0, "")
    assert "to do: up to about 60 calls for 10 records" in done.stderr
    assert "20 of 20 calls are left" in done.stderr
    assert "3 pairs from 10 records written" in done.stderr
    assert "7 records are waiting. To continue, run the command again with --max-calls above 20" in done.stderr
    done = fipo_build(source, target, *both(address))
    assert "to do: up to about 42 calls for 7 records" in done.stderr
    assert "10 pairs from 10 records written" in done.stderr
    assert [row["id"] for row in read(target)] == [f"r{i}" for i in range(10)]
    assert {file.name for file in tmp_path.iterdir()} == {
        *("in.jsonl", "out.jsonl", "out.jsonl.report.html", "out.jsonl.report.json", "out.jsonl.work")
    }


def test_a_dry_run_needs_no_model_and_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [*instructions(2), {"text": "no instruction"}])
    done = fipo_build(source, tmp_path / "out.jsonl", "--strong", "no/such-model", "--dry-run")
    assert done.returncode == 0
    assert "line 3: needed fields are missing" in done.stderr
    assert "up to about 12 calls for 2 records" in done.stderr
    assert list(tmp_path.iterdir()) == [source]


def test_a_server_that_fails_is_told_with_how_to_go_on(tmp_path: Path, address: str) -> None:
    source, target = write(tmp_path / "in.jsonl", instructions(2)), tmp_path / "out.jsonl"
    done = fipo_build(source, target, *both(address, strong="broken"))
    assert done.returncode == 1
    assert f"finished work is kept in {target}.work; run the same command to resume from there" in done.stderr
    assert "refused the request" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read(tmp_path / "out.jsonl.work" / "silver.jsonl")) == 2
    done = fipo_build(source, target, *both(address))
    assert (done.returncode, target.exists()) == (1, False)
    assert 'strong was "broken" and is now "strong"' in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "are the same"),
        (["--weak", "a/b", "--strong", "a/b"], "are the same"),
        (["--weak", "http://127.0.0.1:1/v1#x", "--strong", "http://127.0.0.1:1/v1#x"], "are the same"),
        (["--strong", "qwen2.5-coder-0.5b"], "are the same"),  # which is the default
        (["--strong-server", "http://127.0.0.1:1/v1"], "No such option"),
        (["--strong", "a/b", "--similarity", "2"], "similarity"),
    ],
)
def test_options_that_do_not_go_together_are_refused(tmp_path: Path, options: list[str], words: str) -> None:
    done = fipo_build(write(tmp_path / "in.jsonl", instructions(1)), tmp_path / "out.jsonl", *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("http://u:secret@127.0.0.1:1/v1", "add its name, http://127.0.0.1:1/v1#NAME"),
        ("no-model", "there is no model"),
    ],
)
def test_a_name_of_no_model_is_told_before_anything_is_read(tmp_path: Path, spec: str, words: str) -> None:
    done = fipo_build(write(tmp_path / "in.jsonl", instructions(1)), tmp_path / "out.jsonl", "--strong", spec)
    assert done.returncode == 1
    assert words in done.stderr
    assert "secret" not in done.stderr


def test_failed_records_are_kept_on_demand(tmp_path: Path, address: str) -> None:
    rows = [*instructions(1), {"id": "again", "instruction": "Explain rain to a child!"}]
    source, target = write(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    fipo_build(source, target, *both(address), "--keep-failed")
    assert [row.get("failed") for row in read(target)] == [None, "near_duplicate"]


def test_lines_that_cannot_be_used_make_it_exit_with_1_after_the_rest_is_written(tmp_path: Path, address: str) -> None:
    source, target = write(tmp_path / "in.jsonl", [*instructions(1), {"text": "x"}]), tmp_path / "out.jsonl"
    done = fipo_build(source, target, *both(address))
    assert (done.returncode, len(read(target))) == (1, 1)
    assert "1 line could not be used" in done.stderr
