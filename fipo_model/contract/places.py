"""Words that have changed places: "from a tenant to a landlord", turned around. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from fipo_model.contract.case import Case
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, Token

_Pairs = dict[str, set[tuple[str, str]]]

_REACH = 6  # words between a connector and what it connects
_SPARE = 8
_LONGEST = 3  # words of meaning that change places
_LONGEST_RUN = 8  # the same in characters, where there are no spaces between words
_BREAK = lazy(r"[,;:.!?\n()\u2013\u2014]")
_ANSWERS = frozenset({"yes", "no", "true", "false", "ja", "nein", "oui", "non", "si", "sí"})
_LISTING = frozenset("and or und oder et ou y o e en of и или".split())
_AGENT = frozenset("by von vom durch par por pelo pela da dal door".split())
_ARTICLES = frozenset(
    "the a an der die das den dem des ein eine einen einem einer le la les un une l el los las una uno il lo gli i "
    "o os as um uma de het een my your its their his her our this that".split()
)


def exchanged(case: Case) -> str | None:
    """Two words, two branches of a condition, or two sides of "to", "than" and the like have changed places."""
    if case.is_addition:
        return None
    naive, rewrite = case.naive, case.rewrite
    if naive.lexicon.directions is not None:
        pair = _exchanged_runs(naive, rewrite)
    else:
        pair = _turned(naive, rewrite) or _branches_exchanged(naive, rewrite) or _exchanged_words(naive, rewrite)
    if pair is not None:
        one, other = (_shown(each, naive) for each in pair)
        return f"{one!r} and {other!r} have changed places"
    return None if is_much_longer(rewrite, naive) else _key_changed(naive, rewrite)


def is_much_longer(rewrite: Reading, naive: Reading) -> bool:
    """Whether a rewrite says so much more that the same word may well be about something else."""
    return len(rewrite.tokens) > 2 * len(naive.tokens) + _SPARE


def _shown(stem: str, naive: Reading) -> str:
    """The word that a stem comes from."""
    return next((token.text for token in naive.tokens if token.stem == stem), stem)


def _turned(naive: Reading, rewrite: Reading) -> tuple[str, str] | None:
    """The words on both sides of a connector, or those on the same side of two."""
    expected = _connected(naive)
    found = _connected(rewrite) if expected else {}
    for kind, pairs in expected.items():
        after = found.get(kind, set())
        for one, other in pairs:
            if one != other and (other, one) in after - pairs and (one, other) not in after:
                return one, other
        new = after - pairs
        lefts, rights = {left for left, _ in new}, {right for _, right in new}
        gone = [(left, right) for left, right in pairs - after if left in lefts and right in rights]
        for left, right in gone:
            for other_left, other_right in gone:
                if left != other_left and {(left, other_right), (other_left, right)} <= new:
                    return right, other_right
    return None


def _connected(reading: Reading) -> _Pairs:
    """The nearest stems on both sides of each connector, by its kind."""
    pairs: _Pairs = {}
    connectors = reading.lexicon.connectors
    for kind, match in connectors.find(reading.lowered) if connectors else ():
        left = _nearest(reading, before(reading, match.start(), _REACH)[::-1], match.start())
        right = _nearest(reading, behind(reading, match.end(), _REACH), match.end())
        if left is not None and right is not None:
            pairs.setdefault(kind, set()).add((left, right))
    return pairs


def _nearest(reading: Reading, tokens: Sequence[Token], place: int) -> str | None:
    """The first word of meaning of its clause, or the first that is no function word.

    With a comma right there, there is none.
    """
    second_best = None
    for index, token in enumerate(tokens):
        between = reading.text[min(place, token.end) : max(place, token.start)]
        if _BREAK.search(between) and (index or between.strip() != ","):
            break
        place = token.start if token.end <= place else token.end
        if token.is_content or token.text in _ANSWERS:
            return token.stem
        if second_best is None and token.text not in reading.lexicon.function:
            second_best = token.stem
    return second_best


def before(reading: Reading, place: int, most: int) -> Sequence[Token]:
    """The last tokens that end before a place."""
    end = bisect_right(reading.tokens, place, key=lambda token: token.end)
    return reading.tokens[max(0, end - most) : end]


def behind(reading: Reading, place: int, most: int) -> Sequence[Token]:
    """The first tokens that begin at a place or after it."""
    start = bisect_left(reading.tokens, place, key=lambda token: token.start)
    return reading.tokens[start : start + most]


def sentence_at(reading: Reading, place: int) -> tuple[Token, ...]:
    """The words of the last sentence that begins at a place or before it."""
    found = bisect_right(reading.sentences, place, key=lambda sentence: sentence.start)
    return reading.sentences[found - 1].tokens if found else ()


def has_meaning(token: Token, reading: Reading) -> bool:
    """Whether a token is more than a function word, though perhaps common.

    In languages with particles, words are runs.
    """
    return token.is_content or (token.text not in reading.lexicon.function and not reading.lexicon.particles)


def _branches_exchanged(naive: Reading, rewrite: Reading) -> tuple[str, str] | None:
    """Two texts around "otherwise" or "then" have changed places."""
    expected, found = _branches(naive), _branches(rewrite)
    for kind in expected.keys() & found.keys():
        (left, right), (new_left, new_right) = expected[kind], found[kind]
        to_right = (left - right) & (new_right - new_left)
        to_left = (right - left) & (new_left - new_right)
        if to_right and to_left:
            return min(to_right), min(to_left)
    return None


def _branches(reading: Reading) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    branches: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
    turns = reading.lexicon.turns
    for kind, match in turns.find(reading.lowered) if turns else ():
        index = bisect_left(reading.sentences, match.end(), key=lambda sentence: sentence.tokens[-1].end)
        if kind in branches or index == len(reading.sentences):
            continue
        tokens = [token for token in reading.sentences[index].tokens if token.is_content]
        start = frozenset(token.stem for token in tokens if token.start < match.start())
        rest = frozenset(token.stem for token in tokens if token.start >= match.end())
        branches[kind] = (start or reading.sentences[index - 1].content if index else start, rest)
    return branches


def _exchanged_words(naive: Reading, rewrite: Reading) -> tuple[str, str] | None:
    """Two words of meaning, not neighbours, have changed places while all others of meaning stay."""
    old, new = ([token for token in reading.tokens if token.is_content] for reading in (naive, rewrite))
    found = exchange([token.stem for token in old], [token.stem for token in new], _LONGEST)
    if found is None:
        return None
    start, first, end, second = found
    length = end - start
    one, other = old[start], old[end - second]
    new_one, new_other = new[start + length - first], new[start]
    if _is_list(naive, one.start, old[end - 1].end):
        return None
    roles = _role(naive, one), _role(naive, other)
    new_roles = _role(rewrite, new_one), _role(rewrite, new_other)
    # A phrase that keeps its own preposition may be anywhere, and in the passive the object comes first.
    if (roles == new_roles and roles[0] != roles[1]) or _AGENT & (set(new_roles) ^ set(roles)):
        return None
    return one.text, other.text


def exchange(former: Sequence[str], latter: Sequence[str], longest: int) -> tuple[int, int, int, int] | None:
    """Two swapped runs with something between them: start and length of one, end and length of the other."""
    if len(former) != len(latter) or former == latter:
        return None
    different = [place for place, (one, other) in enumerate(zip(former, latter, strict=True)) if one != other]
    start, end = different[0], different[-1] + 1
    old, new = list(former[start:end]), list(latter[start:end])
    if sorted(old) != sorted(new):
        return None
    for first in range(1, min(longest, len(old) - 2) + 1):
        for second in range(1, min(longest, len(old) - 1 - first) + 1):
            if new == [*old[len(old) - second :], *old[first : len(old) - second], *old[:first]]:
                return start, first, end, second
    return None


def _is_list(reading: Reading, start: int, end: int) -> bool:
    """Whether the words are those of a list, whose order hardly matters."""
    tokens = [token for token in reading.tokens if start <= token.start < end]
    words = [token for token in tokens if token.text not in _LISTING]
    listed = {token.start for token in tokens} - {token.start for token in words}
    return all(
        "," in reading.text[one.end : other.start] or any(one.end <= place < other.start for place in listed)
        for one, other in pairwise(words)
    )


def _role(reading: Reading, word: Token) -> str | None:
    """The function word before a word and its article, or before its list: "for" in "for the children and parents"."""
    place = word.start
    while tokens := before(reading, place, 1):
        place = tokens[0].start
        if tokens[0].text in _LISTING and (listed := before(reading, place, 1)):
            place = listed[0].start
        elif tokens[0].text not in _ARTICLES:
            return tokens[0].text if tokens[0].text in reading.lexicon.function else None
    return None


def _exchanged_runs(naive: Reading, rewrite: Reading) -> tuple[str, str] | None:
    """The same in characters, where something between or behind the two says which way it goes."""
    directions = naive.lexicon.directions
    old, new = ("".join(filter(str.isalnum, reading.lowered)) for reading in (naive, rewrite))
    found = exchange(old, new, _LONGEST_RUN)
    if found is None or directions is None:
        return None
    start, first, end, second = found
    if directions.search(old[start + first : end + _LONGEST_RUN]) is None:
        return None
    return old[start : start + first], old[end - second : end]


def _key_changed(naive: Reading, rewrite: Reading) -> str | None:
    """Another word of the prompt after "by": "sorted by age" where a name is what it is sorted by."""
    expected, found = _keys(naive), _keys(rewrite)
    lost, new = expected - found, (found - expected) & naive.content
    if lost and new and not lost & _behind_keys(rewrite):
        return f"has {_shown(min(new), naive)!r} after 'by' instead of {_shown(min(lost), naive)!r}"
    return None


def _keys(reading: Reading) -> set[str]:
    found = set()
    for match in reading.lexicon.by.finditer(reading.lowered) if reading.lexicon.by else ():
        key = _nearest(reading, behind(reading, match.end(), _REACH), match.end())
        found |= {key} if key is not None else set()
    return found


def _behind_keys(reading: Reading) -> set[str]:
    """All words of meaning not far after "by": "by city and then by age"."""
    matches = reading.lexicon.by.finditer(reading.lowered) if reading.lexicon.by else ()
    ends = [match.end() for match in matches]
    return {token.stem for end in ends for token in behind(reading, end, _REACH)}
