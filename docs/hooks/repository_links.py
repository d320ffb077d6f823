"""For mkdocs: links out of docs/ to files of the repository, which the site does not have, become plain text.

Such a link must lead to a file that is there; a dead one ends the build, as a dead link within the site does.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_LINK = re.compile(r"\[([^\]]+)\]\((\.\.?/[^)#\s]+)(#[^)\s]+)?\)")
_CARDS = {
    "fipo_model/adapters/smollm2-135m/rewriting/README.md": "smollm2-135m.md",
    "fipo_model/adapters/smollm2-135m/proposing/README.md": "smollm2-135m-proposing.md",
    "fipo_model/adapters/qwen2.5-coder-0.5b/README.md": "qwen2.5-coder-0.5b.md",
    "fipo_model/adapters/qwen2.5-coder-1.5b/README.md": "qwen2.5-coder-1.5b.md",
}
"""The model cards, and the pages that show them."""


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """mkdocs calls this for each page before it is rendered."""
    root = Path(config["docs_dir"]).parent
    home = posixpath.dirname(_source_of(page.file.src_uri))

    def replaced(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(home, found[2]))
        if target in _CARDS:
            cards = posixpath.relpath("cards", posixpath.dirname(page.file.src_uri) or ".")
            return f"[{found[1]}]({cards}/{_CARDS[target]}{found[3] or ''})"
        if not (root / target).exists():
            raise PluginError(f"{page.file.src_uri} links to {found[2]}, which is not in the repository")
        if target.startswith("docs/"):
            return found[0]
        return f"{found[1]} (`{target}`)"

    return _LINK.sub(replaced, _included(markdown, page.file.src_uri, root))


def _source_of(page: str) -> str:
    """The file in the repository that a page's links are relative to."""
    return next((card for card, name in _CARDS.items() if page == f"cards/{name}"), f"docs/{page}")


def _included(markdown: str, page: str, root: Path) -> str:
    """A page of a model card is the card itself, without its metadata."""
    source = _source_of(page)
    if source.startswith("docs/"):
        return markdown
    return (root / source).read_text(encoding="utf-8").split("\n---\n", 1)[1]
