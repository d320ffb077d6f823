"""A plugin for the command `llm`: `llm fipo "PROMPT"` prints the prompt to use.

`llm` finds it once FIPO is installed beside it (the extra `llm`): `llm fipo "haiku about rain" | llm` asks with it.
"""

import sys
from pathlib import Path

from fipo_model import OptimizationRequest, OptimizedPrompt, PromptOptimizer
from fipo_model.errors import FipoError, InputError, explain_missing
from fipo_model.pages.changes import rewrite_turned_down, why_kept
from fipo_model.store import RewriteStore

with explain_missing("llm", "click", "llm"):
    import click
    import llm

_DASH = "-"


@llm.hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `fipo` to the commands of `llm`."""
    cli.add_command(_fipo)


@click.command("fipo")
@click.argument("prompt", default=_DASH)
@click.option("-m", "--model", help="Model that rewrites: any name that `fipo optimize --model` takes.")
@click.option("-k", "--keep", multiple=True, help="Text in the prompt that the rewrite must keep; may be repeated.")
@click.option("--max-words", type=click.IntRange(min=1), help="The most words the rewrite may have.")
@click.option("--store", type=click.Path(path_type=Path), help="Store of rewrites to look in first, and to add to.")
def _fipo(prompt: str, model: str | None, keep: tuple[str, ...], max_words: int | None, store: Path | None) -> None:
    """Rewrite a prompt (or stdin) into a better one with a local model. Prints the rewrite, or yours unchanged."""
    # Some editors begin a file with a byte order mark.
    text = sys.stdin.read().removeprefix("\ufeff") if prompt == _DASH else prompt
    try:
        result = _optimized(OptimizationRequest(text, keep=keep, max_words=max_words), model, store)
    except FipoError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"fipo: {result.outcome}", err=True)
    if not result.is_rewritten:
        click.echo(f"fipo: {why_kept(result.outcome, result.detail)}", err=True)
    if refused := rewrite_turned_down(result):
        click.echo(f"fipo: {refused}", err=True)
    try:
        click.echo(result.text)
    except UnicodeEncodeError as error:
        words = f"stdout cannot hold all characters of the prompt ({error.encoding}): set PYTHONIOENCODING=utf-8"
        raise click.ClickException(words) from error


def _optimized(request: OptimizationRequest, model: str | None, file: Path | None) -> OptimizedPrompt:
    def rewrite(requests: list[OptimizationRequest]) -> list[OptimizedPrompt | InputError]:
        return PromptOptimizer.from_pretrained(model).optimize_each(requests)

    (result,) = rewrite([request]) if file is None else RewriteStore(file).optimized([request], rewrite)
    if isinstance(result, InputError):
        raise result
    return result
