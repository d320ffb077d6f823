"""optimize_prompt on chats and few-shot templates: which messages are rewritten, and what of them stays."""

import json
import warnings
from typing import Any

import pytest
from langchain_core.example_selectors import BaseExampleSelector
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import (
    ChatMessagePromptTemplate,
    ChatPromptTemplate,
    FewShotChatMessagePromptTemplate,
    FewShotPromptTemplate,
    FewShotPromptWithTemplates,
    HumanMessagePromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
    StringPromptTemplate,
    SystemMessagePromptTemplate,
)
from langchain_core.prompts.structured import StructuredPrompt

from fipo_integrations.langchain import OUTCOMES, optimize_prompt
from fipo_model import PromptOptimizer
from fipo_model.testing import ScriptedGenerator
from support.langchain_prompts import LENIENT, better, dumped, left_out, outcomes, replying, rewrite


def contents(messages: list[BaseMessage]) -> list[Any]:
    return [message.content for message in messages]


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def optimizer(generator: ScriptedGenerator) -> PromptOptimizer:
    return PromptOptimizer(generator)


class Upper(StringPromptTemplate):
    """A stranger's class."""

    text: str

    def format(self, **kwargs: Any) -> str:
        return self.text.upper()


class TestChats:
    def test_the_first_system_message_is_chosen(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        chat = ChatPromptTemplate.from_messages(
            [("human", "Explain it all."), ("system", "Act as {who}."), ("system", "Speak {tongue}."), ("human", "{q}")]
        )
        before = dumped(chat)
        new, report = optimize_prompt(chat, optimizer=optimizer)
        assert outcomes(report) == [("messages[1].prompt.template", "optimized")]
        formatted = new.format_messages(who="a pilot", tongue="Dutch", q="Why?")
        assert contents(formatted) == ["Explain it all.", better("Act as a pilot."), "Speak Dutch.", "Why?"]
        assert new.input_variables == chat.input_variables
        assert dumped(chat) == before
        assert better("Act as {who}.") in json.dumps(new._serialized)
        assert generator.batch_sizes == [1]

    @pytest.mark.parametrize(
        ("messages", "chosen"),
        [
            ([("human", "Explain tides."), ("human", "Explain {x}.")], [1]),
            ([("human", "Explain {x}."), ("human", "{x}")], [0]),
            ([("human", "Name {x}."), ("ai", "Blue."), ("human", "Explain {x}.")], [2]),
            ([("human", "Explain {x}."), ("ai", "Sure.")], []),
            ([("human", "Explain {x}."), ("ai", "Sure."), ("human", "{x}")], []),
            ([("human", "Explain {x}."), AIMessage("Blue."), ("human", "{x}")], []),
            ([("ai", "Hello there."), MessagesPlaceholder("m", optional=True), ("human", "Explain {x}.")], [2]),
            ([ChatMessagePromptTemplate.from_template("Act as {x}.", role="system"), ("human", "Explain it.")], [0]),
            ([ChatMessagePromptTemplate.from_template("Explain {x}.", role="User"), ("human", "{x}")], [0]),
            ([("human", "Explain {x}."), ChatMessagePromptTemplate.from_template("Fine.", role="critic")], []),
            ([("placeholder", "{m}"), ("ai", "Hello there.")], []),
            ([SystemMessage(" "), ("human", "Explain {x}.")], [1]),
            ([("system", "{persona}"), ("human", "Explain {x}.")], [1]),
            ([("system", "{persona}"), ("system", "Be kind."), ("human", "Explain {x}.")], [1]),
        ],
    )
    def test_which_message_is_chosen(self, optimizer: PromptOptimizer, messages: list, chosen: list[int]):
        chat = ChatPromptTemplate.from_messages(messages)
        new, report = optimize_prompt(chat, optimizer=optimizer)
        assert [change.where.partition(".")[0] for change in report.changes] == [f"messages[{n}]" for n in chosen]
        changed = [n for n, (old, now) in enumerate(zip(chat.messages, new.messages, strict=True)) if old != now]
        assert changed == chosen
        assert (new is chat) == (chosen == [])
        others = [n for n in range(len(messages)) if n not in chosen]
        assert [int(part.where.partition("]")[0][9:]) for part in report.left_alone] == others
        assert all(part.reason for part in report.left_alone)
        assert left_out(report) == []

    @pytest.mark.parametrize(
        ("roles", "places"),
        [(("system",), [0, 2]), (("human",), [1, 4]), (("system", "human"), [0, 1, 2, 4]), ((), [])],
    )
    def test_roles_say_whose_messages_are_rewritten(
        self, optimizer: PromptOptimizer, generator: ScriptedGenerator, roles: Any, places: list[int]
    ):
        chat = ChatPromptTemplate.from_messages(
            [
                ("system", "Act kindly."),
                ("human", "Explain {x}."),
                SystemMessage("Speak Dutch."),
                ("ai", "I will explain."),
                ("human", "Go on now."),
            ]
        )
        new, report = optimize_prompt(chat, optimizer=optimizer, roles=roles)
        assert [int(change.where[9]) for change in report.changes] == places
        texts = contents(new.format_messages(x="tides"))
        naive = contents(chat.format_messages(x="tides"))
        assert texts == [better(text) if place in places else text for place, text in enumerate(naive)]
        assert generator.batch_sizes == ([len(places)] if places else [])
        assert len(report.left_alone) == 5 - len(places)

    def test_braces_of_a_static_message_are_plain_text(self):
        static = SystemMessage('Answer as {"a": {b}} and }.', id="s", additional_kwargs={"k": 1})
        chat = ChatPromptTemplate.from_messages([static, ("human", "{question}")])
        optimizer = replying(lambda naive: f"{naive} Never write {{c}} or {{{{.", settings=LENIENT)
        new, report = optimize_prompt(chat, optimizer=optimizer)
        message = new.format_messages(question="Why?")[0]
        assert message.content == 'Answer as {"a": {b}} and }. Never write {c} or {{.'
        assert (message.id, message.additional_kwargs) == ("s", {"k": 1})
        assert outcomes(report) == [("messages[0].content", "optimized")]
        assert static.content == 'Answer as {"a": {b}} and }.'

    def test_only_text_parts_of_a_multimodal_message_are_rewritten(self, optimizer: PromptOptimizer):
        cached = {"type": "text", "text": "The house style.", "cache_control": {"type": "ephemeral"}}
        for kind, role in ((SystemMessagePromptTemplate, "system"), (HumanMessagePromptTemplate, "human")):
            parts = [
                {"type": "text", "text": "Describe the {thing}."},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,{image}"}},
                cached,
                "Mention its colours.",
            ]
            chat = ChatPromptTemplate.from_messages([(role, parts)])
            assert isinstance(chat.messages[0], kind)
            new, report = optimize_prompt(chat, optimizer=optimizer)
            texts = [f"messages[0].prompt{end}" for end in ("[0].template", "[2].template['text']", "[3].template")]
            assert outcomes(report) == [(where, "optimized") for where in texts]
            (message,) = new.format_messages(thing="boat", image="AAAA")
            assert message.content == [
                {"type": "text", "text": better("Describe the boat.")},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {**cached, "text": better("The house style.")},
                {"type": "text", "text": better("Mention its colours.")},
            ]
            assert new.messages[0].prompt[1] is chat.messages[0].prompt[1]
            assert chat.messages[0].prompt[2].template == cached

    def test_a_part_that_calls_itself_text_and_has_none_stays_as_it_is(self, optimizer: PromptOptimizer):
        odd = [{"type": "text", "text": {"de": "Hallo."}, "k": 1}, {"type": "text", "k": 1}]
        chat = ChatPromptTemplate.from_messages([("system", [*odd, "Greet people well."])])
        new, report = optimize_prompt(chat, optimizer=optimizer)
        assert outcomes(report) == [("messages[0].prompt[2].template", "optimized")]
        assert [part.template for part in new.messages[0].prompt[:2]] == odd

    def test_blocks_of_a_static_message_keep_what_is_not_text(self, optimizer: PromptOptimizer):
        cached = {"type": "text", "text": "Describe the picture.", "cache_control": {"type": "ephemeral"}}
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        chat = ChatPromptTemplate.from_messages([SystemMessage([cached, image]), ("human", "{q}")])
        new, _ = optimize_prompt(chat, optimizer=optimizer)
        assert new.messages[0].content == [{**cached, "text": better("Describe the picture.")}, image]
        assert chat.messages[0].content == [cached, image]

    def test_placeholders_partials_and_settings_stay(self, optimizer: PromptOptimizer):
        chat = ChatPromptTemplate(
            [
                ("system", "Act kindly in {language}."),
                MessagesPlaceholder("history", optional=True, n_messages=1),
                ("human", "{question}"),
            ],
            partial_variables={"language": lambda: "Dutch"},
            metadata={"team": "a"},
            tags=["t"],
            output_parser=StrOutputParser(),
            name="chat",
        )
        new, _ = optimize_prompt(chat, optimizer=optimizer)
        history = [HumanMessage("Hi."), AIMessage("Hello.")]
        assert new.messages[1] is chat.messages[1]
        assert contents(new.format_messages(question="Why?")) == [better("Act kindly in Dutch."), "Why?"]
        with_history = new.format_messages(question="Why?", history=history)
        assert contents(with_history) == [better("Act kindly in Dutch."), "Hello.", "Why?"]
        assert (new.tags, new.name, new.metadata["team"], new.metadata[OUTCOMES]) == (["t"], "chat", "a", ["optimized"])
        assert (new.input_variables, new.optional_variables) == (chat.input_variables, chat.optional_variables)
        assert new.input_types == chat.input_types
        assert isinstance(new.output_parser, StrOutputParser)

    def test_nested_chats_are_one_conversation(self, optimizer: PromptOptimizer):
        inner = ChatPromptTemplate.from_messages([("system", "Act as {who}."), ("human", "Explain tides.")])
        chat = ChatPromptTemplate.from_messages([("human", "Hello there you."), inner, ("human", "{q}")])
        new, report = optimize_prompt(chat, optimizer=optimizer)
        assert outcomes(report) == [("messages[1].messages[0].prompt.template", "optimized")]
        formatted = contents(new.format_messages(who="a pilot", q="Why?"))
        assert formatted == ["Hello there you.", better("Act as a pilot."), "Explain tides.", "Why?"]
        assert inner.messages[0].prompt.template == "Act as {who}."

    def test_only_the_last_human_message_of_nested_chats_is_chosen(self, optimizer: PromptOptimizer):
        inner = ChatPromptTemplate.from_messages([("human", "Name a colour."), ("ai", "Blue, of course.")])
        chat = ChatPromptTemplate.from_messages([inner, ("human", "Explain {x}."), ("human", "{x}")])
        assert outcomes(optimize_prompt(chat, optimizer=optimizer)[1]) == [("messages[1].prompt.template", "optimized")]

    def test_a_message_of_an_own_role_keeps_it(self, optimizer: PromptOptimizer):
        chat = ChatPromptTemplate.from_messages([ChatMessagePromptTemplate.from_template("Act as {x}.", role="system")])
        new, _ = optimize_prompt(chat, optimizer=optimizer)
        assert new.format_messages(x="a pilot") == [ChatMessage(better("Act as a pilot."), role="system")]

    def test_mustache_works_in_chats(self, optimizer: PromptOptimizer):
        chat = ChatPromptTemplate.from_messages(
            [("system", "Act as {{who}}.{{#strict}} Be strict.{{/strict}}"), ("human", "{{q}}")],
            template_format="mustache",
        )
        new, _ = optimize_prompt(chat, optimizer=optimizer)
        formatted = contents(new.format_messages(who="a pilot", strict=True, q="Why?"))
        assert formatted == [better("Act as a pilot. Be strict."), "Why?"]

    def test_a_human_message_that_cannot_be_read_is_left_out_with_its_reason(self, optimizer: PromptOptimizer):
        unsure = ChatPromptTemplate.from_messages([("human", "Explain {x} as {{x}} says.")])
        odd = ChatPromptTemplate.from_messages([("human", "Explain {{=<% %>=}}<% x %>.")], template_format="mustache")
        for chat, reason in ((unsure, "it has literal braces"), (odd, "it changes mustache's delimiters")):
            new, report = optimize_prompt(chat, optimizer=optimizer)
            assert new is chat
            ((where, why),) = left_out(report)
            assert where == "messages[0].prompt.template"
            assert why.startswith(reason)

    def test_a_structured_prompt_stays_one(self):
        schema = {"title": "Reply", "description": "A reply.", "type": "object", "properties": {"text": {}}}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*StructuredPrompt", category=Warning)
            prompt = StructuredPrompt(
                [("system", "Act as {who}."), ("human", "{q}")],
                schema,
                structured_output_kwargs={"method": "json_mode"},
            )
        guidance = "Give a reason for each statement."
        new, report = optimize_prompt(prompt, optimizer=replying(lambda naive: f"{naive} {guidance}"))
        assert type(new) is StructuredPrompt
        assert (new.schema_, new.structured_output_kwargs) == (schema, {"method": "json_mode"})
        assert contents(new.format_messages(who="a pilot", q="Why?")) == [f"Act as a pilot. {guidance}", "Why?"]
        assert outcomes(report) == [("messages[0].prompt.template", "optimized")]
        assert prompt.messages[0].prompt.template == "Act as {who}."


class Newest(BaseExampleSelector):
    """Selects the last example."""

    def __init__(self, examples: list[dict[str, str]]) -> None:
        self.examples = examples

    def add_example(self, example: dict[str, str]) -> None:
        self.examples.append(example)

    def select_examples(self, input_variables: dict[str, str]) -> list[dict]:
        return self.examples[-1:]


SHOT = PromptTemplate.from_template("Q: {q}\nA: {a}")
SHOTS = [{"q": "2+2", "a": "4"}, {"q": "2+3", "a": "5"}]


class TestFewShot:
    @pytest.mark.parametrize("selector", [False, True], ids=["examples", "selector"])
    def test_only_the_prefix_is_rewritten(self, optimizer: PromptOptimizer, selector: bool):
        chosen: Any = {"example_selector": Newest(SHOTS)} if selector else {"examples": SHOTS}
        few = FewShotPromptTemplate(
            example_prompt=SHOT,
            prefix="Solve sums for {who}.",
            suffix="Please answer this now.\nQ: {question}",
            input_variables=["who", "question"],
            example_separator="\n--\n",
            **chosen,
        )
        new, report = optimize_prompt(few, optimizer=optimizer)
        assert outcomes(report) == [("prefix", "optimized")]
        assert (few.prefix, new.prefix) == ("Solve sums for {who}.", better("Solve sums for {who}."))
        assert new.example_prompt is few.example_prompt
        assert (new.examples, new.example_selector) == (few.examples, few.example_selector)
        values = {"who": "Ann", "question": "3+3"}
        assert new.format(**values) == few.format(**values).replace("for Ann.", better("for Ann."))

    def test_the_rewriter_sees_an_example_and_what_follows(self, generator: ScriptedGenerator):
        few = FewShotPromptTemplate(
            example_prompt=SHOT, examples=SHOTS, prefix="Add up.", suffix="Q: {q}\nA:", input_variables=["q"]
        )
        _, report = optimize_prompt(few, optimizer=PromptOptimizer(generator))
        shown = generator.calls[-1][0][-1]["content"]
        assert "After the examples:\nQ: {q}\nA:" in shown
        assert "An example:\nQ: 2+2\nA: 4" in shown
        assert [part.where for part in report.left_alone] == ["suffix"]

    def test_a_prefix_that_is_not_there_is_reported(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        few = FewShotPromptTemplate(
            example_prompt=SHOT, examples=SHOTS, suffix="Q: {question}", input_variables=["question"]
        )
        new, report = optimize_prompt(few, optimizer=optimizer)
        assert new is few
        assert left_out(report) == [("prefix", "it is empty")]
        assert generator.calls == []

    def test_in_a_chats_message_it_works_as_well(self, optimizer: PromptOptimizer):
        few = FewShotPromptTemplate(
            example_prompt=SHOT,
            examples=SHOTS,
            prefix="Solve sums like these.",
            suffix="Q: {question}",
            input_variables=["question"],
        )
        chat = ChatPromptTemplate.from_messages([SystemMessagePromptTemplate(prompt=few), ("human", "{question}")])
        new, report = optimize_prompt(chat, optimizer=optimizer)
        assert outcomes(report) == [("messages[0].prompt.prefix", "optimized")]
        assert new.format_messages(question="3+3")[0].content.startswith(better("Solve sums like these."))

    def test_few_shot_chat_messages_are_not_touched(self, optimizer: PromptOptimizer):
        shots = FewShotChatMessagePromptTemplate(
            examples=SHOTS,
            example_prompt=ChatPromptTemplate.from_messages([("human", "{q}"), ("ai", "{a}")]),
        )
        chat = ChatPromptTemplate.from_messages([("system", "Solve sums."), shots, ("human", "{question}")])
        new, _ = optimize_prompt(chat, optimizer=optimizer)
        assert contents(new.format_messages(question="3+3")) == [
            *(better("Solve sums."), "2+2", "4", "2+3", "5", "3+3"),
        ]
        assert new.messages[1] is shots

    def test_unknown_kinds_of_templates_are_left_out_with_the_reason(
        self, optimizer: PromptOptimizer, generator: ScriptedGenerator
    ):
        others = [
            FewShotPromptWithTemplates(
                example_prompt=SHOT,
                examples=SHOTS,
                prefix=PromptTemplate.from_template("Solve these sums."),
                suffix=PromptTemplate.from_template("Q: {question}"),
                input_variables=["question"],
            ),
            Upper(text="Explain tides.", input_variables=[]),
        ]
        for template in others:
            new, report = optimize_prompt(template, optimizer=optimizer)
            assert new is template
            reason = f"FIPO does not know how a {type(template).__name__} keeps its text"
            assert left_out(report) == [("", reason)]
            assert report.changes == ()
        assert generator.calls == []
