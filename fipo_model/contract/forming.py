"""Forms of output and manners that a rewrite brings in, or that contradict its prompt. Pure."""

from fipo_model.contract import labels, numbers, shown, words
from fipo_model.contract.case import Case
from fipo_model.contract.commitments import Commitment, invented
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import read

_SMALL_SIZES = {"sentence": 3, "line": 4, "word": 60}
_ELABORATION = lazy(r"(?<!not )(?<!n't )(?<!without )\b(?:explain\w*|describ\w+|elaborat\w+|background|discuss\w*)\b")
# With these a prompt asks only for something allowed.
_SCRUPLE = lazy(r"\b(?:legally|lawfully|ethically|morally|responsibly|legitimately)\b")
_ABOUT_CASE = lazy(
    r"\b(?:(?:upper|lower|title|swap|invert) ?-?case|case|caps|capitals?|capitali[sz]\w*|small letters|big letters)\b"
)
# "This one word" was named before, and "capital and small letters" asks for neither.
_NAMED_BEFORE = {
    "one word": (lazy(r"\b(?:this|that|the) $"), None),
    "lowercase": (lazy(r"\b(?:capitals?|upper[ -]?case) (?:and|or) $"), lazy(r" (?:and|or) (?:capital|upper)")),
    "uppercase": (lazy(r"\b(?:small|lower[ -]?case) (?:and|or) $"), lazy(r" (?:and|or) (?:small|lower)")),
}
_CLOSED = lazy(
    r"(?i)(?:^|: )\W{0,99}+(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|may"
    r"|ist|sind|war|hat|haben|kann|darf|est-(?:ce|il|elle)|c'est|es|está|hay|tiene|è|c'è|é|está|tem|heeft|kan)\b"
)
# "Do it" and "can you" ask for something to be done.
_REQUEST = lazy(r"(?i)\W*(?:do (?!(?:i|we|they|these|those|you)\b)|(?:can|could|will|would) you\b)")
_OPEN = lazy(
    r"(?i)\W*(?:what|which|who|whom|whose|where|when|why|how|was|welche\w*|wer|wo|wann|wie|warum|que|qué|cuál|quién|dónde"
    r"|cuándo|cómo|quel\w*|qui|où|quand|comment|combien|pourquoi|cosa|quale?|chi|dove|quando|come|perché|quant\w+|quem"
    r"|onde|como|wat|welke?|wanneer|hoe|waarom)\b"
)
_WHETHER = lazy(r"(?i)\b(?:whether|if (?=it|the|there|this|they))\b(?!.{0,60} or (?!not\b|no\b))|\bob\b|\bs[ei]\b")
_CHOICE = lazy(r"(?i)\b(?!yes\b|y\b)\w+ ?(?:/|\b(?:or|vs|oder|ou)\b) ?(?!not\b|no\b|n\b)\w+")
# "The JSON object" is the input, "as JSON" the output.
_ASKED_FOR = lazy(
    r"\b(?:(?<!parsed )(?<!read )as|in|into|to|outputs?|returns?|writes?|produces?|generates?|uses?|with)"
    r"(?: (?:an?|valid|only|one))* $"
)
_MOST_DIGITS = 9  # Python's numbers refuse thousands of them
_LONGEST_CHOICE = 6  # words


def formats_invented(case: Case) -> str | None:
    """A form of output that the prompt does not ask for, or that contradicts the one it does."""
    wanted = {each.key for each in words.formats(case.naive)}
    # A prompt of a word or two is taken to be in the language of the addition.
    given = read(case.given.text, case.added.language.likely)
    context = {each.key for each in words.formats(given)} | shown.formats_shown(case.request)
    if case.is_addition:
        context |= _forms_of_the_question(case)
    new = [each for each in words.formats(case.added) if each.key not in context and not _is_named_before(each, case)]
    inputs = shown.forms_of_inputs(case.request)
    new = [each for each in new if each.key not in inputs or _ASKED_FOR.search(case.added.lowered[: each.span[0]])]
    is_new_case = any(each.key in ("uppercase", "lowercase") for each in new)
    if is_new_case and _ABOUT_CASE.search(case.naive.lowered):
        new = [each for each in new if each.key not in ("uppercase", "lowercase")]
    if not case.is_addition and (labels.choices(case.naive) or _CLOSED.match(case.naive.text)):
        new = [each for each in new if each.key not in ("one word", "yes or no")]
    against = [each for each in new if each.key in words.EXCLUSIVE and wanted & words.EXCLUSIVE]
    against += [each for each in new if words.OPPOSITE_LAYOUTS.get(each.key) in wanted]
    return invented([*against, *(each for each in new if each.key in words.MACHINE_READ)])


def _is_named_before(each: Commitment, case: Case) -> bool:
    """Whether a form is only mentioned: "decide whether it is even or odd, and write that one word"."""
    before, after = _NAMED_BEFORE.get(each.key, (None, None))
    text, (start, end) = case.added.lowered, each.span
    if before is not None and before.search(text[:start]):
        return True
    return after is not None and after.match(text, end) is not None


def _forms_of_the_question(case: Case) -> set[str]:
    """The form of an answer to a hasty question: one of the words it names, or yes or no."""
    naive = case.request.instruction.strip(" \"'\u00bf")
    if len(naive.split()) <= _LONGEST_CHOICE and _CHOICE.search(naive):
        return {"one word"}
    return {"yes or no"} if _is_closed(naive, case) else set()


def _is_closed(naive: str, case: Case) -> bool:
    """Whether yes or no answers a prompt ("leap year?", "is it one"), as the addition understands it or as it says."""
    if _REQUEST.match(naive) or _OPEN.match(naive):
        return False
    if _CLOSED.match(naive) or naive.endswith((" y/n", " j/n")):
        return True
    asked = [sentence for sentence in case.added.sentences if _asks_whether(sentence.text)]
    if naive.endswith("?"):
        return bool(asked)
    # "Still heads up": the question is everything that the prompt says.
    said = {token.stem for sentence in asked for token in sentence.tokens}
    wanted = {token.stem for token in case.naive.tokens}
    return len(wanted) > 1 and wanted <= said


def _asks_whether(sentence: str) -> bool:
    return _WHETHER.search(sentence) is not None or (
        sentence.rstrip().endswith("?") and _CLOSED.search(sentence) is not None
    )


def manner_contradicted(case: Case) -> str | None:
    """The opposite of the length or the tone that the prompt asks for."""
    wanted = {each.key for each in words.manners(case.naive)}
    brief = {each.key for each in words.formats(case.naive)} & {"one word", "yes or no", "one sentence", "one letter"}
    if brief or any(map(_is_small_size, numbers.numbers(case.naive))):
        wanted |= {"short"}
    elaborates = _ELABORATION.search(case.added.lowered) if case.is_addition else None
    if elaborates and (brief & {"one word", "yes or no", "one letter"} or "nothing else" in case.naive.lowered):
        return f"asks for more than the prompt wants: {elaborates[0]!r}"
    found = [each for each in words.manners(case.added) if each.key not in wanted]
    # "Is it formal or informal?" asks which it is, and for neither tone.
    named = {each.key for each in words.manners(case.added)}
    found = [each for each in found if words.OPPOSITES.get(each.key) not in named or not labels.choices(case.added)]
    if (scruple := _SCRUPLE.search(case.added.lowered)) is not None and scruple[0] not in case.given.lowered:
        return f"invented {scruple[0]!r}"
    return invented(each for each in found if words.OPPOSITES.get(each.key) in wanted)


def _is_small_size(number: numbers.Number) -> bool:
    """Whether it makes an output short: "in two sentences", "in 30 words"."""
    most = _SMALL_SIZES.get(number.unit or "", 0)
    return number.value.isdigit() and len(number.value) < _MOST_DIGITS and 0 < int(number.value) <= most
