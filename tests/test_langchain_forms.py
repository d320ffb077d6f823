"""What gives the reply to each prompt of a chain its form: the model's settings, or the first parser behind it."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.output_parsers import (
    BaseOutputParser,
    CommaSeparatedListOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
    StrOutputParser,
)
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableBranch,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool
from pydantic import BaseModel

from fipo_integrations.langchain import optimize_prompt
from fipo_integrations.langchain.ahead import form_ahead
from fipo_integrations.langchain.chains import _found
from fipo_model import PromptOptimizer, form_of_settings
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in

agents, chains, output_parsers = (
    pytest.importorskip(f"langchain_classic.{name}", reason="needs langchain-classic")
    for name in ("agents", "chains", "output_parsers")
)


class Ticket(BaseModel):
    topic: str
    reason: str


class Thoughtless(BaseOutputParser[str]):
    """Takes away what a model thinks aloud."""

    def parse(self, text: str) -> str:
        return text.rpartition("</think>")[2]


class Pairs(BaseOutputParser[dict[str, str]]):
    """Reads lines with a colon."""

    def parse(self, text: str) -> dict[str, str]:
        return dict(line.split(":") for line in text.splitlines())


MODEL = FakeListChatModel(responses=["no"])
ONE, OTHER = (ChatPromptTemplate.from_messages([("system", text), ("human", "{mail}")]) for text in ("one", "other"))
TICKETS = PydanticOutputParser(pydantic_object=Ticket)
NUMBERS = output_parsers.BooleanOutputParser()
JSON = {"type": "json_object"}
SCHEMA = '{"properties": {"topic": {"type": "string"}}}'


def served() -> Any:
    # langchain-openai needs a newer langchain-core than the oldest one that FIPO supports.
    models = pytest.importorskip("langchain_openai", exc_type=ImportError)
    return models.ChatOpenAI(model="gpt-4o", api_key="x", base_url="http://127.0.0.1:9")


def forms(chain: Any) -> list[str | None]:
    return [slot.fixed_form for slot in _found(chain, None).slots]


@pytest.mark.parametrize(
    ("model", "form"),
    [
        (MODEL.configurable_alternatives(ConfigurableField(id="m"), other=MODEL) | TICKETS, "fields"),
        (MODEL | TICKETS, "fields"),
        (MODEL | StrOutputParser() | TICKETS, "fields"),
        (MODEL | Thoughtless() | JsonOutputParser(), "fields"),
        (MODEL | Thoughtless(), None),
        (MODEL | (lambda reply: reply) | JsonOutputParser(), "fields"),
        ((lambda prompt: MODEL.invoke(prompt)) | JsonOutputParser(), "fields"),
        (RunnablePassthrough() | MODEL | CommaSeparatedListOutputParser(), "value"),
        (MODEL | Pairs(), "fields"),
        (MODEL | NUMBERS, "value"),
        ((MODEL | TICKETS).with_retry(), "fields"),
        ((MODEL | TICKETS).with_config(tags=["a"]), "fields"),
        ((MODEL | TICKETS).with_fallbacks([MODEL | TICKETS]), "fields"),
        (MODEL | RunnableParallel(ticket=TICKETS, text=RunnablePassthrough()), "fields"),
        (RunnableParallel(ticket=MODEL | TICKETS), "fields"),
        (MODEL.map() | TICKETS.map(), "fields"),
        (MODEL | RunnableBranch((lambda reply: True, TICKETS), StrOutputParser()), "fields"),
        (MODEL | (lambda reply: {"mail": reply}) | OTHER | MODEL | TICKETS, None),
    ],
)
def test_what_is_ahead_of_a_prompt(model: Runnable[LanguageModelInput, Any], form: str | None):
    _check_ahead(model, form)


@pytest.mark.parametrize(
    ("made_of", "form"),
    [
        (lambda one: one.with_structured_output(Ticket), "fields"),
        (lambda one: one.with_structured_output(Ticket, include_raw=True), "fields"),
        (lambda one: one.with_structured_output(Ticket, method="function_calling"), "fields"),
        (lambda one: one.with_structured_output(Ticket, method="json_mode", include_raw=True), "fields"),
        (lambda one: one.with_structured_output(Ticket).with_retry(), "fields"),
        (lambda one: one.with_structured_output(Ticket).with_fallbacks([MODEL]), "fields"),
        (lambda one: one.bind(response_format=JSON).with_config(tags=["a"]), "fields"),
        (lambda one: one.bind(response_format={"type": "text"}), None),
        (
            lambda one: one.model_copy(update={"model_kwargs": {"response_format": {"type": "json_object"}}}),
            "fields",
        ),
        (lambda one: one.bind_tools([Ticket]), None),
        (lambda one: one.bind_tools([Ticket], tool_choice="Ticket"), "fields"),
        (
            lambda one: one.configurable_fields(temperature=ConfigurableField(id="t")).bind(format="json"),
            "fields",
        ),
    ],
)
def test_what_is_ahead_with_settings_of_the_model(made_of: Callable[[Any], Any], form: str | None):
    _check_ahead(made_of(served()), form)


def _check_ahead(model: Any, form: str | None) -> None:
    assert form_ahead(model) == form
    assert forms(ONE | model)[0] == form
    _, report = optimize_prompt(ONE, optimizer=optimizer(), downstream=model)
    assert report.changes[0].outcome == ("form_contradicted" if form == "fields" else "optimized")


def optimizer() -> PromptOptimizer:
    said = "Answer with the verdict and nothing else."
    return PromptOptimizer(ScriptedGenerator(lambda asked: f"{naive_in(asked)}\n\n{said}"))


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (RunnableParallel(note=ONE | MODEL, ticket=OTHER | MODEL | TICKETS), [None, "fields"]),
        (RunnableParallel(ticket=ONE | MODEL | TICKETS, note=OTHER | MODEL), ["fields", None]),
        (ONE | MODEL | (lambda said: {"mail": said}) | OTHER | MODEL | TICKETS, [None, "fields"]),
        (RunnablePassthrough.assign(mail=ONE | MODEL) | OTHER | MODEL | TICKETS, [None, "fields"]),
        (RunnableBranch((lambda mail: True, ONE | MODEL), OTHER | MODEL | TICKETS), [None, "fields"]),
        (RunnableBranch((ONE | MODEL, OTHER | MODEL), RunnablePassthrough()) | TICKETS, [None, "fields"]),
        ((ONE | MODEL | TICKETS).with_fallbacks([OTHER | MODEL]), ["fields", None]),
        (RunnableParallel(a=ONE | MODEL, b=OTHER | MODEL) | (lambda said: said["a"]) | TICKETS, [None, None]),
    ],
)
def test_a_parser_is_that_of_the_prompts_whose_replies_it_reads(chain: Any, expected: list[str | None]):
    assert forms(chain) == expected


@pytest.mark.parametrize("name", ["OutputFixingParser", "RetryOutputParser"])
def test_a_parser_that_has_replies_mended_reads_what_the_one_in_it_reads(name: str):
    parser = getattr(output_parsers, name).from_llm(parser=TICKETS, llm=MODEL)
    assert forms(ONE | MODEL | parser) == ["fields", "fields"]


def test_parsers_of_several_values():
    parts = [TICKETS, output_parsers.RegexParser(regex="a(.*)b(.*)", output_keys=["a", "b"])]
    assert form_ahead(MODEL | output_parsers.CombiningOutputParser(parsers=parts)) == "fields"
    assert form_ahead(MODEL | parts[1]) == "fields"


def test_the_last_answer_of_an_agent_with_tools_is_free():
    @tool
    def look_up(question: str) -> str:
        """Look it up."""
        return question

    prompt = ChatPromptTemplate.from_messages(
        [("system", "one"), ("human", "{input}"), ("placeholder", "{agent_scratchpad}")]
    )
    assert forms(agents.create_tool_calling_agent(served(), [look_up], prompt)) == [None]


@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
def test_a_chain_of_the_older_kind():
    assert forms(chains.LLMChain(prompt=ONE, llm=MODEL, output_parser=TICKETS)) == ["fields"]
    assert forms(chains.LLMChain(prompt=ONE, llm=MODEL)) == [None]


@pytest.mark.parametrize("name", ["schema", "table_schema", "db_schema"])
def test_the_schema_of_a_database_says_nothing_of_the_reply(name: str):
    template = PromptTemplate.from_template(f"write the SQL query\n\nSchema: {{{name}}}\n\nQuestion: {{question}}")
    tables = template.partial(**{name: "CREATE TABLE mails (topic TEXT)"})
    assert forms(template | MODEL | StrOutputParser()) == forms(tables | MODEL) == [None]
    assert forms(template.partial(**{name: SCHEMA}) | MODEL) == ["fields"]


def test_the_parser_knows_better_than_the_name_of_a_variable():
    parser = CommaSeparatedListOutputParser()
    template = PromptTemplate.from_template("one\n\n{mail}\n\n{format_instructions}")
    told = template.partial(format_instructions=parser.get_format_instructions())
    assert forms(template | MODEL | parser) == forms(told | MODEL | parser) == forms(told | MODEL) == ["value"]
    assert forms(template | MODEL) == ["fields"]


@pytest.mark.parametrize(
    ("settings", "form"),
    [
        ({}, None),
        ({"temperature": 0, "tools": [{"type": "function"}]}, None),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "fields"),
        ({"response_format": Ticket}, "fields"),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": None}, None),
        ({"format": "json"}, "fields"),
        ({"format": Ticket.model_json_schema()}, "fields"),
        ({"response_mime_type": "application/json"}, "fields"),
        ({"tool_choice": "auto"}, None),
        ({"tool_choice": "none"}, None),
        ({"tool_choice": {"type": "auto"}}, None),
        ({"tool_choice": {"auto": {}}}, None),
        ({"tool_choice": {}}, None),
        ({"tool_choice": "required"}, "fields"),
        ({"tool_choice": {"type": "tool", "name": "Ticket"}}, "fields"),
        ({"tool_choice": {"tool": {"name": "Ticket"}}}, "fields"),
        ({"tool_choice": ["Ticket"], "response_format": 7, "format": ["json"]}, None),
        ({"text": {"format": {"type": "json_schema"}}}, "fields"),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, None),
        ({"text": "json"}, None),
        ({"extra_body": {"guided_json": {"type": "object"}}}, "fields"),
        ({"extra_body": {"response_format": {"type": "json_object"}}}, "fields"),
        ({"extra_body": {"structured_outputs": {"json": {"type": "object"}}}}, "fields"),
        ({"extra_body": {"structured_outputs": {"choice": ["yes", "no"]}}}, "value"),
        ({"extra_body": {"guided_choice": ["yes", "no"]}}, "value"),
        ({"guided_regex": "[0-9]+"}, "value"),
        ({"extra_body": {"top_k": 20}}, None),
    ],
)
def test_what_the_settings_of_a_call_say(settings: dict[str, Any], form: str | None):
    assert form_of_settings(settings) == form
