"""`fipo compare chain`: a chain and its optimized twin, from the command line to the page."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel
from typer.testing import CliRunner

from fipo_model import PromptOptimizer
from fipo_model.cli import app
from fipo_model.comparing.chains import counting, loading, metrics, running
from fipo_model.comparing.chains.rows import Row, read_rows
from fipo_model.errors import InputError
from fipo_model.evaluation.statistics import share_difference
from fipo_model.objects import fingerprint
from fipo_model.search.examples import read_examples
from fipo_model.testing import ScriptedGenerator
from support.chains import a_run
from support.conversations import naive_in
from support.servers import completion, serving

GUIDANCE = " Answer with the name alone."
CAPITALS = {
    **{"France": "Paris", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "Norway": "Oslo", "Peru": "Lima"},
    **{"Cuba": "Havana", "Egypt": "Cairo"},
}
# A model that chatters unless it is told not to, breaks on Egypt, and keeps a list of what it was asked.
CHAINS = """
import json
from pathlib import Path

from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from fipo_integrations.langchain import GeneratorChatModel
from fipo_model.testing import ScriptedGenerator

HERE = Path(__file__).parent
CAPITALS = json.loads((HERE / "capitals.json").read_text())

def reply(conversation):
    is_told = "name alone" in conversation[0]["content"]
    country = conversation[-1]["content"]
    with (HERE / "asked.txt").open("a") as file:
        file.write(f"{'optimized' if is_told else 'original'} {country}\\n")
    if (HERE / "kill").exists() and country == "Norway":
        (HERE / "kill").unlink()
        raise KeyboardInterrupt
    if country == "Egypt" and is_told:
        raise ValueError("no idea about <Egypt>")
    return CAPITALS[country] if is_told or country == "Italy" else f"I think it is {CAPITALS[country]}."

model = GeneratorChatModel(generator=ScriptedGenerator(reply))
silent = FakeListChatModel(responses=["Paris"])
prompt = ChatPromptTemplate.from_messages([("system", "Name the capital of the country."), ("human", "{country}")])
bare = ChatPromptTemplate.from_messages([("human", "{country}")])
chain = prompt | model | StrOutputParser()
only_variables = bare | model | StrOutputParser()
number = 3

def make():
    return chain

def make_of(model):
    return prompt | model

def half(reference, output, input):
    return 0.5 if reference in output and input["country"] in CAPITALS else 0

def odd(reference, output, input):
    return None if input["country"] == "Spain" else 1

def short(reference, output):
    return {"score": reference == output, "comment": "the name alone"}

def negative(reference, output, input):
    return -len(output)
"""


def rewrite(conversation: Any) -> str:
    return naive_in(conversation) + GUIDANCE


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with a file of chains and one of rows, in which the command runs; the optimizer is scripted."""
    (tmp_path / "capital_chains.py").write_text(CHAINS)
    (tmp_path / "capitals.json").write_text(json.dumps(CAPITALS))
    rows = [{"input": {"country": country}, "reference": capital} for country, capital in CAPITALS.items()]
    (tmp_path / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    scripted = PromptOptimizer(ScriptedGenerator(rewrite))
    monkeypatch.setattr(PromptOptimizer, "from_pretrained", lambda *_args, **_options: scripted)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def compare(*options: object, chain: str = "capital_chains.py:chain", data: str = "rows.jsonl") -> Any:
    arguments = [chain, "--data", data, "--output", "out", "--timed", 2, *options]
    return CliRunner().invoke(app, ["compare", "chain", *map(str, arguments)])


def add_examples(project: Path, *, are_known: bool = True) -> None:
    """A file of examples that are none of the rows, and a model that knows their capitals or has them wrong."""
    more = {f"Land-{number}": f"City-{number}" for number in range(12)}
    (project / "capitals.json").write_text(json.dumps(CAPITALS | more))
    rows = [{"input": {"country": land}, "output": city if are_known else "Rome"} for land, city in more.items()]
    (project / "examples.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def summary_of(done: Any) -> dict[str, Any]:
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def asked(project: Path) -> list[str]:
    return (project / "asked.txt").read_text().splitlines()


def a_record(*pairs: tuple[float | None, float | None], **fields: Any) -> dict[str, Any]:
    runs = [{"original": a_run(before), "optimized": a_run(after)} for before, after in pairs]
    return {"id": "a", "line": 1, "input": "x", "reference": "y", "runs": runs, "seconds_alone": None, **fields}


class TestTheWholeCommand:
    pytestmark = pytest.mark.tiny  # nothing is trained or loaded, but the versions noted are those of torch

    def test_scores_costs_and_page_of_a_chain_and_its_twin(self, project: Path) -> None:
        done = compare()
        summary = summary_of(done)
        # Of eight rows the chatting original has one right, the other all but the one on which it breaks.
        assert summary["score"]["original"]["value"] == 1 / 8
        assert summary["score"]["optimized"]["value"] == 7 / 8
        assert summary["difference"]["value"] == 6 / 8
        assert summary["outcomes"] == {"better": 6, "equal": 2, "worse": 0}
        assert summary["verdict"] == "better"
        assert summary["failed"] == {"original": 0, "optimized": 1}
        assert summary["prompts"]["words"] == {"original": 6, "optimized": 11}
        # Words count as tokens: six or eleven of the prompt and one of the question; 5, or for Italy 1, of the answer.
        assert summary["input_tokens"]["rows"] == 7
        assert (summary["input_tokens"]["original"], summary["input_tokens"]["optimized"]) == (7, 12)
        assert summary["output_tokens"]["original"] == pytest.approx((6 * 5 + 1) / 7)
        assert summary["seconds_alone"]["rows"] == 2
        page = (project / "out" / "report.html").read_text()
        assert "The optimized chain is better" in page
        assert "no idea about &lt;Egypt&gt;" in page
        assert "out/report.html" in done.stdout
        assert "1 of the optimized chain failed" in done.stdout
        assert GUIDANCE.strip() in done.stderr  # the report

    def test_results_hold_what_is_needed_to_see_how_they_came_about(self, project: Path) -> None:
        summary = summary_of(compare("--seed", 3, "--limit", 4))
        results = json.loads((project / "out" / "results.json").read_text())
        assert results["summary"] == {key: value for key, value in summary.items() if key != "page"}
        assert len(results["rows"]) == 4
        first = results["rows"][0]
        assert (first["id"], first["line"], first["reference"]) == ("line 1", 1, "Paris")
        assert first["runs"][0]["original"]["output"] == "I think it is Paris."
        assert first["runs"][0]["optimized"]["score"] == 1
        assert results["report"]["changes"][0]["text"].endswith(GUIDANCE)
        made = results["made"]
        assert {"fipo", "langchain-core", "python"} <= made["versions"].keys()
        assert (made["seed"], made["settings"]["chain"]) == (3, "capital_chains.py:chain")

    def test_the_chains_take_turns_and_each_row_is_asked_once(self, project: Path) -> None:
        summary_of(compare("--batch-size", 1, "--timed", 0, "--limit", 3))
        turns = [line.split() for line in asked(project)]
        assert [side for side, _ in turns] == [
            *("original", "optimized"),
            *("optimized", "original"),
            *("original", "optimized"),
        ]
        assert [country for _, country in turns] == ["France"] * 2 + ["Italy"] * 2 + ["Spain"] * 2

    def test_repeated_runs_of_a_row_are_one_row_of_the_comparison(self, project: Path) -> None:
        summary = summary_of(compare("--repeat", 2, "--timed", 0))
        assert (summary["rows"], summary["runs"], summary["scale"]) == (8, 16, "unit")
        assert summary["difference"]["value"] == 6 / 8
        assert len(asked(project)) == 32

    def test_a_killed_run_goes_on_where_it_was(self, project: Path) -> None:
        (project / "kill").touch()
        killed = compare("--batch-size", 2, "--timed", 0)
        assert killed.exit_code == 130
        assert "run the same command again to resume" in killed.stderr
        # The second line of the second batch was cut off while it was written.
        ledger = project / "out" / "measured" / "runs.jsonl"
        ledger.write_bytes(ledger.read_bytes()[:-7])
        before = asked(project)
        summary = summary_of(compare("--batch-size", 2, "--timed", 0))
        assert summary["difference"]["value"] == 6 / 8
        again = asked(project)[len(before) :]
        assert {line.split()[1] for line in again} == {"Japan", "Norway", "Peru", "Cuba", "Egypt"}
        done = len(asked(project))
        assert summary_of(compare("--batch-size", 2, "--timed", 0)) == summary
        assert len(asked(project)) == done

    def test_another_metric_needs_no_new_calls(self, project: Path) -> None:
        summary_of(compare())
        before = asked(project)
        assert summary_of(compare("--metric", "contains"))["score"]["original"]["value"] == 1
        halves = summary_of(compare("--metric", "capital_chains.py:half"))
        assert (halves["scale"], halves["score"]["optimized"]["value"]) == ("unit", 7 / 16)
        assert asked(project) == before

    def test_a_metric_is_what_it_is_for_a_search(self, project: Path) -> None:
        """Of two arguments, and with a result that has a score: it once had to take three, and give a bare number."""
        add_examples(project)
        exact = summary_of(compare())
        for options in ((), ("--examples", "examples.jsonl", "--output", "on-examples")):
            short = summary_of(compare("--metric", "capital_chains.py:short", *options))
            assert (short["metric"], short["scale"]) == ("capital_chains.py:short", "binary")
            assert (short["verdict"], short["score"]) == ("better", exact["score"])

    def test_an_output_with_other_settings_or_prompts_is_refused_with_the_difference(self, project: Path) -> None:
        summary_of(compare("--limit", 3))
        refused = compare("--limit", 3, "--batch-size", 4)
        assert refused.exit_code == 2
        assert "batch_size was 8 and is now 4" in refused.stderr
        rows = (project / "rows.jsonl").read_text().replace("France", "Francia")
        (project / "rows.jsonl").write_text(rows)
        assert 'rows was "3 (' in compare("--limit", 3).stderr
        (project / "rows.jsonl").write_text(rows.replace("Francia", "France"))
        (project / "out" / "prompts.json").write_text('{"first": "another"}')
        assert "holds a comparison with other prompts" in compare("--limit", 3).stderr
        (project / "out" / "settings.json").unlink()
        assert "does not hold a comparison" in compare("--limit", 3).stderr

    def test_where_nothing_is_rewritten_nothing_is_run(self, project: Path) -> None:
        done = compare(chain="capital_chains.py:only_variables")
        summary = summary_of(done)
        assert summary["verdict"] == "nothing rewritten"
        assert summary["prompts"]["left_alone"] == 1
        assert "Nothing was rewritten" in done.stdout
        assert not (project / "asked.txt").exists()
        page = (project / "out" / "report.html").read_text()
        assert "Neither was run" in page
        reason = json.loads((project / "out" / "results.json").read_text())["report"]["left_alone"][0]["reason"]
        assert reason in page

    def test_examples_choose_the_prompts_of_the_twin_and_rows_measure_them(self, project: Path) -> None:
        add_examples(project)
        done = compare("--examples", "examples.jsonl")
        assert summary_of(done)["difference"]["value"] == 6 / 8
        # The search says what it saw of its own examples, and nothing about the rows.
        assert "On the 8 examples that decided: from 0 to 1" in " ".join(done.stderr.split())
        before = asked(project)
        assert {line.split()[1] for line in before} == CAPITALS.keys() | {f"Land-{number}" for number in range(12)}
        assert summary_of(compare("--examples", "examples.jsonl"))["difference"]["value"] == 6 / 8
        assert asked(project) == before

    def test_choosing_the_prompts_of_the_twin_may_have_a_time_limit(self, project: Path) -> None:
        add_examples(project)
        done = compare("--examples", "examples.jsonl", "--max-seconds", "0.001")
        assert "max_seconds" in " ".join(done.stderr.split())
        assert summary_of(done)["prompts"]["rewritten"] == 0
        # A budget may change when a comparison goes on.
        assert "another --output" in " ".join(compare("--examples", "examples.jsonl").stderr.split())

    def test_a_twin_that_examples_do_not_prove_better_is_the_chain_itself(self, project: Path) -> None:
        add_examples(project, are_known=False)
        done = compare("--examples", "examples.jsonl")
        assert summary_of(done)["verdict"] == "nothing rewritten"
        assert "every run scored 0" in " ".join(done.stderr.split())

    def test_rows_may_not_be_among_the_examples(self, project: Path) -> None:
        done = compare("--examples", "rows.jsonl")
        assert done.exit_code == 2
        assert "8 of the 8 rows are examples, too, such as 'line 1'" in " ".join(done.stderr.split())
        assert not (project / "asked.txt").exists()

    def test_a_prompt_alone_is_answered_by_a_langchain_model(self, project: Path) -> None:
        options = ("--chat-model", "capital_chains.py:model")
        assert summary_of(compare(*options, chain="capital_chains.py:prompt"))["difference"]["value"] == 6 / 8
        silent = compare(
            "--chat-model", "capital_chains.py:silent", "--output", "other", chain="capital_chains.py:prompt"
        )
        assert summary_of(silent)["input_tokens"] is None
        assert "not reported" in silent.stdout

    def test_a_prompt_alone_is_answered_by_a_server(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

        def answer(request: dict[str, Any], _number: int) -> dict[str, Any]:
            said = "Paris" if "name alone" in request["messages"][0]["content"] else "It is Paris."
            return completion(said, usage=None)

        with serving(answer) as (address, _requests):
            options = ("--server", address, "--name", "m")
            summary = summary_of(compare(*options, chain="capital_chains.py:prompt"))
        assert (summary["score"]["original"]["value"], summary["score"]["optimized"]["value"]) == (0, 1 / 8)
        assert summary["input_tokens"] is None  # the server says nothing of tokens, which is not none

    def test_a_prompt_alone_is_answered_by_a_model_in_this_process(self, project: Path, tiny_model: Path) -> None:
        options = ("--model", tiny_model, "--max-tokens", 4, "--limit", 2)
        summary = summary_of(compare(*options, chain="capital_chains.py:prompt"))
        assert summary["input_tokens"]["optimized"] > summary["input_tokens"]["original"]
        assert summary["output_tokens"]["original"] <= 4

    def test_lines_that_cannot_be_used_are_named_and_the_rest_goes_on(self, project: Path) -> None:
        with (project / "rows.jsonl").open("a") as file:
            file.write('nonsense\n{"input": {"country": "Peru"}}\n{"reference": "x"}\n')
        done = compare()
        assert summary_of(done)["rows"] == 8
        assert "line 9: not JSON" in done.stderr
        assert "line 10: there is no right output (`output`, `outputs` or `reference`)" in done.stderr
        assert "line 11: there is no `input`; the fields are 'reference'" in done.stderr
        assert "line 10: there is no right output" in (project / "out" / "report.html").read_text()

    def test_a_metric_that_gives_no_number_names_the_row_and_can_be_mended(self, project: Path) -> None:
        done = compare("--metric", "capital_chains.py:odd", "--batch-size", 4)
        assert done.exit_code == 1
        said = "row 'line 3' (line 3): the metric capital_chains.py:odd must return a number (is a return missing?)"
        assert said in " ".join(done.stderr.split())
        assert len(asked(project)) == 8  # told after the first batch of four rows, not after everything
        assert summary_of(compare("--batch-size", 4))["rows"] == 8
        assert len(asked(project)) == 16 + 4  # and the two rows that are timed

    def test_on_a_scale_of_its_own_a_failure_has_no_score(self, project: Path) -> None:
        done = compare("--metric", "capital_chains.py:negative")
        summary = summary_of(done)
        assert (summary["scale"], summary["left_out"]) == ("free", 1)
        assert summary["score"]["optimized"]["value"] == pytest.approx(-sum(map(len, list(CAPITALS.values())[:7])) / 7)
        assert "leave out 1 row with a failed run" in done.stdout

    def test_what_fails_everywhere_in_one_way_stops_the_run(self, project: Path) -> None:
        rows = [{"input": {"contry": country}, "reference": "x"} for country in CAPITALS]
        (project / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        done = compare()
        assert done.exit_code == 1
        assert "missing variables {'country'}" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (project / "out" / "measured" / "runs.jsonl").exists()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--chat-model", "capital_chains.py:model"), "has a model of its own"),
            (("--max-tokens", 3), "has a model of its own"),
            (("--server", "http://x/v1"), "go together"),
            (("--model", "a", "--chat-model", "b:c"), "give only one"),
            (("--roles", "ai"), "--roles takes system, human or system,human, not 'ai'"),
            (("--metric", "bleu"), "choose from exact, contains, f1, json_fields"),
            (("--metric", "capital_chains.py:make_of"), "must take (reference, output, input) or (reference, output)"),
            (("--metric", "capital_chains.py:number"), "is not a function"),
            (("--data", "nothing.jsonl"), "cannot read nothing.jsonl"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, project: Path, options: tuple[object, ...], said: str) -> None:
        done = compare(*options)
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.replace("│", " ").split())
        assert not (project / "out").exists()

    def test_roles_say_whose_messages_are_rewritten(self, project: Path) -> None:
        assert summary_of(compare("--roles", "human"))["verdict"] == "nothing rewritten"


class TestLoading:
    def test_a_chain_is_found_in_a_file_in_a_module_and_made_by_a_function(self, project: Path) -> None:
        by_file = loading.load_chain("capital_chains.py:chain")
        assert loading.load_chain("capital_chains.py:make") is by_file
        by_module = loading.load_chain("capital_chains:chain")  # from the working directory
        assert type(by_module) is type(by_file)
        assert fingerprint("capital_chains.py:chain") == fingerprint("capital_chains:chain")

    def test_a_file_may_import_its_neighbours_and_share_its_name_with_a_library(self, project: Path) -> None:
        (project / "sub").mkdir()
        (project / "sub" / "neighbour.py").write_text("WORD = 'x'")
        (project / "sub" / "json.py").write_text(
            "from __future__ import annotations\nfrom neighbour import WORD\nfrom pydantic import BaseModel\n"
            "from langchain_core.runnables import RunnableLambda\nclass Inner(BaseModel):\n  word: str = WORD\n"
            "class Outer(BaseModel):\n  inner: Inner\n"
            "class Holder:\n  chain = RunnableLambda(lambda _: Outer(inner=Inner()))\n"
        )
        chain = loading.load_chain("sub/json.py:Holder.chain")
        assert running.as_data(chain.invoke("")) == {"inner": {"word": "x"}}

    @pytest.mark.parametrize(
        ("reference", "said"),
        [
            ("chain", "is named module:attribute"),
            ("capital_chains.py:", "is named module:attribute"),
            ("absent.py:chain", "should be in absent.py, which does not exist"),
            ("absent_module:chain", "cannot import absent_module: ModuleNotFoundError"),
            ("capital_chains.py:chan", "has no 'chan'; it has reply, model, silent"),
            ("capital_chains.py:number", "is an int, neither a chain nor a function"),
            ("capital_chains.py:make_of", "a function without arguments that makes one"),
            ("capital_chains.py:reply", "a function without arguments"),
            ("broken.py:chain", "cannot import broken.py: ZeroDivisionError"),
            ("leaving.py:chain", "cannot import leaving.py: SystemExit"),
            ("making.py:raising", "could not make the chain: KeyError"),
            ("making.py:number", "made an int, not a chain"),
        ],
    )
    def test_what_is_no_chain_is_said(self, project: Path, reference: str, said: str) -> None:
        (project / "broken.py").write_text("1 / 0")
        (project / "leaving.py").write_text("raise SystemExit(3)")
        (project / "making.py").write_text("def raising():\n  raise KeyError('x')\ndef number():\n  return 3\n")
        with pytest.raises(InputError) as caught:
            loading.load_chain(reference)
        assert said in str(caught.value)


class TestRows:
    def read(self, path: Path, *lines: str, limit: int | None = None) -> tuple[list[Row], list[str]]:
        path.write_text("\n".join(lines))
        return read_rows(path, metrics.find_metric("exact").unfit, limit)

    def test_inputs_are_texts_or_objects_and_ids_are_unique(self, tmp_path: Path) -> None:
        rows, bad = self.read(
            tmp_path / "rows",
            '{"input": "a", "reference": "x"}',
            "",
            '{"input": {"q": "b"}, "reference": {"n": 1}, "id": 7}',
            '{"input": ["c"], "reference": "x"}',
            '{"input": "d", "reference": "x", "id": "7"}',
            '{"input": "e", "reference": "x", "id": null}',
        )
        assert [(row.id, row.line, row.reference) for row in rows] == [("line 1", 1, "x"), ("7", 3, {"n": 1})]
        assert bad == [
            "line 4: `input` must be text or an object, as the chain takes it, not list",
            "line 5: the id '7' occurs twice; the first row counts",
            "line 6: `id` must be text or a whole number",
        ]

    def test_the_rows_of_a_search_are_rows_of_a_comparison(self, tmp_path: Path) -> None:
        lines = (
            '{"input": "a", "output": "x"}',
            '{"input": "b", "outputs": ["y"]}',
            '{"input": "c", "output": "what a model said", "reference": "z"}',
            '{"input": "d", "outputs": ["x", "y"]}',
        )
        rows, bad = self.read(tmp_path / "rows", *lines)
        assert [row.reference for row in rows] == ["x", "y", "z"]
        assert bad == ["line 4: `outputs` has 2 right outputs, but a comparison takes one: give it as `output`"]
        examples = read_examples([json.loads(line) for line in lines[:3]])
        assert [one.outputs for one in examples] == [(row.reference,) for row in rows]

    def test_a_limit_counts_usable_rows_and_two_are_needed(self, tmp_path: Path) -> None:
        line = '{"input": "a", "reference": "x"}'
        rows, bad = self.read(tmp_path / "rows", "no", line, line, line, "no", limit=2)
        assert ([row.line for row in rows], len(bad)) == ([2, 3], 1)
        with pytest.raises(InputError, match=r"at least 2 usable rows, but .* has 1; line 2: not a JSON object"):
            self.read(tmp_path / "rows", line, "3")

    def test_a_metric_of_ones_own_needs_no_reference(self, tmp_path: Path) -> None:
        own = own_metric(lambda *_: 1)
        (tmp_path / "rows").write_text('{"input": "a"}\n{"input": "b"}')
        assert len(read_rows(tmp_path / "rows", own.unfit, None)[0]) == 2


def own_metric(function: Any) -> metrics.Metric:
    """A user's function, as `module:function` would name it."""
    return metrics.Metric.of("m:f", function)


class TestMetrics:
    @pytest.mark.parametrize(
        ("name", "reference", "output", "expected"),
        [
            ("exact", "Paris", ' "paris".', 1),
            ("exact", "Paris", "Paris, France", 0),
            ("exact", "...", "!", 0),
            ("exact", {"a": 1}, '```json\n{"a": 1}\n```', 1),
            ("exact", {"a": 1}, {"a": True}, 0),
            ("exact", True, 1, 0),
            ("exact", ["a", "b"], ["b", "a"], 0),
            ("exact", 4, "4", 1),
            ("contains", "paris", "It is PARIS,\nI think", 1),
            ("contains", "Rome", "It is Paris", 0),
            ("contains", 12, {"sum": 12}, 1),
            ("f1", "the cat sat", "The cat sat!", 1),
            ("f1", "cat sat", "the cat ran", 0.5),  # one of two words on both sides
            ("f1", "cat", "a cat and a cat", 0.5),  # precision 1/3, recall 1
            ("f1", "the", "a", 1),
            ("f1", "cat", "", 0),
            ("json_fields", {"a": 1, "b": "X", "c": [1], "d": None}, {"a": 1, "b": "x", "c": [2]}, 0.5),
            ("json_fields", {"a": 1}, "no JSON", 0),
            ("json_fields", {"a": 1}, "[1]", 0),
        ],
    )
    def test_built_in_metrics(self, name: str, reference: Any, output: Any, expected: float) -> None:
        row = Row(id="a", line=1, input="", reference=reference)
        assert metrics.find_metric(name).score(row, output) == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("name", "reference"), [("exact", None), ("json_fields", "text"), ("json_fields", {}), ("contains", "")]
    )
    def test_references_a_metric_cannot_use(self, name: str, reference: Any) -> None:
        assert re.search("`output`|the right output", metrics.find_metric(name).unfit(reference))

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (None, "a number (is a return missing?)"),
            ("1", "not str"),
            ({"score": "1"}, "not dict"),
            (float("nan"), "not nan"),
            (float("inf"), "not inf"),
        ],
    )
    def test_what_is_no_score_names_the_row(self, given: Any, said: str) -> None:
        metric = own_metric(lambda *_: given)
        with pytest.raises(metrics.MetricError, match=r"row 'seven' \(line 3\)") as caught:
            metric.score(Row(id="seven", line=3, input=""), "x")
        assert said in str(caught.value)

    def test_a_metric_gets_copies_and_its_error_is_told(self) -> None:
        def spoil(_reference: Any, _output: Any, given: Any) -> float:
            given.pop("q")
            raise LookupError("nothing")

        row = Row(id="a", line=1, input={"q": "x"})
        with pytest.raises(metrics.MetricError, match="raised LookupError: nothing"):
            own_metric(spoil).score(row, "x")
        assert row.input == {"q": "x"}

    @pytest.mark.parametrize(
        ("given", "score"), [(True, 1), (0.25, 0.25), (np.bool_(True), 1), (np.float32(0.5), 0.5), ({"score": 2}, 2)]
    )
    def test_scores_are_read_as_a_search_reads_them(self, given: Any, score: float) -> None:
        assert own_metric(lambda reference, output: given).score(Row(id="a", line=1, input=""), "x") == score


class Answer(BaseModel):
    word: str


class TestRunning:
    def run(self, function: Any, *inputs: Any, place: int = 0) -> list[dict[str, dict[str, Any]]]:
        chain = RunnableLambda(function)
        rows = [Row(id=str(i), line=i, input=given) for i, given in enumerate(inputs, start=1)]
        runs = [running.Run(row, place + i) for i, row in enumerate(rows)]
        chains = {"original": chain, "optimized": chain}
        return running.run_batch(chains, len(rows), len(rows), lambda _: None, runs)

    def test_outputs_become_data_and_a_chain_cannot_spoil_the_others_input(self) -> None:
        def answer(given: dict[str, Any]) -> Any:
            kind = given.pop("kind")
            return {
                "message": AIMessage("hi"),
                "object": Answer(word="x"),
                "nested": {"said": [AIMessage("a")], "answer": Answer(word="y"), "n": float("nan")},
                "keys": {(1, 2): 3},
                "half": "\ud83d",
                "nothing": None,
            }[kind]

        kinds = ("message", "object", "nested", "keys", "half", "nothing")
        found = self.run(answer, *({"kind": kind} for kind in kinds))
        expected = ["hi", {"word": "x"}, {"said": ["a"], "answer": {"word": "y"}, "n": "NaN"}, "{(1, 2): 3}", "?", None]
        for side in running.SIDES:
            assert [one[side]["output"] for one in found] == expected
            assert all(one[side]["error"] is None for one in found)

    def test_a_row_that_fails_leaves_the_others_alone_even_where_a_batch_does_not(self) -> None:
        class Fragile(RunnableLambda):
            def batch(self, inputs: Any, *args: Any, **options: Any) -> Any:
                if len(inputs) > 1:
                    raise RuntimeError("all of it")
                return super().batch(inputs, *args, **options)

        def picky(given: str) -> str:
            if given == "bad":
                raise ValueError(f"not {given}")
            return given.upper()

        rows = [Row(id=given, line=1, input=given) for given in ("a", "bad", "c")]
        # A sequence returns what its step raises, as if it were the own error of each row.
        for chain in (RunnableLambda(picky), Fragile(picky), RunnableLambda(str) | Fragile(picky)):
            found = running._ask(chain, rows)
            assert [one["output"] for one in found] == ["A", None, "C"]
            assert [one["error"] for one in found] == [None, "ValueError: not bad", None]

    def test_one_error_for_all_stops_but_different_ones_are_results(self) -> None:
        def same(_: str) -> str:
            raise ConnectionError("nobody there")

        def different(given: str) -> str:
            raise ValueError(given)

        with pytest.raises(running.OutageError, match=r"all 2 rows from line 1 on .* ConnectionError: nobody there"):
            self.run(same, "a", "b")
        assert self.run(different, "a", "b")[1]["optimized"]["error"] == "ValueError: b"

    def test_the_time_of_a_row_alone_is_measured_in_turns_and_a_failure_has_none(self) -> None:
        order: list[str] = []

        def chain(side: str) -> Any:
            def answer(given: str) -> str:
                order.append(side)
                return str(1 / int(given))

            return RunnableLambda(answer)

        runs = [running.Run(Row(id=str(i), line=i, input=str(1 - i)), i) for i in range(2)]
        found = running.time_alone({side: chain(side) for side in running.SIDES}, lambda _: None, runs)
        assert order == ["original", "optimized", "optimized", "original"]
        assert found[0]["original"] > 0
        assert found[1] == {"original": None, "optimized": None}

    def test_tokens_are_known_only_if_every_call_reports_them(self) -> None:
        def call(*tokens: int) -> LLMResult:
            usage = {"input_tokens": tokens[0], "output_tokens": 2, "total_tokens": 0} if tokens else None
            return LLMResult(generations=[[ChatGeneration(message=AIMessage("x", usage_metadata=usage))]])

        def counted(*calls: LLMResult) -> tuple[int | None, ...]:
            usage = running.Usage()
            for one in calls:
                usage.on_llm_end(one)
            return tuple(usage.as_fields().values())

        assert counted(call(5), call(7)) == (2, 12, 4)
        assert counted(call(5), call()) == (2, None, None)
        assert counted(call(0)) == (1, None, None)  # a server that says nothing, through a client that fills in zeros
        assert counted(LLMResult(generations=[])) == (1, None, None)
        assert counted() == (0, None, None)


class TestCounting:
    def test_right_and_wrong_rows_have_the_intervals_of_shares(self) -> None:
        records = [a_record((0, 1))] * 6 + [a_record((1, 1))] * 3 + [a_record((1, 0))] + [a_record((0, None))] * 2
        found = counting.summarize(records, seed=0)
        assert found["scale"] == "binary"
        assert found["score"]["original"]["value"] == 4 / 12
        assert found["score"]["optimized"]["value"] == 9 / 12
        assert found["outcomes"] == {"better": 6, "equal": 5, "worse": 1}
        assert found["failed"] == {"original": 0, "optimized": 2}
        difference = found["difference"]
        # By hand: (6 - 1) / 14 -+ 1.96 * sqrt(7 + 1 - 25 / 14) / 14
        assert (difference["value"], difference["low"], difference["high"]) == pytest.approx(
            (5 / 12, 0.0081, 0.7062), abs=1e-4
        )
        assert found["verdict"] == "better"

    def test_partial_scores_are_averaged_and_paired(self) -> None:
        records = [a_record((0.5, 1.0), (0.0, 0.5)), a_record((0.25, 0.25), (0.25, None))]
        found = counting.summarize(records, seed=0)
        assert (found["scale"], found["rows"], found["runs"]) == ("unit", 2, 4)
        assert found["score"]["original"]["value"] == 0.25
        assert found["score"]["optimized"]["value"] == pytest.approx((0.75 + 0.125) / 2)
        assert found["difference"]["value"] == pytest.approx((0.5 - 0.125) / 2)
        changes = [counting.change_of(record, found["scale"]) for record in records]
        assert changes == [("better", 0.5), ("failed", -0.125)]

    def test_on_a_free_scale_rows_with_failures_have_no_score(self) -> None:
        found = counting.summarize([a_record((-3, -1)), a_record((2, None)), a_record((5, 4))], seed=0)
        assert (found["scale"], found["left_out"], found["difference"]["value"]) == ("free", 1, 0.5)
        assert counting.change_of(a_record((-5, None)), "free") == ("failed", None)  # and no gain of 5
        alone = counting.summarize([a_record((-3, -1)), a_record((2, None))], seed=0)
        assert (alone["difference"], alone["verdict"]) == (None, "no difference shown")

    def test_too_few_differing_rows_prove_nothing(self) -> None:
        for better, expected in ((5, "no difference shown"), (6, "better")):
            records = [a_record((0.1, 0.9))] * better + [a_record((0.5, 0.5))] * 4
            found = counting.summarize(records, seed=0)
            assert found["difference"]["low"] > 0
            assert found["verdict"] == expected
        worse = counting.summarize([a_record((1, 0))] * 9 + [a_record((1, 1))], seed=0)
        assert worse["verdict"] == "worse"

    def test_costs_are_paired_and_the_unreported_are_counted_as_such(self) -> None:
        records = [a_record((1, 1)), a_record((1, 1)), a_record((1, 1))]
        records[0]["runs"][0]["optimized"] = a_run(1, input_tokens=16)
        records[1]["runs"][0]["optimized"] = a_run(1, input_tokens=12)
        records[2]["runs"][0]["original"] = a_run(1, input_tokens=None)
        found = counting.summarize(records, seed=0)
        tokens = found["input_tokens"]
        assert (tokens["rows"], tokens["original"], tokens["optimized"]) == (2, 10, 14)
        assert tokens["difference"]["value"] == 4
        assert found["output_tokens"]["rows"] == 3

    def test_the_times_are_those_of_rows_timed_in_both(self) -> None:
        times = [{"original": 1.0, "optimized": 2.0}, {"original": 3.0, "optimized": 5.0}]
        timed = [a_record((1, 1), seconds_alone=one) for one in (*times, {"original": 9.0, "optimized": None}, None)]
        alone = counting.summarize(timed, seed=0)["seconds_alone"]
        assert alone["rows"] == 2
        assert alone["original"] == {"p50": 2.0, "p95": pytest.approx(2.9)}
        assert alone["difference"]["value"] == 1.5
        assert counting.summarize([timed[0], timed[3]], seed=0)["seconds_alone"] is None


def test_the_difference_of_two_shares_holds_its_value_within_one() -> None:
    with pytest.raises(InputError):
        share_difference(0, 0, 0)
    for of in (1, 2, 20, 1000):
        for gained, lost in ((0, 0), (of, 0), (0, of), (of // 2, of // 2)):
            found = share_difference(gained, lost, of)
            assert -1 <= found.low <= found.value <= found.high <= 1
            assert found.value == (gained - lost) / of


@pytest.mark.tiny
def test_as_a_program_it_tells_errors_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fipo_model.cli", "compare", "chain", "x:y", "--data", "no"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fipo: error: cannot read no: No such file or directory\n"


@pytest.mark.real
def test_the_default_weights_answer_and_rewrite(default_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "sentiment.py").write_text(
        "from langchain_core.prompts import ChatPromptTemplate\n"
        "told = 'Tell the sentiment of the review. Answer with one word, positive or negative.'\n"
        "prompt = ChatPromptTemplate.from_messages([('system', told), ('human', '{review}')])\n"
    )
    reviews = {"I loved it.": "positive", "I hated it.": "negative", "Wonderful!": "positive", "Awful.": "negative"}
    rows = [{"input": {"review": review}, "reference": mood} for review, mood in reviews.items()]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    arguments = [f"{tmp_path}/sentiment.py:prompt", "--data", f"{tmp_path}/rows.jsonl", "--output", f"{tmp_path}/out"]
    options = ["--metric", "contains", "--max-tokens", "4", "--timed", "0"]
    summary = summary_of(CliRunner().invoke(app, ["compare", "chain", *arguments, *options]))
    assert summary["prompts"]["texts"] == 1
    if summary["prompts"]["rewritten"]:  # what these weights make of a prompt may change with them
        assert summary["rows"] == 4
        assert summary["input_tokens"]["original"] > 20
        assert summary["failed"] == {"original": 0, "optimized": 0}
