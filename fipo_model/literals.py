"""What of a prompt must survive word for word, recognised by its form: template variables, addresses, code. Pure."""

import re

from fipo_model.types import UNSPACED

_LETTER = rf"[^\W{UNSPACED}]"  # of a script with spaces between words
_NAME = r"[^\W\d]\w*"
_FIELD = rf"{_NAME}(?:\.\w+|\[[^\[\]{{}}\n]*\])*"
PLACEHOLDER = re.compile(
    rf"\{{{{2,}}\s*[#/^&>]?\s*{_FIELD}\s*(?:\|[^{{}}\n]*)?\}}{{2,}}"  # {{name}}, {{#section}}, {{ name | filter }}
    rf"|\$?(?<!\{{)\{{{_FIELD}(?:![rsa])?(?::[^{{}}\n]*)?\}}(?!\}})"  # {name}, {name!r}, {name:>3}, {a.b[0]}, ${name}
    r"|(?<![{\w=)>])(?<![=)>]\s)(?<!\":)(?<!\":\s)\{\}(?!\})"  # {}, where it is not a value or a body in code
)
# Where an address ends: at quotation marks and dashes, and where a script without spaces or its punctuation begins.
_URL_END = rf"\s<>\"'`\\«»\u2010-\u205e\u3000-\u303f\uff00-\uffef{UNSPACED}"
_URL = re.compile(rf"(?:(?:https?|ftp)://|www\.)[^{_URL_END}]+")
_EMAIL = re.compile(rf"(?:{_LETTER}|[.+-])+@(?:{_LETTER}|-)+(?:\.(?:{_LETTER}|-)+)+")
# The second kind is without an end or of tildes, and stands on lines of its own.
_FENCED = re.compile(r"```[\w+-]*\n?(.*?)```|^[ \t]*(```|~~~)[^\n`]*\n(.*?)(?:\2|\Z)", re.DOTALL | re.MULTILINE)
_INLINE_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_QUOTATION = re.compile(r"\"([^\"\n]+)\"|„([^“”\n]+)[“”]|“([^”\n]+)”|«([^»\n]+)»|(?<![\w'])'([^'\n]+)'(?![\w'])")
_SIGN = r"(?:(?<![\w.)\]/-])[-\u2212])?"  # not the dash of a range, a date or a difference
_NUMBER = re.compile(rf"{_SIGN}(?:(?<![\w.])\.)?\d+(?:[.,]\d+)*")
_NUMBER_LIST = re.compile(r"\[[\d\s.,\u2212-]+\]")


def placeholders(text: str) -> list[str]:
    """Template variables; white space within double braces does not matter."""
    return ["".join(found.split()) if found.startswith("{{") else found for found in PLACEHOLDER.findall(text)]


def urls(text: str) -> list[str]:
    """Web and file addresses, without the punctuation and the marks of emphasis behind them."""
    return [url.rstrip(".,;:!?)]}*_|") for url in _URL.findall(text)]


def emails(text: str) -> list[str]:
    """E-mail addresses."""
    return _EMAIL.findall(text)


def code(text: str) -> list[str]:
    """The content of code blocks, one without an end among them, and of inline code."""
    text = _with_plain_newlines(text)
    blocks = [(block[1] or block[3] or "").strip() for block in _FENCED.finditer(text)]
    return [*blocks, *_INLINE_CODE.findall(_FENCED.sub(" ", text))]


def quotations(text: str) -> list[str]:
    """What stands in quotation marks outside of code blocks, without the punctuation at its end."""
    quoted = ("".join(groups).strip() for groups in _QUOTATION.findall(_FENCED.sub(" ", _with_plain_newlines(text))))
    return [each.rstrip(".,!?") or each for each in quoted]


def numbers(text: str) -> list[str]:
    """Numbers with their signs, without separators of thousands, and with the zero that may be left out before a point.

    In square brackets a comma separates numbers, not thousands.
    """
    text = _NUMBER_LIST.sub(lambda found: found[0].replace(",", ", "), text)
    found = (re.sub(r",(?=\d{3}(?!\d))", "", number).replace("\u2212", "-") for number in _NUMBER.findall(text))
    return [re.sub(r"^(-?)\.", r"\g<1>0.", number) for number in found]


def holds(text: str, literal: str) -> bool:
    """Whether a text has a literal, and not only as a part of longer words."""
    before = rf"(?<!{_LETTER})" if re.match(_LETTER, literal) else ""
    after = rf"(?!{_LETTER})" if re.match(_LETTER, literal[-1:]) else ""
    return re.search(f"{before}{re.escape(literal)}{after}", _with_plain_newlines(text)) is not None


def _with_plain_newlines(text: str) -> str:
    return text.replace("\r\n", "\n")
