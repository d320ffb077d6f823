"""Agents and chains that LangChain publishes: optimized, they do what they did, and the same parsers read the replies.

The model follows the letter of its prompt: it takes the labels, keys and choices of its replies from there. So a prompt
that lost one of them, or has it by another name, makes a reply that the parser cannot read.
"""

import re
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, SimpleChatModel
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import Tool
from pydantic import Field

from fipo_integrations.langchain import optimize_chain
from fipo_model import FIPO_1, FIPO_2, PromptOptimizer
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

pytest.importorskip("langchain_classic", reason="needs langchain-classic, which has LangChain's older agents")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from langchain_classic import agents
    from langchain_classic.agents.mrkl import prompt as react
    from langchain_classic.agents.self_ask_with_search.prompt import PROMPT as SELF_ASK
    from langchain_classic.agents.structured_chat import prompt as structured
    from langchain_classic.chains.qa_generation.prompt import CHAT_PROMPT as QUIZ
    from langchain_classic.chains.question_answering.map_rerank_prompt import PROMPT as RERANK
    from langchain_classic.chains.router.llm_router import RouterOutputParser
    from langchain_classic.chains.router.multi_prompt_prompt import MULTI_PROMPT_ROUTER_TEMPLATE
    from langchain_classic.evaluation.criteria.eval_chain import CriteriaResultOutputParser
    from langchain_classic.evaluation.criteria.prompt import PROMPT as CRITERIA
    from langchain_classic.retrievers.multi_query import DEFAULT_QUERY_PROMPT, LineListOutputParser

QUESTION = "How deep is the harbour?"
RENAMED = {
    "Action Input": "Input of the Action",
    "Final Answer": "Last Answer",
    "Follow up": "Next",
    "action_input": "input",
    "Score": "Mark",
    "question": "query",
    "newlines": "commas",
    "destination": "target",
    '"Y" or "N"': '"1" or "0"',
}


class Following(SimpleChatModel):
    """A model that makes its reply of its prompt, and keeps the prompts."""

    reply: Callable[[str], str]
    told: list[str] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "following"

    def _call(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        self.told.append("\n\n".join(str(message.content) for message in messages))
        return self.reply(self.told[-1])


def found(pattern: str, prompt: str) -> str:
    match = re.search(pattern, prompt, re.MULTILINE)
    return match[1] if match else "?"


def _executor(agent: Runnable[Any, Any], tools: list[Tool]) -> Runnable[Any, Any]:
    return agents.AgentExecutor(agent=agent, tools=tools, max_iterations=3)


def _depths(name: str) -> list[Tool]:
    return [Tool(name=name, func=lambda place: "9 m", description="How deep the water is.")]


def react_agent(model: BaseChatModel) -> Runnable[Any, Any]:
    parts = [react.PREFIX, "{tools}", react.FORMAT_INSTRUCTIONS, react.SUFFIX]
    prompt, tools = PromptTemplate.from_template("\n\n".join(parts)), _depths("depth")
    return _executor(agents.create_react_agent(model, tools, prompt), tools)


def follow_react(prompt: str) -> str:
    labels = re.findall(r"^([A-Z][\w ]*):", prompt.partition("following format:")[2], re.MULTILINE)
    if "9 m" in prompt:
        return f"I know.\n{labels[6]}: 9 m"
    return f"I look.\n{labels[2]}: depth\n{labels[3]}: harbour"


def self_ask_agent(model: BaseChatModel) -> Runnable[Any, Any]:
    tools = _depths("Intermediate Answer")
    return _executor(agents.create_self_ask_with_search_agent(model, tools, SELF_ASK), tools)


def follow_self_ask(prompt: str) -> str:
    example = prompt[prompt.index("Question:") :].splitlines()
    follow_up, final = (example[line].partition(":")[0] for line in (2, 6))
    return f"{final}: 9 m" if "9 m" in prompt else f"Yes.\n{follow_up}: How deep is it?"


def structured_agent(model: BaseChatModel) -> Runnable[Any, Any]:
    head = [structured.PREFIX, "{tools}", structured.FORMAT_INSTRUCTIONS.replace("{{{{", "{{").replace("}}}}", "}}")]
    prompt = ChatPromptTemplate.from_messages(
        [("system", "\n\n".join([*head, structured.SUFFIX])), ("human", "{input}\n\n{agent_scratchpad}")]
    )
    tools = _depths("depth")
    return _executor(agents.create_structured_chat_agent(model, tools, prompt), tools)


def follow_structured(prompt: str) -> str:
    name, value = found(r'"(\w+)": \$TOOL_NAME', prompt), found(r'"(\w+)": \$INPUT', prompt)
    chosen, said = ("depth", "harbour") if "9 m" not in prompt else (found(r'"action": "(\w+ \w+)"', prompt), "9 m")
    return f'Action:\n```\n{{"{name}": "{chosen}", "{value}": "{said}"}}\n```'


def rerank_chain(model: BaseChatModel) -> Runnable[Any, Any]:
    return RERANK | model | RERANK.output_parser


def follow_rerank(prompt: str) -> str:
    return f"9 m\n{found(r'^(.+): .score between', prompt)}: 100"


def quiz_chain(model: BaseChatModel) -> Runnable[Any, Any]:
    return QUIZ | model | JsonOutputParser() | (lambda pair: (pair["question"], pair["answer"]))


def follow_quiz(prompt: str) -> str:
    asked, told = found(r'"(\w+)": "\$YOUR_QUESTION_HERE"', prompt), found(r'"(\w+)": "\$THE_ANSWER_HERE"', prompt)
    return f'```\n{{"{asked}": "How deep?", "{told}": "9 m"}}\n```'


def queries_chain(model: BaseChatModel) -> Runnable[Any, Any]:
    return DEFAULT_QUERY_PROMPT | model | LineListOutputParser() | (lambda lines: (len(lines), *lines))


def follow_queries(prompt: str) -> str:
    count, between = found(r"generate (\d) different", prompt), found(r"separated by (\w+)", prompt)
    return {"newlines": "\n"}.get(between, ", ").join(f"Depth {number}" for number in range(int(count)))


def router_chain(model: BaseChatModel) -> Runnable[Any, Any]:
    text = MULTI_PROMPT_ROUTER_TEMPLATE.format(destinations="harbour: questions about the harbour")
    return PromptTemplate.from_template(text) | model | RouterOutputParser()


def follow_router(prompt: str) -> str:
    name, value = found(r'^ *"(\w+)": string . name', prompt), found(r'^ *"(\w+)": string . a pot', prompt)
    return f'```json\n{{"{name}": "harbour", "{value}": "How deep?"}}\n```'


def criteria_chain(model: BaseChatModel) -> Runnable[Any, Any]:
    return CRITERIA | model | CriteriaResultOutputParser()


def follow_criteria(prompt: str) -> str:
    yes = found(r'single character "(\w)"', prompt)
    return f"It is correct.\n\n{yes}\n{yes}"


CASES: dict[str, tuple[Any, Callable[[str], str], dict[str, Any]]] = {
    "ReAct agent": (react_agent, follow_react, {"input": QUESTION}),
    "self-ask agent": (self_ask_agent, follow_self_ask, {"input": QUESTION}),
    "structured chat agent": (structured_agent, follow_structured, {"input": QUESTION}),
    "answers with scores": (rerank_chain, follow_rerank, {"context": "It is 9 m deep.", "question": QUESTION}),
    "questions for a quiz": (quiz_chain, follow_quiz, {"text": "The harbour is 9 m deep."}),
    "several queries": (queries_chain, follow_queries, {"question": QUESTION}),
    "router": (router_chain, follow_router, {"input": QUESTION}),
    "criteria": (criteria_chain, follow_criteria, {"input": QUESTION, "output": "9 m", "criteria": "correct"}),
}


@pytest.mark.parametrize("case", CASES)
def test_with_an_addition_it_does_the_same(case: str):
    make, follow, values = CASES[case]
    adding = PromptOptimizer(ScriptedGenerator(lambda _: "Keep all names."), template=FIPO_2)
    plain, better = Following(reply=follow), Following(reply=follow)
    expected = make(plain).invoke(values)
    optimized, report = optimize_chain(make(better), optimizer=adding)
    assert report.is_rewritten, report
    assert optimized.invoke(values) == expected
    assert len(plain.told) == len(better.told) == (2 if "agent" in case else 1)
    assert all("Keep all names." in prompt for prompt in better.told)


@pytest.mark.parametrize("case", CASES)
def test_a_rewriter_that_renames_what_a_parser_reads_changes_nothing(case: str):
    def rename(conversation: list[Any]) -> str:
        text = naive_in(conversation)
        for old, new in RENAMED.items():
            text = text.replace(old, new)
        return f"{text} Keep all names."

    make, follow, values = CASES[case]
    expected = make(Following(reply=follow)).invoke(values)
    renaming = PromptOptimizer(ScriptedGenerator(rename), template=FIPO_1)
    optimized, _ = optimize_chain(make(Following(reply=follow)), optimizer=renaming)
    assert optimized.invoke(values) == expected


@pytest.mark.parametrize("case", CASES)
def test_the_model_and_the_parser_would_not_get_on_without_the_names(case: str):
    """What makes the tests above say something: with the names changed in its prompt, the same chain fails."""
    make, follow, values = CASES[case]

    def misled(prompt: str) -> str:
        for old, new in RENAMED.items():
            prompt = prompt.replace(old, new)
        return follow(prompt)

    expected = make(Following(reply=follow)).invoke(values)
    try:
        outcome = make(Following(reply=misled)).invoke(values)
    except Exception:  # noqa: BLE001 - each parser has errors of its own
        return
    assert outcome != expected
