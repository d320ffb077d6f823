"""`fipo store`, and what `fipo optimize` and `fipo tune` do with one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fipo_model import OptimizationRequest, PromptOptimizer
from fipo_model.cli import app
from fipo_model.store import Entry, RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.servers import completion, serving

PROMPT = "Explain rain to a child."


def say(request: dict[str, Any]) -> str:
    naive = request["messages"][-1]["content"].split("Naive prompt:\n")[1].split("\n\n")[0]
    return f"{naive} Give one example."


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[list[str], list[dict[str, Any]]]]:
    with serving(lambda request, _number: completion(say(request))) as (address, requests):
        yield ["--server", address, "--name", "rewriter"], requests


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rewrites.jsonl"


def fipo(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def only(file: Path) -> Entry:
    (entry,) = RewriteStore(file).entries()
    return entry


def test_a_prompt_is_proposed_reviewed_and_then_used_without_a_model(
    server: tuple[list[str], list[dict[str, Any]]], file: Path
):
    options, requests = server
    first = fipo("optimize", PROMPT, "--store", file, *options)
    assert first.stdout == f"{PROMPT} Give one example.\n"
    entry = only(file)
    assert (entry.state, entry.model, entry.evidence) == ("pending", "rewriter", "passed FIPO's checks")
    assert f"pending in {file}; to use it from now on: fipo store approve {file} {entry.key[:8]}" in first.stderr
    sent = len(requests)
    assert fipo("optimize", PROMPT, "--store", file, *options).exit_code == 0
    assert len(requests) == sent + 1  # nobody has said yet that it is good
    approved = fipo("store", "approve", file, entry.key[:8], "--by", "Ann", "--because", "shorter answers")
    assert (approved.exit_code, approved.stdout) == (0, "")
    assert f"approved: {entry.key[:8]} {PROMPT}" in approved.stderr
    again = fipo("optimize", PROMPT, "--store", file, "--json", *options)
    assert json.loads(again.stdout)["text"] == f"{PROMPT} Give one example."
    assert len(requests) == sent + 1
    assert (only(file).by, only(file).why) == ("Ann", "shorter answers")


def test_a_rejected_rewrite_gives_the_prompt_back_and_says_who_said_so(
    server: tuple[list[str], list[dict[str, Any]]], file: Path
):
    options, _ = server
    fipo("optimize", PROMPT, "--store", file, *options)
    assert fipo("store", "reject", file, only(file).key, "--by", "Ann", "--because", "no examples").exit_code == 0
    done = fipo("optimize", PROMPT, "--store", file, *options)
    assert done.stdout == f"{PROMPT}\n"
    assert "your prompt stays as it is: rejected by Ann: no examples" in done.stderr


def test_a_text_of_ones_own_can_be_approved(server: tuple[list[str], list[dict[str, Any]]], file: Path):
    fipo("optimize", PROMPT, "--store", file, *server[0])
    assert fipo("store", "approve", file, "--all", "--text", "Explain rain simply.", "--by", "Ann").exit_code == 0
    assert only(file).used == "Explain rain simply."
    assert fipo("store", "approve", file, only(file).key, "--text", " ").exit_code == 2
    nothing = fipo("store", "approve", file, "--all")
    assert (nothing.exit_code, "nothing is pending" in nothing.stderr) == (0, True)


@pytest.mark.parametrize("option", ["--by", "--because", "--text"])
def test_words_in_another_encoding_end_in_one_line(
    server: tuple[list[str], list[dict[str, Any]]], file: Path, option: str
):
    fipo("optimize", PROMPT, "--store", file, *server[0])
    command = [sys.executable, "-m", "fipo_model.cli", "store", "approve", file, "--all", "--by", "Ann"]
    done = subprocess.run([*command, option, b"caf\xe9"], capture_output=True, env={**os.environ, "PYTHONUTF8": "1"})
    assert (done.returncode, done.stderr.count(b"\n"), b"is not valid UTF-8" in done.stderr) == (1, 1, True)
    assert only(file).state == "pending"


def test_rows_of_a_file_are_not_for_a_store(file: Path):
    done = fipo("optimize", "--input", file, "--output", "-", "--store", file)
    assert done.exit_code == 2


@pytest.fixture
def filled(server: tuple[list[str], list[dict[str, Any]]], file: Path) -> Path:
    fipo("optimize", PROMPT, "--store", file, *server[0])
    fipo("optimize", "Explain [red]snow[/red] to \x1b[31ma child.", "--store", file, *server[0])
    fipo("store", "approve", file, RewriteStore(file).entries()[0].key, "--by", "Ann")
    return file


def test_a_list_shows_what_is_there_and_what_was_said(filled: Path):
    done = fipo("store", "list", filled)
    assert done.exit_code == 0
    assert "2 in " in done.stdout
    for text in ("approved", "pending", "Ann", "[red]snow[/red]", "passed FIPO's checks"):
        assert text in done.stdout
    assert "\x1b" not in done.stdout  # neither colours in a pipe nor those that somebody put into a prompt
    assert "pending" not in fipo("store", "list", filled, "--state", "approved").stdout


def test_colours_are_for_terminals_and_not_with_no_color(filled: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = CliRunner().invoke(app, ["store", "list", str(filled)], color=True).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    plain = CliRunner().invoke(app, ["store", "list", str(filled)], color=True).stdout
    assert ("\x1b[32m" in coloured, "\x1b[32m" in plain) == (True, False)


def test_json_has_everything_a_rewrite_on_each_line(filled: Path):
    entries = [json.loads(line) for line in fipo("store", "list", filled, "--json").stdout.splitlines()]
    assert [entry["state"] for entry in entries] == ["approved", "pending"]
    assert Entry(**{**entries[0], "keep": ()}) == RewriteStore(filled).entries()[0]
    assert json.loads(fipo("store", "show", filled, entries[1]["key"], "--json").stdout) == entries[1]


def test_one_rewrite_is_shown_with_what_changed(filled: Path):
    shown = fipo("store", "show", filled, RewriteStore(filled).entries()[0].key[:6]).stdout.splitlines()
    assert f"changes: {PROMPT} {{+Give one example.+}}" in shown
    assert {"state: approved", "by: Ann", "model: rewriter", "evidence: passed FIPO's checks"} <= set(shown)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "nowhere.jsonl"], "there is no store nowhere.jsonl; `fipo optimize PROMPT --store nowhere.jsonl`"),
        (["approve", "FILE", "ffffffff"], "has no rewrite with the key 'ffffffff'"),
        (["show", "FILE", "x"], "has no rewrite with the key 'x'"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(filled: Path, arguments: list[str], told: str):
    done = fipo("store", *(filled if each == "FILE" else each for each in arguments))
    assert done.exit_code == 1
    assert told in str(done.exception)
    assert "\n" not in str(done.exception)


@pytest.mark.parametrize("arguments", [["approve", "FILE"], ["reject", "FILE", "abcd", "--all"]])
def test_what_is_to_be_decided_must_be_named(filled: Path, arguments: list[str]):
    assert fipo("store", *(filled if each == "FILE" else each for each in arguments)).exit_code == 2


def test_who_decides_is_by_default_the_user_of_the_machine(filled: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOGNAME", "berta")
    assert fipo("store", "reject", filled, "--all").exit_code == 0
    assert RewriteStore(filled).entries()[1].by == "berta"


class TestTune:
    @pytest.fixture(autouse=True)
    def _scripted(self, monkeypatch: pytest.MonkeyPatch):
        """A rewriter that says what makes the model answer right, and that model."""
        from fipo_model.backends import opening
        from fipo_model.rewriter import Rewriter
        from fipo_model.testing import ScriptedGenerator

        own = Rewriter(ScriptedGenerator(say_better, name="own"))
        monkeypatch.setattr(Rewriter, "from_pretrained", lambda *_, **__: own)
        monkeypatch.setattr(opening, "open_generator", lambda spec, role: ScriptedGenerator(answer, name=str(spec)))

    @pytest.fixture
    def examples(self, tmp_path: Path) -> Path:
        rows = [{"input": f"sum {number}", "output": f"total {number}"} for number in range(30)]
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return file

    def test_what_was_measured_is_the_evidence_and_an_approved_prompt_is_not_searched(self, file: Path, examples: Path):
        command = ("tune", "Say it.", "--examples", examples, "--metric", "exact", "--model", "one", "--store", file)
        assert fipo(*command).stdout == "Say it. Begin with total.\n"
        entry = only(file)
        assert (entry.state, entry.outcome, entry.model) == ("pending", "optimized", "own")
        assert "On the 10 held-out examples: from 0 to 1" in entry.evidence
        RewriteStore(file).decide([entry.key], "approved", by="Ann")
        examples.unlink()  # nothing is searched any more
        again = fipo(*command)
        assert (again.stdout, again.exit_code) == ("Say it. Begin with total.\n", 0)
        assert f"approved in {file}" in again.stderr


def say_better(conversation: list[Any]) -> str:
    naive = conversation[-1]["content"].split("Naive prompt:\n")[1].split("\n\n")[0]
    return f"{naive} Begin with total."


def answer(conversation: list[Any]) -> str:
    asked = conversation[-1]["content"]
    number = asked.split()[-1]
    return f"total {number}" if "Begin with total." in asked else number


def test_a_request_with_other_wishes_is_another_prompt(server: tuple[list[str], list[dict[str, Any]]], file: Path):
    for options in ([], ["--keep", "rain"], ["--max-words", "40"]):
        fipo("optimize", PROMPT, "--store", file, *options, *server[0])
    entries = RewriteStore(file).entries()
    assert [(entry.keep, entry.max_words) for entry in entries] == [((), None), (("rain",), None), ((), 40)]
    assert RewriteStore(file).recall(OptimizationRequest(PROMPT, keep=("rain",))) is not None


def test_an_export_whose_reader_leaves_ends_in_one_line(file: Path):
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: f"{PROMPT} Give one example."))
    RewriteStore(file).keep([optimizer.optimize(PROMPT)])
    command = [sys.executable, "-m", "fipo_model.cli", "store", "export", str(file)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [*command, "--as", "python", "--state", "pending"], stdout=closed, stderr=subprocess.PIPE, timeout=120
        )
    assert (done.returncode, done.stderr) == (141, b"fipo: stopped: nothing is reading the output\n")


@pytest.mark.parametrize("arguments", [["export", "-", "--as", "chat"], ["store", "list", "/dev/stdin"]])
def test_a_store_does_not_come_through_a_pipe(file: Path, arguments: list[str]):
    optimizer = PromptOptimizer(ScriptedGenerator(lambda _: f"{PROMPT} Give one example."))
    RewriteStore(file).keep([optimizer.optimize(PROMPT)])
    command = [sys.executable, "-m", "fipo_model.cli", *arguments]
    done = subprocess.run(command, input=file.read_bytes(), capture_output=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert b"A store is read from its file, not through a pipe" in done.stderr
