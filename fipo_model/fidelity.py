"""What a rewrite may not lose, invent or give away. Pure.

Each rule is a small function that carries the name of the outcome it leads to: it looks at a rewrite and its request,
and returns what is wrong, in words, or None. The rules are deliberately strict. A good rewrite that is turned down
costs an opportunity; a bad one that is let through costs the user's prompt.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from fipo_model import literals
from fipo_model.asking import asks
from fipo_model.errors import InputError
from fipo_model.types import Candidate, OptimizationRequest, Outcome, count_words

# Words in a row that two texts share before one is called a copy of the other; contexts hold field descriptions and
# set phrases a rewrite may use, so more is allowed there.
_COPIED_WORDS = 8
_COPIED_CONTEXT_WORDS = 12
# A run of the golden response gives it away only by what the naive prompt does not say: so many content words of it.
_NEW_WORDS = 5
# A rewrite that keeps fewer of the naive prompt's content words than this is about something else.
_LEAST_TOPIC_SHARE = 0.25
_LEAST_DISTINCT_TRIGRAMS = 0.6
_SHORTEST_REPETITION = 30
_SAME_LINES = 3

_TOPIC_WORD = re.compile(r"[A-Za-z\u00c0-\u024f\u0370-\u052f]{4,}")  # alphabets with spaces between words
_WORDS = re.compile(r"\w+")
_COMMON_WORDS = frozenset(
    "about also answer could each following from gives give have here into like make more need please prompt provide "
    "question should some tell text than that their them then there these they thing things this those using want what "
    "when where which will with would write your".split()
)
_REPLY_OPENING = re.compile(
    r"(?i)(?:sure|certainly|of course|absolutely)\b[,!.]|(?:here (?:is|are)|here's)\b|i(?:'m| am) sorry\b|as an ai\b"
    r"|i (?:cannot|can't|can help|would be happy)\b|thank you for\b"
)
_META_TALK = (
    *("naive prompt", "silver response", "golden response"),
    *("original prompt", "rewritten prompt", "rewritten version"),
)
_PROMPT_TALK = ("this prompt", "the prompt is")  # said of another prompt where the naive one is about prompts
# At the beginning of a sentence: "make sure the answer is a number" states none.
_STATED_ANSWER = re.compile(
    r"(?im)(?:^|[.!?]\s)[^\w\n]*((?:(?:so|thus|hence|therefore),? )?"
    r"(?:the|final|correct|right) (?:final |correct |right )?answer (?:is|:))"
)

Rule = Callable[[str, OptimizationRequest], str | None]


class Headers(Protocol):
    """The part of a template that `check` needs: the lines by which it announces its parts, in lower case."""

    @property
    def headers(self) -> frozenset[str]: ...


def empty(rewrite: str, request: OptimizationRequest) -> str | None:
    """The model said nothing."""
    return None if rewrite.strip() else "the model replied with nothing"


def answered(rewrite: str, request: OptimizationRequest) -> str | None:
    """The rewrite replies to the prompt instead of asking it better. Recognised by form, so not every answer is."""
    known = _given(request)
    rewrite = _added(rewrite, request)
    if (opening := _REPLY_OPENING.match(rewrite)) and opening[0].lower() not in request.instruction.lower():
        return f"begins like a reply: {opening[0]!r}"
    if (stated := _STATED_ANSWER.search(rewrite)) and stated[1].lower() not in known.lower():
        return f"states an answer: {stated[1]!r}"
    if asks(request.instruction) and not asks(rewrite):
        return "asks for nothing, though the prompt does"
    if "```" in rewrite and not re.search("```|~~~", request.instruction):
        return "brings a code block the prompt does not have"
    if request.silver_response and (copied := _copied(rewrite, request.silver_response, known, _COPIED_WORDS)):
        return f"repeats the silver response: {copied!r}"
    return None


def placeholder_lost(rewrite: str, request: OptimizationRequest) -> str | None:
    """A template variable of the instruction is missing."""
    return _missing(literals.placeholders(request.instruction), set(literals.placeholders(rewrite)))


def placeholder_invented(rewrite: str, request: OptimizationRequest) -> str | None:
    """A template variable appeared that nobody will fill."""
    invented = set(literals.placeholders(rewrite)) - set(literals.placeholders(request.instruction))
    return f"invented {_listed(invented)}" if invented else None


def literal_lost(rewrite: str, request: OptimizationRequest) -> str | None:
    """A literal the caller asked to keep is missing."""
    return _missing(request.keep, rewrite)


def url_lost(rewrite: str, request: OptimizationRequest) -> str | None:
    """A web address is missing or changed."""
    return _missing(literals.urls(request.instruction), set(literals.urls(rewrite)))


def email_lost(rewrite: str, request: OptimizationRequest) -> str | None:
    """An e-mail address is missing or changed."""
    return _missing(literals.emails(request.instruction), set(literals.emails(rewrite)))


def code_lost(rewrite: str, request: OptimizationRequest) -> str | None:
    """A code block or inline code is missing or changed."""
    return _missing_words(literals.code(request.instruction), rewrite)


def quotation_lost(rewrite: str, request: OptimizationRequest) -> str | None:
    """A quoted string is missing or changed; the kind of quotation mark and the final punctuation may change."""
    return _missing_words(literals.quotations(request.instruction), rewrite)


def number_lost(rewrite: str, request: OptimizationRequest) -> str | None:
    """A number is missing or changed; separators of thousands may come and go."""
    return _missing(literals.numbers(request.instruction), set(literals.numbers(rewrite)))


def golden_leaked(rewrite: str, request: OptimizationRequest) -> str | None:
    """The rewrite gives the golden response away: the paper's "cheating notes" (section "Limitations")."""
    golden = (request.golden_response or "").strip()
    if not golden:
        return None
    if re.fullmatch(r"\(?[A-Za-z]\)?\.?", golden):
        # A bare option letter is also a word; it is given away only where it is said to be the answer.
        letter = re.escape(golden.strip("()."))
        said = re.search(rf"(?:(?i:answer|option|choice)\W+(?:(?i:is)\W+)?|\()\(?{letter}\b(?!\w)", rewrite)
        return f"says that the answer is {golden!r}" if said and said[0] not in _given(request) else None
    words = min(_COPIED_WORDS, len(_WORDS.findall(golden)))
    known = set(_WORDS.findall(_given(request).lower()))
    for copied in _copies(rewrite, golden, _given(request), words) if words else ():
        new = {word for word in copied.split() if word not in known}
        if len(new) >= min(_NEW_WORDS, words) or (words < _COPIED_WORDS and new):
            return f"contains the golden response: {copied!r}"
    return None


def context_copied(rewrite: str, request: OptimizationRequest) -> str | None:
    """The rewrite repeats the context, which will follow it anyway."""
    copied = _copied(rewrite, request.context or "", request.instruction, _COPIED_CONTEXT_WORDS)
    return f"repeats the context: {copied!r}" if copied else None


def off_topic(rewrite: str, request: OptimizationRequest) -> str | None:
    """The rewrite shares hardly a content word with the naive prompt."""
    naive, new = topic(request.instruction), topic(rewrite)
    if not naive or len(naive & new) >= _LEAST_TOPIC_SHARE * len(naive):
        return None
    return f"keeps {len(naive & new)} of the prompt's {len(naive)} content words"


def too_long(rewrite: str, request: OptimizationRequest) -> str | None:
    """The rewrite exceeds the word limit."""
    words = count_words(rewrite)
    return f"{words} words, the limit is {request.word_limit}" if words > request.word_limit else None


def repetitive(rewrite: str, request: OptimizationRequest) -> str | None:
    """The rewrite goes round in circles, more so than the naive prompt does."""
    if _is_repetitive(request.instruction):
        return None
    return "repeats itself" if _is_repetitive(_added(rewrite, request)) else None


RULES: dict[Outcome, Rule] = {
    "empty": empty,
    "answered": answered,
    "placeholder_lost": placeholder_lost,
    "placeholder_invented": placeholder_invented,
    "literal_lost": literal_lost,
    "url_lost": url_lost,
    "email_lost": email_lost,
    "code_lost": code_lost,
    "quotation_lost": quotation_lost,
    "number_lost": number_lost,
    "golden_leaked": golden_leaked,
    "context_copied": context_copied,
    "too_long": too_long,
    "repetitive": repetitive,
    "off_topic": off_topic,
}
"""Every rule by the outcome it leads to, in the order they are asked; the first that objects decides."""


@dataclass(frozen=True, slots=True)
class FidelitySettings:
    """Which rules are enforced. Empty, truncated and template-echoing rewrites are never accepted."""

    enforced: frozenset[Outcome] = frozenset(RULES)

    def __post_init__(self) -> None:
        if unknown := set(self.enforced) - set(RULES):
            raise InputError(f"there is no fidelity rule {_listed(unknown)}; the rules are {', '.join(RULES)}")

    def without(self, *outcomes: Outcome) -> "FidelitySettings":
        """These settings with some rules turned off, by name."""
        if unknown := set(outcomes) - set(RULES):
            raise InputError(f"there is no fidelity rule {_listed(unknown)}; the rules are {', '.join(RULES)}")
        return FidelitySettings(self.enforced - set(outcomes))


def check(rewrite: str, request: OptimizationRequest, settings: FidelitySettings, template: Headers) -> Candidate:
    """The rewrite as a candidate whose outcome is "optimized" if no enforced rule objects, else the rule's name."""
    if rewrite.split() == request.instruction.split():
        return Candidate(text=rewrite, outcome="unchanged", detail="the model left the prompt as it is")
    if (header := _echoed_header(rewrite, request, template)) is not None:
        return Candidate(text=rewrite, outcome="template_echoed", detail=f"contains {header!r}")
    for outcome, rule in RULES.items():
        if (outcome == "empty" or outcome in settings.enforced) and (detail := rule(rewrite, request)):
            return Candidate(text=rewrite, outcome=outcome, detail=detail)
    return Candidate(text=rewrite, outcome="optimized")


def _echoed_header(rewrite: str, request: OptimizationRequest, template: Headers) -> str | None:
    lowered, naive = rewrite.lower(), request.instruction.lower()
    found = (h for h in sorted(template.headers) if re.search(rf"\b{re.escape(h)}\s*:", lowered) and h not in naive)
    if (header := next(found, None)) is not None:
        return header
    # Talk about the rewriting has no business in a rewrite, unless the prompt itself is about prompts.
    phrases = _META_TALK if re.search(r"\bprompts?\b", naive) else (*_META_TALK, *_PROMPT_TALK)
    return next((phrase for phrase in phrases if phrase in lowered and phrase not in naive), None)


def _added(rewrite: str, request: OptimizationRequest) -> str:
    """What a rewrite adds after the whole prompt and an empty line, which may well say it again; else the rewrite."""
    return rewrite.removeprefix(f"{request.instruction}\n\n")


def _given(request: OptimizationRequest) -> str:
    return f"{request.instruction}\n{request.context or ''}"


def _missing(expected: Iterable[str], found: str | set[str]) -> str | None:
    lost = list(dict.fromkeys(item for item in expected if item and item not in found))
    return f"lost {_listed(lost)}" if lost else None


def _missing_words(expected: list[str], text: str) -> str | None:
    return _missing(expected, {item for item in expected if literals.holds(text, item)})


def _listed(items: Iterable[str]) -> str:
    shown = [item if len(item) <= 60 else f"{item[:57]}..." for item in items]
    return ", ".join(map(repr, shown[:5])) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def topic(text: str) -> set[str]:
    """The content words of a text, by their first five letters."""
    # Five letters stand for a word, so that "classify" and "classification" count as one.
    words = (word.lower() for word in _TOPIC_WORD.findall(literals.PLACEHOLDER.sub(" ", text)))
    return {word[:5] for word in words if word not in _COMMON_WORDS}


def _copied(text: str, source: str, allowed: str, length: int) -> str | None:
    return next(iter(_copies(text, source, allowed, length)), None)


def _copies(text: str, source: str, allowed: str, length: int) -> list[str]:
    """The runs of `length` words that `text` takes from `source` and that `allowed` does not have."""

    def runs(of: str) -> dict[tuple[str, ...], str]:
        words = _WORDS.findall(of.lower())
        return {tuple(words[i : i + length]): " ".join(words[i : i + length]) for i in range(len(words) - length + 1)}

    legitimate = runs(allowed)
    taken = runs(source)
    return [run for key, run in runs(text).items() if key in taken and key not in legitimate]


def _is_repetitive(text: str) -> bool:
    lines = Counter(line.strip() for line in text.splitlines() if count_words(line) > 2)
    if lines and max(lines.values()) >= _SAME_LINES:
        return True
    words = _WORDS.findall(text.lower())
    if len(words) < _SHORTEST_REPETITION:
        return False
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(trigrams)) < _LEAST_DISTINCT_TRIGRAMS * len(trigrams)
