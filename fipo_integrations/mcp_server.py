"""FIPO as a tool for programs that speak the Model Context Protocol: `python -m fipo_integrations.mcp_server`.

One tool, `optimize_prompt`, over stdin and stdout. The model is loaded with the first prompt.
"""

import asyncio
import threading
from functools import cache
from pathlib import Path
from typing import Annotated

import typer

import fipo_model
from fipo_model import OptimizationRequest, OptimizedPrompt, PromptOptimizer
from fipo_model.errors import FipoError, InputError, explain_missing
from fipo_model.forking import PerProcess
from fipo_model.store import RewriteStore

with explain_missing("mcp", "mcp", "pydantic"):
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from pydantic import BaseModel, Field

_loading = PerProcess(threading.Lock)


class Answer(BaseModel):
    """What happened to a prompt."""

    text: str = Field(description="The prompt to use: the rewrite, or the prompt as it was.")
    outcome: str = Field(description="'optimized' for a rewrite; otherwise, why there is none.")
    detail: str


def make_server(model: str | None = None, store: Path | None = None) -> MCPServer:
    """A server whose tool rewrites with a model of any name that FIPO knows, and looks in a store of rewrites first."""
    server = MCPServer("fipo", version=fipo_model.__version__, log_level="WARNING")
    kept = None if store is None else RewriteStore(store)

    @cache
    def loaded() -> PromptOptimizer:
        return PromptOptimizer.from_pretrained(model)

    def optimizer() -> PromptOptimizer:
        with _loading.value:  # two first prompts at once load one model
            return loaded()

    def rewrite(requests: list[OptimizationRequest]) -> list[OptimizedPrompt | InputError]:
        return optimizer().optimize_each(requests)

    def answer(request: OptimizationRequest) -> Answer:
        (result,) = rewrite([request]) if kept is None else kept.optimized([request], rewrite)
        if isinstance(result, InputError):
            raise result
        return Answer(text=result.text, outcome=result.outcome, detail=result.detail)

    @server.tool()
    async def optimize_prompt(
        prompt: str, context: str | None = None, keep: list[str] | None = None, max_words: int | None = None
    ) -> Answer:
        """Rewrite a prompt into one that a language model answers better, with a model on this machine.

        The rewrite is checked for what it lost or made up; when in doubt, the prompt comes back as it was, with the
        reason. `context` is what the prompt is applied to; `keep` lists texts in the prompt that must stay.
        """
        try:
            request = OptimizationRequest(prompt, context=context, keep=tuple(keep or ()), max_words=max_words)
            return await asyncio.to_thread(answer, request)
        except FipoError as error:
            raise ToolError(str(error)) from error

    return server


def serve(
    model: Annotated[str | None, typer.Option(help="Model that rewrites, as `fipo optimize --model` takes it.")] = None,
    store: Annotated[Path | None, typer.Option(help="Store of rewrites to look in first, and to add to.")] = None,
) -> None:
    """Serve the tool over stdin and stdout until the client disconnects."""
    make_server(model, store).run("stdio")


def main() -> None:
    """Entry point of `fipo-mcp`."""
    typer.run(serve)


if __name__ == "__main__":
    main()
