"""Answers and facts that an addition slips in after "bear in mind that" or "state that". Pure, English."""

from fipo_model.contract.asking import states
from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.wording import synonyms

_THAT = lazy(
    r"(?:^|[.!;:\n,]\s{0,99}+|\band )(?:please |then |also )?(?:(?:bear|keep) in mind|note|remember|recall|consider"
    r"|be aware|make (?:it )?clear|explain|state|mention|say|point out|emphasi[sz]e|stress|highlight|add"
    r"|don't forget) that "
    r"(?P<clause>[^.;!?\n]+)"
)
# It depends on the input, or it tells how to go about it.
_OPEN = lazy(
    r"\b(?:if|when|whether|where|may|might|should|must|needs?|ought|depends?|can be|could|not|no|nothing|missing"
    r"|unknown|unclear|unless|only|i|i'm|we|you|my|our|your)\b"
)
_HELPS = lazy(r"\b(?:can|will|has|have|does)\b")
_ASKS = lazy(r"\W*(?:is|are|was|were|do|does|did|can|could|has|have|will|would|should|may)\b")
_ASKS_WHAT = lazy(r"\W*(?:what|which|who|whom|whose|where|when|why|how)\b")
_OF_THE_TASK = lazy(
    r"(?:\w+ ){0,2}(?:text|input|output|answer|reply|response|reader|readers|audience|word|sentence|list|message"
    r"|question|passage|number|result|it|this|they|these|there|there's)s?\b"
)
_NEW = 2


def told_in_passing(case: Case) -> str | None:
    """What a subordinate clause of an addition states that nobody gave, or that settles what the prompt asks."""
    if not case.is_addition or case.added.lexicon.code != "en":
        return None
    for found in _THAT.finditer(case.added.lowered):
        clause = case.added.part(found["clause"].strip())
        if _OPEN.search(clause.lowered) or _OF_THE_TASK.match(clause.lowered):
            continue
        if (states(clause) or _HELPS.search(clause.lowered)) and _settles(clause.content, case):
            return found["clause"].strip()
    return None


def _settles(said: frozenset[str], case: Case) -> bool:
    """Whether it says several new things, or all that a yes-or-no question asks for."""
    prompt, wanted = case.naive.lowered, case.naive.content
    if _ASKS.match(prompt) and wanted and wanted <= said:
        return True
    known = case.given.stems
    new = {stem for stem in said - known if synonyms("en").get(stem, frozenset()).isdisjoint(known)}
    return len(new) >= _NEW or bool(_ASKS_WHAT.match(prompt) and new and said & wanted)
