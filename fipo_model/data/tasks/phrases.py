"""Phrases of training targets that turn up where nothing calls for them: what narrow training looks like. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from fipo_model.contract.stemming import stems_of

_WORD = re.compile(r"\w+")
# So many words in a row are a phrase that was learnt, not words that meet by chance.
PHRASE_WORDS = 4
# A word that so few of the targets have belongs to their tasks; the others are how anybody words an instruction.
_RARE = 0.02
_RARE_AT_LEAST = 5


def leaked_phrases(additions: Sequence[tuple[str, Sequence[str]]], targets: Iterable[str]) -> list[tuple[str, ...]]:
    """For each addition the phrases of training targets in it that its own task does not call for, the longest ones.

    An addition comes with the texts that may call for one: its prompt, the inputs of its task, and what else is known
    to be about that task. A phrase is four words in a row or more that a target has, too, and nothing calls for it if
    it has a rare word (one that at most 2 % of the targets have, or five of them) whose stem none of these texts has.
    """
    wordings = [_words(target) for target in dict.fromkeys(targets)]
    runs = {run for words in wordings for run in _runs(words)}
    having = Counter(word for words in wordings for word in set(words))
    rare = {word for word, count in having.items() if count <= max(_RARE_AT_LEAST, _RARE * len(wordings))}
    return [_leaked(_words(text), runs, rare, asked) for text, asked in additions]


def _leaked(words: Sequence[str], runs: set[tuple[str, ...]], rare: set[str], asked: Sequence[str]) -> tuple[str, ...]:
    known = set(stems_of([word for text in asked for word in _words(text)], "en"))
    found: list[str] = []
    for start, end in _shared(words, runs):
        own = [word for word in words[start:end] if word in rare]
        if set(stems_of(own, "en")) - known:
            found.append(" ".join(words[start:end]))
    return tuple(dict.fromkeys(found))


def _shared(words: Sequence[str], runs: set[tuple[str, ...]]) -> list[tuple[int, int]]:
    """The stretches of words all of whose runs are shared: beginnings and ends."""
    stretches: list[tuple[int, int]] = []
    for start, run in enumerate(_runs(words)):
        if run not in runs:
            continue
        end = start + PHRASE_WORDS
        if stretches and stretches[-1][1] == end - 1:
            stretches[-1] = (stretches[-1][0], end)
        else:
            stretches.append((start, end))
    return stretches


def _runs(words: Sequence[str]) -> Iterable[tuple[str, ...]]:
    return (tuple(words[start : start + PHRASE_WORDS]) for start in range(len(words) - PHRASE_WORDS + 1))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
