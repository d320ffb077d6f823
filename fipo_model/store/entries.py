"""What a store has for a prompt: as its file's row, as an entry to review, and as a result to use. Pure."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from fipo_model import jsonl
from fipo_model.errors import InputError
from fipo_model.types import OUTCOMES, Candidate, OptimizationRequest, OptimizedPrompt, Outcome

State = Literal["pending", "approved", "rejected"]
"""What a reader said of a rewrite; nothing yet, while it is pending."""
STATES: tuple[State, ...] = get_args(State)

VERSION = 1
"""Of the rows that this version of FIPO writes; those without one are of the first."""
_NEEDED = ("key", "naive", "text")
_PASSED = "passed FIPO's checks"
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a store has for a prompt."""

    key: str
    naive: str
    text: str
    """The rewrite that is proposed, or the prompt itself."""
    state: State = "pending"
    outcome: str = "unchanged"
    detail: str = ""
    context: str | None = None
    keep: tuple[str, ...] = ()
    max_words: int | None = None
    model: str = ""
    """Who proposed the text."""
    template: str = ""
    evidence: str = ""
    """What speaks for the text, in words."""
    by: str = ""
    """Who approved or rejected it."""
    why: str = ""
    """What they said about it."""
    at: str = ""
    """When, in UTC (ISO 8601)."""

    @property
    def used(self) -> str:
        """The text to use: the prompt's own, where its rewrite was rejected or deleted."""
        return self.naive if self.state == "rejected" or not self.text.strip() else self.text

    @property
    def is_rewritten(self) -> bool:
        """Whether that is another text than the prompt's."""
        return self.used != self.naive


_TEXTS = frozenset(field.name for field in fields(Entry)) - {"keep", "max_words", "state"}


def key_of(request: OptimizationRequest) -> str:
    """A short name for what a rewrite is made from: the prompt, its context, and what must be kept."""
    parts = [request.instruction, request.context, list(request.keep), request.max_words]
    parts += [request.fixed_form] if request.fixed_form else []  # so that older keys stay what they are
    return hashlib.sha256(json.dumps(parts).encode("utf-8", "replace")).hexdigest()[:24]


def row_of(result: OptimizedPrompt, evidence: str) -> dict[str, Any]:
    """The row of a rewrite that nobody has reviewed."""
    request = result.request
    row = {"key": key_of(request), "version": VERSION, "naive": request.instruction, "text": result.text}
    told = {"state": "pending", "outcome": result.outcome, "detail": result.detail}
    told["evidence"] = evidence or _checks(result)
    asked = {"context": request.context, "keep": list(request.keep), "max_words": request.max_words}
    return without_empty({**row, **told, **asked, "model": result.model, "template": result.template})


def _checks(result: OptimizedPrompt) -> str:
    """What FIPO's own checks say for a rewrite."""
    return passed(result.unchecked) if result.is_rewritten else ""


def passed(unchecked: Sequence[str]) -> str:
    """What speaks for a text that passed FIPO's checks, apart from those that could not be made."""
    left_out = f"; not checked: {', '.join(unchecked)}" if unchecked else ""
    return f"{_PASSED}{left_out}"


def only_checks(evidence: str) -> bool:
    """Whether nothing more than FIPO's own checks speaks for a text."""
    return not evidence or evidence.startswith(_PASSED)


def is_news(row: Mapping[str, Any], before: Mapping[str, Any] | None, rejected: Collection[str]) -> bool:
    """Whether a new result takes the place of its prompt's row, or of a newer one that is to be added, if there is one.

    `rejected` are the texts that were ruled out for this prompt.
    """
    if row["text"] in rejected:
        return False
    if before is None:
        return True
    state = before.get("state", "pending")
    if state == "approved" or before == row:
        return False
    # What was found with examples or on another day, and a rejection, are not lost to an attempt that finds nothing.
    if row["text"] == row["naive"]:
        return bool(state != "rejected" and before["text"] == before["naive"])
    # Whoever approves a rewrite for what a search measured must not get another text that nobody measured.
    is_measured = before["text"] != before["naive"] and not only_checks(before.get("evidence", ""))
    return state == "rejected" or not is_measured or not only_checks(row.get("evidence", ""))


def with_rejections(
    known: Mapping[str, frozenset[str]], rows: Sequence[Mapping[str, Any]]
) -> Mapping[str, frozenset[str]]:
    """The texts that were ruled out for each key, after more rows. Only a person takes that back."""
    found: dict[str, frozenset[str]] = {}
    for row in rows:
        key, state = row["key"], row.get("state", "pending")
        before = found.get(key, known.get(key, frozenset()))
        if state == "rejected":
            found[key] = before | {row["text"]}
        elif row["text"] in before and (state == "approved" or row.get("by")):
            found[key] = before - {row["text"]}
    return {**known, **found} if found else known  # a new one: others may be reading


def edited(row: Mapping[str, Any], text: str | None, evidence: str) -> dict[str, Any]:
    """What changes in a row with another text, about which nothing recorded holds, or with other evidence."""
    if text is None or text == row["text"]:
        return {"evidence": evidence} if evidence else {}
    outcome: Outcome = "unchanged" if text == row["naive"] else "optimized"
    return {"text": text, "outcome": outcome, "detail": "", "evidence": evidence, "model": "", "template": ""}


def without_empty(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without what it has nothing to say about."""
    return {name: value for name, value in row.items() if value or name in _NEEDED}


def parse_row(line: bytes) -> dict[str, Any]:
    """A row's fields. Raises `InputError` for anything but a row of a store, or for one of a later version."""
    try:
        row = jsonl.parse_object(line)
    except InputError as error:
        raise InputError(f"{error}. Fix the line, or remove it.") from error
    version = row.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise InputError(
            f"written by a later version of FIPO (its stores have the version {version!r}, this one's {VERSION}). "
            "Update FIPO, or use another store."
        )
    if wrong := _wrong(row):
        raise InputError(f"not a row of a store: {wrong}. Fix the line, or remove it.")
    return row


def _wrong(row: Mapping[str, Any]) -> str:
    """What is wrong with a row, in words; empty if nothing is."""
    if not all(isinstance(row.get(name), str) for name in _NEEDED):
        return f"it has no {', '.join(_NEEDED)}"
    if row.get("state", "pending") not in STATES:
        return f"the state must be one of {', '.join(STATES)}, not {row['state']!r}"
    keep = row.get("keep", [])
    if not isinstance(keep, list) or not all(isinstance(text, str) for text in keep):
        return "keep must be a list of texts"
    if not isinstance(row.get("max_words"), int | None):
        return "max_words must be a whole number"
    wrong = [name for name in sorted(_TEXTS & row.keys()) if not isinstance(row[name], str)]
    if wrong:
        return f"{wrong[0]} must be text"
    halves = [name for name in sorted(_TEXTS & row.keys()) if _HALF.search(row[name])]
    halves += ["keep"] if any(map(_HALF.search, keep)) else []
    return f"{halves[0]} has half of a character (a lone surrogate), which cannot be sent or written" if halves else ""


def entry_of(row: Mapping[str, Any]) -> Entry:
    """The entry that a checked row is."""
    known = {field.name: row[field.name] for field in fields(Entry) if field.name in row}
    return Entry(**{**known, "keep": tuple(row.get("keep", ()))})


def result_of(request: OptimizationRequest, entry: Entry) -> OptimizedPrompt:
    """The entry as the result of a request."""
    outcome, detail = _outcome(entry)
    return _result(request, entry.used, outcome, detail, by=entry)


def kept(request: OptimizationRequest, why: str) -> OptimizedPrompt:
    """A prompt that stays as it is."""
    return _result(request, request.instruction, "unchanged", why)


def _result(
    request: OptimizationRequest, text: str, outcome: Outcome, detail: str, *, by: Entry | None = None
) -> OptimizedPrompt:
    return OptimizedPrompt(
        text=text,
        request=request,
        outcome=outcome,
        candidates=(Candidate(text=text, outcome=outcome, detail=detail),),
        model="" if by is None else by.model,
        template="" if by is None else by.template,
    )


def _outcome(entry: Entry) -> tuple[Outcome, str]:
    if entry.state == "rejected":
        return "not_preferred", f"rejected by {entry.by or 'a reader'}" + (f": {entry.why}" if entry.why else "")
    if entry.is_rewritten:
        return "optimized", ""
    told: Outcome = next((each for each in OUTCOMES if each == entry.outcome != "optimized"), "unchanged")
    return told, entry.detail
