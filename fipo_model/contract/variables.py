"""Template variables of every dialect, and slots that somebody fills in by hand. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from fipo_model.contract.commitments import Commitment
from fipo_model.contract.letters import MARKS
from fipo_model.contract.patterns import blanked_at, lazy

_NAME = rf"[^\W\d][\w{MARKS}]*"
_FIELD = rf"{_NAME}(?:\.[\w{MARKS}]+|-[\w{MARKS}]+|\[[^\[\]{{}}\n]*\])*"
# What comes before a brace that belongs to code or LaTeX: "f(x) {", "\frac{", "x^{", ": {".
_NOT_CODE = r"(?<![\w{\\^_=)>])(?<![=)>]\s)(?<!\":)(?<!\":\s)(?<!})"
# By the character that each of them has, since most prompts have few of these.
_FORMS = {
    "{": (
        r"\{%-?[^\n]{1,200}?-?%\}",  # {% if x %}
        r"\{#[^\n#]{1,200}#\}",  # {# comment #}
        r"(?<!\{)\{{2,}+[^{}\n]{1,200}+\}{2,}",  # {{name}}, {{{raw}}}, {{#each x}}, {{ .Field }}, {{ f(x) | upper }}
        r"[$#]\{[^{}\n]{1,200}\}",  # ${name}, ${name:default}, #{x}
        rf"(?<!\{{)(?<!\\)\{{!?(?:{_FIELD}|\d+)(?:![rsa])?(?::[^{{}}\n\"']*)?\}}(?!\}})",  # {name}, {0}, {a.b[0]!r:>3}
        rf"{_NOT_CODE}\{{{_NAME}(?:[ -][\w{MARKS}'-]++){{1,7}}+\}}(?!\}})",  # {insert text here}
        rf"{_NOT_CODE}\{{\}}(?!\}})",  # {}
    ),
    "%": (
        r"<%[=-]?[^\n%]{1,200}%>",  # <%= x %>
        r"%\([\w.]+\)[-#0+]*+\d*+(?:\.\d+)?[a-zA-Z]",  # %(name)s
        r"(?<![\w%])%[-#0+]*+\d*+(?:\.\d+)?[sdifr](?!\w)",  # %s, %.2f
        r"%%\w+%%",  # %%topic%%
    ),
    # $name, not $x^2$
    "$": (r"(?<![\w$\\])\$[A-Za-z_]\w*(?![\w$^{\\])(?![^\n$]{0,40}[\^\\_][^\n$]{0,40}\$)",),
    "__": (r"(?<!\w)__[A-Za-z]\w*?__(?!\w)",),  # __TOPIC__
    "[": (
        r"\[\[[^\[\]\n]{1,60}\]\]",  # [[X]]
        rf"(?<![\w\])!])\[[^\W\d][\w{MARKS} .'/:-]{{1,60}}\](?![\[(])",  # [TOPIC], [insert name], [Source X]
    ),
    "<<": (r"<<[^<>\n]{1,60}>>",),  # <<topic>>
}
_PATTERNS = {mark: lazy("|".join(forms)) for mark, forms in _FORMS.items()}
_ESCAPED = lazy(r"\\[A-Za-z]+(?:\{[^{}\n]*\})+")  # \frac{a}{b}
_NAMED = lazy(rf"\{{\{{\s*({_NAME})\s*\}}\}}|\{{({_NAME})\}}")
_LONG_HEADING = 40  # characters


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that a program fills by its name: `{name}` or `{{name}}`."""

    name: str
    text: str
    """As it is written."""


@lru_cache(maxsize=128)
def variables(text: str) -> list[Commitment]:
    """Template variables and slots; white space within braces does not matter."""
    taken = bytearray(len(text))  # a mark at each character that belongs to something already

    def take(start: int, end: int) -> None:
        taken[start:end] = b"\1" * (end - start)

    for match in _ESCAPED.finditer(text) if "\\" in text else ():
        take(*match.span())
    found = []
    for mark, pattern in _PATTERNS.items():
        if mark not in text:
            continue
        for match in pattern.finditer(text):
            if not taken[match.start()]:
                found.append(Commitment("variable", match[0], match.span(), _key(match[0])))
                take(*match.span())
    return sorted(found, key=lambda each: each.span)


def without_variables(text: str) -> str:
    """The text with every variable blanked, so that positions stay."""
    return blanked_at(text, [each.span for each in variables(text)])


def pieces(text: str) -> list[str | Variable]:
    """A text taken apart at the variables that have a name. Whatever else has braces, such as JSON, is text."""
    found: list[str | Variable] = []
    end = 0
    for one in variables(text):
        named = _NAMED.fullmatch(one.text)
        if named is not None:
            found += [text[end : one.span[0]], Variable(named[1] or named[2], one.text)]
            end = one.span[1]
    return [*found, text[end:]]


def is_example(text: str, variable: Commitment) -> bool:
    """Whether no program fills this: a part of an address such as /users/{id}, or a slot in brackets."""
    return text[variable.span[0] - 1 : variable.span[0]] == "/" or variable.text.startswith("[")


def roles(text: str, commitments: Iterable[Commitment]) -> dict[str, set[str]]:
    """The word, or the heading, right before each commitment, by its key: "from" in "from {source} to {target}"."""
    found: dict[str, set[str]] = {}
    for each in commitments:
        before = text[max(0, each.span[0] - _LONG_HEADING) : each.span[0]].rstrip(" \t\n\"'`<(*")
        role = before.rpartition("\n")[2] if before.endswith(":") else before.rpartition(" ")[2].rpartition("\n")[2]
        if role.rstrip(":").replace(" ", "").isalpha():
            found.setdefault(each.key, set()).add(role.strip().lower())
    return found


def _key(variable: str) -> str:
    if variable.startswith(("{{", "{%", "<%", "{#")):
        return "".join(variable.split())
    return " ".join(variable.split())
