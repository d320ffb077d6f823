"""Texts that must survive as they are written: tokens, tags, addresses, paths, handles, identifiers, code, quotations.

Pure.
"""

import re
from functools import lru_cache

from fipo_model.contract.commitments import Commitment, Kind
from fipo_model.contract.letters import RUNS
from fipo_model.contract.patterns import Form, Forms, Paired, lazy

_LETTER = rf"[^\W{RUNS}]"  # in a script with spaces between words
_LETTER_PATTERN = lazy(_LETTER)
_TOKENS = Form(
    r"<\|[^<>|\n]{1,40}\|>|</?s>|<</?SYS>>|\[/?INST\]|<(?:bos|eos|pad|unk|mask|sep|cls)>"
    r"|<(?:start|end)_of_turn>"
    r"|<\uff5c[^<>\n]{1,40}\uff5c>|[\U0001f300-\U0001faff\u2600-\u27bf]",
    sign=r"[<\[\u2600-\u27bf\U0001f300-\U0001faff]",
)
_TAGS = Form(r"</?([^\W\d][\w.:-]*)(?:\s[^<>\n]*)?/?>", sign=r"<")
# Where an address ends: at quotation marks and dashes, and where a script without spaces or its punctuation begins.
_URL_END = rf"\s<>\"'`\\«»\u2010-\u205e\u3000-\u303f\uff00-\uffef{RUNS}"
_URL = Form(
    rf"(?:(?:https?|ftp|s3|file)://|(?<!{_LETTER})www\.)[^{_URL_END}]+", sign=r"(?i)://|www\.", flags=re.IGNORECASE
)
_EMAIL = Form(rf"(?<![.+-])(?<!{_LETTER})(?:{_LETTER}|[.+-])++@(?:{_LETTER}|-)++(?:\.(?:{_LETTER}|-)++)+", sign=r"@")
_DOMAIN = Form(
    r"(?<![\w@/.-])(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev|edu|gov|ai|co|app"
    r"|de|fr|es|it|nl|uk|eu|ru|cn|jp|kr|in|br|info)"
    r"(?![\w-])(?!\.\w)",
    sign=r"\w\.\w\w",
    flags=re.IGNORECASE,
)
_PATHS = Form(
    r"(?<!\w)[A-Za-z]:\\[^\s\"'<>|*?]+|\\\\[^\s\"'<>|]+|(?<![\w/.:<~\)\]}])(?:~|\.{1,2})?(?:/[\w.@+-]+)+/?"
    r"|(?<![\w/.@-])[\w-]+(?:/[\w-]+)*\.(?:pdf|txt|csv|json|xml|md|py|js|ts|html?|css|docx?|xlsx?|pptx?|png|jpe?g|gif"
    r"|svg|ya?ml|toml|ini|log|zip|tar|gz|sql|java|cpp|go|rs|rb|sh|ipynb|jsonl|parquet|mp[34]|wav)(?!\w)",
    sign=r"[/\\]|\.\w",
)
_HANDLES = Form(r"(?<![\w@./])@[A-Za-z_]\w*|(?<![\w&#/])#[A-Za-z_\u00c0-\uffff][\w-]*", sign=r"[@#]")
_IDENTIFIERS = Forms(
    {
        r"-[0-9a-fA-F]{4}-": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",  # a UUID
        r"#": r"(?<![\w&])#[0-9a-fA-F]{6}(?!\w)|(?<![\w&])#[0-9a-fA-F]{3}(?!\w)",  # a colour
        r"\.\d+\.\d": r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]\d)",
        r":[0-9a-fA-F]*:": r"(?<![\w:])[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{0,4}){2,7}(?!\w)",
        # A version, not a date.
        r"\d\.\d+\.\d": r"(?<![\w.])(?!\d\d?\.\d\d?\.\d{4})[vV]?\d+\.\d+\.\d+(?:-[\w.]+)?(?![\w])",
        r"[vV]\d": r"(?<![\w.])[vV]\d+(?:\.\d+)*(?!\w)",
        r"\w\(": r"(?<![\w$%{.])[A-Za-z]\w*(?:\.\w+)*\((?![A-Z]+s?\)|e?s\)|e\.g|i\.e)[^()\n]{0,40}\)",  # f(x)
        r"_": r"(?<![\w$%{@#/_])[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)+(?!\w)",  # snake_case
        r"[a-z][A-Z]": r"(?<![\w$%{@#/\\])[a-z]+(?:[A-Z][a-z0-9]+)+(?!\w)",  # camelCase
        r"--": r"(?<![\w-])--[a-z][\w-]+(?=[\s=,.]|$)",  # --flag
        r"[<>=\u2264\u2265\u2260]": r"(?<=[\w)] )(?:[<>]=?|[\u2264\u2265\u2260]|[!=]=)(?= [\w(])",  # x > 3
    }
)
_MATH = Form(r"(?<![\w$])\$(?! )(?=[^$\n]*+\$)[^$\n]*[\^\\_=+][^$\n]*\$|\\[A-Za-z]+(?:\{[^{}\n]*\})+", sign=r"[$\\]")
# The second kind has no end or uses tildes, and is on lines of its own.
_FENCED = Form(
    r"```[\w+-]*+\n?+(.*?)```|^[ \t]*(```|~~~)[^\n`]*\n(.*?)(?:\2|\Z)", sign=r"```|~~~", flags=re.DOTALL | re.MULTILINE
)
# Lines of code without a fence: statements with a semicolon or a brace, and what begins as in Python or C.
_CODE_LINE = Form(
    r"^(?:(?![-*\u2022\d])[^\n=()\[\]]*+[=()\[\]][^\n]*[;{]"
    r"|[ \t]*+(?:return\b[^\n]*[()=*+;\[\]][^\n]*|(?:def|class) \w++[^\n]*:"
    r"|(?:for|while|if|elif)\b[^\n=<>()\[\]]*+[=<>()\[\]][^\n]*:|import [\w.]+(?: as \w+)?|from [\w.]+ import [^\n]+"
    r"|\#include\b[^\n]*|(?:print|printf|console\.log)\([^\n]*))[ \t]*$",
    sign=r"[;{]\s|[()\[\]]|\b(?:class|import) |#include",
    flags=re.MULTILINE,
)
_INLINE_CODE = Form(r"(?<!`)`([^`\n]+)`(?!`)", sign=r"`")
_QUOTATION = Paired(
    r"\"([^\"\n]+)\"|„([^“”\n]+)[“”]|“([^”\n]+)”|«([^»\n]+)»|\u2018([^\u2018\u2019\n]+)\u2019(?!\w)"
    r"|(?<![\w'])'([^'\n]+)'(?![\w'])|[「『]([^」』\n]+)[」』]|\*\*([^*\n]{1,60})\*\*",
    opening="\"'\u2018\u201c\u201e\u00ab\u300c\u300e*",
    closing={
        "\u201c": "\u201d",
        "\u201e": "\u201c\u201d",
        "\u00ab": "\u00bb",
        "\u300c": "\u300d\u300f",
        "\u300e": "\u300d\u300f",
    },
)
_ORDINARY_TAGS = frozenset({"b", "i", "u", "em", "strong", "br", "p"})


@lru_cache(maxsize=64)
def tokens(text: str) -> list[Commitment]:
    """Control tokens of chat templates, and emoji."""
    return _all("token", _TOKENS, text)


@lru_cache(maxsize=64)
def tags(text: str) -> list[Commitment]:
    """Tags and slots in angle brackets, by name: <article>, </article>, <topic>."""
    found = []
    for match in _TAGS.finditer(text):
        if not _TOKENS.match(match[0]):
            found.append(Commitment("tag", match[0], match.span(), ("/" if match[0][1] == "/" else "") + match[1]))
    return found


@lru_cache(maxsize=64)
def urls(text: str) -> list[Commitment]:
    """Web and file addresses, with or without https, and without the punctuation and emphasis marks after them."""
    found = []
    for match in [*_URL.finditer(text), *_DOMAIN.finditer(text)]:
        url = match[0].rstrip(".,;:!?]}*_|")
        if url.endswith(")") and url.count("(") < url.count(")"):
            url = url.rstrip(").,;:!?]}*_|")
        scheme, _, rest = url.rpartition("://")
        host, slash, path = rest.partition("/")
        key = host.lower().removeprefix("www.") + slash + path
        if scheme.lower() not in ("", "http", "https"):
            key = f"{scheme.lower()}://{key}"
        found.append(Commitment("url", url, (match.start(), match.start() + len(url)), key.rstrip("/")))
    return found


@lru_cache(maxsize=64)
def emails(text: str) -> list[Commitment]:
    """E-mail addresses."""
    return _all("email", _EMAIL, text)


@lru_cache(maxsize=64)
def paths(text: str) -> list[Commitment]:
    """Files, folders and slash commands."""
    found = []
    for match in _PATHS.finditer(_without(text, _URL, _EMAIL, _TAGS)):
        path = match[0].rstrip(".,;:")
        if len(path) > 1:
            found.append(Commitment("path", path, (match.start(), match.start() + len(path)), path))
    return found


@lru_cache(maxsize=64)
def handles(text: str) -> list[Commitment]:
    """@handles and #tags."""
    return [each for each in _all("handle", _HANDLES, text) if not _IDENTIFIERS.match(each.text)]


@lru_cache(maxsize=64)
def identifiers(text: str) -> list[Commitment]:
    """Names of things in programs: user_id, getUserName, f(x), v1.2.3, UUIDs, IP addresses, colours, options."""
    return _all("code", _IDENTIFIERS, _without(text, _URL, _EMAIL, _PATHS))


@lru_cache(maxsize=64)
def code(text: str) -> list[Commitment]:
    """The content of code blocks (even one without an end) and of inline code, and formulas in LaTeX."""
    found = []
    for match in _FENCED.finditer(text):
        content = (match[1] or match[3] or "").strip()
        found.append(Commitment("code", content, match.span(), _squeezed(content)))
    rest = _without(text, _FENCED)
    inline = [(match[1], match.span()) for match in _INLINE_CODE.finditer(rest)]
    inline += [(match[0].strip("$"), match.span()) for match in _MATH.finditer(rest)]
    return [*found, *(Commitment("code", text, span, _squeezed(text)) for text, span in inline)]


@lru_cache(maxsize=64)
def code_lines(text: str) -> list[Commitment]:
    """Lines of code that stand in a text without a fence; white space in them may change."""
    found = _CODE_LINE.finditer(_without(text, _FENCED, _INLINE_CODE))
    return [Commitment("code", match[0].strip(), match.span(), without_space(match[0])) for match in found]


def without_space(text: str) -> str:
    """The text without white space, and with plain quotation marks."""
    return re.sub("[\u201c\u201d]", '"', _squeezed(text)).replace(" ", "")


@lru_cache(maxsize=64)
def quotations(text: str) -> list[Commitment]:
    """Text in quotation marks or bold outside code blocks, without the punctuation at its end."""
    found = []
    for match in _QUOTATION.finditer(_without(text, _FENCED, _INLINE_CODE)):
        quoted = "".join(group or "" for group in match.groups()).strip()
        quoted = quoted.rstrip(".,!?:") or quoted
        if quoted:
            found.append(Commitment("quotation", quoted, match.span(), _squeezed(quoted)))
    return found


def holds(text: str, literal: str) -> bool:
    """Whether a text has a literal, not only as part of longer words; white space does not matter."""
    text, literal = _squeezed(text), _squeezed(literal)
    at = text.find(literal)
    while at >= 0 and literal:
        end = at + len(literal)
        if not _joins(text[at - 1 : at], literal[:1]) and not _joins(literal[-1:], text[end : end + 1]):
            return True
        at = text.find(literal, at + 1)
    return False


def _joins(one: str, other: str) -> bool:
    """Whether two characters side by side belong to one word."""
    return _LETTER_PATTERN.match(one) is not None and _LETTER_PATTERN.match(other) is not None


def without_literals(text: str) -> str:
    """The text with blanks in place of addresses, code and identifiers, so that positions stay."""
    return _without(text, _FENCED, _INLINE_CODE, _URL, _EMAIL, _MATH, _DOMAIN, _PATHS, _IDENTIFIERS)


def is_ordinary_tag(tag: Commitment) -> bool:
    """Whether a tag is only visual mark-up."""
    return tag.key.lstrip("/").lower() in _ORDINARY_TAGS


@lru_cache(maxsize=64)
def _squeezed(text: str) -> str:
    return " ".join(text.replace("\u2019", "'").replace("\u2018", "'").split())


def _without(text: str, *forms: Form) -> str:
    for form in forms:
        text = form.blank(text)
    return text


def _all(kind: Kind, form: Form, text: str) -> list[Commitment]:
    return [Commitment(kind, match[0], match.span(), match[0]) for match in form.finditer(text)]
