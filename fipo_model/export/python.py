"""A Python module without dependencies."""

from collections.abc import Sequence

from fipo_model.export.rendering import render
from fipo_model.export.rewrite import Rewrite, by_prompt


def module(rewrites: Sequence[Rewrite]) -> str:
    """A module with all rewrites, line by line, and a function that returns the one for a prompt."""
    lines = {naive: text.splitlines(keepends=True) for naive, text in by_prompt(rewrites).items()}
    return render("python.py.j2", {"rewrites": lines}).rstrip("\n")
