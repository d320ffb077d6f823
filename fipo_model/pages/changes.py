"""What happened to a prompt, in words, and to its words."""

import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from fipo_model.fidelity import OTHER_OUTCOMES, RULES
from fipo_model.replies import without_controls
from fipo_model.types import UNSPACED, OptimizedPrompt, Outcome

Piece = tuple[str, str]
"""A part of a text and what happened to it: "=" kept, "-" deleted, "+" inserted."""

OUTCOME_WORDS: Mapping[str, str] = {
    "optimized": "rewritten",
    "unchanged": "left alone",
    "truncated": "turned down: cut off",
    "refused": "left alone: the model or its server refused",
    "template_echoed": "turned down: repeats the template",
    "uncertain": "turned down: the rewriter is not sure",
    "not_preferred": "turned down: not preferred to the prompt",
    **{rule.outcome: f"turned down: {rule.words}" for rule in RULES.values()},
}

# Their details say everything: what the model said, what the judge or a reader decided.
_SAID_BY_DETAILS = ("unchanged", "refused", "not_preferred")

# In a script without spaces a sentence would be one word, so any other letters count as single words.
_TOKEN = re.compile(rf"\s+|[^\W{UNSPACED}]+|.", re.S)
_REFUSED = "turned down: "
_MOST_COMPARED = 1_000_000


def outcome_in_words(outcome: str) -> str:
    """An outcome in words for a reader; unknown names stay as they are."""
    return OUTCOME_WORDS.get(outcome, outcome.replace("_", " "))


def verdict_in_words(outcome: str, detail: str) -> str:
    """What became of one rewrite: what was found, or what the outcome means if nothing was noted."""
    if not detail or not outcome_in_words(outcome).startswith(_REFUSED):
        return outcome_in_words(outcome)
    return f"{_REFUSED}{detail}"


def fault_in_words(outcome: str, detail: str) -> str:
    """The same without "turned down", as what follows the name of a text: "lost the number '5'"."""
    return verdict_in_words(outcome, detail).removeprefix(_REFUSED)


def why_kept(outcome: Outcome, detail: str = "") -> str:
    """In a sentence, why a prompt stays as it is: what was found, or what the outcome means."""
    rule = RULES.get(outcome)
    fault = OTHER_OUTCOMES.get(outcome) if rule is None else rule.words
    if detail:
        is_of_a_rewrite = fault is not None and outcome not in _SAID_BY_DETAILS
        return f"your prompt stays as it is{'. The rewrite was turned down' if is_of_a_rewrite else ''}: {detail}"
    if fault is None or outcome in _SAID_BY_DETAILS:
        return "your prompt stays as it is"
    return f"your prompt stays as it is, because the rewrite {fault}"


def rewrite_turned_down(result: OptimizedPrompt) -> str:
    """The rewrite that is not used, in one line for a terminal; empty if there is none."""
    words = " ".join(without_controls(result.turned_down).split())
    return f"turned down: {words}" if words else ""


def differences(before: str, after: str) -> list[Piece]:
    """What happened to the words of `before`; kept and deleted pieces are `before`, kept and inserted ones `after`."""
    if before == after:
        return [("=", before)] if before else []
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    pieces: list[Piece] = []
    for kind, a, b, c, d in _opcodes(old, new):
        before_part, after_part = "".join(old[a:b]), "".join(new[c:d])
        if kind == "equal":
            pieces.append(("=", before_part))
            continue
        if before_part:
            pieces.append(("-", before_part))
        if after_part:
            pieces.append(("+", after_part))
    return pieces


def _opcodes(old: Sequence[str], new: Sequence[str]) -> Sequence[tuple[str, int, int, int, int]]:
    if len(old) * len(new) <= _MOST_COMPARED:
        # Spaces are junk in difflib's sense: two texts have nothing in common because both have spaces.
        return SequenceMatcher(str.isspace, old, new, autojunk=False).get_opcodes()
    # Comparing every word with every other takes minutes on a book; its beginning and end are compared all the same.
    shorter = min(len(old), len(new))
    head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
    tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
    a, b = len(old) - tail, len(new) - tail
    parts = [("equal", 0, head, 0, head), ("replace", head, a, head, b), ("equal", a, len(old), b, len(new))]
    return [part for part in parts if part[1] < part[2] or part[3] < part[4]]
