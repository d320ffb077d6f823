"""What the page saves in the store, and what it shows of it. Everything here may wait for the file."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fipo_model.errors import InputError
from fipo_model.pages.changes import differences, fault_in_words
from fipo_model.serve.rewriting import Rewriting
from fipo_model.store import STATES, Entry, RewriteStore, key_of
from fipo_model.store.entries import only_checks, passed
from fipo_model.types import Candidate, OptimizationRequest, OptimizedPrompt, Outcome, check_text

_BY = "somebody on the gateway's page"
_CHOSEN = "chosen on the page"
# A page with more would be slow, and nobody reads it to the end.
_MOST_LISTED = 200
_MOST_COUNTED = 1000


def store_of(rewriting: Rewriting) -> RewriteStore:
    """The store to write to. Raises `InputError` if there is none."""
    if rewriting.store is None or rewriting.store.is_frozen:
        raise InputError("this gateway has no store to save to: start it with --store FILE")
    return rewriting.store


def stored(store: RewriteStore | None, prompt: str) -> dict[str, Any] | None:
    """What the store has for a prompt."""
    request = OptimizationRequest(prompt)
    if store is None or request not in store:
        return None
    return _fields(store.find(key_of(request)))


def listed(store: RewriteStore | None) -> dict[str, Any]:
    """The store's rewrites, the last decided first, and how many there are."""
    found = [] if store is None else [entry for entry in store.entries() if entry.text != entry.naive]
    found.sort(key=lambda entry: entry.at, reverse=True)
    shown = [_fields(entry) | {"changes": differences(entry.naive, entry.text)} for entry in found[:_MOST_LISTED]]
    return {"rewrites": shown, "all": len(found)}


def save(store: RewriteStore, request: OptimizationRequest, text: str, *, verdict: Candidate, counted: str) -> None:
    """Keep the user's choice as approved, with what the checks and the examples say about it."""
    key = key_of(request)
    earlier = ""
    if request in store:
        earlier = _found_before(store.find(key), text)
    else:
        store.keep([_chosen(request, text, verdict)], evidence=_said(verdict))
    said = (earlier, _CHOSEN, _said(verdict), counted)
    store.decide([key], "approved", by=_BY, text=text, evidence="; ".join(part for part in said if part))


def deciding(store: RewriteStore, fields: Mapping[str, Any]) -> partial[list[Entry]]:
    """What changes an entry's state, and perhaps its text back to an earlier one, with the evidence of that.

    Raises `InputError`.
    """
    key, text, evidence = fields.get("key"), fields.get("text"), fields.get("evidence") or _CHOSEN
    state = next((each for each in STATES if each == fields.get("state")), None)
    if state is None or not isinstance(key, str) or not isinstance(text, str | None):
        raise InputError(f"this needs a key, perhaps a text, and a state: one of {', '.join(STATES)}")
    check_text("evidence", evidence)
    found = store.find(key)
    if text is not None:
        OptimizationRequest(text)
    # What a search measured still holds for the text that it found, whoever decides on it.
    said = "" if text in (None, found.text) else evidence
    return partial(store.decide, [found.key], state, by=_BY, text=text, evidence=said)


def counted(fields: Mapping[str, Any]) -> str:
    """What the examples said, in words for the store; nothing if both were not run on them. Raises `InputError`."""
    given = fields.get("counted")
    if given is None:
        return ""
    names = ("before", "after", "of")
    if not isinstance(given, dict) or not all(type(given.get(name)) is int for name in names):
        raise InputError(f"counted must have whole numbers: {', '.join(names)}")
    before, after, of = (given[name] for name in names)
    if not (0 <= before <= of and 0 <= after <= of and 0 < of <= _MOST_COUNTED):
        raise InputError("counted has numbers that cannot be right")
    return f"right on {after} of {of} examples, the prompt on {before}"


def _fields(entry: Entry) -> dict[str, Any]:
    names = ("key", "naive", "text", "state", "by", "at", "evidence")
    return {name: getattr(entry, name) for name in names}


def _chosen(request: OptimizationRequest, text: str, verdict: Candidate) -> OptimizedPrompt:
    outcome: Outcome = "unchanged" if text == request.instruction else "optimized"
    chosen = Candidate(text=text, outcome=outcome, unchecked=verdict.unchecked)
    return OptimizedPrompt(text=text, request=request, outcome=outcome, candidates=(chosen,), model="", template="")


def _found_before(entry: Entry, text: str) -> str:
    """What a search or a person, and not this page, found out about the same text."""
    if entry.text != text or only_checks(entry.evidence):
        return ""
    return entry.evidence.partition(_CHOSEN)[0].removesuffix("; ")


def _said(verdict: Candidate) -> str:
    """What the checks say about a text, as evidence."""
    if verdict.outcome not in ("optimized", "unchanged"):
        return f"FIPO's checks object: it {fault_in_words(verdict.outcome, verdict.detail)}"
    return passed(verdict.unchecked)
