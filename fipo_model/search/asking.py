"""Asks a rewriter for other texts: two batches for any number of parts, the surest rewrites first."""

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from fipo_model.errors import InputError
from fipo_model.rewriter import Proposal, Rewriter
from fipo_model.search.proposals import Origin, Proposed, distinct
from fipo_model.search.wordings import by_rule
from fipo_model.types import Candidate, OptimizationRequest, ShownExample

# Of the samples for one request, about two are useful; others repeat each other, change nothing or fail.
_SAMPLES, _USED = 4, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A text that may be rewritten, as the rewriter gets it."""

    name: str
    request: OptimizationRequest
    """The text, its context, and what must be kept."""
    place: Callable[[str], str] = str
    """From a rewrite to the text that stands in its place, for example with what follows it."""
    taken: Callable[[str], str] = str
    """From the text in its place back to what of it may be rewritten."""
    check: Callable[[Candidate], Candidate | Proposed] = lambda candidate: candidate
    """What its owner asks of a rewrite beside the contract."""
    meaning: Callable[[Candidate], Candidate] = lambda candidate: candidate
    """What is asked of a rewriter's words alone: a rule says nothing but what the right outputs show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A part of which other texts are wanted, and what a rewriter may see."""

    part: Part
    alone: OptimizationRequest
    """Its text as it is now."""
    varied: Sequence[OptimizationRequest] = ()
    """The same with something more to see, each time something else, so that the rewrites differ."""
    outputs: Sequence[str | None] = ()
    """Right outputs. A rule states their form and, if they are labels, names them."""
    solved: Sequence[ShownExample] = ()
    """The examples with which a text made by rule is checked."""
    tried: Sequence[str] = ()
    """What was proposed before."""


def requests_needed(candidates: int) -> int:
    """How many requests that show something yield that many candidates, beside the one for the text alone."""
    return -(-(candidates - 1) // _USED)


def replies_needed(candidates: int) -> int:
    """How many replies the rewriter writes for that many candidates for one part."""
    return 1 + _SAMPLES * requests_needed(candidates)


def ask(
    rewriter: Rewriter, questions: Sequence[Question], *, candidates: int, seed: int, seconds: float = math.inf
) -> dict[str, list[Proposed]]:
    """By the names of the parts: the usable rewrites, up to the limit, and the refused ones, from two batches in all.

    What the rewriter is unsure of is among them, because something else decides. The rewrite of the text alone comes
    first, then the text with its labels or the form of its outputs. The others are sampled, and those that the rewriter
    is surest of come first. Where time is limited, samples are requested a few at a time, and no more of them if they
    would be there only after half of the `seconds`.
    """
    began = time.monotonic()
    enough = began + seconds / 2  # what is proposed has to be measured, too
    bold = replace(rewriter.bold, seed=seed)
    greedy = replace(bold, samples=1).propose([one.alone for one in questions])
    each = (time.monotonic() - began) / max(1, len(questions))
    found = {}
    usable = []
    for question, proposal in zip(questions, greedy, strict=True):
        ruled = [row for row in _by_rule(bold, question) if row.text not in question.tried]
        found[question.part.name] = [*_rows(question.part, proposal), *ruled]
        if not isinstance(proposal, InputError):
            usable.append(question)
    sampled = _sampled(bold, usable, requests_needed(candidates), until=enough, each=each)
    return {
        one.part.name: distinct(
            [*found[one.part.name], *sampled.get(one.part.name, ())], usable=candidates, known=one.tried
        )
        for one in questions
    }


def _sampled(
    rewriter: Rewriter, questions: Sequence[Question], needed: int, *, until: float, each: float
) -> dict[str, list[Proposed]]:
    """Samples for each part, by its name; a part with less to show gets more from each of its requests.

    `each` is the time that a reply takes alone, in seconds; those of a batch take about half of it.
    """
    by_samples: defaultdict[int, list[tuple[Part, OptimizationRequest]]] = defaultdict(list)
    for question in questions:
        if varied := question.varied[:needed]:
            samples = max(2, _SAMPLES * needed // len(varied))
            by_samples[samples] += [(question.part, request) for request in varied]
    found: defaultdict[str, list[list[Proposed]]] = defaultdict(list)
    for samples, asked in by_samples.items():
        at_once = len(asked) if until == math.inf else 1
        for start in range(0, len(asked), at_once):
            if time.monotonic() + each * samples / 2 > until:
                break
            group = asked[start : start + at_once]
            proposals = replace(rewriter, samples=samples).propose([request for _, request in group])
            for (part, _), proposal in zip(group, proposals, strict=True):
                found[part.name].append(_rows(part, proposal))
    return {name: _surest_first(rows) for name, rows in found.items()}


def _surest_first(by_request: Sequence[Sequence[Proposed]]) -> list[Proposed]:
    """Those that the rewriter is surest of: the others often ask for something else.

    Without that, the first sample of each request comes before the second of any: what is shown varies rewrites more
    than sampling does.
    """
    rows = [row for turn in itertools.zip_longest(*by_request) for row in turn if row is not None]
    return sorted(rows, key=lambda row: -(row.log_likelihood or 0.0))


def _by_rule(rewriter: Rewriter, question: Question) -> list[Proposed]:
    """The text followed by its labels or the form of its outputs, checked; none if it has no outputs of one form."""
    made = by_rule(question.alone.instruction, question.outputs)
    if made is None:
        return []
    origin, text = made
    checked = rewriter.check_rule(text, replace(question.alone, examples=tuple(question.solved)))
    return [_proposed(question.part, checked, origin=origin)]


def _rows(part: Part, proposal: Proposal) -> list[Proposed]:
    if isinstance(proposal, InputError):
        return [Proposed(text=part.request.instruction, outcome="unusable", detail=str(proposal))]
    return [_proposed(part, one) for one in proposal]


def _proposed(part: Part, candidate: Candidate, *, origin: Origin = "rewriter") -> Proposed:
    checked = part.check(part.meaning(candidate) if origin == "rewriter" else candidate)
    return Proposed(
        text=part.place(checked.text),
        outcome=checked.outcome,
        detail=checked.detail,
        origin=origin,
        log_likelihood=checked.log_likelihood,
    )
