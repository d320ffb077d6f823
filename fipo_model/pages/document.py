"""A report as one HTML document that needs nothing else and asks nobody."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from fipo_model.pages.markup import sentence

_FEW = 3
"""So many sections need no list of contents."""


class Section(NamedTuple):
    """A part of a document: the name that a link to it has, its title as text, and its content as HTML."""

    name: str
    title: str
    content: str


def document(
    title: str,
    sentences: Iterable[str],
    sections: Sequence[Section],
    *,
    style: str = "",
    script: str = "",
    data: object = None,
) -> str:
    """The document. The first of the sentences, of which there is at least one, stands out; all of them are text.

    `style` is added to what all documents have in common. `script` runs after listing.js and finds `data`, which has a
    form in JSON, as `shared`. The document runs no other script, and its browser sends no request.
    """
    headline, *more = sentences
    script = script and _part("listing.js") + script
    page = Template(_part("document.html")).substitute(
        policy=_policy(script),
        title=escape(title),
        style=_part("style.css") + style,
        headline=sentence(headline),
        more="".join(f"<li>{sentence(text)}</li>" for text in more),
        contents=_contents(sections) if len(sections) > _FEW else "",
        sections="\n".join(map(_section, sections)),
        scripts=script and f"{_data(data)}\n<script>{script}</script>",
    )
    # Half of a surrogate pair, which a model's reply may hold, could not be written to a file.
    return page.encode("utf-8", "replace").decode("utf-8")


def listing(items: str, count: int, *, search: str, none: str, filters: Mapping[str, str], note: str = "") -> str:
    """Where listing.js lists so many `items` (a noun), below a search, filters and buttons for their order.

    `search` says what is searched, `none` what is said where there are no items. `filters` are the labels of selections
    by their names. `note` is HTML and tells how to read the list.
    """
    selections = "".join(
        f'<p><label for="{name}">{escape(label)}</label><select id="{name}"></select></p>'
        for name, label in filters.items()
    )
    return Template(_part("listing.html")).substitute(
        items=items,
        title=items.capitalize(),
        count=f"{count:,}",
        search=escape(search),
        none=escape(none),
        filters=selections,
        note=note and f'<p class="note wide">{note}</p>',
    )


def _contents(sections: Sequence[Section]) -> str:
    links = " ".join(f'<a href="#{one.name}">{escape(one.title)}</a>' for one in sections)
    return f'<nav aria-label="Contents">{links}</nav>'


def _section(section: Section) -> str:
    name, title, content = section
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{escape(title)}</h2>\n{content}</section>'


def _data(data: object) -> str:
    """JSON that is safe inside a script element: no text in it can end or comment out the element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    safe = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="page-data">{safe}</script>'


def _policy(script: str) -> str:
    """Forbids every request and every script but the document's own, should a text ever slip through unescaped."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    allowed = f"style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    return f"default-src 'none'; {allowed}; form-action 'none'"


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
