"""Which sentences of a text another one has no trace of. Pure.

Sentences that stand in the rewrite word for word are set aside, with the words they use there: another sentence counts
as kept only by its traces in the rest of the rewrite.
"""

import difflib
import itertools
import re
from collections.abc import Iterator

from fipo_model.contract.asking import asks, asks_in, states
from fipo_model.contract.commitments import Commitment
from fipo_model.contract.names import missing_names, names
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, Sentence, Token
from fipo_model.contract.words import task_words, tasks

_LEAST_SHARE = 0.25  # of a sentence's words with a meaning
_LEAST_CLAUSE_SHARE = 0.2
_LONG_HEADING = 3
_MOST_ATTRIBUTES = 3
_CLAUSE = lazy(
    r"[,;:]\s(?:and|but|then|or|und|dann|et|puis|y|e|en|и)? ?|\b(?:and|then|und|et|y|и)\b(?: then| also)?"
    r"|\u3001|\uff0c|\u060c",
    re.IGNORECASE,
)
_CHATTER = frozenset(
    "hello hi hey thanks thank you in advance good morning evening day please help me i hope well dear assistant much "
    "very so hallo danke bitte bonjour merci hola gracias ciao grazie hoi привет спасибо".split()
)


def lost_sentences(naive: Reading, rewrite: Reading) -> list[Commitment]:
    """Sentences and clauses of a text of which another has no trace."""
    pending = [sentence for sentence in naive.sentences if not _stands_in(sentence.tokens, rewrite)]
    kept = [sentence for sentence in naive.sentences if sentence not in pending]
    available = _rest(rewrite, kept) | said_otherwise(naive, rewrite)
    lost = []
    for sentence in pending:
        if _is_chatter(sentence):
            continue
        content = sentence.content
        if not content:
            # Only function words ("Why?"): it may be anywhere in the new words, if there are any.
            if not available - naive.content and len(naive.sentences) > 1 and not _is_reworded(naive, rewrite):
                lost.append(_commitment(sentence))
            continue
        share = covered(content, available) / len(content)
        if len(naive.sentences) > 1 and share < _LEAST_SHARE and not _is_heading(sentence, naive):
            lost.append(_commitment(sentence))
            continue
        lost += _lost_clauses(naive, sentence, rewrite, available)
    return lost


def lost_attributes(naive: Reading, rewrite: Reading) -> list[Commitment]:
    """Words before a noun that say which one is meant: "a [machine learning] model", "a Unity [window] script".

    One is lost where its neighbours are adjacent in the rewrite, or where the rewrite has the noun and neither of two
    words before it. Without a lexicon nothing tells a noun from "is".
    """
    if not naive.lexicon.is_known:
        return []
    meet = {(a.stem, b.stem) for a, b in itertools.pairwise(rewrite.tokens) if a.is_content and b.is_content}
    lost = []
    for run in _runs_of_content(naive):
        for start, end in itertools.combinations(range(-1, len(run)), 2):
            between = run[start + 1 : end]
            if not between or len(between) > _MOST_ATTRIBUTES:
                continue
            is_squeezed = start >= 0 and (run[start].stem, run[end].stem) in meet
            is_bare = len(between) > 1 and run[end] is run[-1] and run[end].stem in rewrite.content
            missing = frozenset(token.stem for token in between if not token.text.endswith("ly"))
            least = 1 if is_squeezed else 2
            if (is_squeezed or is_bare) and len(missing) >= least and not covered(missing, rewrite.stems):
                span = (between[0].start, between[-1].end)
                lost.append(Commitment("sentence", naive.text[slice(*span)], span, naive.text[slice(*span)]))
    return lost[:1]


def _runs_of_content(reading: Reading) -> Iterator[list[Token]]:
    """Words of meaning with only a space or a hyphen between them, without the verb that begins a request."""
    for sentence in reading.sentences:
        run: list[Token] = []
        for token in sentence.tokens[1:]:
            is_attribute = token.is_content and token.text not in reading.lexicon.function and not token.text.isdigit()
            if run and not (is_attribute and reading.text[run[-1].end : token.start] in (" ", "-")):
                yield run
                run = []
            if is_attribute:
                run.append(token)
        yield run


def covered(wanted: frozenset[str], available: frozenset[str], *, characters: frozenset[str] = frozenset()) -> int:
    """How many stems of one set another has, allowing for a typo.

    In a script read in pairs of characters, a pair counts if its `characters` are all there, even apart.
    """
    missing = wanted - available
    found = len(wanted) - len(missing)
    found += sum(len(stem) == 2 and not stem.isascii() and characters.issuperset(stem) for stem in missing)
    return found + sum(bool(difflib.get_close_matches(stem, available, 1, 0.8)) for stem in missing if len(stem) > 3)


def _lost_clauses(naive: Reading, sentence: Sentence, rewrite: Reading, available: frozenset[str]) -> list[Commitment]:
    """Clauses of a sentence with two or more words of meaning, none of which is left."""
    end = sentence.tokens[-1].end
    cuts = [m.span() for m in _CLAUSE.finditer(naive.text, sentence.tokens[0].start, end)]
    starts = [sentence.tokens[0].start, *(stop for _, stop in cuts)]
    stops = [*(start for start, _ in cuts), end]
    lost = []
    for start, stop in zip(starts, stops, strict=True):
        tokens = tuple(token for token in sentence.tokens if start <= token.start < stop)
        content = frozenset(token.stem for token in tokens if token.is_content)
        meaning = [token for token in tokens if token.text not in naive.lexicon.function]
        if start != starts[0] and not _begins_a_clause(naive, tokens):
            continue
        least = 1 if asks_in(naive, start, stop) else 2
        if (
            len(tokens) < 3
            or len(meaning) < 2
            or len(content) < least
            or tokens[0].text in ("given", "based")
            or _points_ahead(naive, tokens)
            or _stands_in(tokens, rewrite)
        ):
            continue
        if covered(content, available) < _LEAST_CLAUSE_SHARE * len(content):
            lost.append(Commitment("sentence", naive.text[start:stop].strip(), (start, stop), naive.text[start:stop]))
    return lost


def _points_ahead(naive: Reading, tokens: tuple[Token, ...]) -> bool:
    """Whether a clause only announces what comes after its colon: "solve the following problem:"."""
    is_announcing = any(token.text in ("following", "this", "below") for token in tokens)
    return is_announcing and naive.text[tokens[-1].end :].lstrip().startswith(":")


def _begins_a_clause(naive: Reading, tokens: tuple[Token, ...]) -> bool:
    """Whether words after a comma or an "and" ask for something of their own."""
    return bool(tokens) and asks_in(naive, tokens[0].start, tokens[-1].end)


def _stands_in(tokens: tuple[Token, ...], text: Reading) -> bool:
    return f" {' '.join(token.text for token in tokens)} " in text.words


def _rest(rewrite: Reading, kept: list[Sentence]) -> frozenset[str]:
    """The stems of a rewrite outside the sentences that it took over."""
    if not kept:
        return rewrite.content
    words = rewrite.words
    stems = {token.text: token.stem for token in rewrite.tokens}
    for sentence in sorted(kept, key=lambda each: -len(each.tokens)):
        words = words.replace(f" {' '.join(token.text for token in sentence.tokens)} ", " \u2022 ", 1)
    return frozenset(stems[word] for word in words.split() if word in stems)


def _is_reworded(naive: Reading, rewrite: Reading) -> bool:
    """Whether the rewrite has any words that the prompt lacks."""
    return bool({token.text for token in rewrite.tokens} - {token.text for token in naive.tokens})


def said_otherwise(naive: Reading, rewrite: Reading) -> frozenset[str]:
    """Stems of one text that the other has in other words: abbreviations and tasks."""
    return _spelled_out(naive, rewrite) | _tasks_said_otherwise(naive, rewrite)


def _spelled_out(naive: Reading, rewrite: Reading) -> frozenset[str]:
    """Abbreviations of one text that the other spells out, and the other way round."""
    found = names(naive)
    missing = {name.key for name in missing_names(found, rewrite)}
    return frozenset(name.key for name in found if name.key not in rewrite.stems and name.key not in missing)


def _tasks_said_otherwise(naive: Reading, rewrite: Reading) -> frozenset[str]:
    """The stems of words for tasks that the rewrite asks for in another word: "debug" where it says "fix the bug"."""
    if not tasks(naive):
        return frozenset()
    asked = task_words(rewrite)
    spans = [task.span for task in tasks(naive) if task.key in asked]
    return frozenset(t.stem for t in naive.tokens for start, end in spans if start <= t.start < end)


def _is_heading(sentence: Sentence, text: Reading) -> bool:
    """ "Arithmetic exercise." asks for nothing and says nothing."""
    if len(sentence.tokens) >= _LONG_HEADING:
        return False
    piece = text.part(sentence.text)
    return not asks(piece) and not states(piece)


def _is_chatter(sentence: Sentence) -> bool:
    return {token.text for token in sentence.tokens} <= _CHATTER


def _commitment(sentence: Sentence) -> Commitment:
    end = sentence.tokens[-1].end
    return Commitment("sentence", sentence.text, (sentence.tokens[0].start, end), sentence.text)
