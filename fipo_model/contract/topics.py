"""What a text is about: its words of meaning outside of addresses and code. Pure."""

from fipo_model.contract.blanking import blanked
from fipo_model.contract.case import Case
from fipo_model.contract.coverage import covered, said_otherwise
from fipo_model.contract.listing import commitments
from fipo_model.contract.reading import Reading, read

# A rewrite that keeps fewer of the naive prompt's content words than this is about something else.
_LEAST_TOPIC_SHARE = 0.25
_LEAST_TOPIC = 2


def off_topic(case: Case) -> str | None:
    """How few of the prompt's words of meaning a full rewrite has."""
    naive = _topic_of(case.naive)
    if len(naive & _prose_words(case.rewrite)) >= max(1, _LEAST_TOPIC_SHARE * len(naive)):
        return None
    # Where there is hardly a word beside code or an address, the prompt is about that, which its own rule keeps.
    is_about_literals = len(naive) < _LEAST_TOPIC and any(
        each.kind in ("code", "url", "variable", "quotation", "path") for each in commitments(case.naive.text)
    )
    if not naive or case.is_addition or is_about_literals:
        return None
    available = _prose_words(case.rewrite) | said_otherwise(case.naive, case.rewrite)
    kept = covered(naive, available, characters=frozenset(case.rewrite.text))
    if kept >= _LEAST_TOPIC_SHARE * len(naive):
        return None
    few = f"only {kept} of the {len(naive)}" if kept else "none of the"
    return f"has {few} words that say what your prompt is about"


def _topic_of(reading: Reading) -> frozenset[str]:
    """The content words outside of addresses and code; numbers only where there is hardly a word."""
    words = _prose_words(reading)
    spelled = frozenset(word for word in words if not word.isdigit())
    return spelled if len(spelled) > 1 else words


def _prose_words(reading: Reading) -> frozenset[str]:
    prose = blanked(reading)
    return frozenset(token.stem for token in reading.tokens if token.is_content and not prose[token.start].isspace())


def topic(text: str) -> frozenset[str]:
    """The content words of a text, as stems."""
    return _topic_of(read(text))
