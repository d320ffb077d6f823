"""A report as one HTML document that needs nothing else and sends no requests."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from markupsafe import Markup

from fipo_model.pages.rendering import render


class Section(NamedTuple):
    """A part of a document: the template's block that fills it (also the target of links), and its title."""

    name: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """What a document runs after listing.js, which it always has before it."""

    code: str
    data: object
    """Has a form in JSON; the code finds it as `shared`."""


def document(
    template: str,
    *,
    title: str,
    sentences: Iterable[str],
    sections: Sequence[Section],
    content: Mapping[str, object],
    script: Script | None = None,
) -> str:
    """The document that a template extending document.html.j2 makes of `content`.

    The first of the sentences, of which there is at least one, stands out. The document runs only the given script, and
    the browser sends no request.
    """
    headline, *more = sentences
    code = "" if script is None else _listing_code() + script.code
    frame = {
        "title": title,
        "headline": headline,
        "more": more,
        "sections": sections,
        "policy": _policy(code),
        "code": Markup(code),
        "data": None if script is None else script.data,
    }
    page = render(template, {**content, **frame})
    # Half of a surrogate pair, which a model's reply may hold, could not be written to a file.
    return page.encode("utf-8", "replace").decode("utf-8")


def _policy(code: str) -> str:
    """Forbids every request and every script but the document's own, should a text ever slip through unescaped."""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode("ascii")
    allowed = f"style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
    return f"default-src 'none'; {allowed}; form-action 'none'"


def _listing_code() -> str:
    return files(__package__).joinpath("listing.js").read_text(encoding="utf-8")
