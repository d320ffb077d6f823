"""Many patterns over one text, each tried only at characters with which it may begin. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from fipo_model.contract.patterns import lazy

_LOOKAROUND = re.compile(r"\(\?<?[=!](?:[^()\\]|\\.)*\)")
_CLASS = re.compile(r"\[(?P<chars>(?:[^\]\\^]|\\u[0-9a-f]{4})+)\]")
_LITERAL = re.compile(r"\\(?P<escaped>[^\w\s])|\\u(?P<code>[0-9a-f]{4})|(?P<plain>[^\\^$.|?*+(){}\[\]])")


class Classes:
    """Several classes of words, found in one pass over a text; of those at the same place the first counts."""

    def __init__(self, table: Mapping[str, Sequence[str]], edge: str = r"\w") -> None:
        self.names = tuple(table)
        self._table = table
        self._before, self._after = (rf"(?<!{edge})", rf"(?!{edge})") if edge else ("", "")
        """`edge` is what may not stand beside a word; nothing where there are no spaces between words."""
        self._by_two_characters: dict[str, tuple[tuple[str, ...], re.Pattern[str]]] = {}

    @cached_property
    def _by_opening(self) -> dict[str, tuple[tuple[str, ...], re.Pattern[str]]]:
        """For one or two characters, the classes with words that may begin with them, and a pattern with a group for
        each. Words that may begin with any character are under "".
        """
        opened = [(name, each, openings(each)) for name, patterns in self._table.items() for each in patterns]
        beginnings = {beginning for _, _, found in opened for beginning in found or ()}
        if any(found is None for _, _, found in opened):
            beginnings.add("")
        compiled = {}
        for beginning in beginnings:
            of_class: dict[str, list[str]] = {}
            for name, pattern, found in opened:
                if found is None or beginning in found or beginning[:1] in found:
                    of_class.setdefault(name, []).append(pattern)
            joined = "|".join(f"({'|'.join(patterns)})" for patterns in of_class.values())
            compiled[beginning] = (tuple(of_class), lazy(f"(?:{joined}){self._after}"))
        return compiled

    @cached_property
    def _places(self) -> re.Pattern[str]:
        """Where any match may begin."""
        known = self._by_opening
        if "" in known:
            return re.compile(self._before + r"\S")
        behind: dict[str, str] = {}
        for beginning in known:
            behind[beginning[0]] = behind.get(beginning[0], "") + beginning[1:]
        branches = [
            re.escape(first) if first in known else f"{re.escape(first)}[{re.escape(seconds)}]"
            for first, seconds in behind.items()
        ]
        return re.compile(f"{self._before}(?={'|'.join(branches)})")

    def _remembered(self, opening: str) -> tuple[tuple[str, ...], re.Pattern[str]]:
        patterns = self._by_opening
        self._by_two_characters[opening] = patterns.get(opening) or patterns.get(opening[0]) or patterns[""]
        return self._by_two_characters[opening]

    def find(self, text: str) -> Iterator[tuple[str, re.Match[str]]]:
        """The class and the match of everything found in a text in lower case, from left to right, overlaps too."""
        known = self._by_two_characters
        for place in self._places.finditer(text):
            start = place.start()
            opening = text[start : start + 2]
            names, pattern = known.get(opening) or self._remembered(opening)
            match = pattern.match(text, start)
            if match is not None and match.lastindex is not None:
                yield names[match.lastindex - 1], match


def openings(pattern: str) -> frozenset[str] | None:
    """The one or two characters with which a pattern's matches may begin; None where that is not obvious."""
    found: set[str] = set()
    for branch in _branches(pattern):
        begun = _openings_of_branch(branch)
        if begun is None:
            return None
        found |= begun
    return frozenset(found)


def _openings_of_branch(branch: str) -> frozenset[str] | None:
    while (around := _LOOKAROUND.match(branch)) is not None:
        branch = branch[around.end() :]
    if branch.startswith("(?:") or re.match(r"\((?!\?)", branch):
        end = _closing(branch)
        begun, rest = openings(branch[1:end].removeprefix("?:")), branch[end + 1 :]
    elif (listed := _CLASS.match(branch)) is not None and not re.search(r"\w-\w", listed["chars"]):
        begun, rest = frozenset(_unescaped(listed["chars"])), branch[listed.end() :]
    elif (literal := _LITERAL.match(branch)) is not None:
        rest = branch[literal.end() :]
        second = _LITERAL.match(rest)
        is_sure = second is not None and not re.match(r"[?*{]", rest[second.end() :])
        begun = frozenset([_unescaped(literal[0]) + (_unescaped(second[0]) if second and is_sure else "")])
    else:
        return None
    if begun is None or not re.match(r"[?*]|\{0", rest):
        return begun
    after = _openings_of_branch(re.sub(r"^(?:[?*]|\{0,?\d*\})[?+]?", "", rest))
    return None if after is None else begun | after


def _unescaped(text: str) -> str:
    text = re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), text)
    return re.sub(r"\\(\W)", r"\1", text)


def _branches(pattern: str) -> Iterator[str]:
    """The alternatives between the top-level bars of a pattern; bars in groups do not count."""
    start = place = 0
    while place < len(pattern):
        if pattern[place] == "\\":
            place += 1
        elif pattern[place] == "[":
            place = pattern.index("]", place + 2)
        elif pattern[place] == "(":
            place += _closing(pattern[place:])
        elif pattern[place] == "|":
            yield pattern[start:place]
            start = place + 1
        place += 1
    yield pattern[start:]


def _closing(pattern: str) -> int:
    """The end of the group with which a pattern begins."""
    depth = place = 0
    while place < len(pattern):
        character = pattern[place]
        if character == "\\":
            place += 1
        elif character == "[":
            place = pattern.index("]", place + 2)
        elif character in "()":
            depth += 1 if character == "(" else -1
            if depth == 0:
                return place
        place += 1
    raise ValueError(f"a group without an end: {pattern}")
