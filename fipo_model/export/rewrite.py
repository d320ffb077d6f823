"""The unit of export: a prompt and the text to use in its place. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fipo_model.errors import InputError

_MOST_NAMED = 40  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A prompt and the text to use in its place."""

    naive: str
    text: str

    @property
    def name(self) -> str:
        """A short name for files and labels: the prompt's first words, and a part that tells similar ones apart."""
        words = "-".join(re.findall(r"\w+", self.naive.lower()))[:_MOST_NAMED].strip("-_")
        return f"{words or 'prompt'}-{hashlib.sha256(repr((self.naive, self.text)).encode()).hexdigest()[:6]}"


def by_prompt(rewrites: Sequence[Rewrite]) -> Mapping[str, str]:
    """The text to use for each prompt. Raises `InputError` where a prompt has two, for different contexts."""
    texts: dict[str, str] = {}
    for one in rewrites:
        if texts.setdefault(one.naive, one.text) != one.text:
            raise InputError(
                f"there are several rewrites of {one.naive[:_MOST_NAMED]!r}, made for different contexts: name the key "
                "of the one you want"
            )
    return texts
