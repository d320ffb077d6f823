"""A model that makes prompts better in a way tests know, and what they read of reports, for the tests of LangChain."""

from collections.abc import Callable
from typing import Any

from langchain_core.load import dumps
from langchain_core.prompts import BasePromptTemplate

from fipo_integrations.langchain import Report
from fipo_model import Message, PromptOptimizer
from fipo_model.fidelity import FidelitySettings
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

GUIDANCE = " Answer in plain sentences and give a reason for each statement."
TOO_LONG = "Summarize this: " + "word " * 400
# The rules that would turn most of the tests' rewrites down are off, so that the templates' own proof has to.
LENIENT = FidelitySettings(frozenset())


def better(text: str) -> str:
    """What the scripted model makes of a text."""
    return text + GUIDANCE


def rewrite(conversation: list[Message]) -> str:
    """A script: the instruction it is asked to rewrite, made better."""
    return better(naive_in(conversation))


def replying(reply: str | Callable[[str], str], **options: Any) -> PromptOptimizer:
    """An optimizer whose model makes `reply` of everything, or what a function makes of the instruction."""

    def script(conversation: list[Message]) -> str:
        return reply if isinstance(reply, str) else reply(naive_in(conversation))

    return PromptOptimizer(ScriptedGenerator(script), **options)


def asked(generator: ScriptedGenerator) -> list[str]:
    """The instructions a generator was asked to rewrite, in order."""
    return [naive_in(conversation) for call in generator.calls for conversation in call]


def outcomes(report: Report) -> list[tuple[str, str]]:
    """Where texts were found, and what became of each."""
    return [(change.where, change.outcome) for change in report.changes]


def left_out(report: Report) -> list[tuple[str, str]]:
    """What was not reached, and why."""
    return [(part.where, part.reason) for part in report.unreached]


def dumped(template: BasePromptTemplate) -> str:
    """Everything in a template, so that two dumps tell whether anything in it changed."""
    return f"{template!r} {dumps(template)} {template.metadata} {template.tags}"
