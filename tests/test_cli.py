"""The command line: what goes to stdout, what to stderr, and with which exit code.

The model is replaced at the seam the command line itself offers: a server. A small OpenAI-compatible one, in this
process, answers for it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fipo_model import cli
from support.servers import completion, serving


def say(request: dict[str, Any]) -> str:
    """What the server says: it rewrites by adding a sentence, and judges badly."""
    asked = request["messages"][-1]["content"]
    naive = asked.split("Naive prompt:\n")[1].split("\n\n")[0]
    return "neither" if "Prompt A:" in asked else f"{naive} Give one example."


@pytest.fixture(scope="module")
def server() -> Iterator[list[str]]:
    with serving(lambda request, _number: completion(say(request))) as (address, _requests):
        yield ["--server", address, "--name", "rewriter"]


def fipo(*arguments: str | bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "fipo_model.cli", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120)


def test_stdout_holds_the_prompt_to_use_and_nothing_else(server: list[str]) -> None:
    done = fipo("optimize", "Explain rain to a child.", *server)
    assert (done.returncode, done.stdout) == (0, b"Explain rain to a child. Give one example.\n")
    assert b"outcome: optimized" in done.stderr


def test_a_dash_reads_stdin(server: list[str]) -> None:
    done = fipo("optimize", "-", *server, stdin="Explain rain to a child in Köln.".encode())
    assert done.stdout.decode() == "Explain rain to a child in Köln. Give one example.\n"


def test_a_byte_order_mark_is_not_part_of_a_text(server: list[str], tmp_path: Path) -> None:
    (tmp_path / "context").write_text("A sunny day.", encoding="utf-8-sig")
    arguments = ["--context", str(tmp_path / "context"), "--json"]
    request = json.loads(fipo("optimize", "-", *arguments, *server, stdin="Köln?".encode("utf-8-sig")).stdout)[
        "request"
    ]
    assert (request["instruction"], request["context"]) == ("Köln?", "A sunny day.")


def test_a_judge_that_cannot_decide_keeps_the_prompt_and_says_so(server: list[str]) -> None:
    done = fipo("optimize", "Explain rain to a child.", "--judge", *server)
    assert (done.returncode, done.stdout) == (0, b"Explain rain to a child.\n")
    assert b"not_preferred" in done.stderr
    assert b"neither A nor B" in done.stderr


def test_json_holds_everything_about_the_result(server: list[str]) -> None:
    result = json.loads(fipo("optimize", "Explain rain to a child.", "--json", *server).stdout)
    assert result["text"] == "Explain rain to a child. Give one example."
    assert result["request"]["instruction"] == "Explain rain to a child."
    assert (result["outcome"], result["model"], result["template"]) == ("optimized", "rewriter", "fipo-1")
    assert [candidate["outcome"] for candidate in result["candidates"]] == ["optimized"]


def test_diff_marks_words_on_stderr(server: list[str]) -> None:
    done = fipo("optimize", "Explain rain to a child.", "--diff", *server)
    assert b"Explain rain to a child. {+Give one example.+}" in done.stderr
    assert done.stdout == b"Explain rain to a child. Give one example.\n"


def test_files_become_parts_of_the_request(server: list[str], tmp_path: Path) -> None:
    (tmp_path / "context").write_text("A sunny day.")
    (tmp_path / "golden").write_text("Give one example.")
    arguments = ["--context", str(tmp_path / "context"), "--golden", str(tmp_path / "golden"), "--max-words", "30"]
    result = json.loads(fipo("optimize", "Explain rain to a child.", "--json", *arguments, *server).stdout)
    assert result["request"]["context"] == "A sunny day."
    assert result["request"]["max_words"] == 30
    assert result["outcome"] == "golden_leaked"


def test_bulk_goes_on_where_it_stopped_and_reports_bad_lines(server: list[str], tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"id": 1, "instruction": "Explain rain to a child."}\nbroken\n')
    first = fipo("optimize", "--input", str(source), "--output", str(target), *server)
    assert (first.returncode, first.stdout) == (1, b"")
    assert b"line 2: not JSON" in first.stderr
    written = target.read_bytes()
    assert json.loads(written)["instruction"] == "Explain rain to a child. Give one example."
    second = fipo("optimize", "--input", str(source), "--output", str(target), *server)
    assert target.read_bytes() == written
    assert b"1 were there before" in second.stderr


def test_rows_come_from_a_pipe_but_go_to_a_file(server: list[str], tmp_path: Path) -> None:
    # The rows were once gone when they had been counted; an output to a pipe was waited for without end.
    rows, target = b'{"id": 1, "instruction": "Explain rain to a child."}\n', tmp_path / "out.jsonl"
    done = fipo("optimize", "--input", "/dev/stdin", "--output", str(target), *server, stdin=rows)
    assert done.returncode == 0
    assert json.loads(target.read_bytes())["instruction"] == "Explain rain to a child. Give one example."
    done = fipo("optimize", "--input", str(target), "--output", "/dev/stdout", *server)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot write to /dev/stdout: not a file" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["optimize", ""], 1, "empty"),
        (["optimize", " \n"], 1, "empty"),
        (["optimize"], 2, "--input"),
        (["optimize", "x", "--input", "a", "--output", "b"], 2, "one prompt"),
        (["optimize", "--input", "a"], 2, "--output"),
        (["optimize", "x", "--server", "http://127.0.0.1:9/v1"], 2, "--name"),
        (["optimize", "x", "--server", "127.0.0.1:9", "--name", "m"], 1, "http://"),
        (["optimize", "x", "--context", "/nowhere/file"], 1, "/nowhere/file"),
        (
            ["optimize", "x", "--template", "/nowhere/file", "--server", "http://127.0.0.1:9", "--name", "m"],
            1,
            "template",
        ),
        (["optimize", "--input", "/nowhere/in", "--output", "/tmp/out"], 1, "/nowhere/in"),
        (["optimize", "x", "--candidates", "0"], 2, "candidates"),
    ],
)
def test_a_mistake_is_told_on_stderr_without_a_traceback(arguments: list[str], code: int, words: str) -> None:
    done = fipo(*arguments)
    told = " ".join(done.stderr.decode().replace("│", " ").split())
    assert (done.returncode, done.stdout) == (code, b"")
    assert words in told
    assert "Traceback" not in told


def test_bytes_that_are_not_utf8_are_refused() -> None:
    for done in (fipo("optimize", b"caf\xe9"), fipo("optimize", "-", stdin=b"caf\xe9")):
        assert done.returncode == 1
        assert b"UTF-8" in done.stderr
        assert b"Traceback" not in done.stderr


def test_an_unwritable_output_is_told_before_any_work(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 1, "instruction": "Explain rain."}\n')
    done = fipo("optimize", "--input", str(source), "--output", str(tmp_path / "nowhere" / "out.jsonl"))
    assert done.returncode == 1
    assert b"cannot write to" in done.stderr


@pytest.mark.tiny
def test_an_unknown_model_is_told_with_what_to_do() -> None:
    done = fipo("optimize", "Explain rain.", "--model", "/nowhere/model")
    assert done.returncode == 1
    assert b"there is no model '/nowhere/model'" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.real
def test_the_default_weights_answer_from_the_command_line(default_weights: Path) -> None:
    done = fipo("optimize", "Tell me about rain in 3 sentences.", "--max-words", "12")
    assert done.returncode == 0
    assert done.stdout.strip() != b""
    assert b"outcome:" in done.stderr
    found = fipo("weights", "path")
    assert found.stdout.decode().strip() == str(default_weights)


def test_errors_of_ours_exit_with_one(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["fipo", "optimize", "  "])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err.startswith("fipo: error: ")
