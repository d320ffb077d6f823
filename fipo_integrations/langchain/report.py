"""What happened to the prompts of a template or a chain."""

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fipo_model import Candidate
from fipo_model.pages.numbers import counted
from fipo_model.search import Compared, say_compared


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptChange:
    """One text of a prompt that was shown to the rewriter, and what happened to it."""

    where: str
    """The attribute path from what was given to the text, such as `first.messages[0].prompt.template`."""
    naive: str
    text: str
    """What stands there now: `naive` unless `outcome` is "optimized"."""
    outcome: str
    """One of FIPO's outcomes, or "variables_changed": the rewrite lost, doubled or moved a variable."""
    detail: str = ""
    """Why the naive text stays, in words."""
    candidates: tuple[Candidate, ...] = ()
    """Everything the rewriter proposed."""

    @property
    def diff(self) -> str:
        """The change as lines that begin with `-` and `+`; empty if there was none."""
        lines = difflib.ndiff(self.naive.splitlines(), self.text.splitlines())
        return "\n".join(line for line in lines if self.text != self.naive and not line.startswith("?"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreached:
    """A part that was left out or left alone, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What `optimize_prompt` or `optimize_chain` did; `print(report)` shows every change and everything left out."""

    changes: tuple[PromptChange, ...]
    unreached: tuple[Unreached, ...] = ()
    """What could not be rewritten, or not be looked into."""
    left_alone: tuple[Unreached, ...] = ()
    """What is no instruction, such as a message of another role or an example."""
    measured_by: str = ""
    """What the scores are, where examples decided."""
    chosen_on: Compared | None = None
    """Scores on the examples that decided, before and after: the gain there is that of a winner, so expect less."""
    held_out: Compared | None = None
    """Scores on examples that decided nothing; None where there were too few to set some aside, or nothing changed."""
    notes: tuple[str, ...] = ()
    """What else there is to know, such as a chain that gives every input the same answer."""

    @property
    def is_rewritten(self) -> bool:
        """Whether any text differs from what was given."""
        return any(change.outcome == "optimized" for change in self.changes)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, for a log or a file."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        rewritten = sum(change.outcome == "optimized" for change in self.changes)
        yield f"{rewritten} of {counted(len(self.changes), 'text')} rewritten"
        yield from self._evidence()
        for change in self.changes:
            yield f"\n{change.where}: {change.outcome}{change.detail and f' ({change.detail})'}"
            yield from (f"  {line}" for line in change.diff.splitlines())
            yield from (f"  refused: {refused}" for refused in _refused(change))
        for parts, what in ((self.unreached, "left out"), (self.left_alone, "left alone")):
            for reason in dict.fromkeys(part.reason for part in parts):
                places = (part.where or "all of it" for part in parts if part.reason == reason)
                yield f"\n{', '.join(places)}: {what}, {reason}"

    def _evidence(self) -> Iterator[str]:
        """What the examples said."""
        if self.chosen_on is None:
            if not self.is_rewritten and self.changes:
                yield "Next: pass examples=[...], and FIPO tries many rewrites and measures them."
            return
        yield f"Scores are {self.measured_by}."
        yield say_compared("the examples that decided", self.chosen_on)
        if self.held_out is not None:
            yield say_compared("held-out examples", self.held_out)
        elif self.is_rewritten:
            yield "No examples were held out (twelve are needed), so expect a smaller gain on new ones."
        yield from (f"{note[:1].upper()}{note[1:]}." for note in self.notes)


def _refused(change: PromptChange) -> list[str]:
    """What would have been added to a text that stays, or stood in its place."""
    if change.outcome == "optimized":
        return []
    texts = [one.text.removeprefix(change.naive).strip() for one in change.candidates if one.outcome == change.outcome]
    return [" ".join(text.split()) for text in texts[:1] if text]
