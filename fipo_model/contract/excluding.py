"""What an addition tells to leave out though nobody spoke of it: "and drop the sender's name". Pure, English."""

import re

from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import read
from fipo_model.contract.shown import outputs_shown

_EXCLUDES = lazy(
    r"(?i)(?:,|,? and|,? but) (?:then )?(?:drop|omit|leave out|ignore|skip) "
    r"(?!(?:to|ahead|an?|in|by|from|off|below|\w+ly)\b)(?P<what>[^.,;!?\n]{1,80})(?=[.;!?\n]|$)"
)
# That nothing else is wanted excludes nothing in particular, and what is said of letters and signs is how to compare.
_REST = lazy(
    r"(?i)\b(?:others?|rest|remain\w*|else|every\w*|any\w*|all|what|them|it|ones?|case|punctuation|spac\w+|capital\w*"
    r"|accents?|duplicates?|repeats?|repetitions?|decimals?|full stops?)\b"
)


def without_exclusions(case: Case) -> str | None:
    """An addition without what it tells to leave out; None where it tells nothing of the kind.

    What the prompt or an input speaks of may be left out, and where outputs are shown, they tell what is.
    """
    if not case.is_addition or outputs_shown(case.request):
        return None
    before, after = (_EXCLUDES.sub(lambda one: _kept(one, case), part) for part in case.around)
    shorter = f"{before}{case.request.instruction.strip()}{after}"
    return None if shorter == case.rewrite_text else shorter


def _kept(found: re.Match[str], case: Case) -> str:
    what = read(found["what"], "en")
    is_known = what.content <= case.given.stems
    return found[0] if is_known or _REST.search(what.text) else ""
