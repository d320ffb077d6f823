"""What happened to the prompts of a template or a chain."""

import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fipo_model import Candidate
from fipo_model.pages.numbers import counted
from fipo_model.search import Compared, SearchResult, sentences


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
    searched: SearchResult | None = None
    """The search, where examples decided: everything that was tried and measured."""

    @property
    def measured_by(self) -> str:
        """What the scores are; empty where no examples decided."""
        return "" if self.searched is None else self.searched.measured_by

    @property
    def chosen_on(self) -> Compared | None:
        """Scores before and after on the examples that decided: this gain is the winner's, so expect less on others."""
        return None if self.searched is None else self.searched.chosen_on

    @property
    def held_out(self) -> Compared | None:
        """Scores on examples that decided nothing; None where there were too few to set some aside."""
        return None if self.searched is None else self.searched.held_out

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, for example that the chain gives every input the same answer."""
        return () if self.searched is None else tuple(self.searched.notes)

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
        if self.searched is not None:
            yield from sentences(self.searched)
        else:
            rewritten = sum(change.outcome == "optimized" for change in self.changes)
            some = f"{rewritten} of {counted(len(self.changes), 'text')} rewritten"
            yield some if self.changes else "there is no text that may be rewritten"
            if self.changes and not rewritten:
                next_step = 'optimize_chain(chain, examples=[...], metric="exact")'
                yield f"Next: {next_step} tries many rewrites and measures them."
        for change in self.changes:
            yield f"\n{change.where}: {change.outcome}{change.detail and f' ({change.detail})'}"
            yield from (f"  {line}" for line in change.diff.splitlines())
            yield from (f"  refused: {refused}" for refused in _refused(change))
        for parts, what in ((self.unreached, "left out"), (self.left_alone, "left alone")):
            for reason in dict.fromkeys(part.reason for part in parts):
                places = (part.where or "all of it" for part in parts if part.reason == reason)
                yield f"\n{', '.join(places)}: {what}, {reason}"


def _refused(change: PromptChange) -> list[str]:
    """What would have been added to a text that stays, or stood in its place."""
    if change.outcome in ("optimized", "unchanged"):
        return []
    others = [one for one in change.candidates if one.text != change.naive]
    texts = [one.text.removeprefix(change.naive).strip() for one in others if one.outcome == change.outcome]
    return [" ".join(text.split()) for text in texts[:1] if text]
