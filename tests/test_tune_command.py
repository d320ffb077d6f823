"""`fipo tune`: a search from the command line."""

import json

import pytest
from typer.testing import CliRunner

from fipo_model.cli import app
from fipo_model.models.registry import DEFAULT
from fipo_model.testing import ScriptedScorer
from support.prompt_searches import GUIDANCE, PROMPT, ROWS, likely, model, rewriting


def run(tmp_path, *options: str, rows=None):
    file = tmp_path / "rows.jsonl"
    lines = rows or [{"input": given, "output": output} for given, output in ROWS]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in lines))
    return CliRunner().invoke(app, ["tune", PROMPT, "--examples", str(file), *options])


@pytest.fixture
def scripted(monkeypatch):
    """Every model that is opened is a scripted one."""
    from fipo_model.backends import opening
    from fipo_model.rewriter import Rewriter

    own = rewriting().rewriter
    opened: list[object] = []
    monkeypatch.setattr(Rewriter, "from_pretrained", lambda *_, **__: own)
    monkeypatch.setattr(opening, "open_generator", lambda spec, role: opened.append(spec) or model(name=str(spec)))
    monkeypatch.setattr(opening, "open_scorer", lambda spec: opened.append(spec) or ScriptedScorer(likely, name=spec))
    return opened


def test_the_command_prints_the_prompt_to_use_and_tells_the_rest_on_stderr(tmp_path, scripted, caplog):
    caplog.set_level("INFO", logger="fipo_model")
    done = run(tmp_path, "--metric", "exact", "--out", str(tmp_path / "out"), "--model", "one")
    assert done.exit_code == 0
    assert done.stdout == f"{PROMPT} {GUIDANCE}\n"
    assert scripted == ["one"]
    began = "rewrites are proposed by scripted; scores are what the metric exact gives the answers of one; 16 examples"
    assert caplog.messages[0].startswith(began)
    assert "trial 1: 0.312 on 16 examples: the texts as they are" in caplog.text
    assert f"trial 2: 1 on 4 examples: {PROMPT} {GUIDANCE}" in caplog.text
    assert "On the 8 held-out examples: from 0.125 to 1, a gain of +0.875" in done.stderr
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_help_names_the_models_that_are_used_where_none_is_named():
    shown = CliRunner().invoke(app, ["tune", "--help"]).stdout
    said = " ".join(shown.replace("│", " ").split())
    assert f"By default, {DEFAULT.name} without FIPO's adapter" in said
    assert f"by default, {DEFAULT.name} with FIPO's adapter" in said


def test_the_command_takes_several_models_and_a_server(tmp_path, scripted):
    done = run(tmp_path, "--model", "one", "--server", "http://localhost:1/v1", "--name", "two", "--json")
    assert scripted == ["one", "http://localhost:1/v1#two"]
    assert json.loads(done.stdout)["texts"][0]["outcome"] == "optimized"
    assert run(tmp_path, "--server", "http://localhost:1/v1").exit_code == 2


def test_a_name_alone_takes_the_address_from_the_environment(tmp_path, scripted, monkeypatch):
    """In every command that takes --server and --name; that of `fipo optimize` has a test of its own."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert "OPENAI_BASE_URL" in (refused := run(tmp_path, "--name", "two")).stderr
    assert refused.exit_code == 2
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert run(tmp_path, "--name", "two", "--metric", "exact").exit_code == 0
    assert scripted == ["http://localhost:1/v1#two"]
    both = "each say which model answers; give only one"
    for what in (("chain", "chains.py:chain", "--data", "rows.jsonl"), ("optimizers", "--data", "sets")):
        asked = ["compare", *what, "--name", "two", "--model", "one", "--output", str(tmp_path / "out")]
        done = CliRunner().invoke(app, asked, env={"COLUMNS": "300"})
        assert (done.exit_code, both in done.stderr) == (2, True), done.stderr


def test_the_command_takes_a_metric_of_ones_own(tmp_path, scripted, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_metric_of_mine.py").write_text(
        "def same(reference, output, given):\n    return reference == output\n"
    )
    assert run(tmp_path, "--metric", "own_metric_of_mine:same").stdout == f"{PROMPT} {GUIDANCE}\n"
    assert "there is no metric 'best'" in str(run(tmp_path, "--metric", "best").exception)


def test_the_command_names_rows_that_cannot_be_used(tmp_path, scripted):
    done = run(tmp_path, rows=[{"input": "a", "output": "b"}, {"output": "b"}])
    assert done.exit_code == 1
    assert "line 2: there is no `input`" in str(done.exception)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            json.dumps([{"input": "a", "output": "b"}]),
            "line 1: not a JSON object but an array: write one object on each",
        ),
        (json.dumps([{"input": "a", "output": "b"}], indent=1), "line 1: not a JSON object but an array"),
        ("input,output\na,b\n", "line 1: not JSON"),
    ],
)
def test_a_file_of_another_form_is_said_to_be_with_what_a_line_looks_like(tmp_path, scripted, content, said):
    file = tmp_path / "rows.json"
    file.write_text(content)
    done = CliRunner().invoke(app, ["tune", PROMPT, "--examples", str(file)])
    assert said in str(done.exception)
    assert 'Each line must be an object such as {"input": "a fine film"' in str(done.exception)
