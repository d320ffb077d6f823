"""Conversations with a model, and what is read from them."""

import re

from fipo_model import Message


def ask(text: str) -> list[Message]:
    """A conversation in which a user says this."""
    return [{"role": "user", "content": text}]


def echo(conversation: list[Message]) -> str:
    """A script that says again what it is told."""
    return f"Re: {conversation[-1]['content']}"


def naive_in(conversation: list[Message]) -> str:
    """The instruction that FIPO's own template asks to rewrite."""
    text = conversation[-1]["content"].removeprefix("Naive prompt:\n")
    return re.split(
        r"\n\n(?:Context \(|Silver response \(|Golden response \(|It is used on inputs|Rewrite the naive prompt in)",
        text,
    )[0]
