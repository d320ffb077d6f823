"""What is proposed: other texts, each with the result of its checks, distinct by what they ask. Pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from fipo_model.contract.topics import topic
from fipo_model.search.subject import Measurement

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

Origin = Literal["rewriter", "labels", "form"]
"""Who wrote a text: a rewriter; or a rule, which named all right outputs as labels, or stated their form."""


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
    """How many rounds of requests there were before this one."""
    seconds_left: float = math.inf
    """Seconds until the search must end."""


class Proposer(Protocol):
    """Proposes other texts."""

    def propose(self, seen: Seen) -> Proposals:
        """Rewrites of the texts."""
        ...


def distinct(rows: Sequence[Proposed], *, usable: int, known: Sequence[str] = ()) -> list[Proposed]:
    """The rows, each text once, with at most the given number of usable ones, which differ in what they ask.

    From two rewrites with the same words of meaning a search would learn the same thing twice. So the later one is
    "repeated", as is one that asks what a `known` text asks. What a rule made differs in the form that it asks for.
    """
    topics = {_asked_words(text) for text in known}
    kept: dict[str, Proposed] = {}
    count = 0
    for row in rows:
        if row.text in kept or (row.is_usable and count == usable):
            continue
        is_told_apart = row.is_usable and row.origin == "rewriter"
        words = _asked_words(row.text) if is_told_apart else frozenset()
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


def to_fields(proposals: Proposals) -> dict[str, Any]:
    """What a journal holds of proposals."""
    rows = {name: [asdict(one) for one in rows] for name, rows in proposals.by_text.items()}
    return {"model": proposals.model, "by_text": rows}


def from_fields(fields: Mapping[str, Any]) -> Proposals:
    """The proposals from which `to_fields` made these."""
    rows = {name: [Proposed(**one) for one in rows] for name, rows in fields["by_text"].items()}
    return Proposals(model=fields["model"], by_text=rows)
