"""What became of a prompt, for somebody new to outcomes: why, and what can be done."""

from collections.abc import Mapping

from fipo_model.cli.notes import note
from fipo_model.pages.changes import rewrite_turned_down, why_kept
from fipo_model.types import OptimizedPrompt, Outcome

_ANOTHER_MODEL = "another --model may do better"
_LONGER = "--max-words allows a longer rewrite"
_EXAMPLES = "give `fipo tune` some examples, and it tries many rewrites and measures them"
_NEXT: Mapping[Outcome, str] = {
    "unchanged": _EXAMPLES,
    "uncertain": _EXAMPLES,
    "truncated": _LONGER,
    "too_long": _LONGER,
    "refused": "another --model may accept the prompt",
    "template_echoed": _ANOTHER_MODEL,
    "empty": _ANOTHER_MODEL,
    "repetitive": _ANOTHER_MODEL,
    "not_preferred": _EXAMPLES,
}
_OF_A_RULE = "docs/outcomes.md says how to turn a check off"


def tell_outcome(result: OptimizedPrompt) -> None:
    """Say on stderr what became of a prompt; where it stays, why, and what to do next."""
    by = f" ({result.detail})" if result.is_rewritten and result.detail else ""
    note(f"outcome: {result.outcome}{by}")
    if not result.is_rewritten:
        note(f"{why_kept(result.outcome, result.detail)}. Next: {_NEXT.get(result.outcome, _OF_A_RULE)}")
    if refused := rewrite_turned_down(result):
        note(refused)
