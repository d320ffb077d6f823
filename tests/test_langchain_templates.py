"""optimize_prompt: which texts of which templates are rewritten, what stays, and what the report says of it."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.example_selectors import BaseExampleSelector
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import CommaSeparatedListOutputParser, StrOutputParser
from langchain_core.prompts import (
    BasePromptTemplate,
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
from langchain_core.runnables import RunnableLambda
from pydantic import PrivateAttr

from fipo_integrations.langchain import OUTCOMES, SOURCE, default, loads, optimize_chain, optimize_prompt
from fipo_integrations.langchain.examples import text_of
from fipo_integrations.langchain.marks import TEXTS, digest
from fipo_model import FIPO_2, Comparison, Message, PromptOptimizer, Verdict
from fipo_model.errors import InputError, ModelError
from fipo_model.fidelity import FidelitySettings
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.langchain_prompts import LENIENT, TOO_LONG, asked, better, dumped, left_out, outcomes, replying, rewrite


def contents(messages: list[BaseMessage]) -> list[Any]:
    return [message.content for message in messages]


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def optimizer(generator: ScriptedGenerator) -> PromptOptimizer:
    return PromptOptimizer(generator)


@pytest.fixture
def no_default_weights(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse() -> PromptOptimizer:
        raise AssertionError("the default weights were loaded")

    monkeypatch.setattr(PromptOptimizer, "from_pretrained", refuse)
    default._load.cache_clear()
    yield
    default._load.cache_clear()


class Upper(StringPromptTemplate):
    """A stranger's class."""

    text: str

    def format(self, **kwargs: Any) -> str:
        return self.text.upper()


SHOWN = "EXAMPLE\nI work with Sam, who sold me all of the bread that you see on the table.\nOut: Sam\nEND OF EXAMPLE"


class TestPromptTemplate:
    def test_its_text_is_rewritten_and_its_variables_stay(self, optimizer: PromptOptimizer):
        template = PromptTemplate.from_template("Explain {topic!r} to a {reader:>8}, mind {topic}.")
        new, report = optimize_prompt(template, optimizer=optimizer)
        assert type(new) is PromptTemplate
        assert new.template == better(template.template)
        assert new.input_variables == ["reader", "topic"]
        assert new.format(topic="tides", reader="child") == better("Explain 'tides' to a    child, mind tides.")
        assert outcomes(report) == [("template", "optimized")]
        assert (report.changes[0].naive, report.changes[0].text) == (template.template, new.template)
        assert [c.outcome for c in report.changes[0].candidates] == ["optimized"]
        assert report.is_rewritten
        assert report.unreached == ()

    @pytest.mark.parametrize(
        "text",
        [
            "Explain {{topic}} to {{{reader}}} briefly.",
            "Explain {{topic}} to {{& reader}} briefly.",
            "Explain {{#topics}}{{name}}, {{/topics}}{{^topics}}nothing{{/topics}} briefly.",
            "Explain {{! keep it short }} {{person.name}} and {{ person.age }} briefly.",
            "Greet {{#people}}{{.}} {{/people}}warmly.",
        ],
    )
    def test_mustache_tags_of_every_kind_stay(self, optimizer: PromptOptimizer, text: str):
        template = PromptTemplate.from_template(text, template_format="mustache")
        new, report = optimize_prompt(template, optimizer=optimizer)
        values = {
            "topic": "<b>",
            "reader": "<i>",
            "topics": [{"name": "tides"}, {"name": "waves"}],
            "people": ["Ann", "Bo"],
            "person": {"name": "Ann", "age": 7},
        }
        assert outcomes(report) == [("template", "optimized")]
        assert new.template == better(text)
        assert new.format(**values) == better(template.format(**values))
        assert new.input_variables == template.input_variables

    def test_everything_else_of_it_is_kept(self, optimizer: PromptOptimizer):
        def now() -> str:
            return "noon"

        template = PromptTemplate(
            template="Explain {topic} in {language} at {time}.",
            input_variables=["topic"],
            partial_variables={"language": "French", "time": now},
            metadata={"team": "a"},
            tags=["t"],
            output_parser=CommaSeparatedListOutputParser(),
            name="explain",
            validate_template=True,
        )
        new, _ = optimize_prompt(template, optimizer=optimizer)
        assert new.format(topic="tides") == better("Explain tides in French at noon.")
        assert new.partial_variables == {"language": "French", "time": now}
        assert new.metadata == {"team": "a", OUTCOMES: ["optimized"], TEXTS: [digest(new.template)]}
        assert (new.tags, new.name, new.validate_template) == (["t"], "explain", True)
        assert isinstance(new.output_parser, CommaSeparatedListOutputParser)
        assert new.input_variables == ["topic"]

    def test_the_original_is_untouched_and_traces_show_the_new_text(self, optimizer: PromptOptimizer):
        template = PromptTemplate.from_template("Explain {topic} briefly.", metadata={"team": "a"})
        before, shown = dumped(template), dict(template._serialized)
        new, _ = optimize_prompt(template, optimizer=optimizer)
        assert dumped(template) == before
        assert template._serialized == shown
        assert template.metadata == {"team": "a"}
        assert new._serialized["kwargs"]["template"] == better("Explain {topic} briefly.")
        assert template.format(topic="tides") == "Explain tides briefly."

    def test_white_space_at_both_ends_stays(self, optimizer: PromptOptimizer):
        for form, field in (("f-string", "{topic}"), ("mustache", "{{topic}}")):
            template = PromptTemplate.from_template(f"\n  Explain {field}.\t\n\n", template_format=form)
            new, _ = optimize_prompt(template, optimizer=optimizer)
            assert new.template == f"\n  {better(f'Explain {field}.')}\t\n\n"

    @pytest.mark.parametrize(
        ("head", "rest"),
        [
            ("Sort the message.\n\nUse one word.", "\n\n<message>\n{text}\n</message>"),
            ("Answer the question below.", "\nQuestion:\n{text}"),
            ("Answer from the notes.", "\nThe notes that we found:\n{text}"),
            ("Answer from the notes.", "\n\nHere are the notes that we found:\n{text}"),
            ("Answer from the notes.", "\n\n# Notes\n\nThese are all we found:\n\n{text}"),
            ("Give the class of the text:\n- good\n- bad", "\n\nText: {text}"),
            ("Task: Shorten the text.", "\n\nText: {text}"),
            ("Answer only from these notes:", "\n{text}"),
            ("Use one of {labels} for the\ntext of {author}.", "\n\nText: {text}\nLabel:"),
            ("Fix the query in the fence.", "\nIt is meant to run on\n```sql\n{query}\n```"),
        ],
    )
    def test_what_leads_over_to_a_variable_stays_with_it(self, optimizer: PromptOptimizer, head: str, rest: str):
        new, _ = optimize_prompt(PromptTemplate.from_template(head + rest), optimizer=optimizer)
        assert new.template == better(head) + rest

    @pytest.mark.parametrize(
        "rest",
        [
            "\n\nReview: a great film\nMood: good\n\nReview: {text}\nMood:",
            "\n\nReview: a great film\n\nMood: good\n\nReview: {text}\n\nMood:",
            "\nReview: a film to see again\nMood: good\nReview: {text}\nMood:",
            "\n\nText:\nA great film.\nMood:\nGood.\n\nText:\n{text}\nMood:\n",
            "\n\nHere are examples of what to write:\n\nReview: a great film\nMood: good\n\nReview: {text}",
            "\n\nExample input: a great film\nExample output: good\n\nNow it is your turn.\n\nReview: {text}",
        ],
    )
    def test_examples_stay_whole_and_with_what_announces_them(self, optimizer: PromptOptimizer, rest: str):
        # The last example was once cut in half: its short answer was taken for what leads over to the variable.
        new, _ = optimize_prompt(PromptTemplate.from_template(f"Say the mood of a review.{rest}"), optimizer=optimizer)
        assert new.template == better("Say the mood of a review.") + rest

    @pytest.mark.parametrize(
        "text",
        [
            "You translate legal\ndocuments from German into {language} for\nlawyers.",
            "This query, delimited by backticks\n```\n{query}\n```\nis wrong. Give me a correct version.",
            "{text}\n\nSummarize what stands above.",
            "Question: What is the capital of Peru?\nAnswer: Lima\nQuestion: {text}\nAnswer:",
        ],
    )
    def test_a_text_that_does_not_end_in_data_is_rewritten_as_a_whole(self, generator: ScriptedGenerator, text: str):
        # Of a sentence wrapped over lines, the first line alone was once rewritten.
        optimize_prompt(PromptTemplate.from_template(text), optimizer=PromptOptimizer(generator))
        assert asked(generator) == [text]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("Summarize the following: {text}", "Summarize the following:\n\nKeep all names.\n\n{text}"),
            ("You help. Shorten this: {text}", "You help.\n\nKeep all names.\n\nShorten this: {text}"),
            ("Be brief. Note: {n} Question: {q}", "Be brief.\n\nKeep all names.\n\nNote: {n} Question: {q}"),
            ("Shorten it.\n\nText: {text}\nShort:", "Shorten it.\n\nKeep all names.\n\nText: {text}\nShort:"),
            ("Shorten it.\nText: {text}", "Shorten it.\n\nKeep all names.\n\nText: {text}"),
            ("Shorten {text}, please.", "Shorten {text}, please.\n\nKeep all names."),
            ("{text}\n\nShorten it.", "{text}\n\nShorten it.\n\nKeep all names."),
            ("Sum: 1+1\nAll: 2\nSum: {q}\nAll:", "Keep all names.\n\nSum: 1+1\nAll: 2\nSum: {q}\nAll:"),
            ("Judge it.\n\nThe verdict on {x} is", "Judge it.\n\nKeep all names.\n\nThe verdict on {x} is"),
            (
                f"List names.\n\n{SHOWN}\n\n{{text}}\nOut:",
                f"List names.\n\nKeep all names.\n\n{SHOWN}\n\n{{text}}\nOut:",
            ),
            ("Translate the text in\n```\n{text}\n```", "Keep all names.\n\nTranslate the text in\n```\n{text}\n```"),
        ],
    )
    def test_an_addition_comes_before_the_data(self, text: str, expected: str):
        adding = PromptOptimizer(ScriptedGenerator(lambda _: "Keep all names."), template=FIPO_2)
        new, report = optimize_prompt(PromptTemplate.from_template(text), optimizer=adding)
        assert outcomes(report) == [("template", "optimized")]
        assert new.template == expected

    def test_leading_lines_are_rewritten_alone_and_the_rest_is_their_context(self, generator: ScriptedGenerator):
        for form, field in (("f-string", "{text}"), ("mustache", "{{{text}}}")):
            head, rest = "Summarize the text below.\nBe brief.", f"\n\nText: {field}\nDate: 7 May\n"
            template = PromptTemplate.from_template(head + rest, template_format=form)
            new, report = optimize_prompt(template, optimizer=PromptOptimizer(generator))
            assert new.template == better(head) + rest
            assert outcomes(report) == [("template", "optimized")]
            assert asked(generator)[-1] == head
            shown = generator.calls[-1][0][-1]["content"]
            assert f"Context (it will follow the prompt, do not repeat it):\nText: {field}\nDate: 7 May\n\n" in shown

    def test_leading_lines_that_say_too_little_are_no_instruction(self, generator: ScriptedGenerator):
        for text in ("Question time:\n{question}\nAnswer it in a word.", "1 2 3 4\n{question} in a word, please."):
            new, _ = optimize_prompt(PromptTemplate.from_template(text), optimizer=PromptOptimizer(generator))
            assert asked(generator)[-1] == text
            assert new.template == better(text)

    def test_braces_of_leading_lines_read_as_they_will_be_rendered(self, generator: ScriptedGenerator):
        template = PromptTemplate.from_template('Answer as JSON, such as {{"a": 1}}, only.\n\nQ: {question}')
        new, _ = optimize_prompt(template, optimizer=PromptOptimizer(generator))
        assert asked(generator) == ['Answer as JSON, such as {"a": 1}, only.']
        assert new.format(question="{x}") == better('Answer as JSON, such as {"a": 1}, only.') + "\n\nQ: {x}"

    @pytest.mark.parametrize(
        "added",
        [
            'Reply as {"answer": 1}.',
            "Use {} and { and }}.",
            "Say {other} or {{other}}.",
            "Wrap it: {{topic",
            "{topic.x}",
        ],
    )
    def test_braces_a_rewrite_brings_are_plain_text(self, added: str):
        template = PromptTemplate.from_template("Explain {topic} briefly, as {{this}} says.")
        optimizer = replying(lambda naive: f"{naive} {added}", settings=LENIENT)
        new, report = optimize_prompt(template, optimizer=optimizer)
        assert outcomes(report) == [("template", "optimized")]
        assert new.input_variables == ["topic"]
        assert new.format(topic="tides") == f"Explain tides briefly, as {{this}} says. {added}"

    @pytest.mark.parametrize(
        ("rewritten", "outcome", "detail"),
        [
            ("Explain it briefly and well.", "placeholder_lost", "{topic}"),
            ("Explain {subject} briefly and well.", "placeholder_lost", "{topic}"),
            ("Explain {topic} briefly, in {style}.", "placeholder_invented", "{style}"),
            ("Explain {topic} briefly; {topic} matters.", "placeholder_doubled", "{topic}"),
        ],
        ids=["lost", "renamed", "invented", "doubled"],
    )
    def test_a_rewrite_with_other_variables_leaves_the_very_same_template(
        self, rewritten: str, outcome: str, detail: str
    ):
        template = PromptTemplate.from_template("Explain {topic} briefly.")
        new, report = optimize_prompt(template, optimizer=replying(rewritten))
        assert new is template
        assert outcomes(report) == [("template", outcome)]
        assert detail in report.changes[0].detail
        assert report.changes[0].text == template.template
        assert [c.text for c in report.changes[0].candidates] == [rewritten]
        assert not report.is_rewritten

    @pytest.mark.parametrize(
        ("text", "rewritten", "detail"),
        [
            ("Explain {{a}} to {{b}}.", "Explain {{a}} clearly.", "lacks {{b}}"),
            ("Explain {{a}} to {{b}}.", "Explain {{a}} to {{b}} and {{c}}.", "has {{c}} once too often"),
            ("Explain {{a}} to {{b}}.", "Explain {{a}} to {{b}}, yes {{b}}.", "has {{b}} once too often"),
            ("Explain {{a}} to {{b}}.", "Explain {{{a}}} to {{b}} well.", "lacks {{a}} and has {{&a}} once too often"),
            ("Explain {{a}} to {{b}}.", "Explain {{{a}} to {{b}} well.", "lacks {{a}} and has {{{a}} once too often"),
            ("Explain {{a}} to {{b}}.", "Explain {{a}} to {{b}} well, {{#c}}.", "no longer a template"),
            ("Explain {{a}} to {{b}}.", "Explain {{a}} to {{b}} well, {{ so.", "no longer a template"),
            ("Explain {{a}} to {{b}}.", "Explain {{a}} to {{b}} {{> part}}.", "has {{>part}} once too often"),
            ("Explain {{a}} to {{b}}.", "Explain {{=<% %>=}} <% a %> <% b %>.", "has {{=<% %>}} once too often"),
            ("Explain {{a}} to {{b}}.", "Explain {{a}} to {{b}} {{! unseen }} well.", "has double braces of its own"),
            ("Explain {{a}} to {{b}}.", "Explain {{a}} to {{b}} well {{", "has double braces of its own"),
            ("Go {{#s}}{{a}}{{/s}} home {{b}}.", "Go {{#s}}{{b}}{{/s}} home {{a}}.", "changes the order"),
            ("Go {{#s}}{{a}}{{/s}} home.", "Go {{a}} {{#s}}to{{/s}} home.", "changes the order"),
            ("Go {{#s}}far{{/s}} home.", "Go {{^s}}far{{/s}} home.", "lacks {{#s}}"),
        ],
    )
    def test_a_mustache_rewrite_with_other_tags_is_not_used(self, text: str, rewritten: str, detail: str):
        template = PromptTemplate.from_template(text, template_format="mustache")
        new, report = optimize_prompt(template, optimizer=replying(rewritten, settings=LENIENT))
        assert new is template
        assert outcomes(report) == [("template", "variables_changed")]
        assert detail in report.changes[0].detail

    def test_variables_may_change_places_where_no_section_is(self):
        for form, naive, rewritten in (
            ("f-string", "Explain {a} to {b}.", "For {b}, explain {a} well."),
            ("mustache", "Explain {{a}} to {{b}}.", "For {{b}}, explain {{a}} well."),
        ):
            template = PromptTemplate.from_template(naive, template_format=form)
            new, _ = optimize_prompt(template, optimizer=replying(rewritten))
            assert new.format(a="tides", b="Ann") == "For Ann, explain tides well."

    @pytest.mark.usefixtures("no_default_weights")
    @pytest.mark.parametrize(
        ("text", "form", "reason"),
        [
            ("", "f-string", "it is empty"),
            (" \n", "f-string", "it is empty"),
            ("{a} {b!r}", "f-string", "it has no words besides its variables"),
            ("{{subject}}: {{#items}}{{name}}{{/items}}", "mustache", "it has no words besides its variables"),
            ("Explain {x} as {{x}}.", "f-string", "it has literal braces that read like one of its variables"),
            ("Explain {{=<% %>=}}<% x %>.", "mustache", "it changes mustache's delimiters"),
        ],
    )
    def test_what_cannot_be_rewritten_is_left_out_without_a_model(self, text: str, form: Any, reason: str):
        template = PromptTemplate.from_template(text, template_format=form)
        new, report = optimize_prompt(template)
        assert new is template
        assert report.changes == ()
        ((where, why),) = left_out(report)
        assert where == "template"
        assert why.startswith(reason)

    def test_jinja2_is_refused_with_the_way_out(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        pytest.importorskip("jinja2")
        template = PromptTemplate.from_template("Explain {{ topic }}.", template_format="jinja2")
        chat = ChatPromptTemplate.from_messages([("human", "Explain {{ topic }}.")], template_format="jinja2")
        for each in (template, chat):
            with pytest.raises(InputError, match=r"can run code.*FIPORunnable"):
                optimize_prompt(each, optimizer=optimizer)
        assert generator.calls == []

    def test_a_rewritten_template_is_left_alone(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        template = ChatPromptTemplate.from_messages([("system", "Act kindly."), ("human", "{question}")])
        new, _ = optimize_prompt(template, optimizer=optimizer)
        asked_before = len(generator.calls)
        downstream = RunnableLambda(lambda value: pytest.fail("nothing is left to rewrite"))
        again, report = optimize_prompt(
            new, optimizer=optimizer, examples=[({"question": "Why?"}, "So.")], downstream=downstream
        )
        assert again is new
        assert left_out(report) == [("messages[0].prompt.template", "FIPO has rewritten it already")]
        assert report.changes == ()
        assert len(generator.calls) == asked_before

    def test_the_mark_is_of_texts_and_survives_plus_partial_and_saving(self, optimizer: PromptOptimizer):
        chat = ChatPromptTemplate.from_messages(
            [("system", "Act as {who}."), SystemMessage("Speak Dutch."), ("human", "Explain {topic}.")]
        )
        done, _ = optimize_prompt(chat, optimizer=optimizer, roles=("system",))
        for made in (done, done + "Go on.", done.partial(who="a pilot"), loads(dumps(done)), done + chat[2:]):
            again, report = optimize_prompt(made, optimizer=optimizer, roles=("system",))
            assert again is made
            assert [reason for _, reason in left_out(report)] == ["FIPO has rewritten it already"] * 2
        human, report = optimize_prompt(done, optimizer=optimizer, roles=("human",))
        assert outcomes(report) == [("messages[2].prompt.template", "optimized")]
        assert human.messages[:2] == done.messages[:2]
        _, report = optimize_prompt(human, optimizer=optimizer, roles=("system", "human"))
        assert report.changes == ()
        again, report = optimize_prompt(done, optimizer=optimizer, roles=("system",), force=True)
        assert [change.outcome for change in report.changes] != []

    def test_the_old_versions_ids_become_those_of_the_source(self, optimizer: PromptOptimizer):
        ids = {"lc_hub_owner": "o", "lc_hub_repo": "r", "lc_hub_commit_hash": "0123", "langfuse_prompt": "p"}
        chat = ChatPromptTemplate([("system", "Act kindly.")], metadata={**ids, "team": "a"})
        new, _ = optimize_prompt(chat, optimizer=optimizer)
        assert new.metadata[SOURCE] == ids
        assert set(new.metadata) == {"team", SOURCE, OUTCOMES, TEXTS}
        assert chat.metadata == {**ids, "team": "a"}

    def test_the_rewriter_sees_what_else_the_template_says(self, generator: ScriptedGenerator):
        chat = ChatPromptTemplate(
            [("system", "Act as {who}."), ("ai", "Ahoy."), ("human", "Explain {q} as {form} says.")],
            partial_variables={"form": "Reply with JSON that has the key `answer`."},
        )
        optimize_prompt(chat, optimizer=PromptOptimizer(generator))
        shown = generator.calls[-1][0][-1]["content"]
        for said in ("Ai message:\nAhoy.", "Human message:\nExplain {q}", "{form} stands for:\nReply with JSON"):
            assert said in shown
        assert "System message" not in shown
        few = FewShotPromptTemplate(
            example_prompt=SHOT, examples=SHOTS, prefix="Add up.", suffix="Q: {q}\nA:", input_variables=["q"]
        )
        _, report = optimize_prompt(few, optimizer=PromptOptimizer(generator))
        shown = generator.calls[-1][0][-1]["content"]
        assert "After the examples:\nQ: {q}\nA:" in shown
        assert "An example:\nQ: 2+2\nA: 4" in shown
        assert [part.where for part in report.left_alone] == ["suffix"]

    def test_a_documents_form_is_no_instruction(self, optimizer: PromptOptimizer):
        form = PromptTemplate.from_template("Content: {page_content}\nSource: {source}")
        new, report = optimize_prompt(form, optimizer=optimizer)
        assert new is form
        assert left_out(report) == [("template", "it has only labels besides its variables, and no instruction")]

    def test_wishes_are_heeded(self, generator: ScriptedGenerator, tmp_path: Path):
        prompt = PromptTemplate.from_template("Explain {topic} for Acme.")
        dropping = replying("Explain {topic} well and in short to a child of seven.", settings=LENIENT)
        assert optimize_prompt(prompt, optimizer=dropping)[0] is not prompt
        kept = FidelitySettings(frozenset({"literal_lost", "too_long"}))
        strict = replying("Explain {topic} well and in short to a child of seven.", settings=kept)
        _, report = optimize_prompt(prompt, optimizer=strict, keep=("Acme", "absent"))
        assert outcomes(report) == [("template", "literal_lost")]
        _, report = optimize_prompt(prompt, optimizer=strict, max_words=5)
        assert outcomes(report) == [("template", "too_long")]
        optimize_prompt(prompt, optimizer=PromptOptimizer(generator), feedback="It was too long.")
        assert "It was too long." in generator.calls[-1][0][-1]["content"]
        store = RewriteStore(tmp_path / "rewrites.jsonl")
        first, _ = optimize_prompt(prompt, optimizer=PromptOptimizer(generator), store=store)
        frozen = RewriteStore(store.path, is_frozen=True)
        again, _ = optimize_prompt(prompt, optimizer=replying(lambda _: pytest.fail("a model was asked")), store=frozen)
        assert again.template == first.template == better(prompt.template)
        with pytest.raises(InputError, match="keep must be a tuple"):
            optimize_prompt(prompt, keep="Acme")

    def test_a_template_that_was_kept_may_be_tried_again(self, optimizer: PromptOptimizer):
        template = PromptTemplate.from_template("Explain {topic} briefly.")
        kept, _ = optimize_prompt(template, optimizer=replying("Explain it."))
        assert optimize_prompt(kept, optimizer=optimizer)[0].template == better(template.template)


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

    def test_a_structured_prompt_stays_one(self, optimizer: PromptOptimizer):
        schema = {"title": "Reply", "description": "A reply.", "type": "object", "properties": {"text": {}}}
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*StructuredPrompt", category=Warning)
            prompt = StructuredPrompt(
                [("system", "Act as {who}."), ("human", "{q}")],
                schema,
                structured_output_kwargs={"method": "json_mode"},
            )
        new, report = optimize_prompt(prompt, optimizer=optimizer)
        assert type(new) is StructuredPrompt
        assert (new.schema_, new.structured_output_kwargs) == (schema, {"method": "json_mode"})
        assert contents(new.format_messages(who="a pilot", q="Why?")) == [better("Act as a pilot."), "Why?"]
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


class Bakery(ChatPromptTemplate):
    """A class that takes something else than its fields."""

    def __init__(self, topic: str) -> None:
        super().__init__([("system", f"Talk about {topic}."), ("human", "{q}")])


class Stubborn(PromptTemplate):
    """A class that takes its fields and does not heed them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "template": "Talk about {q}.", "input_variables": ["q"]})


class Versioned(ChatPromptTemplate):
    """A class that knows more than its fields say."""

    _version: int = PrivateAttr(1)


class TestClassesOfOnesOwn:
    @pytest.mark.parametrize("make", [lambda: Bakery("bread"), Stubborn], ids=["arguments", "stubborn"])
    def test_one_that_cannot_be_given_another_text_is_left_out(
        self, optimizer: PromptOptimizer, generator: ScriptedGenerator, make: Callable[[], BasePromptTemplate]
    ):
        template = make()
        new, report = optimize_prompt(template, optimizer=optimizer)
        assert new is template
        ((where, reason),) = left_out(report)
        assert (where, generator.calls) == ("", [])
        assert reason.startswith(f"a {type(template).__name__} ")

    def test_private_attributes_are_not_lost(self, optimizer: PromptOptimizer):
        template = Versioned([("system", "Talk about bread."), ("human", "{q}")])
        assert type(optimize_prompt(template, optimizer=optimizer)[0]) is Versioned
        template._version = 7
        new, report = optimize_prompt(template, optimizer=optimizer)
        assert new is template
        assert left_out(report) == [("", "a Versioned that is made anew loses its private attributes")]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "value",
        [
            "Explain {x}.",
            [("human", "Explain {x}.")],
            MessagesPlaceholder("m"),
            PromptTemplate.from_template("x") | str,
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_is_no_template_with_the_way_out(self, optimizer: PromptOptimizer, value: Any):
        with pytest.raises(InputError, match=f"not {type(value).__name__}; for the prompts of a chain use optimize_ch"):
            optimize_prompt(value, optimizer=optimizer)

    @pytest.mark.parametrize("roles", [("user",), ("system", "ai"), "system"])
    @pytest.mark.parametrize("rewrite", [optimize_prompt, optimize_chain])
    def test_roles_that_are_none(self, optimizer: PromptOptimizer, rewrite: Any, roles: Any):
        chat = ChatPromptTemplate.from_messages([("system", "Talk about bread.")])
        with pytest.raises(InputError, match="roles are a tuple of 'system' and 'human', not"):
            rewrite(chat, optimizer=optimizer, roles=roles)


class TestTheReport:
    def test_it_is_plain_data_and_shows_what_changed(self):
        chat = ChatPromptTemplate.from_messages(
            [("system", "Act kindly.\nKeep {x}."), SystemMessage("Speak Dutch."), ("system", "{x}")]
        )
        optimizer = replying(
            lambda naive: "Sing a song." if "Dutch" in naive else naive.replace("kindly", "very kindly")
        )
        _, report = optimize_prompt(chat, optimizer=optimizer, roles=("system",))
        shown = str(report)
        assert shown.startswith("1 of 2 texts rewritten\n\nmessages[0].prompt.template: optimized\n")
        assert "\n  - Act kindly.\n  + Act very kindly.\n    Keep {x}.\n" in shown
        assert "\nmessages[1].content: off_topic (keeps 0 of the prompt's 2 content words)" in shown
        assert shown.endswith("messages[2].prompt.template: left out, it has no words besides its variables")
        data = json.loads(json.dumps(report.as_dict()))
        assert [change["outcome"] for change in data["changes"]] == ["optimized", "off_topic"]
        assert data["changes"][0]["candidates"][0]["text"] == "Act very kindly.\nKeep {x}."
        assert data["unreached"][0]["where"] == "messages[2].prompt.template"
        assert report.changes[1].diff == ""

    def test_where_nothing_was_found_it_says_so_of_the_whole(self, optimizer: PromptOptimizer):
        _, report = optimize_prompt(ChatPromptTemplate.from_messages([("ai", "Hello there.")]), optimizer=optimizer)
        assert str(report) == "0 of 0 texts rewritten\n\nmessages[0]: left alone, it is an answer"
        assert not report.is_rewritten

    def test_all_texts_are_one_model_call(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        chat = ChatPromptTemplate.from_messages([("system", f"Act kindly, {number}.") for number in range(5)])
        optimize_prompt(chat, optimizer=optimizer, roles=("system",))
        assert generator.batch_sizes == [5]

    def test_the_outcomes_are_in_the_metadata_in_order(self):
        optimizer = replying(lambda naive: naive if "first" in naive else better(naive))
        chat = ChatPromptTemplate.from_messages([("system", "Do it first."), ("system", "Do it last.")])
        new, _ = optimize_prompt(chat, optimizer=optimizer, roles=("system",))
        assert new.metadata[OUTCOMES] == ["unchanged", "optimized"]

    def test_a_text_too_long_for_the_rewriter_does_not_keep_others_from_it(self, optimizer: PromptOptimizer):
        chat = ChatPromptTemplate.from_messages([("system", "Act kindly."), ("system", TOO_LONG)])
        new, report = optimize_prompt(chat, optimizer=optimizer, roles=("system",))
        assert outcomes(report) == [("messages[0].prompt.template", "optimized")]
        ((where, reason),) = left_out(report)
        assert where == "messages[1].prompt.template"
        assert "the model's context holds 500" in reason
        assert contents(new.format_messages()) == [better("Act kindly."), TOO_LONG]

    def test_a_model_that_fails_is_heard_of(self):
        def fail(conversation: list[Message]) -> str:
            raise ModelError("out of memory")

        template = PromptTemplate.from_template("Explain {topic}.")
        with pytest.raises(ModelError, match="out of memory"):
            optimize_prompt(template, optimizer=PromptOptimizer(ScriptedGenerator(fail)))


class Balance:
    """A judge that prefers rewrites with a word in them, on the examples whose context has a word in it."""

    def __init__(self, wins: dict[str, dict[str, str]]) -> None:
        self.wins = wins
        self.calls: list[list[Comparison]] = []

    def prefer(self, comparisons: Any) -> list[Verdict]:
        self.calls.append(list(comparisons))
        return [Verdict(winner=self._winner(each), reason="so") for each in comparisons]

    def _winner(self, comparison: Comparison) -> Any:
        of = next((wins for word, wins in self.wins.items() if word in comparison.challenger), {})
        return next((who for word, who in of.items() if word in (comparison.request.context or "")), "tie")


MOOD = PromptTemplate.from_template("Classify the mood of {text} in a word.")
MOODS = [({"text": "rain"}, "sad"), ({"text": "sun"}, "glad"), ({"text": "fog"}, None)]


class TestExamples:
    def test_silver_responses_come_from_one_batch_and_the_rewriter_sees_all(self, generator: ScriptedGenerator):
        batches: list[int] = []

        class Model(FakeListChatModel):
            def batch(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
                batches.append(len(inputs))
                return [AIMessage(f"Mood of {value.to_string().split()[4]}") for value in inputs]

        new, report = optimize_prompt(
            MOOD,
            optimizer=PromptOptimizer(generator),
            examples=MOODS,
            downstream=Model(responses=[]) | StrOutputParser(),
        )
        assert batches == [3]
        assert generator.batch_sizes == [3]
        for conversation, (inputs, golden) in zip(generator.calls[0], MOODS, strict=True):
            shown = conversation[-1]["content"]
            assert f"Context (it will follow the prompt, do not repeat it):\ntext: {inputs['text']}\n\n" in shown
            assert f"Silver response (what the naive prompt got):\nMood of {inputs['text']}\n\n" in shown
            assert ("Golden response" in shown) == (golden is not None)
            assert golden is None or f"do not give it away):\n{golden}\n\n" in shown
        assert new.template == better(MOOD.template)
        assert outcomes(report) == [("template", "optimized")]

    def test_without_downstream_there_are_no_silver_responses(self, generator: ScriptedGenerator):
        optimize_prompt(MOOD, optimizer=PromptOptimizer(generator), examples=MOODS)
        shown = generator.calls[0][0][-1]["content"]
        assert "Silver response" not in shown
        assert "Golden response (what it should get, do not give it away):\nsad\n\n" in shown

    def test_the_rest_of_the_template_and_the_inputs_are_the_context(self, generator: ScriptedGenerator):
        template = PromptTemplate.from_template("Classify the mood below.\n\nText: {text}")
        optimize_prompt(template, optimizer=PromptOptimizer(generator), examples=[({"text": "rain", "n": 3}, "sad")])
        assert "do not repeat it):\nText: {text}\n\ntext: rain\nn: 3\n\nGolden" in generator.calls[0][0][-1]["content"]

    def test_the_rewrite_proposed_most_often_is_used(self):
        def script(conversation: list[Message]) -> str:
            word = "carefully" if "text: rain" in conversation[-1]["content"] else "precisely"
            return f"Classify the mood of {{text}} in a word, {word}."

        optimizer = PromptOptimizer(ScriptedGenerator(script))
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS)
        assert new.template == "Classify the mood of {text} in a word, precisely."
        assert len(report.changes[0].candidates) == 3

    def test_a_rewrite_that_gives_away_another_examples_response_is_not_used(self):
        secret = "the crimson walrus naps under tall birches"

        def script(conversation: list[Message]) -> str:
            told = "text: rain" in conversation[-1]["content"]
            return naive_in(conversation) + (" Be careful." if told else f" Say that {secret}.")

        examples = [({"text": "rain"}, secret), ({"text": "sun"}, "glad"), ({"text": "fog"}, "grey")]
        new, report = optimize_prompt(MOOD, optimizer=PromptOptimizer(ScriptedGenerator(script)), examples=examples)
        assert new.template == f"{MOOD.template} Be careful."  # though the other was proposed twice
        leaked = [candidate for candidate in report.changes[0].candidates if secret in candidate.text]
        assert [candidate.outcome for candidate in leaked] == ["golden_leaked"] * 2

    def test_where_every_rewrite_gives_a_response_away_the_template_stays(self):
        secret = "the crimson walrus naps under tall birches"
        examples = [({"text": "rain"}, secret), ({"text": "sun"}, "glad")]
        optimizer = replying(lambda naive: f"{naive} Say that {secret}.")
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=examples)
        assert new is MOOD
        assert outcomes(report) == [("template", "golden_leaked")]

    @pytest.mark.parametrize(
        ("wins", "expected"),
        [
            ({"often": {"rain": "challenger", "sun": "incumbent"}, "seldom": {"sun": "challenger"}}, "seldom"),
            ({"often": {"rain": "challenger", "sun": "challenger", "fog": "incumbent"}, "seldom": {}}, "often"),
            ({"often": {"rain": "challenger", "sun": "incumbent"}, "seldom": {}}, None),
            ({"often": {"rain": "incumbent"}, "seldom": {"sun": "incumbent"}}, None),
        ],
        ids=["more balanced", "more wins than losses", "evened out", "lost"],
    )
    def test_the_judge_decides_by_wins_less_losses(self, wins: Any, expected: str | None):
        def script(conversation: list[Message]) -> str:
            word = "seldom" if "text: sun" in conversation[-1]["content"] else "often"
            return f"{naive_in(conversation)} Think {word}."

        judge = Balance(wins)
        optimizer = PromptOptimizer(ScriptedGenerator(script), judge=judge)
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS)
        if expected is None:
            assert new is MOOD
            assert outcomes(report) == [("template", "not_preferred")]
            assert "did not win on more examples than it lost" in report.changes[0].detail
        else:
            assert new.template == f"{MOOD.template} Think {expected}."
        assert [len(call) for call in judge.calls] == [6]  # two rewrites on three examples, at once

    @pytest.mark.usefixtures("no_default_weights")
    @pytest.mark.parametrize(
        "example", [{"text": "rain"}, ({"text": "rain"},), ("rain", "sad"), [{"text": "rain"}, "sad"], "ab", None]
    )
    def test_wrong_examples_are_named(self, example: Any):
        with pytest.raises(InputError, match="example 1 must be a pair"):
            optimize_prompt(MOOD, examples=[({"text": "sun"}, "glad"), example])

    def test_errors_of_the_model_downstream_are_raised(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        def fail(value: Any) -> Any:
            raise ModelError("the model is away")

        with pytest.raises(ModelError, match="the model is away"):
            optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS, downstream=RunnableLambda(fail))
        with pytest.raises(KeyError, match="text"):
            optimize_prompt(
                MOOD,
                optimizer=optimizer,
                examples=[({"txt": "rain"}, "sad")],
                downstream=RunnableLambda(lambda value: "sad"),
            )
        assert generator.calls == []

    def test_an_example_too_long_for_the_rewriter_does_not_keep_others_from_it(self, generator: ScriptedGenerator):
        examples = [({"text": "word " * 400}, "sad"), ({"text": "sun"}, "glad")]
        new, _ = optimize_prompt(MOOD, optimizer=PromptOptimizer(generator), examples=examples)
        assert new.template == better(MOOD.template)
        kept, report = optimize_prompt(MOOD, optimizer=PromptOptimizer(generator), examples=examples[:1])
        assert kept is MOOD
        assert "the model's context holds 500" in report.unreached[0].reason

    def test_variables_are_checked_with_examples_too(self):
        optimizer = replying(lambda naive: f"{naive} Mind {{text}}.")
        new, report = optimize_prompt(MOOD, optimizer=optimizer, examples=MOODS)
        assert new is MOOD
        assert outcomes(report) == [("template", "placeholder_doubled")]

    def test_outputs_of_every_kind_become_text(self):
        message = AIMessage([{"type": "text", "text": "Well"}, {"type": "image_url", "image_url": {"url": "data:,"}}])
        assert text_of(message) == "Well"
        assert text_of(None) is None
        assert text_of("plain") == "plain"
        assert text_of({"mood": "süß", "n": [1]}) == '{"mood": "süß", "n": [1]}'
        assert json.loads(text_of(PromptTemplate.from_template("{a}")) or "")["template"] == "{a}"
