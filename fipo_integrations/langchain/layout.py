"""Where in a template's text the instruction ends and what it is applied to begins. Pure.

The data of a text are its last lines that say nothing by themselves: variables, labels with a variable or nothing after
them (`Question: {question}`, `Answer:`), tags, fences, examples, the lines of a protocol that a parser waits for. They
stay word for word. What leads in to them ("Here are the notes:") belongs to the instruction. An addition comes before
it, and before the first example. No sentence is ever cut, however its lines are wrapped.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_VARIABLE, _MARKUP = "\x00", "\x01"
# Control tokens with the role they announce, tags, fences with their language, and the brackets of older chat formats.
_TOKENS = re.compile(
    r"<\|start_header_id\|>\w*<\|end_header_id\|>|<\|im_start\|>\w*|<\|[^\s|<>]+\|>|<(?:start|end)_of_turn>(?:user|model)?"
    r"|</?[A-Za-z][\w-]*(?: [\w-]+){0,3}>|^[ \t]*```\w*|\[/?INST\]|<</?SYS>>",
    re.MULTILINE,
)
_WORDS = re.compile(r"\w+")
_NAME = r"[^\W\d_][\w/-]*(?:[ ,]{1,2}[\w/-]+){0,3}"
_LABEL = re.compile(rf"[^\w\x00\n]*({_NAME})(?: \([^()\n\x00]*\))?[^\S\n]*(?::(?=[\s\x00\x01\"'`(*\[]|$)|\uff1a)(.*)")
_LONGEST_LABEL = 32
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WIDEST_LABEL = 8
# Words of requests, which labels do not have: "Summarize the following:" is a request, "Follow Up Input:" is not.
_SAYING = frozenset("the this these those that following below above a an my our your it them here is are in".split())

# How a paragraph announces examples: "EXAMPLE", "Example 2:", "Here are some examples of what to write:".
# What follows "For example:" belongs to the sentence before it.
_EXAMPLE = r"examples?(?: \w+)?"
_ANNOUNCING = r"(?!for )[^\n.!?]{0,80}\bexamples?(?: (?:of|for) [^\n.!?]{0,80})?(?=:)"
_EXAMPLES = re.compile(
    rf"(?:\A|\n[^\S\n]*\n)(?P<line>[^\w\n]*(?:{_EXAMPLE}|{_ANNOUNCING})[^\w\n]*)(?=\n)", re.IGNORECASE
)
# The end of a text of examples is to be filled in: "Are more questions needed:{answer}".
_TO_FILL_IN = re.compile(r"[^\w\n]*\w+(?:[^\w\n]+\w+){0,5}[^\w\n.!?\x00:]*:[^\w\n]*")

# At a line's end: labels with their variables after a sentence; variables alone after a colon.
_LABELLED_REST = re.compile(
    rf"(?:(?<=[.!?])\s+|(?<=[\u3002\uff1f\uff01])\s*)((?:{_NAME}:(?=[^\w\n\x00]*\x00)[^\w\n]*+)+(?:{_NAME}:\s*)?)$"
)
_AFTER_COLON = re.compile(r"[:\uff1a]([^\w\n\x00]*\x00[^\w\n]*)$")
_LONGEST_LINE = 4000
_SENTENCE_END = re.compile(
    r"(?<!e\.g)(?<!i\.e)(?<!\betc)(?<!\bvs)(?<!\bcf)(?<!\b[DM]r)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bNo)"
    r"[.!?][\"')\]]*\s+(?=[^a-z\s])|[\u3002\uff1f\uff01]\s*"
)
_COMPLETE = (".", "!", "?", ":", ";", '"', "'", ")", "]", "}", "`", "\u3002", "\uff1f", "\uff01", "\uff1a")
# A text that ends with one of these is for the model to continue.
_GOES_ON = frozenset("is are was were be the a an of to for as with by".split())
_FEW_WORDS = 12  # of prose that may stand between examples and what they are for: "Begin!"
_FEWEST_WORDS = 3

_Kind = Literal["blank", "fill", "label", "example", "field", "prose"]
_Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text divides: the instruction up to `data`, of which the part from `lead_in` on leads in to the data.

    An addition belongs at `lead_in`. That is `data` where nothing leads in, 0 where only data would come before the
    addition, and the beginning of examples that are announced earlier.
    """

    lead_in: int
    data: int


def lay_out(text: str, variables: Sequence[_Span]) -> Layout:
    """Divide a text; `variables` are the spans of its variables, in order."""
    blanked = _blanked(text, variables)
    lines = _lines(blanked)
    kinds = _kinds([line for _, line in lines])
    starts = [start for start, _ in lines] + [len(text)]
    for some in (("fill", "label", "example", "field"), ("fill", "label", "example")):
        first = _first_data_line(lines, kinds, some)
        first = _first_of_its_examples(lines, kinds, first)
        data = _within_line(blanked, lines[:first], starts[first])
        if _WORDS.search(blanked[:data]):
            return Layout(min(_lead_in(blanked, data), _examples(blanked)), data)
    return Layout(0, len(text))


def has_only_labels(text: str, variables: Sequence[_Span]) -> bool:
    """Whether a text of several lines is only labels and what fills them, such as a document's format."""
    lines = [line for _, line in _lines(_blanked(text, variables)) if line.strip()]
    kinds = _kinds(lines)
    if kinds.count("label") > 1 and kinds[0] == "prose" and _is_heading(lines[0]):
        return set(kinds[1:]) <= {"fill", "label"}
    return len(kinds) > 1 and set(kinds) <= {"fill", "label"}


def _blanked(text: str, variables: Sequence[_Span]) -> str:
    """The text with each character of variables and markup replaced by a mark."""
    characters = list(text)
    for start, end in variables:
        characters[start:end] = _VARIABLE * (end - start)
    return _TOKENS.sub(lambda token: _MARKUP * len(token[0]), "".join(characters))


def _lines(text: str) -> list[tuple[int, str]]:
    """The lines, with their places."""
    return [(found.start(), found[0]) for found in re.finditer(r"[^\n]+|(?<![^\n])(?=\n)", text)]


def _kinds(lines: Sequence[str]) -> list[_Kind]:
    labels = _labels(lines)
    often = Counter(label[0] for label in labels if label is not None)
    kinds: list[_Kind] = []
    for place, (line, label) in enumerate(zip(lines, labels, strict=True)):
        has_neighbour = any(labels[max(0, place - 1) : place] + labels[place + 1 : place + 2])
        if not line.strip():
            kinds.append("blank")
        elif not _WORDS.search(line):
            kinds.append("fill")
        elif label is None:
            kinds.append("prose")
        elif often[label[0]] > 1:
            kinds.append("example")
        elif not _WORDS.search(label[1]):
            kinds.append("label")
        else:
            kinds.append("field" if has_neighbour else "prose")
    said = [place for place, kind in enumerate(kinds) if kind != "blank"]
    is_behind_example = [kinds[place] for place in said[-2:]] == ["example", "prose"]
    if is_behind_example and _TO_FILL_IN.fullmatch(lines[said[-1]]):
        kinds[said[-1]] = "label"
    return kinds


def _labels(lines: Sequence[str]) -> list[tuple[str, str] | None]:
    """The lines' labels; a line that sounds like a request is a label if it recurs."""
    labels = [_label(line) for line in lines]
    often = Counter(label[0] for label in labels if label is not None)
    return [None if label and often[label[0]] == 1 and _is_saying(label[0]) else label for label in labels]


def _label(line: str) -> tuple[str, str] | None:
    """A line's label and what follows it."""
    found = _LABEL.fullmatch(line) if len(line) <= _LONGEST_LINE else None
    if found is None or len(found[1]) > _LONGEST_LABEL or len(_WIDE.findall(found[1])) > _WIDEST_LABEL:
        return None
    return found[1], found[2]


def _is_saying(name: str) -> bool:
    return not _SAYING.isdisjoint(name.lower().split())


def _first_data_line(lines: Sequence[tuple[int, str]], kinds: Sequence[_Kind], some: tuple[str, ...]) -> int:
    """The first of the data lines at the end, which are of `some` kinds."""
    first, prose = len(kinds), 0
    for place in range(len(kinds) - 1, -1, -1):
        if kinds[place] in ("example", "field") and kinds[place] in some:
            first, prose = place, 0
        elif kinds[place] in some and prose == 0:
            first = place
        elif kinds[place] not in ("blank", *some):
            prose += len(_WORDS.findall(lines[place][1]))
        if prose > _FEW_WORDS or (prose and first == len(kinds)):
            break
    return first


def _first_of_its_examples(lines: Sequence[tuple[int, str]], kinds: Sequence[_Kind], first: int) -> int:
    """The first line (or the heading) of the examples before the data, which have the same labels."""
    labels = [_label(line) if kind == "example" else None for (_, line), kind in zip(lines, kinds, strict=True)]
    own = {label[0] for label in labels[first:] if label is not None}
    earliest = next(
        (place for place, label in enumerate(labels[:first]) if label is not None and label[0] in own), first
    )
    if earliest == len(lines) or labels[earliest] is None:
        return earliest
    top = earliest
    while top > 0 and kinds[top - 1] != "blank":
        top -= 1
    top = top if _is_heading(lines[top][1]) else earliest
    above = top
    while above > 0 and kinds[above - 1] in ("blank", "fill"):
        above -= 1
    has_fill = "fill" in kinds[above:top]
    return above - 1 if has_fill and above > 0 and _is_heading(lines[above - 1][1]) else top


def _within_line(text: str, lines: Sequence[tuple[int, str]], data: int) -> int:
    """Where data begin within the last line before them: after its last sentence or colon."""
    start, line = next(((start, line) for start, line in reversed(lines) if line.strip()), (0, ""))
    if len(line) > _LONGEST_LINE:
        return data
    rest = _LABELLED_REST.search(line)
    if rest is None or _is_saying(rest[1].partition(":")[0]):
        rest = _AFTER_COLON.search(line)
    is_whole = rest is None or not _WORDS.search(text[: start + rest.start(1)])
    return data if rest is None or is_whole else start + rest.start(1)


def _lead_in(text: str, data: int) -> int:
    """Where the text begins that only leads in to the data; `data` where nothing does."""
    start = data
    while True:
        head = text[:start].rstrip()
        paragraph = head.rfind("\n\n") + 2 if "\n\n" in head else 0
        last = head[head.rfind("\n") + 1 :]
        is_unfinished = start == data and text[len(head) : data] == "\n" and not head.endswith(_COMPLETE)
        is_unfinished |= start == data == len(text) and last.rpartition(" ")[2].lower() in _GOES_ON
        if head.endswith((":", "\uff1a")) or is_unfinished:
            ends = [found.end() for found in _SENTENCE_END.finditer(head, paragraph)]
            begin = ends[-1] if ends else paragraph
        elif start != data and _is_heading(last):
            begin = len(head) - len(last)
        else:
            return start
        if not _WORDS.search(text[:begin]):
            return 0 if is_unfinished or data == len(text) else start
        start = begin


def _examples(text: str) -> int:
    """Where announced examples begin, lead-in included; the text's end where there are none."""
    found = _EXAMPLES.search(text)
    if found is None:
        return len(text)
    start = _lead_in(text, found.start("line"))
    return start if _WORDS.search(text[:start]) else 0


def _is_heading(line: str) -> bool:
    return 0 < len(_WORDS.findall(line)) < _FEWEST_WORDS and not line.rstrip().endswith((".", "!", "?"))
