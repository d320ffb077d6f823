"""Phrases of training targets that turn up where nothing calls for them, a sign of narrow training. Pure."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from fipo_model.contract.stemming import stems_of

_Run = tuple[str, ...]
_WORD = re.compile(r"\w+")
# That many words in a row are a learnt phrase, not words that meet by chance.
PHRASE_WORDS = 4
# A word that at most this many families have belongs to their tasks; others are part of any instruction. Chosen on
# people's own wordings of tasks that are not trained on: of 290, 1.7 % count as leaked; of wordings of training tasks
# in their place, 83 %. With two families it would be 1.4 and 76 %, with five 2.8 and 94 %.
_OWN_FAMILIES = 3


def leaked_phrases(
    additions: Sequence[tuple[str, Sequence[str]]], targets: Iterable[Collection[str]]
) -> list[tuple[str, ...]]:
    """For each addition the phrases of training targets in it that its own task does not call for, at full length.

    `targets` are the texts that were learnt, those of each family of tasks together. An addition comes with the texts
    that may call for one: its prompt, the inputs of its task, and what else is known to be about that task. A phrase is
    four or more words in a row that a target has, too. Nothing calls for it if it has a word that at most three
    families have and none of these texts has. Words count by their English stems.
    """
    families = [[_words(text) for text in family] for family in targets]
    having = Counter(stem for family in families for stem in _stems(family))
    own = {stem for stem, count in having.items() if count <= _OWN_FAMILIES}
    runs = {run for family in families for words in family for run in _runs(words)}
    return [_leaked(_words(text), runs, own, _stems(map(_words, asked))) for text, asked in additions]


def _leaked(words: Sequence[str], runs: set[_Run], own: set[str], called_for: set[str]) -> tuple[str, ...]:
    found = []
    for start, end in _shared(words, runs):
        if (_stems([words[start:end]]) & own) - called_for:
            found.append(" ".join(words[start:end]))
    return tuple(dict.fromkeys(found))


def _shared(words: Sequence[str], runs: set[_Run]) -> list[tuple[int, int]]:
    """The beginnings and ends of stretches of words whose runs are all shared."""
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


def _runs(words: Sequence[str]) -> Iterable[_Run]:
    return (tuple(words[start : start + PHRASE_WORDS]) for start in range(len(words) - PHRASE_WORDS + 1))


def _stems(texts: Iterable[Sequence[str]]) -> set[str]:
    return {stem for words in texts for stem in stems_of(words, "en")}


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
