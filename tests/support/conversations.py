"""Conversations with a model, and what is read from them."""

import itertools
import re
from typing import Any

from fipo_model import Message
from fipo_model.generation import Completion


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


class AddingInTurn:
    """A rewriter's model that adds one thing after another to the prompt, and says how sure it is of each."""

    name = "proposing"

    def __init__(self, *additions: tuple[str, float]) -> None:
        self._turns = itertools.cycle(additions)

    def generate(self, conversations: Any, sampling: Any, *, samples: int = 1) -> Any:
        return [[self._next(each) for _ in range(samples)] for each in conversations]

    def _next(self, conversation: list[Message]) -> Completion:
        added, likelihood = next(self._turns)
        text = naive_in(conversation) + added
        return Completion(
            text=text, is_truncated=False, prompt_tokens=1, completion_tokens=1, log_likelihood=likelihood
        )
