"""What a rewrite may not lose, invent or give away: the rules, and the verdict on one rewrite. Pure.

A rule is one record: the outcome it leads to, words for people, and a check that says what is wrong, or None. What a
prompt commits its reader to is read in `contract`. The rules are strict: a good rewrite that is turned down costs an
opportunity, and may still be offered as an addition (`as_addition`); a bad one that is let through costs the prompt.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fipo_model.contract import (
    claims,
    conditions,
    excluding,
    formed,
    forming,
    inventing,
    keeping,
    places,
    relating,
    topics,
    unchecked,
    wording,
)
from fipo_model.contract.answering import answered
from fipo_model.contract.case import Case
from fipo_model.contract.commitments import listed
from fipo_model.contract.leaking import Use, given_away
from fipo_model.contract.patterns import lazy
from fipo_model.contract.repeating import copies, first_copy, is_repetitive, words_of
from fipo_model.contract.shown import labels_shown
from fipo_model.errors import InputError
from fipo_model.types import Candidate, OptimizationRequest, Outcome, count_words

# Words in a row that two texts share before one is called a copy of the other; contexts hold field descriptions and
# set phrases a rewrite may use, so more is allowed there.
_COPIED_WORDS = 8
_COPIED_CONTEXT_WORDS = 13
# A run of the golden response gives it away only by this many content words that the naive prompt does not have.
_NEW_WORDS = 5
# A full rewrite may be a sentence or two longer than the limit that a prompt's length sets.
_SPARE_WORDS = 60

_META_TALK = (
    *("naive prompt", "silver response", "golden response"),
    *("original prompt", "rewritten prompt", "rewritten version"),
)
_REWRITES = lazy(r"\brewrite\b")
_PROMPT_TALK = ("this prompt", "the prompt is")  # about another prompt where the naive one is about prompts
_MOST_ADDED_WORDS = 200


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a rewrite may not do."""

    outcome: Outcome
    words: str
    """What a rewrite of this outcome does, for people: "the rewrite …"."""
    check: Callable[[Case], str | None]

    def objection(self, rewrite: str, request: OptimizationRequest) -> str | None:
        """What is wrong with a rewrite by this rule alone, in words, or None."""
        return self.check(Case(rewrite, request))


class Headers(Protocol):
    """The part of a template that `check` needs: the lines by which it announces its parts, in lower case."""

    @property
    def headers(self) -> frozenset[str]: ...


def _empty(case: Case) -> str | None:
    return None if case.rewrite_text.strip() else "the model replied with nothing"


def _answered(case: Case) -> str | None:
    """Whether it answers the prompt, by its form or because it says what the silver response does."""
    if (answer := answered(case)) is not None:
        return answer
    copied = first_copy(case.added.text, case.request.silver_response or "", case.material, _COPIED_WORDS)
    return f"repeats the silver response: {copied!r}" if copied else None


def _golden_leaked(case: Case) -> str | None:
    """The paper's "cheating notes" (section "Limitations")."""
    return golden_leaked(case.rewrite_text, case.request)


def golden_leaked(rewrite: str, request: OptimizationRequest) -> str | None:
    """The rewrite gives the golden response away: the paper's "cheating notes" (section "Limitations")."""
    golden = (request.golden_response or "").strip()
    if not golden:
        return None
    if re.fullmatch(r"\(?[A-Za-z]\)?\.?", golden):
        # A bare option letter is also a word; it counts as given away only where the rewrite calls it the answer.
        letter = re.escape(golden.strip("()."))
        said = re.search(rf"(?:(?i:answer|option|choice)\W+(?:(?i:is)\W+)?|\()\(?{letter}\b(?!\w)", rewrite)
        return f"says that the answer is {golden!r}" if said and said[0] not in _material(request) else None
    words = min(_COPIED_WORDS, len(words_of(golden)))
    known = set(words_of(_material(request)))
    for copied in copies(rewrite, golden, _material(request), words) if words else ():
        new = {word for word in copied.split() if word not in known}
        if len(new) >= min(_NEW_WORDS, words) or (words < _COPIED_WORDS and new):
            return f"contains the golden response: {copied!r}"
    return None


def _example_leaked(case: Case) -> str | None:
    """A rewrite serves all inputs of its kind, so it must not have what only one of them has."""
    shown = case.request.examples
    if not shown:
        return None
    uses = [Use(input=each.input, outputs=() if each.output is None else (each.output,)) for each in shown]
    before = f"{case.material}\n{case.request.feedback or ''}"
    return given_away(case.added.text, before, uses, labels_shown(case.added.text, case.request))


def _context_copied(case: Case) -> str | None:
    copied = first_copy(case.added.text, case.request.context or "", case.request.instruction, _COPIED_CONTEXT_WORDS)
    return f"repeats the context: {copied!r}" if copied else None


def _order_changed(case: Case) -> str | None:
    return keeping.variables_swapped(case) or places.exchanged(case) or conditions.condition_changed(case)


def _repetitive(case: Case) -> str | None:
    own = "" if case.is_addition else case.request.instruction
    if not is_repetitive(case.added.text, own) or is_repetitive(case.request.instruction):
        return None
    return "repeats itself"


def _lost_nothing_if_added(rule: Rule) -> Rule:
    """The rule with an exemption for additions: after the whole prompt nothing can be lost."""
    if not rule.outcome.endswith("_lost") or rule.outcome == "label_lost":  # which may be missing from a new choice
        return rule
    return replace(rule, check=lambda case: None if case.is_addition else rule.check(case))


RULES: dict[Outcome, Rule] = {
    rule.outcome: _lost_nothing_if_added(rule)
    for rule in (
        Rule("empty", "is empty", _empty),
        Rule("input_requested", "asks you for the input, for details or about yourself", inventing.input_requested),
        Rule("language_changed", "is not in your prompt's language", inventing.language_changed),
        Rule(
            "golden_leaked",
            "gives away the golden response or, in DSPy, names only some of a `Literal`'s values",
            _golden_leaked,
        ),
        Rule("example_leaked", "names a detail or the right output of an example it was shown", _example_leaked),
        Rule("context_copied", "repeats the context, which follows it anyway", _context_copied),
        Rule(
            "answered",
            'answers the prompt, or states facts where it should ask for something, even after "bear in mind that"',
            _answered,
        ),
        Rule("placeholder_lost", "lacks a variable or a slot to fill", keeping.variables_lost),
        Rule(
            "placeholder_invented",
            "has a variable that nobody will fill, or points to a part that need not be there",
            inventing.variables_invented,
        ),
        Rule("placeholder_doubled", "has a variable more often than your prompt does", inventing.variables_doubled),
        Rule(
            "order_changed",
            "swaps two words that stand for different parts, or changes a quantifier or a condition",
            _order_changed,
        ),
        Rule("literal_lost", "lacks text that you named in `keep=`", keeping.literal_lost),
        Rule("url_lost", "lacks or changes a web address", keeping.urls_lost),
        Rule("email_lost", "lacks or changes an e-mail address", keeping.emails_lost),
        Rule("code_lost", "lacks or changes code, a formula or an identifier", keeping.code_lost),
        Rule("quotation_lost", "lacks or changes a quotation", keeping.quotations_lost),
        Rule("number_lost", "lacks or changes a number, its unit or what it counts", keeping.numbers_lost),
        Rule("too_long", "exceeds the word limit", lambda case: _too_long(case, _MOST_ADDED_WORDS)),
        Rule("repetitive", "repeats itself", _repetitive),
        Rule("off_topic", "shares hardly any content words with your prompt", topics.off_topic),
        Rule("token_lost", "lacks a control token, a tag or an emoji", keeping.tokens_lost),
        Rule("path_lost", "lacks or changes a file, a path, a @handle or a #tag", keeping.paths_lost),
        Rule(
            "example_lost",
            "lacks or changes an example or a document from your prompt",
            keeping.examples_lost,
        ),
        Rule("negation_lost", "lacks a negation, so it says the opposite", keeping.negations_lost),
        Rule(
            "bound_lost", "lacks a bound: at least, at most, only, exactly, except, before, after", keeping.bounds_lost
        ),
        Rule("language_lost", "lacks a language that your prompt names", keeping.languages_lost),
        Rule("name_lost", "lacks or changes a name, or no longer asks the model about itself", keeping.names_lost),
        Rule(
            "label_lost",
            "lacks a label, a line's heading or a word in capitals, or offers only some of the labels",
            keeping.labels_lost,
        ),
        Rule(
            "format_lost", "lacks the form of the output: one word, yes or no, JSON, a table, …", keeping.formats_lost
        ),
        Rule("manner_lost", "lacks the length or the tone your prompt asks for", keeping.manner_changed),
        Rule(
            "task_lost",
            "does not ask to summarize, translate, … as your prompt does, or asks another question",
            keeping.task_lost,
        ),
        Rule("sentence_lost", "has no trace of a sentence in your prompt, or of part of one", keeping.sentences_lost),
        Rule(
            "number_invented",
            "has a number that you did not give, or that contradicts the list beside it",
            inventing.numbers_invented,
        ),
        Rule(
            "negation_invented",
            "denies what your prompt says, reverses a bound, an order or a word, or asks for what your prompt excludes",
            inventing.negations_invented,
        ),
        Rule("language_invented", "names a language that you did not name", inventing.languages_invented),
        Rule("name_invented", "has a name that you did not give", inventing.names_invented),
        Rule("label_invented", "has an extra label to choose from", inventing.labels_invented),
        Rule("format_invented", "asks for a form of output that your prompt does not have", forming.formats_invented),
        Rule(
            "form_contradicted",
            "asks for a form that the right outputs shown do not have, or that types or a schema fix otherwise",
            lambda case: claims.forms_contradicted(case) or formed.forms_fixed_otherwise(case),
        ),
        Rule("manner_contradicted", "asks for the opposite length or tone", forming.manner_contradicted),
        Rule("task_invented", "adds a task that has nothing to do with your prompt", relating.unrelated_task),
    )
}
"""Every rule by the outcome it leads to, in the order they are asked; the first that objects decides."""

OTHER_OUTCOMES: dict[Outcome, str] = {
    "optimized": "passed every check, and the judge, if there is one",
    "unchanged": "is your prompt, or adds no word to it",
    "truncated": "was cut off, or may be unfinished",
    "refused": "does not exist, because the model, its server or a filter refused; the detail quotes the refusal",
    "template_echoed": "repeats FIPO's own template or talks about prompts",
    "uncertain": "is a guess: the rewriter itself finds it unlikely",
    "not_preferred": "was not preferred to your prompt by the judge in both orders",
}
"""What the outcomes that are no rule's mean, for people: "the rewrite …"."""


@dataclass(frozen=True, slots=True)
class FidelitySettings:
    """Which rules are enforced. Empty, truncated and template-echoing rewrites are never accepted."""

    enforced: frozenset[Outcome] = frozenset(RULES)
    most_added_words: int = _MOST_ADDED_WORDS
    """How long an addition to the prompt may be, where the request sets no `max_words` of its own."""
    strict_wording: bool = False
    """Whether a full rewrite must have every English word of meaning, or a synonym, and hardly a new one.

    For models that nobody trained to rewrite. What is refused for it alone becomes an addition, if it may be one.
    """
    may_repeat: bool = False
    """Whether an addition may consist of the prompt's own words.

    Otherwise such a prompt is unchanged: said twice, it helps hardly any model but the one whose rewards taught that.
    """

    def __post_init__(self) -> None:
        if unknown := set(self.enforced) - set(RULES):
            raise InputError(f"there is no fidelity rule {listed(unknown)}; the rules are {', '.join(RULES)}")

    @property
    def noted(self) -> dict[str, Any]:
        """What a job records of these settings if they are not the defaults."""
        most = self.most_added_words
        off = sorted(set(RULES) - self.enforced)
        return {
            "rules_off": off or None,
            "most_added_words": None if most == _MOST_ADDED_WORDS else most,
            "may_repeat": self.may_repeat or None,
        }

    def without(self, *outcomes: Outcome) -> "FidelitySettings":
        """These settings with some rules turned off, by name."""
        if unknown := set(outcomes) - set(RULES):
            raise InputError(f"there is no fidelity rule {listed(unknown)}; the rules are {', '.join(RULES)}")
        return replace(self, enforced=self.enforced - set(outcomes))


def check(rewrite: str, request: OptimizationRequest, settings: FidelitySettings, template: Headers) -> Candidate:
    """The rewrite as a candidate whose outcome is "optimized" if no enforced rule objects, else the rule's name."""
    if rewrite.split() == request.instruction.split():
        return Candidate(text=rewrite, outcome="unchanged", detail="the rewriter had nothing to add")
    if (header := _echoed_header(rewrite, request, template)) is not None:
        return Candidate(text=rewrite, outcome="template_echoed", detail=f"contains {header!r}")
    case = Case(rewrite, request)
    # What is too long anyway need not be read for what to cut.
    for shortened, said in _SHORTENED if _too_long(case, settings.most_added_words) is None else ():
        if (shorter := shortened(case, settings)) is not None:
            found = check(shorter, request, settings, template)
            return replace(found, detail=said) if found.outcome == "optimized" else found
    for outcome, rule in RULES.items():
        if outcome != "empty" and outcome not in settings.enforced:
            continue
        detail = _too_long(case, settings.most_added_words) if outcome == "too_long" else rule.check(case)
        if detail is not None:
            return Candidate(text=rewrite, outcome=outcome, detail=detail)
    if settings.strict_wording and not case.is_addition and (reworded := wording.reworded(case.naive, case.rewrite)):
        return _added_instead(rewrite, request, settings, template, reworded)
    if not settings.may_repeat and case.is_addition and _only_repeats(case):
        return Candidate(text=rewrite, outcome="unchanged", detail="the rewriter only said your prompt again")
    return Candidate(text=rewrite, outcome="optimized", unchecked=unchecked(request.instruction))


def _without_form(case: Case, settings: FidelitySettings) -> str | None:
    return formed.without_form(case) if "form_contradicted" in settings.enforced else None


def _without_exclusions(case: Case, settings: FidelitySettings) -> str | None:
    return excluding.without_exclusions(case) if "negation_invented" in settings.enforced else None


# What is cut from an addition before a rule objects to it, and what is said then.
_SHORTENED = (
    (_without_exclusions, "without what it would leave out, of which nobody spoke"),
    (_without_form, "without what it said of the form"),
)


def _only_repeats(case: Case) -> bool:
    """Whether an addition has words, and each of them is in the prompt."""
    said, added = (set(re.findall(r"\w+", reading.text.casefold())) for reading in (case.naive, case.added))
    return bool(added) and added <= said


def _added_instead(
    rewrite: str, request: OptimizationRequest, settings: FidelitySettings, template: Headers, reworded: str
) -> Candidate:
    """A rewrite in too many words of its own, put after its whole prompt; refused where that fails the checks, too."""
    addition = check(as_addition(rewrite, request), request, settings, template)
    if addition.outcome == "optimized":
        return replace(addition, detail=f"an addition, since the rewrite {reworded}")
    return Candidate(text=rewrite, outcome="sentence_lost", detail=reworded)


def as_addition(rewrite: str, request: OptimizationRequest) -> str:
    """A full rewrite that was refused, as an addition to the whole prompt, to be checked as such: nothing is lost then.

    Rewrites of a prompt with variables would bring those twice, and `check` refuses them again.
    """
    return f"{request.instruction}\n\n{rewrite.strip()}"


def _too_long(case: Case, most_added: int) -> str | None:
    words, limit = count_words(case.rewrite_text), case.request.word_limit
    if case.request.max_words is None:
        limit = count_words(case.request.instruction) + max(most_added, limit) if case.is_addition else limit
        limit = limit if case.is_addition else max(limit, 2 * count_words(case.request.instruction) + _SPARE_WORDS)
    return f"has {words} words; the limit is {limit}" if words > limit else None


def _echoed_header(rewrite: str, request: OptimizationRequest, template: Headers) -> str | None:
    lowered, naive = rewrite.lower(), request.instruction.lower()
    here = [header for header in sorted(template.headers) if header in lowered and header not in naive]
    found = (header for header in here if re.search(rf"\b{re.escape(header)}\s*:", lowered))
    if (header := next(found, None)) is not None:
        return header
    # Talk about the rewriting has no business in a rewrite, unless the prompt itself is about prompts.
    if _REWRITES.search(lowered):  # "Rewrite it, and return only the rewritten version."
        naive += " rewritten version"
    phrases = _META_TALK if re.search(r"\bprompts?\b", naive) else (*_META_TALK, *_PROMPT_TALK)
    return next((phrase for phrase in phrases if phrase in lowered and phrase not in naive), None)


def _material(request: OptimizationRequest) -> str:
    return f"{request.instruction}\n{request.context or ''}"
