"""The values that a program's fields may take, and whether a text names some of them and leaves others out. Pure.

A rewrite that names one of three labels leans towards it. Values come from types, from descriptions ("refund, delivery
or other") and from the labels of a training set. A value that is also a word counts as named only where it is said to
be a value: in marks, in a list with others, or as what to answer.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from dspy.adapters.types import Type
from pydantic import BaseModel, RootModel

Spellings = tuple[str, ...]
"""One value, in all the ways it may be written: an Enum's member by its value and by its name."""
Choice = tuple[Spellings, ...]
"""All values of one field."""
TRUTH: Choice = (("True",), ("False",))

_MAPPINGS = (dict, Mapping, MutableMapping)
_DEEPEST = 6
_MOST_LABELS, _LONGEST_LABEL = 40, 4  # words; longer or more varied outputs are answers, not labels
# Words that any instruction may contain, although they are also somebody's label.
_ORDINARY = frozenset(
    "a i an and are as at be but by for from if in is it its no none not of off on one only or other others so that the"
    " this to true false unknown up us was we what when which who why will with yes you all any both each first last"
    " most more less high low medium normal mixed good better best bad long short simple complex hard easy general"
    " specific full part new old open closed left right correct wrong answer question statement request order text"
    " word number list name type clear brief complete important relevant neutral support issue information"
    " related yes two three four five many few some".split()
)
_OPEN, _CLOSE = r"[\"'`“‘(\[*_]+", r"[\"'`”’)\]*_]+"
_AND = r"(?:\s*,\s*(?:(?:and|or|oder|ou|o|of|или)\s+)?|\s+(?:and|or|nor|vs\.?|oder|ou|o|of|или)\s+|\s*[/|]\s*)"
_ARTICLE = r"(?:(?:a|an|the)\s+)?"
_RANGE = r"\s*(?:-|–|to|through|and)\s*"
_CUE = (
    r"(?:answer|reply|respond|return|output|outputs|say|says|write|choose|pick|select|label|mark|option|choice|category"
    r"|class|rating|score|grade|value|letter|answer is|answers?|as|with)\s*[:=]?\s*"
)
_ENDS = r"(?=\s*(?:$|[.,;:!?)]|(?:if|when|for|where|unless|otherwise|else|and|or|only|whenever)\b))"
_COUNTED = r"(?!\s+(?:sentence|word|line|paragraph|point|step|example|time|item|bullet|part|reason)s?\b)"
_WORDS = r"(?<![\w-])(?!(?:or|of|either|among)\b)[\w-]+(?: (?!or\b)[\w-]+)?"
_ITEM = rf"(?:\"[^\"\n]+\"|'[^'\n]+'|`[^`\n]+`|{_WORDS})"
_BETWEEN = r"(?:\s*,\s*(?:or\s+)?|\s+or\s+|\s*[/|]\s*)"
_LIST = re.compile(rf"{_ITEM}(?:{_BETWEEN}{_ITEM})+")
_ALTERNATIVES = re.compile(r"\bor\b|[/|]")
_INTRODUCED = re.compile(
    r"(?:\b(?:one of|either|among|values?|options?|labels?)\b[^:\n]{0,20}:?|:|\(|=)\s*$", re.IGNORECASE
)
_MEASURES = re.compile(
    r"(?i)\b(?:a|an|the|one|two|few|some|more|less|words?|sentences?|paragraphs?|lines?|if|and|so|it|its|such|any|than"
    r"|person|place|thing|something|nothing)\b"
)


def choices_of(annotation: Any, description: str | None = None) -> list[Choice]:
    """The values for each choice in a field of this type; where the type has none, those in its description.

    It finds Literal, Enum and bool, also in unions, lists, dictionaries, pydantic models, dataclasses and TypedDicts.
    """
    found = list(_of_type(annotation, 0))
    described = listed_in(description or "") if not found else None
    return [*found, *([described] if described else [])]


def labels_of(values: Sequence[object]) -> Choice | None:
    """What one field's values in a training set are chosen from; None unless they look like a choice among few."""
    texts = [str(value).strip() for value in values if isinstance(value, str | bool | int)]
    different = tuple(dict.fromkeys(texts))
    is_chosen = 1 < len(different) <= min(_MOST_LABELS, len(texts) // 2)
    if not is_chosen or any(not text or len(text.split()) > _LONGEST_LABEL for text in different):
        return None
    return tuple((text,) for text in different)


def listed_in(description: str) -> Choice | None:
    """The values that a description lists, as a whole or after "one of", a colon or a bracket."""
    for match in _LIST.finditer(description):
        before, after = description[: match.start()], description[match.end() :]
        is_introduced = _INTRODUCED.search(before) is not None
        is_whole = not before.strip() and not after.strip(" .")
        if not is_introduced and not (is_whole and _ALTERNATIVES.search(match[0])):
            continue
        items = [item.strip(" \"'`") for item in re.split(_BETWEEN, match[0])]
        is_measure = any(len(item) > 1 and _MEASURES.search(item) for item in items)
        if not is_measure and len(set(items)) == len(items):
            return tuple((item,) for item in items)
    return None


def written(choice: Choice) -> str:
    """The values in a row."""
    return ", ".join(spellings[0] for spellings in choice)


def favoured(rewrite: str, task: str, choice: Choice) -> str | None:
    """A value that the rewrite names while it leaves others out, unlike the task; None if there is none."""
    named, before = named_in(rewrite, choice), named_in(task, choice)
    if named in (before, frozenset()) or len(named) == len(choice):
        return None
    return choice[min((named - before) or named)][0]


def named_in(text: str, choice: Choice) -> frozenset[int]:
    """Which of the values a text names, by their places."""
    spelled = [(place, one) for place, spellings in enumerate(choice) for one in spellings]
    found = {place for place, one in spelled if _is_named(text, one)}
    anything = "|".join(_pattern(one) for _, one in sorted(spelled, key=lambda pair: -len(pair[1])))
    marked = rf"(?:{_OPEN})?(?:{anything})(?:{_CLOSE})?"
    for group in re.finditer(rf"(?<!\w){marked}(?:{_AND}{_ARTICLE}{marked})+(?!\w){_COUNTED}", text):
        found |= {place for place, one in spelled if re.search(rf"(?<!\w){_pattern(one)}(?!\w)", group[0])}
    for first, last in _ranges(text, anything):
        ends = [next(place for place, one in spelled if re.fullmatch(_pattern(one), end)) for end in (first, last)]
        found |= set(range(min(ends), max(ends) + 1))
    if found:  # a text that names one as a value may name the others as words: "True if it holds and False otherwise"
        found |= {place for place, one in spelled if re.search(rf"(?<!\w){_pattern(one)}(?!\w)", text)}
    return frozenset(found)


def _ranges(text: str, anything: str) -> Iterator[tuple[str, str]]:
    """The ends of "from 1 to 5", "A-D", "between 0 and 1"; nobody writes ranges of words."""
    for match in re.finditer(rf"(?<!\w)({anything}){_RANGE}({anything})(?!\w)", text):
        if all(len(end) == 1 or end.lstrip("-").isdigit() for end in match.groups()):
            yield match[1], match[2]


def _is_named(text: str, value: str) -> bool:
    pattern = _pattern(value)
    if re.search(rf"{_OPEN}{pattern}{_CLOSE}", text):
        return True
    if not _is_ordinary(value):
        return re.search(rf"(?<!\w){pattern}(?!\w)", text) is not None
    return re.search(rf"(?i:\b{_CUE}){pattern}{_ENDS}", text) is not None


def _is_ordinary(value: str) -> bool:
    return len(value) == 1 or value.lstrip("-").replace(".", "").isdigit() or value.lower() in _ORDINARY


def _pattern(value: str) -> str:
    """A pattern for a value as it may be written.

    Single letters match only in their own case: "a" is not the answer A.
    """
    written = r"[\s_-]+".join(map(re.escape, re.split(r"[\s_-]+", value))) if len(value) > 1 else re.escape(value)
    return written if len(value) == 1 or value.lstrip("-").isdigit() else f"(?i:{written})"


def _of_type(annotation: Any, depth: int) -> Iterator[Choice]:
    if depth > _DEEPEST:
        return
    annotation = unwrapped(annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if annotation is bool:
        yield TRUTH
    elif origin is Literal:
        yield tuple((str(one.value), one.name) if isinstance(one, Enum) else (str(one),) for one in parts)
    elif isinstance(annotation, type) and issubclass(annotation, Enum):
        yield tuple(tuple(dict.fromkeys((str(member.value), member.name))) for member in annotation)
    elif origin in (typing.Union, types.UnionType):
        yield from _of_union(parts, depth)
    elif parts:
        for part in parts:
            yield from _of_type(part, depth + 1)
    else:
        for _, kind, description in _fields(annotation):
            nested = list(_of_type(kind, depth + 1))
            described = listed_in(description or "") if not nested else None
            yield from (*nested, *([described] if described else []))


def _of_union(parts: Iterable[Any], depth: int) -> Iterator[Choice]:
    """One choice among all values of a union's own parts, and the choices further inside."""
    together: list[Spellings] = []
    for part in parts:
        is_flat = part is bool or get_origin(part) is Literal or (isinstance(part, type) and issubclass(part, Enum))
        for choice in _of_type(part, depth + 1):
            if is_flat:
                together += choice
            else:
                yield choice
    if together:
        yield tuple(dict.fromkeys(together))


def unwrapped(annotation: Any) -> Any:
    """What a root model holds, which has no name in the output; itself, if it is nothing else that has one."""
    held = annotation
    for _ in range(_DEEPEST):
        if not (isinstance(held, type) and issubclass(held, RootModel)):
            return held
        held = held.model_fields["root"].annotation
    return annotation


def _fields(kind: Any) -> list[tuple[str, Any, str | None]]:
    """The names, types and descriptions of the fields that a type is made of; DSPy's own, such as code, have none."""
    if not isinstance(kind, type) or issubclass(kind, Type):
        return []
    if issubclass(kind, BaseModel):
        return [(name, field.annotation, field.description) for name, field in kind.model_fields.items()]
    # A TypedDict has keys that are required, whichever package it is from.
    if dataclasses.is_dataclass(kind) or hasattr(kind, "__required_keys__"):
        return [(name, annotation, None) for name, annotation in typing.get_type_hints(kind).items()]
    return []


def has_fields(annotation: Any, depth: int = 0) -> bool:
    """Whether a value has several parts with names: a model, a dataclass, a dictionary, or a list of these."""
    annotation = unwrapped(annotation)
    if annotation in _MAPPINGS or get_origin(annotation) in _MAPPINGS or _fields(annotation):
        return True
    return depth < _DEEPEST and any(has_fields(part, depth + 1) for part in get_args(annotation))


def fields_of(annotation: Any, levels: int = 2, depth: int = 0) -> list[str]:
    """The fields of the model or the like that a type holds, as people read them: "kind (one of refund, other)".

    Those of a field in it are named, too, but not what these consist of.
    """
    annotation = unwrapped(annotation)
    if own := _fields(annotation):
        return [_described(*field, levels - 1) for field in own]
    parts = get_args(annotation) if depth < _DEEPEST else ()  # a root may hold itself
    return next(filter(None, (fields_of(part, levels, depth + 1) for part in parts)), [])


def _described(name: str, annotation: Any, description: str | None, levels: int) -> str:
    if has_fields(annotation):
        inner = fields_of(annotation, levels) if levels else []
        return f"{name} ({', '.join(inner)})" if inner else name
    choices = [choice for choice in choices_of(annotation, description) if choice != TRUTH]
    return f"{name} (one of {written(choices[0])})" if choices else name
