"""`fipo optimize`: one prompt, or a file of them."""

import difflib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from fipo_model import bulk, jsonl
from fipo_model.addresses import show_address
from fipo_model.backends.engines import Load
from fipo_model.cli.examples import read_rows
from fipo_model.cli.notes import note, say, say_bytes, still_trying
from fipo_model.cli.outcomes import tell_outcome
from fipo_model.cli.server import address_of
from fipo_model.errors import InputError
from fipo_model.optimizer import PromptOptimizer
from fipo_model.pages.numbers import counted
from fipo_model.replies import without_controls
from fipo_model.rewriter import Rewriter
from fipo_model.search.examples import to_show
from fipo_model.store import RewriteStore, key_of
from fipo_model.templates import load_template
from fipo_model.types import OptimizationRequest, OptimizedPrompt

_DASH = Path("-")
KEY_LENGTH = 8  # characters of a store's key, as they are shown
STORE_HELP = "Store of rewrites (docs/store.md): approved ones are used, new ones are added."
Where = Literal["local", "ray"]
SPEC_HELP = "A name from `fipo weights list`, a directory, a hub id, gguf:FILE, vllm:NAME, or http://HOST:PORT/v1#NAME."


def optimize(  # noqa: PLR0913 - one parameter for each option
    prompt: Annotated[str | None, typer.Argument(help="The prompt, or - to read it from stdin.")] = None,
    *,
    context: Annotated[
        Path | None, typer.Option(help="File with the text the prompt applies to; never changed.")
    ] = None,
    silver: Annotated[Path | None, typer.Option(help="File with a response the prompt got.")] = None,
    golden: Annotated[Path | None, typer.Option(help="File with the response it should get.")] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            help="JSONL file of rows with `input` and, if known, the right `output`, for a prompt that runs on many "
            "inputs. The model is shown four; the checks and the rules for forms and labels use the first 200."
        ),
    ] = None,
    max_words: Annotated[int | None, typer.Option(min=1, help="The most words the rewrite may have.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option(help="Text in the prompt that the rewrite must keep; may be repeated.")
    ] = None,
    candidates: Annotated[
        int,
        typer.Option(
            min=1, help="Sample this many rewrites and let the model choose. FIPO's own model is too small for that."
        ),
    ] = 1,
    judge: Annotated[
        bool, typer.Option("--judge", help="Keep the prompt unless the same model, as a judge, prefers the rewrite.")
    ] = False,
    strict_wording: Annotated[
        bool | None,
        typer.Option(
            "--strict-wording/--free-wording",
            help="Whether a rewrite that replaces the prompt must keep its words. By default, it must for local models "
            "that were not trained to rewrite.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed for sampling.")] = 0,
    model: Annotated[str | None, typer.Option(help=SPEC_HELP)] = None,
    adapter: Annotated[Path | None, typer.Option(help="Directory of a PEFT adapter for the model.")] = None,
    server: Annotated[
        str | None,
        typer.Option(help="Address of an OpenAI-compatible server, ending in /v1. Default: OPENAI_BASE_URL."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model on that server.")] = None,
    template: Annotated[Path | None, typer.Option(help="Template file in the layout of the paper's own code.")] = None,
    store: Annotated[Path | None, typer.Option(help=STORE_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as JSON.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show on stderr what changed, word by word.")] = False,
    input_: Annotated[
        str | None, typer.Option("--input", help="JSONL file of prompts, or - for stdin, instead of one prompt.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", help="JSONL file to write, or to resume; - for stdout.")
    ] = None,
    proposals: Annotated[
        bool, typer.Option("--proposals", help="Add to each row what the model proposed, whether refused or not.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Process this many rows of --input at a time.")] = 32,
    engine: Annotated[
        Where,
        typer.Option(
            help="Where the rows of --input are rewritten: in this process, or on a Ray cluster, which also takes "
            "folders, URLs and Parquet."
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers on the Ray cluster, each with the model; by default, as many as fit."),
    ] = None,
) -> None:
    """Rewrite one prompt, or every prompt in a file. Prints the prompt to use: the rewrite, or yours unchanged."""
    server = address_of(server, name)
    _check_model(server, model, adapter)
    if (input_ is None) != (output is None):
        raise typer.BadParameter("--input FILE and --output FILE go together")
    if (prompt is None) == (input_ is None):
        raise typer.BadParameter('give one prompt ("..." or - for stdin), or --input FILE --output FILE')
    if input_ is not None and (
        context or silver or golden or examples or max_words or keep or as_json or diff or store
    ):
        raise typer.BadParameter(
            "with --input, context, responses, examples, max_words and keep are fields of the rows; --json, --diff and "
            "--store cannot be used"
        )
    _check_engine(engine, workers, input_, output)
    if proposals and input_ is None:
        raise typer.BadParameter("--proposals needs --input; for one prompt, --json shows everything")
    chosen = load_template(template) if template else None

    def make_optimizer() -> PromptOptimizer:
        if server is not None and name is not None:
            served = PromptOptimizer.from_server(
                server, name=name, template=chosen, judge=judge, candidates=candidates, seed=seed
            )
            return _with_wording(served, strict_wording)
        from fipo_model.backends.opening import manner_of, open_generator, open_second

        load: Load = "one" if input_ is None else "many"
        manner = manner_of(model, adapter=adapter)
        generator = open_generator(model, adapter=adapter, load=load)
        rewriter = Rewriter(
            generator,
            template=chosen or manner.template,
            settings=manner.settings,
            samples=candidates,
            seed=seed,
            least_likelihood=manner.least_likelihood,
            second=open_second(generator, model, adapter=adapter),
        )
        return _with_wording(PromptOptimizer.judging_itself(rewriter, judge=judge), strict_wording)

    if input_ is not None and output is not None:
        if engine == "ray":
            _optimize_on_ray(
                make_optimizer, input_, output, workers=workers, batch_size=batch_size, proposals=proposals
            )
        else:
            _optimize_rows(make_optimizer, Path(input_), Path(output), batch_size=batch_size, proposals=proposals)
        return
    # The prompt is read and checked before a model is loaded: a mistake should not take seconds to show.
    request = OptimizationRequest(
        read_prompt(prompt or ""),
        context=_read_optional(context),
        silver_response=_read_optional(silver),
        golden_response=_read_optional(golden),
        examples=to_show(read_rows(examples)) if examples else (),
        max_words=max_words,
        keep=tuple(keep or ()),
    )
    with still_trying():
        result = make_optimizer().optimize(request) if store is None else _remembered(request, make_optimizer, store)
    show_result(result, as_json=as_json, diff=diff)


def _with_wording(optimizer: PromptOptimizer, is_strict: bool | None) -> PromptOptimizer:
    """The optimizer, held to the prompt's words or free to use its own; the model decides where the user does not."""
    if is_strict is None:
        return optimizer
    return optimizer.checking(replace(optimizer.rewriter.settings, strict_wording=is_strict))


def _remembered(
    request: OptimizationRequest, make_optimizer: Callable[[], PromptOptimizer], file: Path
) -> OptimizedPrompt:
    """The store's rewrite, if somebody has reviewed it; otherwise the model's, which is added to the store."""
    store = RewriteStore(file, only_approved=True)
    (result,) = store.optimized([request], lambda requests: make_optimizer().optimize_each(requests))
    if isinstance(result, InputError):
        raise result
    tell_state(store, request)
    return result


def tell_state(store: RewriteStore, request: OptimizationRequest) -> None:
    """Say on stderr what a store has for a request, and how that is reviewed."""
    entry = store.find(key_of(request))
    key = entry.key[:KEY_LENGTH]
    review = (
        f"; to use it from now on: fipo store approve {store.path} {key}"
        if entry.state == "pending" and entry.text != entry.naive
        else ""
    )
    note(f"{entry.state} in {store.path}{review}")


def _check_model(server: str | None, model: str | None, adapter: Path | None) -> None:
    if server is not None and (model is not None or adapter is not None):
        raise typer.BadParameter("--server brings its own model; leave out --model and --adapter")


def _check_engine(engine: Where, workers: int | None, source: str | None, target: str | None) -> None:
    if engine == "local":
        if workers is not None:
            raise typer.BadParameter("--workers needs --engine ray")
        if any("://" in (one or "") or (one or "").endswith(".parquet") for one in (source, target)):
            raise typer.BadParameter("URLs and Parquet need --engine ray")
    elif source is None or "-" in (source, target):
        raise typer.BadParameter("with --engine ray, --input and --output must be files, folders or URLs")


def _optimize_rows(
    make_optimizer: Callable[[], PromptOptimizer], source: Path, target: Path, *, batch_size: int, proposals: bool
) -> None:
    is_stream = target == _DASH
    source = Path("/dev/stdin") if source == _DASH else source
    with _showing_rows(source) as report:
        if is_stream:
            tally = bulk.optimize_stream(
                make_optimizer(), source, say_bytes, batch_size=batch_size, report=report, proposals=proposals
            )
        else:
            tally = bulk.optimize_file(
                make_optimizer, source, target, batch_size=batch_size, report=report, proposals=proposals
            )
    _summarize(tally, "stdout" if is_stream else str(target))


def _optimize_on_ray(
    make_optimizer: Callable[[], PromptOptimizer],
    source: str,
    target: str,
    *,
    workers: int | None,
    batch_size: int,
    proposals: bool,
) -> None:
    from fipo_model.bulk import ray

    pool = ray.Pool(workers=workers, batch_size=batch_size)
    with _showing_rows(None) as report:
        tally = ray.optimize_files(make_optimizer, source, target, pool=pool, report=report, proposals=proposals)
    _summarize(tally, show_address(target).partition("?")[0])


def _summarize(tally: bulk.Tally, target: str) -> None:
    refused = f", {tally.refused} refused" if tally.refused else ""
    others = tally.written - tally.rewritten - tally.refused
    kept = f", {others} with the prompt as it was" if others else ""
    note(
        f"{counted(tally.written, 'row')} written to {target} ({tally.rewritten} rewritten{refused}{kept}), "
        f"{counted(tally.already_done, 'was', 'were')} there before, {tally.bad} could not be used"
    )
    if tally.bad:
        sys.exit(1)


@contextmanager
def _showing_rows(source: Path | None) -> Iterator[bulk.Report]:
    """A bar on stderr that starts where the job does. It has no end if the rows cannot be counted beforehand."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    total = None if source is None else jsonl.count_lines(source)
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("rows", total=total)
        is_new = True

        def report(tally: bulk.Tally, bad: jsonl.BadRow | None) -> None:
            nonlocal is_new
            if bad is not None:
                line = f"fipo: {without_controls(str(bad))}"
                progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
            done = tally.already_done + tally.written + tally.bad
            if is_new:  # or earlier work would count towards the speed
                progress.reset(bar, total=total, completed=done)
            else:
                progress.update(bar, completed=done)
            is_new = False

        yield report


def show_result(result: OptimizedPrompt, *, as_json: bool, diff: bool = False) -> None:
    """Print the prompt to use (or everything about it) on stdout, and what happened to it on stderr."""
    if diff:
        note(f"diff: {word_diff(result.request.instruction, result.text)}" if result.is_rewritten else "diff: none")
    tell_outcome(result)
    say(json.dumps(asdict(result), ensure_ascii=False) if as_json else result.text)


def word_diff(before: str, after: str) -> str:
    """`after`, with [-words taken out-] and {+words put in+} marked."""
    old, new = before.split(), after.split()
    parts = []
    for tag, i, j, k, m in difflib.SequenceMatcher(a=old, b=new, autojunk=False).get_opcodes():
        if tag == "equal":
            parts.append(" ".join(old[i:j]))
            continue
        parts += [f"[-{' '.join(old[i:j])}-]"] if i < j else []
        parts += [f"{{+{' '.join(new[k:m])}+}}"] if k < m else []
    return " ".join(parts)


def read_prompt(argument: str) -> str:
    """The prompt of an argument; where that is a dash, the text on stdin."""
    if argument != "-":
        return argument
    return _decoded(sys.stdin.buffer.read(), "stdin")


def _read_optional(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return _decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}") from error


def _decoded(content: bytes, origin: str) -> str:
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a byte order mark
    except UnicodeDecodeError as error:
        raise InputError(
            f"{origin} is not UTF-8 (byte {error.start}); convert it first, for example with iconv"
        ) from error
