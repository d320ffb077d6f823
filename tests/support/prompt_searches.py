"""A prompt, examples, and scripted models for searches: with guidance, a film is judged rightly."""

from collections.abc import Callable

from fipo_model import PromptOptimizer
from fipo_model.search import SearchSettings
from fipo_model.testing import ScriptedGenerator

GUIDANCE = "Consider every part of it carefully."
PROMPT = "Say whether the film is liked."
ROWS = [(f"film {number}", "yes" if number % 2 else "no") for number in range(24)]


def rewriting(script: Callable[[str], str] = lambda naive: f"{naive} {GUIDANCE}") -> PromptOptimizer:
    return PromptOptimizer(ScriptedGenerator(lambda asked: script(asked[-1]["content"].splitlines()[1])))


def answering(asked) -> str:
    """Right about everything if care is asked for, else about every fourth film."""
    text = asked[-1]["content"]
    number = int(text.split()[-1])
    is_right = GUIDANCE in text or number % 4 == 0
    return "yes" if bool(number % 2) == is_right else "no"


def likely(asked, response) -> float:
    return -1.0 if GUIDANCE in asked[0]["content"] else -2.0


def model(script=answering, name: str = "scripted") -> ScriptedGenerator:
    return ScriptedGenerator(script, name=name)


def settings(**options) -> SearchSettings:
    return SearchSettings(**{"patience": 0.0, **options})
