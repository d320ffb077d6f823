"""Few-shot examples and documents inside a prompt, which stay as they are. Pure."""

import re
from collections import Counter

from fipo_model.contract.alternatives import begins_with_choices
from fipo_model.contract.commitments import Commitment
from fipo_model.contract.patterns import lazy
from fipo_model.contract.reading import Reading, read

# Or all that is before the next sign, if there is no arrow in it: it would be searched again from each character.
_ARROW = lazy(r"(?P<pair>[^\n,;:]*?[^\s,;:]\s*(?:->|=>|\u2192|\u21d2)\s*(?:\?|[^\n,;]+))|[^\n,;:]++")
_LABELLED_LINE = lazy(r"^[ \t>*-]*([A-Za-z][\w ]{0,20}\d*):[ \t]*(\S[^\n]*)$", re.MULTILINE)
_ENCLOSED = lazy(r"\"\"\"(.+?)\"\"\"|'''(.+?)'''|<([A-Za-z][\w-]*)>([^<>]{20,}?)</\3>", re.DOTALL)
_INTRODUCED = lazy(
    r"(?i)^[^\n:.?!]*\b(?:translat\w*|summari[sz]e|classify|categori[sz]e|proofread|correct|fix|paraphrase|rephrase|rewrite"
    r"|edit|improve|simplify|explain|analy[sz]e|convert|debug|text|sentence|article|passage|paragraph|review|email"
    r"|übersetze\w*|fasse|tradui\w*|résume\w*|traduc\w*|resum\w*|traduz\w*|traduci|riassumi|vertaal|переведи\w*|翻译|ترجم)\b"
    r"[^\n:?!]{0,60}(?::\s+|\uff1a\s*)(?P<rest>\S.+)\Z",
    re.DOTALL,
)
_SHORTEST_DOCUMENT = 4


def examples(text: str) -> list[Commitment]:
    """Pairs with an arrow, and lines whose heading recurs: "Q: ...", "A: ..."."""
    has_arrow = any(arrow in text for arrow in ("->", "=>", "\u2192", "\u21d2"))
    arrows = _ARROW.finditer(text) if has_arrow else ()
    found = [Commitment("example", m[0].strip(), m.span(), _words(m[0])) for m in arrows if m["pair"]]
    lines = list(_LABELLED_LINE.finditer(text))
    often = Counter(match[1] for match in lines)
    found += [Commitment("example", m[0].strip(), m.span(), _words(m[0])) for m in lines if often[m[1]] > 1]
    return [each for each in found if each.key.strip()]  # "<=>" has an arrow but no words


def documents(text: str) -> list[Commitment]:
    """What stands between triple quotes or tags, or after a request that ends with a colon and lists no choices."""
    spans = [(match[1] or match[2] or match[4], match.span()) for match in _ENCLOSED.finditer(text)]
    introduced = _INTRODUCED.match(text)
    if introduced and not spans and not begins_with_choices(read(text), introduced.start("rest")):
        spans.append((introduced["rest"], introduced.span("rest")))
    return [
        Commitment("example", content.strip(), span, _words(content))
        for content, span in spans
        if _words(content).count(" ") > _SHORTEST_DOCUMENT
    ]


def lacks(rewrite: Reading, example: Commitment) -> bool:
    """Whether the rewrite lacks the words of an example or a document in their order."""
    return example.key not in rewrite.words


def _words(text: str) -> str:
    return read(text.strip()).words
