"""The candidates: rewrites of texts, each with the result of its checks, distinct by what they ask."""

import itertools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from fipo_model.errors import InputError
from fipo_model.fidelity import topic
from fipo_model.rewriter import Proposal, Rewriter
from fipo_model.search.subject import Measured, Measurement
from fipo_model.search.wordings import naming_labels
from fipo_model.types import Candidate, OptimizationRequest, ShownExample

# Of the samples for one request, about two are useful; others repeat each other, change nothing or fail.
_SAMPLES, _USED = 4, 2
# This many examples make a task clear; more make a small model's request long.
_SHOWN = 4
# No two turns share a seed.
_TURN = 1000
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_MOST_FEEDBACK, _LONGEST_FEEDBACK = 3, 300


Origin = Literal["rewriter", "labels"]
"""Who wrote a text: a rewriter; or a rule, which put all right outputs behind what was there, as labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A text proposed for a place, as it would be used there, and the result of its checks."""

    text: str
    outcome: str
    """"optimized" if it passed; else why it is not tried."""
    detail: str = ""
    origin: Origin = "rewriter"
    log_likelihood: float | None = None
    """How likely the rewriter found it, in nats per token, if it says so."""

    @property
    def is_usable(self) -> bool:
        return self.outcome == "optimized"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What was proposed for each text, by its name."""

    model: str | None
    """The name of the model that proposed."""
    by_text: Mapping[str, Sequence[Proposed]]
    runs: int = 0
    """How many runs it took to see what the texts get, those that a resumed search remembers included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known when rewrites are requested."""

    texts: Mapping[str, str]
    """The texts as they are now."""
    measurements: Mapping[int, Measurement]
    """What they got, by the numbers of the examples."""
    tried: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By the names of the texts, what was proposed before."""
    turn: int = 0
    """How often was asked before."""


class Proposer(Protocol):
    """Proposes other texts."""

    def propose(self, seen: Seen, *, room: float) -> Proposals:
        """Rewrites of the texts. At most `room` runs may be spent on new evidence."""
        ...


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
    check: Callable[[Candidate], Candidate] = lambda candidate: candidate
    """What its owner asks of a rewrite beside the contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriterProposer:
    """Asks a rewriter for each part: alone, with several examples, and with the metric's feedback.

    `shown` gives, by the number of an example, what the rewriter may see of it. `outputs` are right outputs which, if
    they are labels, a rule names.
    """

    rewriter: Rewriter
    parts: Sequence[Part]
    candidates: int
    seed: int
    shown: Mapping[int, ShownExample] = field(default_factory=dict)
    outputs: Sequence[str | None] = ()

    def propose(self, seen: Seen, *, room: float) -> Proposals:
        """The usable rewrites for each part, up to the limit, and the refused ones, from two batches in all."""
        seed = self.seed + _TURN * seen.turn
        bold = self.rewriter.bold
        alone = [(part, self._asked(part, seen)) for part in self.parts]
        greedy = replace(bold, samples=1, seed=seed).propose([request for _, request in alone])
        found = {part.name: list(self._rows(part, one)) for (part, _), one in zip(alone, greedy, strict=True)}
        for part, request in alone:
            named = self._naming_labels(bold, part, request)
            found[part.name] += [row for row in named if row.text not in seen.tried.get(part.name, ())]
        asked = [(part, request) for part in self.parts for request in self._varied(part, seen)]
        if asked:
            # A part with less to show gets more samples.
            samples = _SAMPLES * self._needed * len(self.parts) // len(asked)
            sampler = replace(bold, samples=max(2, samples), seed=seed)
            sampled = sampler.propose([request for _, request in asked])
            for part in self.parts:
                own = [self._rows(part, one) for (other, _), one in zip(asked, sampled, strict=True) if other is part]
                # The first sample of each request before the second of any: different examples shown vary rewrites more
                # than sampling. Those that the rewriter is surest of come first: the others often ask something else.
                turns = itertools.zip_longest(*own)
                rows = [row for turn in turns for row in turn if row is not None]
                found[part.name] += sorted(rows, key=lambda row: -(row.log_likelihood or 0.0))
        by_text = {}
        for part in self.parts:
            tried = seen.tried.get(part.name, ())
            by_text[part.name] = distinct(found[part.name], usable=self.candidates, known=tried)
        return Proposals(model=self.rewriter.name, by_text=by_text)

    def _asked(self, part: Part, seen: Seen) -> OptimizationRequest:
        text = part.taken(seen.texts[part.name])
        return part.request if part.request.instruction == text else replace(part.request, instruction=text)

    def _varied(self, part: Part, seen: Seen) -> list[OptimizationRequest]:
        """Requests that differ by what they show: examples (wrong ones first) with comments on them, or nothing."""
        bare = self._asked(part, seen)
        feedback = _joined(said_of(seen.measurements), _lost(seen.tried.get(part.name, ()), bare.instruction))
        shown = _shown_in_turns(self.shown, seen.measurements, seed=self.seed)
        varied = [replace(bare, examples=some, feedback=feedback) for some in shown]
        if feedback and not shown:
            varied.append(replace(bare, feedback=feedback))
        return [*varied[: max(1, self._needed - 1)], bare][: self._needed]

    def _naming_labels(self, rewriter: Rewriter, part: Part, request: OptimizationRequest) -> list[Proposed]:
        """The text followed by all labels, which small rewriters rarely name; none where other texts follow."""
        text = naming_labels(request.instruction, self.outputs)
        if text is None or len(self.parts) > 1:
            return []
        checked = rewriter.check(text, replace(request, examples=tuple(self.shown.values())))
        return [_proposed(part, part.check(checked), origin="labels")]

    @property
    def _needed(self) -> int:
        """How many requests yield that many candidates, beside the greedy one."""
        return -(-(self.candidates - 1) // _USED)

    def _rows(self, part: Part, proposal: Proposal) -> list[Proposed]:
        if isinstance(proposal, InputError):
            return [Proposed(text=part.request.instruction, outcome="unusable", detail=str(proposal))]
        return [_proposed(part, part.check(one)) for one in proposal]


def _proposed(part: Part, checked: Candidate, *, origin: Origin = "rewriter") -> Proposed:
    return Proposed(
        text=part.place(checked.text),
        outcome=checked.outcome,
        detail=checked.detail,
        origin=origin,
        log_likelihood=checked.log_likelihood,
    )


def distinct(rows: Sequence[Proposed], *, usable: int, known: Sequence[str] = ()) -> list[Proposed]:
    """The rows, each text once, with at most the given number of usable ones, which differ in what they ask.

    From two rewrites with the same words of meaning a search would learn the same thing twice. So the later one is
    "repeated", as is one that asks what a `known` text asks.
    """
    topics = {_asked_words(text) for text in known}
    kept: dict[str, Proposed] = {}
    count = 0
    for row in rows:
        if row.text in kept or (row.is_usable and count == usable):
            continue
        words = _asked_words(row.text) if row.is_usable else frozenset()
        if words in topics:
            kept[row.text] = replace(row, outcome="repeated", detail="asks for the same as another one")
            continue
        kept[row.text] = row
        count += row.is_usable
        topics |= {words} if words else set()
    return list(kept.values())


def _asked_words(text: str) -> frozenset[str]:
    """What a text asks for, however it is worded: its words of meaning, as stems, and its numbers."""
    return topic(text) | frozenset(_NUMBER.findall(text))


def _shown_in_turns(
    shown: Mapping[int, ShownExample], measurements: Mapping[int, Measurement], *, seed: int
) -> list[tuple[ShownExample, ...]]:
    """Groups of examples, wrong ones first, with the metric's comments on them."""
    numbers = random.Random(seed).sample(sorted(shown), len(shown))
    numbers.sort(key=lambda number: _score(measurements.get(number)))
    highest = max(map(_score, measurements.values()), default=0.0)
    seen = [_with_response(shown[number], measurements.get(number), highest) for number in numbers]
    return [tuple(seen[start : start + _SHOWN]) for start in range(0, len(seen), _SHOWN)]


def _with_response(example: ShownExample, found: Measurement | None, highest: float) -> ShownExample:
    """The example with the response it got, if that was wrong; a score no lower than any other counts as right."""
    if not isinstance(found, Measured) or not (found.response or "").strip():
        return example
    is_right = _score(found) >= (highest if found.best is None else found.best)
    return example if is_right else replace(example, response=found.response)


def _score(measurement: Measurement | None) -> float:
    return min(measurement.scores) if isinstance(measurement, Measured) else 0.0


def said_of(measurements: Mapping[int, Measurement]) -> str | None:
    """What the metric said where the score was lowest, as one text."""
    said = sorted((m for m in measurements.values() if isinstance(m, Measured) and m.feedback), key=_score)
    texts = dict.fromkeys(" ".join((one.feedback or "").split())[:_LONGEST_FEEDBACK] for one in said)
    return "\n".join(list(texts)[:_MOST_FEEDBACK]) or None


def _lost(tried: Sequence[str], text: str) -> str | None:
    """What was tried last for a text and did not win, in words for a rewriter."""
    lost = [" ".join(one.split())[:_LONGEST_FEEDBACK] for one in tried if one != text][-_MOST_FEEDBACK:]
    return None if not lost else "These did no better:\n" + "\n".join(lost)


def _joined(*parts: str | None) -> str | None:
    return "\n".join(part for part in parts if part) or None


def to_fields(proposals: Proposals) -> dict[str, Any]:
    """What a journal holds of proposals."""
    rows = {name: [asdict(one) for one in rows] for name, rows in proposals.by_text.items()}
    return {"model": proposals.model, "by_text": rows, "runs": proposals.runs}


def from_fields(fields: Mapping[str, Any]) -> Proposals:
    """The proposals from which `to_fields` made these."""
    rows = {name: [Proposed(**one) for one in rows] for name, rows in fields["by_text"].items()}
    return Proposals(model=fields["model"], by_text=rows, runs=fields["runs"])
