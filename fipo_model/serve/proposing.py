"""What the page shows for a prompt: its commitments, proposals as they arrive, and verdicts on own words."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fipo_model.callers import are_under_way, in_thread
from fipo_model.contract import Kind, commitments
from fipo_model.errors import InputError
from fipo_model.pages.changes import differences, fault_in_words
from fipo_model.rewriter import Rewriter
from fipo_model.search.examples import Example, read_examples
from fipo_model.search.wordings import by_rule
from fipo_model.serve.settings import LONGEST
from fipo_model.templates import SHOWN
from fipo_model.types import Candidate, OptimizationRequest, ShownExample

# The greedy one first, since it is what the gateway would use; then samples, a few at a time so that they arrive.
_TURNS = ((1, 0), (3, 1), (3, 2))
MOST_EXAMPLES = 100
# They are whole texts, so marking them would hide everything else.
_NOT_MARKED = ("sentence", "example")


def read_request(fields: Mapping[str, Any]) -> OptimizationRequest:
    """The prompt of a request to the page's API. Raises `InputError`."""
    shown = tuple(example.shown for example in examples_in(fields))
    return OptimizationRequest(text_in(fields, "prompt"), examples=shown)


def examples_in(fields: Mapping[str, Any]) -> list[Example]:
    """The examples of a request. Raises `InputError`."""
    given = fields.get("examples", [])
    if not isinstance(given, list) or len(given) > MOST_EXAMPLES:
        raise InputError(f"there may be at most {MOST_EXAMPLES} examples, in a list")
    return read_examples(given)


def text_in(fields: Mapping[str, Any], name: str) -> str:
    """A text of a request. Raises `InputError`, also for one that the gateway would not rewrite."""
    text = fields.get(name)
    if not isinstance(text, str):
        raise InputError(f"{name} must be text")
    if len(text) > LONGEST:
        raise InputError(f"{name} has more than {LONGEST} characters; longer texts are not rewritten")
    return text


def marks(text: str) -> list[dict[str, Any]]:
    """What must survive in a text, in its order: kind, words and place (in characters)."""
    by_kind: dict[Kind, list[tuple[int, int]]] = {}
    for each in commitments(text):
        if each.kind not in _NOT_MARKED:
            by_kind.setdefault(each.kind, []).append(_without_space(text, *each.span))
    found = sorted((span, kind) for kind, spans in by_kind.items() for span in _joined(sorted(spans)))
    return [{"kind": kind, "text": text[start:end], "start": start, "end": end} for (start, end), kind in found]


def _without_space(text: str, start: int, end: int) -> tuple[int, int]:
    """A place in a text without the white space at its ends, such as the indentation of code."""
    words = text[start:end]
    return start + len(words) - len(words.lstrip()), start + len(words.rstrip())


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Places in order, of which those that overlap are one: a reader needs no mark within a mark of its kind."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


async def proposals(rewriter: Rewriter, request: OptimizationRequest) -> AsyncGenerator[dict[str, Any], None]:
    """Different rewrites, accepted or not, each as soon as its batch is there. Raises `InputError`.

    Each turn shows other examples. The first rewrite is made by a rule, if the right outputs are labels or have one
    form. An object that only says `waiting` comes before all others where the model is at other work.
    """
    if are_under_way():
        yield {"waiting": True}
    seen: set[str] = set()
    if made := by_rule(request.instruction, [example.output for example in request.examples]):
        _, text = made
        seen.add(text)
        checked = await in_thread(partial(rewriter.check_rule, text, request))
        yield await in_thread(partial(shown, checked, request)) | {"is_by_rule": True}
    for turn, (samples, seed) in enumerate(_TURNS):
        asked = replace(rewriter, samples=samples, seed=seed)
        told = replace(request, examples=_in_turn(request.examples, turn))
        (found,) = await in_thread(partial(asked.propose, [told]))
        if isinstance(found, InputError):
            raise found
        for candidate in found:
            if candidate.text not in seen:
                seen.add(candidate.text)
                yield await in_thread(partial(shown, candidate, request))


def _in_turn(examples: Sequence[ShownExample], turn: int) -> tuple[ShownExample, ...]:
    """The examples that the model sees in a turn; from the beginning again after the last one."""
    start = turn * SHOWN % len(examples) if len(examples) > SHOWN else 0
    return tuple([*examples[start:], *examples[:start]][:SHOWN])


def shown(candidate: Candidate, request: OptimizationRequest) -> dict[str, Any]:
    """A rewrite with what the checks say about it, and what changed."""
    return {
        "text": candidate.text,
        "outcome": candidate.outcome,
        "fault": fault_in_words(candidate.outcome, candidate.detail),
        "unchecked": list(candidate.unchecked),
        "changes": differences(request.instruction, candidate.text),
    }
