"""The command line: what goes to stdout, what to stderr, and with which exit code.

The model is replaced at the seam the command line itself offers: a server. A small OpenAI-compatible one, in this
process, answers for it.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import fipo_model
from fipo_model import PromptOptimizer, cli
from fipo_model.cli.outcomes import tell_outcome
from fipo_model.testing import ScriptedGenerator
from fipo_model.types import Candidate, OptimizationRequest, OptimizedPrompt, Outcome
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


@pytest.mark.parametrize("name", ["tune", "serve", "worth-it"])
def test_the_help_of_a_command_keeps_no_line_breaks_of_the_source(name: str) -> None:
    paragraphs = get_command(cli.app).commands[name].help.split("\n\n")
    assert len(paragraphs) == 2
    assert [one for one in paragraphs if "\n" in one] == []


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


def test_the_examples_of_a_file_are_shown(server: list[str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"input": "bill {number}", "output": "{number} euros"}}\n' for number in range(1, 7)))
    request = json.loads(fipo("optimize", "amount", "--examples", str(rows), "--json", *server).stdout)["request"]
    assert [one["output"] for one in request["examples"]] == [f"{number} euros" for number in range(1, 7)]
    refused = fipo("optimize", "--input", str(rows), "--output", "-", "--examples", str(rows), *server)
    assert (refused.returncode, b"fields of the rows" in b" ".join(refused.stderr.split())) == (2, True)
    rows.write_text('{"question": "bill 1"}\n')
    refused = fipo("optimize", "amount", "--examples", str(rows), *server)
    assert (refused.returncode, b"there is no `input`" in refused.stderr) == (1, True)
    rows.write_text('{"input": "bill 1", "outpt": "1 euro"}\n')
    told = fipo("optimize", "amount", "--examples", str(rows), *server)
    assert b"has a right output, which is called `output`" in told.stderr
    rows.write_text("\n")
    refused = fipo("optimize", "amount", "--examples", str(rows), *server)
    assert (refused.returncode, b"has no rows" in refused.stderr) == (1, True)


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


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("unchanged", "stays as it is: the particulars. Next: give `fipo tune` some examples"),
        ("uncertain", "The rewrite was turned down: the particulars. Next: give `fipo tune` some"),
        ("too_long", "The rewrite was turned down: the particulars. Next: --max-words"),
        ("number_lost", "The rewrite was turned down: the particulars. Next: docs/outcomes.md"),
        ("not_preferred", "stays as it is: the particulars. Next: give `fipo tune` some"),
    ],
)
def test_who_meets_an_outcome_for_the_first_time_learns_why_and_what_is_next(
    outcome: Outcome, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Candidate(text="Name 3 rivers.\n\nGive\nonly names.", outcome=outcome, detail="the particulars")
    request = OptimizationRequest("Name 3 rivers.")
    result = OptimizedPrompt(
        text="Name 3 rivers.", request=request, outcome=outcome, candidates=(told,), model="", template=""
    )
    tell_outcome(result)
    first, second, *proposed = capsys.readouterr().err.splitlines()
    assert first == f"fipo: outcome: {outcome}"
    assert second.startswith("fipo: your prompt stays as it is")
    assert said in second
    assert proposed == ([] if outcome == "unchanged" else ["fipo: turned down: Give only names."])


def test_a_rewriter_that_repeats_the_prompt_had_nothing_to_add() -> None:
    result = PromptOptimizer(ScriptedGenerator(lambda _: "Name 3 rivers.")).optimize("Name 3 rivers.")
    assert (result.outcome, result.detail) == ("unchanged", "the rewriter had nothing to add")


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
    assert b"1 was there before" in second.stderr


def test_rows_come_from_a_pipe_but_go_to_a_file(server: list[str], tmp_path: Path) -> None:
    # The rows were once gone when they had been counted; an output to a pipe was waited for without end.
    rows, target = b'{"id": 1, "instruction": "Explain rain to a child."}\n', tmp_path / "out.jsonl"
    done = fipo("optimize", "--input", "/dev/stdin", "--output", str(target), *server, stdin=rows)
    assert done.returncode == 0
    assert json.loads(target.read_bytes())["instruction"] == "Explain rain to a child. Give one example."
    done = fipo("optimize", "--input", str(target), "--output", "/dev/stdout", *server)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"cannot write to /dev/stdout: not a file" in done.stderr


def rows_of(count: int) -> bytes:
    rows = ({"id": number, "instruction": f"Explain rain to child number {number}."} for number in range(count))
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_rows_go_from_stdin_to_stdout(server: list[str], tmp_path: Path) -> None:
    done = fipo("optimize", "--input", "-", "--output", "-", *server, "--proposals", stdin=rows_of(3) + b"broken\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["instruction"] for row in rows] == [
        f"Explain rain to child number {number}. Give one example." for number in range(3)
    ]
    assert [[each["outcome"] for each in row["proposals"]] for row in rows] == [["optimized"]] * 3
    assert b"3 rows written to stdout (3 rewritten" in done.stderr
    assert (done.returncode, b"line 4: not JSON" in done.stderr) == (1, True)
    (tmp_path / "in.jsonl").write_bytes(rows_of(2))
    with (tmp_path / "in.jsonl").open("rb") as file:  # stdin may be a file, which is then read from its beginning
        command = [sys.executable, "-m", "fipo_model.cli", "optimize", "--input", "-", "--output", "-", *server]
        done = subprocess.run(command, stdin=file, capture_output=True, check=False, timeout=120)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)


@pytest.mark.parametrize(
    "arguments",
    [["optimize", "Explain rain.", "--json"], ["optimize", "--input", "IN", "--output", "-"], ["--version"]],
)
@pytest.mark.parametrize("output", ["closed", "full"])
def test_an_output_that_takes_nothing_is_told_in_one_line(
    server: list[str], tmp_path: Path, arguments: list[str], output: str
) -> None:
    (tmp_path / "in.jsonl").write_bytes(rows_of(9))
    arguments = [str(tmp_path / "in.jsonl") if each == "IN" else each for each in arguments]
    command = [sys.executable, "-m", "fipo_model.cli", *arguments, *(server if len(arguments) > 1 else [])]
    if output == "full":
        with Path("/dev/full").open("wb") as full:
            done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=120)
    else:
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "wb") as closed:
            done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, check=False, timeout=120)
    said = b"nothing is reading the output" if output == "closed" else b"cannot write to stdout: No space left"
    told = [line for line in done.stderr.splitlines() if b"outcome:" not in line and b"rows " not in line]
    assert done.returncode == (141 if output == "closed" else 1)
    assert len(told) == 1
    assert said in told[0]


def test_the_version_is_told() -> None:
    done = fipo("--version")
    assert (done.returncode, done.stdout.decode()) == (0, f"fipo {fipo_model.__version__}\n")


def test_a_stdout_that_lacks_the_results_letters_is_told_in_a_line(server: list[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = fipo("optimize", "Explain \N{GREEK SMALL LETTER PI}.", *server)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"fipo: error: stdout cannot hold all characters of the result (latin-1)" in done.stderr
    assert b"Traceback" not in done.stderr


def test_texts_to_keep_can_be_named_more_than_once(server: list[str]) -> None:
    done = fipo("optimize", "Explain rain to Ann and Bob.", "--keep", "Ann", "--keep", "Bob", "--json", *server)
    assert json.loads(done.stdout)["request"]["keep"] == ["Ann", "Bob"]
    done = fipo("optimize", "Explain rain.", "--keep", "Ann", *server)
    assert (done.returncode, b"keep names 'Ann', which the prompt does not contain" in done.stderr) == (1, True)


def test_a_servers_rewrites_are_held_to_strict_wording_on_request() -> None:
    naive, said = "Describe how rivers shape a valley.", "Describe how rivers shape a wide, gentle valley over time."
    with serving(lambda *_: completion(said)) as (address, _requests):
        model = ["--server", address, "--name", "rewriter"]
        asked = [fipo("optimize", naive, *model, *more) for more in ([], ["--strict-wording"], ["--free-wording"])]
    assert [each.stdout.decode().strip() for each in asked] == [said, f"{naive}\n\n{said}", said]


def test_a_model_of_a_server_is_named_like_every_other(server: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    spec = f"{server[1]}#{server[3]}"
    assert fipo("optimize", "Explain rain.", "--model", spec).stdout == b"Explain rain. Give one example.\n"
    monkeypatch.setenv("OPENAI_BASE_URL", server[1])
    assert fipo("optimize", "Explain rain.", "--name", "m").stdout == b"Explain rain. Give one example.\n"
    done = fipo("optimize", "Explain rain.", "--model", server[1].replace("//", "//u:secret@"))
    assert (done.returncode, b"add its name" in done.stderr, b"secret" in done.stderr) == (1, True, False)


def test_a_wait_for_a_server_is_told_and_a_server_writes_nothing_to_the_terminal() -> None:
    def answer(_request: dict[str, Any], number: int) -> Any:
        if number < 2:
            return {"error": {"message": "slow \x1b[31mdown"}}, 429, {"retry-after": "0.1"}
        return completion("Explain rain\x1b[2J, please\x07.")

    with serving(answer) as (address, _):
        done = fipo("optimize", "Explain rain.", "--server", address, "--name", "m")
    assert done.stdout == b"Explain rain, please.\n"
    assert f"{address} answered 429 (slow down); trying again in 0.1 s\n".encode() in done.stderr


def test_a_refused_row_is_written_with_the_servers_words_and_the_job_goes_on(tmp_path: Path) -> None:
    def answer(request: dict[str, Any], _number: int) -> Any:
        if "number 2" in request["messages"][-1]["content"]:
            return {"error": {"message": "The content policy forbids it", "code": "content_filter"}}, 400
        return completion(say(request))

    (tmp_path / "in.jsonl").write_bytes(rows_of(5))
    arguments = ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--batch-size", "1"]
    with serving(answer) as (address, requests):
        done = fipo("optimize", *arguments, "--server", address, "--name", "m")
        assert done.returncode == 0
        assert b"5 rows written" in done.stderr
        assert b"4 rewritten, 1 refused" in done.stderr
        before = len(requests)
        assert fipo("optimize", *arguments, "--server", address, "--name", "m").returncode == 0
        assert len(requests) == before  # it is not asked for again
    row = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()][2]
    assert (row["outcome"], row["instruction"]) == ("refused", row["naive_instruction"])
    assert "The content policy forbids it" in row["detail"]


@pytest.mark.parametrize("no_color", ["", "1"])
def test_colours_can_be_turned_off(server: list[str], tmp_path: Path, no_color: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(rows_of(2))
    arguments = ["optimize", "--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), *server]
    main_end, terminal = os.openpty()
    environment = {**os.environ, "NO_COLOR": no_color, "TERM": "xterm-256color"}
    with os.fdopen(terminal, "wb") as file:
        command = [sys.executable, "-m", "fipo_model.cli", *arguments]
        subprocess.run(command, stderr=file, stdout=subprocess.PIPE, env=environment, check=True, timeout=120)
        shown = os.read(main_end, 100_000)
    os.close(main_end)
    assert b"rows" in shown
    assert bool(re.search(rb"\x1b\[[\d;]*3[0-8]", shown)) == (not no_color)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["optimize", ""], 1, "empty"),
        (["optimize", "x", "--proposals"], 2, "--json shows everything"),
        (["optimize", "--input", "a", "--output", "b", "--keep", "x"], 2, "fields of the rows"),
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
