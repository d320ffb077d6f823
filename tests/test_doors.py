"""FIPO in other programs: the command `llm` and a client of the Model Context Protocol, both of them real."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fipo_model import OptimizationRequest
from fipo_model.store import RewriteStore, key_of
from support.forks import fork_while_locked
from support.servers import completion, serving

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def say(request: dict[str, Any]) -> str:
    naive = request["messages"][-1]["content"].split("Naive prompt:\n")[1].split("\n\n")[0]
    return f"{naive} Give one example."


@pytest.fixture(scope="module")
def model() -> Iterator[str]:
    """The spec of a model behind a server in this process."""
    with serving(lambda request, _number: completion(say(request))) as (address, _requests):
        yield f"{address}#rewriter"


class TestLlm:
    @pytest.fixture
    def llm(self, tmp_path: Path):
        """Runs `llm` where FIPO is installed with the entry points that pyproject.toml has."""
        told = tmp_path / "site" / "fipo_from_here-0.dist-info"
        told.mkdir(parents=True)
        (told / "METADATA").write_text("Metadata-Version: 2.1\nName: fipo-from-here\nVersion: 0\n")
        points = PROJECT["entry-points"]["llm"].items()
        (told / "entry_points.txt").write_text("[llm]\n" + "".join(f"{name} = {module}\n" for name, module in points))
        path = os.pathsep.join([str(ROOT), str(told.parent)])
        environment = os.environ | {"PYTHONPATH": path, "LLM_USER_PATH": str(tmp_path / "llm")}

        def run(*arguments: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "llm", *arguments]
            asked = {"input": stdin, "env": environment | more, "timeout": 120}
            return subprocess.run(command, **asked, capture_output=True, text=True, check=False)

        return run

    def test_it_prints_the_prompt_to_use_and_nothing_else(self, llm, model: str):
        done = llm("fipo", "Explain rain to a child.", "-m", model)
        assert (done.returncode, done.stdout) == (0, "Explain rain to a child. Give one example.\n")
        assert "fipo: optimized" in done.stderr
        assert llm("fipo", "-m", model, stdin="Explain rain.").stdout == "Explain rain. Give one example.\n"

    def test_a_byte_order_mark_on_stdin_is_no_part_of_the_prompt(self, llm, model: str):
        done = llm("fipo", "-m", model, stdin="\ufeffExplain rain.", PYTHONUTF8="1")
        assert done.stdout == "Explain rain. Give one example.\n"

    def test_its_options_reach_the_request(self, llm, model: str):
        done = llm("fipo", "Explain rain to a child.", "-m", model, "--max-words", "6")
        assert done.stdout == "Explain rain to a child.\n"
        assert "too_long" in done.stderr
        assert "The rewrite was turned down: has 8 words; the limit is 6" in done.stderr
        done = llm("fipo", "Explain rain.", "-m", model, "--keep", "snow")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "Error: keep names 'snow', which the prompt does not contain\n"

    def test_a_stdout_that_lacks_its_letters_is_told_in_a_line(self, llm, model: str):
        done = llm(
            "fipo", "Explain \N{GREEK SMALL LETTER PI}.", "-m", model, PYTHONIOENCODING="latin-1", PYTHONUTF8="0"
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1].startswith("Error: stdout cannot hold all characters of the prompt")
        assert "Traceback" not in done.stderr

    def test_a_store_is_asked_first(self, llm, model: str, tmp_path: Path):
        store = str(tmp_path / "rewrites.jsonl")
        llm("fipo", "Explain rain.", "-m", model, "--store", store)
        key = key_of(OptimizationRequest("Explain rain."))
        RewriteStore(store).decide([key], "approved", by="Ann", text="Explain the rain.")
        assert llm("fipo", "Explain rain.", "-m", "nowhere", "--store", store).stdout == "Explain the rain.\n"

    def test_it_is_listed_as_a_plugin(self, llm):
        assert [one["name"] for one in json.loads(llm("plugins").stdout)] == ["fipo-from-here"]


class TestMcp:
    @pytest.fixture
    def connected(self):
        """A client of a server that is started with these arguments."""
        from mcp import Client, StdioServerParameters
        from mcp.client.stdio import stdio_client

        def connect(*arguments: str):
            command = ["-m", "fipo_integrations.mcp_server", *arguments]
            started = StdioServerParameters(command=sys.executable, args=command, env={"PYTHONPATH": str(ROOT)})
            return Client(stdio_client(started))

        return connect

    async def test_a_client_finds_one_tool_and_gets_the_prompt_to_use(self, connected, model: str):
        async with connected("--model", model) as client:
            (tool,) = (await client.list_tools()).tools
            assert (tool.name, list(tool.input_schema["properties"])) == (
                *("optimize_prompt",),
                ["prompt", "context", "keep", "max_words"],
            )
            assert tool.input_schema["required"] == ["prompt"]
            found = await client.call_tool("optimize_prompt", {"prompt": "Explain rain."})
            assert found.structured_content == {
                **{"text": "Explain rain. Give one example.", "outcome": "optimized"},
                "detail": "",
            }
            short = await client.call_tool("optimize_prompt", {"prompt": "Explain rain to me.", "max_words": 5})
            assert short.structured_content["outcome"] == "too_long"

    async def test_an_error_is_told_to_the_client_and_the_server_goes_on(self, connected, model: str):
        async with connected("--model", model) as client:
            for wrong, told in (({"prompt": " "}, "the prompt is empty"), ({"prompt": "a", "keep": ["b"]}, "'b'")):
                failed = await client.call_tool("optimize_prompt", wrong)
                assert failed.is_error
                assert told in failed.content[0].text
            assert not (await client.call_tool("optimize_prompt", {"prompt": "Explain rain."})).is_error

    async def test_a_store_is_asked_first_and_added_to(self, connected, model: str, tmp_path: Path):
        store = tmp_path / "rewrites.jsonl"
        async with connected("--model", model, "--store", str(store)) as client:
            await client.call_tool("optimize_prompt", {"prompt": "Explain rain."})
            key = key_of(OptimizationRequest("Explain rain."))
            RewriteStore(store).decide([key], "rejected", by="Ann")
            found = await client.call_tool("optimize_prompt", {"prompt": "Explain rain."})
        assert found.structured_content == {
            **{"text": "Explain rain.", "outcome": "not_preferred"},
            "detail": "rejected by Ann",
        }

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
    def test_a_process_forked_while_the_model_was_loaded_loads_its_own(self):
        setup = """
        import asyncio
        from fipo_integrations import mcp_server

        def rewrite():
            server = mcp_server.make_server("/no/such/model")
            try:
                asyncio.run(server.call_tool("optimize_prompt", {"prompt": "Say hello."}))
            except mcp_server.ToolError as error:
                assert "/no/such/model" in str(error)
        """
        assert fork_while_locked(setup, lock="mcp_server._loading", work="rewrite()") == 0
