"""All commitments of a text, and which kinds cannot be read in its language. Pure."""

from collections.abc import Iterable

from fipo_model.contract import alternatives, examples, labels, literals, markers, names, numbers, variables, words
from fipo_model.contract.commitments import Commitment
from fipo_model.contract.languages import CASED
from fipo_model.contract.reading import Reading, read


def commitments(text: str) -> list[Commitment]:
    """Everything a text commits its reader to, in the order in which it stands there."""
    reading = read(text)
    documents = examples.documents(text)
    not_prose = [*documents, *literals.code(text), *literals.code_lines(text)]
    found = [
        *variables.variables(text),
        *literals.tokens(text),
        *literals.tags(text),
        *literals.urls(text),
        *literals.emails(text),
        *literals.paths(text),
        *literals.handles(text),
        *literals.identifiers(text),
        *literals.code(text),
        *literals.quotations(text),
        *(number.as_commitment() for number in numbers.numbers(reading)),
        *(marker.as_commitment(text) for marker in markers.markers(reading)),
        *names.names(reading),
        *names.named_languages(reading),
        *labels.choices(reading),
        *(each for each in alternatives.listed_labels(reading) if not _is_within(each, not_prose)),
        *labels.line_labels(text),
        *words.formats(reading),
        *words.manners(reading),
        *words.tasks(reading),
        *examples.examples(text),
        *documents,
    ]
    return sorted(dict.fromkeys(found), key=lambda each: each.span)


def _is_within(one: Commitment, others: Iterable[Commitment]) -> bool:
    return any(other.span[0] <= one.span[0] and one.span[1] <= other.span[1] for other in others)


def unchecked(text: str) -> tuple[str, ...]:
    """In words, what cannot be checked in a text because its language or script does not show it."""
    reading = read(text)
    if reading.language.script is None:
        return ()
    missing = []
    lexicon = reading.lexicon
    if not lexicon.is_known:
        missing += ["requests and statements", "negations", "bounds", "number words"]
    if not lexicon.formats:
        missing.append("output formats")
    if not lexicon.manners:
        missing.append("length and tone")
    if reading.language.script not in CASED or reading.language.likely in ("de", "lb"):
        missing.append("names")
    if _has_no_sure_language(reading):
        missing.append("language")
    return tuple(missing)


def _has_no_sure_language(reading: Reading) -> bool:
    return reading.language.code is None and len(reading.tokens) > 3
