"""Models for the tests of building a data set: a weak and a strong one, also such as die; and records to build from."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fipo_model.generation import Completion, Message, Sampling
from fipo_model.testing import ScriptedGenerator

TOPICS = ("rain", "gravity", "the moon", "money", "volcanoes", "bread", "music", "sleep", "glass", "bees")
ROUGH: list[tuple[str, str, str, str]] = [
    ("rain", "strong", "rewrite", "Tiny droplets gather until they are heavy and fall. Explain rain to a child."),
    ("money", "weak", "rewrite", ""),
    ("bread", "strong", "judge", "A"),
]


def naive_of(conversation: list[Message]) -> str:
    """The instruction which a stage of building is about."""
    asked = conversation[-1]["content"]
    found = re.match(r"Naive prompt:\n(.*?)\n\n(?:Context|Silver|Golden|Prompt A)", asked, re.DOTALL)
    return found[1] if found else asked


def is_about_better(conversation: list[Message]) -> bool:
    """Of a comparison: whether A is the strong model's rewrite."""
    return "Prompt A:\nAs a patient teacher" in conversation[-1]["content"]


def say_weak(conversation: list[Message]) -> str:
    if "Naive prompt:" in conversation[-1]["content"]:
        return f"{naive_of(conversation)} Please."
    return "It just is."


def say_strong(conversation: list[Message]) -> str:
    asked = conversation[-1]["content"]
    if "Which prompt is better" in asked:
        return "A" if is_about_better(conversation) else "B"
    if "Naive prompt:" in asked:
        return f"As a patient teacher, do this in short paragraphs: {naive_of(conversation)}"
    return "Tiny droplets gather until they are heavy and fall."


class Models:
    """A weak and a strong model; `when` makes one of them say something else where a prompt contains a word."""

    def __init__(self, *, context_tokens: int | None = None) -> None:
        self.weak = ScriptedGenerator(say_weak, name="weak", context_tokens=context_tokens)
        self.strong = ScriptedGenerator(say_strong, name="strong")

    def when(self, model: str, word: str, asked_for: str, reply: str) -> "Models":
        generator: ScriptedGenerator = getattr(self, model)
        before = generator.script

        def script(conversation: list[Message]) -> str:
            asked = conversation[-1]["content"]
            kind = "judge" if "Which prompt is better" in asked else "rewrite" if "Naive prompt:" in asked else "answer"
            return reply if word in naive_of(conversation) and kind == asked_for else before(conversation)

        generator.script = script
        return self

    @property
    def sent(self) -> int:
        return sum(map(sum, (self.weak.batch_sizes, self.strong.batch_sizes)))


def rough_models() -> Models:
    models = Models()
    for word, model, asked_for, reply in ROUGH:
        models.when(model, word, asked_for, reply)
    return models


class Dying:
    """A model whose process or server dies in its n-th call."""

    def __init__(self, inner: ScriptedGenerator, countdown: list[int], death: Callable[[], None]) -> None:
        self.name = inner.name
        self.inner = inner
        self.countdown = countdown
        self.death = death

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        self.countdown[0] -= 1
        if self.countdown[0] < 0:
            self.death()
        return self.inner.generate(conversations, sampling, samples=samples)


def instructions(count: int) -> list[dict[str, Any]]:
    """Records that have nothing but an instruction."""
    return [{"id": f"r{i}", "instruction": f"Explain {topic} to a child."} for i, topic in enumerate(TOPICS[:count])]


def write(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
