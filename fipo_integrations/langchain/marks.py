"""What is noted in the metadata of rewritten templates: which texts FIPO wrote, and what the old version was.

Each text is marked by its digest where it stands, so that the mark survives `partial`, `dumps` and the `+` of chats.
The `+` of two `PromptTemplate`s makes a template without metadata; so a process also remembers what FIPO wrote in it,
and knows it again as a part of a longer text.
"""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

OUTCOMES = "fipo_outcomes"
"""The key in a run's metadata, and in a template's, under which the outcomes of its texts are listed, in order."""
TEXTS = "fipo_texts"
"""The key in a template's metadata, and in a static message's, under which the digests of FIPO's texts are listed."""
SOURCE = "fipo_source"
"""The key that now holds the metadata of the template's old version, such as its hub commit or Langfuse prompt."""

_MOST_WRITTEN = 1000
_SHORTEST_PART = 30  # in characters; anything shorter may be in another text by chance
_written: deque[str] = deque(maxlen=_MOST_WRITTEN)
_VERSIONS = ("lc_hub_", "langfuse")


def is_made(text: str, *metadata: Mapping[str, Any] | None) -> bool:
    """Whether FIPO wrote this very text (according to metadata), or a part of it (as this process remembers)."""
    if any(digest(text) in (each or {}).get(TEXTS, ()) for each in metadata):
        _remember(text)
        return True
    return any(written in text for written in tuple(_written) if len(written) >= _SHORTEST_PART)


def marked(metadata: Mapping[str, Any] | None, *texts: str) -> dict[str, Any]:
    """Metadata with the mark of texts that FIPO wrote."""
    known = (metadata or {}).get(TEXTS, ())
    return {**(metadata or {}), TEXTS: list(dict.fromkeys([*known, *map(digest, texts)]))}


def with_provenance(
    metadata: Mapping[str, Any] | None, texts: Sequence[str], outcomes: Sequence[str]
) -> dict[str, Any]:
    """A rewritten template's metadata: the old version's ids are now those of its source."""
    _remember(*texts)
    old = dict(metadata or {})
    source = {name: old.pop(name) for name in list(old) if name.startswith(_VERSIONS)}
    if source:
        old[SOURCE] = {**old.get(SOURCE, {}), **source}
    return {**marked(old, *texts), OUTCOMES: list(outcomes)}


def digest(text: str) -> str:
    """A short name for a text, the same in every process."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


def _remember(*texts: str) -> None:
    _written.extend(text for text in texts if text not in _written)
