"""optimize_prompt on single templates, what it refuses, and what the report says."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import BaseMessage, SystemMessage
from langchain_core.output_parsers import CommaSeparatedListOutputParser
from langchain_core.prompts import (
    BasePromptTemplate,
    ChatPromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
)
from langchain_core.runnables import RunnableLambda
from pydantic import PrivateAttr

from fipo_integrations.langchain import OUTCOMES, SOURCE, default, loads, optimize_chain, optimize_prompt
from fipo_integrations.langchain.marks import TEXTS, digest
from fipo_model import Message, PromptOptimizer
from fipo_model.errors import InputError, ModelError
from fipo_model.fidelity import FidelitySettings
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.langchain_prompts import LENIENT, TOO_LONG, better, dumped, left_out, outcomes, replying, rewrite


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

    def test_a_joined_text_is_known_by_what_fipo_wrote_of_it(self, optimizer: PromptOptimizer):
        # LangChain's `+` of two of them keeps no metadata.
        done, _ = optimize_prompt(PromptTemplate.from_template("Explain {topic} to pupils."), optimizer=optimizer)
        after, before = PromptTemplate.from_template("\nMind {rule}."), PromptTemplate.from_template("Be {tone}.\n")
        for made in (
            done + after,
            done + " Go on.",
            before + done,
            before + done + after,
            (done + after).partial(rule="x"),
        ):
            again, report = optimize_prompt(made, optimizer=optimizer)
            assert again is made
            assert left_out(report) == [("template", "FIPO has rewritten it already")]
        _, report = optimize_prompt(done + after, optimizer=optimizer, force=True)
        assert [(one.outcome, one.detail) for one in report.changes] == [
            ("unchanged", "the rewriter only said your prompt again")  # which has that sentence already
        ]
        other, _ = optimize_prompt(before + after, optimizer=optimizer)
        assert other.template == better("Be {tone}.\n\nMind {rule}.")

    def test_a_part_without_metadata_is_known_after_plus(self, optimizer: PromptOptimizer):
        cached = {"type": "text", "text": "Explain it to the pupils.", "cache_control": {"type": "ephemeral"}}
        done, _ = optimize_prompt(ChatPromptTemplate.from_messages([("system", [cached])]), optimizer=optimizer)
        _, report = optimize_prompt(done + ChatPromptTemplate.from_messages([("human", "{q}")]), optimizer=optimizer)
        assert left_out(report) == [("messages[0].prompt[0].template['text']", "FIPO has rewritten it already")]

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

    def test_wishes_are_heeded(self, generator: ScriptedGenerator, tmp_path: Path):
        prompt = PromptTemplate.from_template("Explain {topic} for Acme.")
        dropping = replying("Explain {topic} well and in short to a child of seven.", settings=LENIENT)
        assert optimize_prompt(prompt, optimizer=dropping)[0] is not prompt
        kept = FidelitySettings(frozenset({"literal_lost", "too_long"}))
        strict = replying("Explain {topic} well and in short to a child of seven.", settings=kept)
        _, report = optimize_prompt(prompt, optimizer=strict, keep=("Acme",))
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
        for optimize in (optimize_prompt, optimize_chain):
            with pytest.raises(InputError, match="keep names 'acme', which no text that may be rewritten contains"):
                optimize(prompt, optimizer=strict, keep=("Acme", "acme"))

    def test_a_template_that_was_kept_may_be_tried_again(self, optimizer: PromptOptimizer):
        template = PromptTemplate.from_template("Explain {topic} briefly.")
        kept, _ = optimize_prompt(template, optimizer=replying("Explain it."))
        assert optimize_prompt(kept, optimizer=optimizer)[0].template == better(template.template)


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
        assert left_out(report) == [("", "a Versioned that is rebuilt loses its private attributes")]


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "value",
        [
            [("human", "Explain {x}.")],
            MessagesPlaceholder("m"),
            PromptTemplate.from_template("x") | str,
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_is_no_template_with_the_way_out(self, optimizer: PromptOptimizer, value: Any):
        with pytest.raises(InputError, match=f"not {type(value).__name__}; for the prompts of a chain use optimize_ch"):
            optimize_prompt(value, optimizer=optimizer)

    def test_a_bare_text_is_for_the_optimizer_itself(self, optimizer: PromptOptimizer):
        with pytest.raises(InputError, match=r"not str; for a bare text use PromptOptimizer\.optimize"):
            optimize_prompt("Explain {x}.", optimizer=optimizer)  # type: ignore[type-var]

    @pytest.mark.parametrize("roles", [("user",), ("system", "ai"), "system"])
    @pytest.mark.parametrize("rewrite", [optimize_prompt, optimize_chain])
    def test_roles_that_are_none(self, optimizer: PromptOptimizer, rewrite: Any, roles: Any):
        chat = ChatPromptTemplate.from_messages([("system", "Talk about bread.")])
        with pytest.raises(InputError, match="roles must be a tuple of 'system' and 'human', not"):
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
        assert "\nmessages[1].content: off_topic (has none of the words that say what your prompt is about)" in shown
        assert shown.endswith("messages[2].prompt.template: left out, it has no words besides its variables")
        data = json.loads(json.dumps(report.as_dict()))
        assert [change["outcome"] for change in data["changes"]] == ["optimized", "off_topic"]
        assert data["changes"][0]["candidates"][0]["text"] == "Act very kindly.\nKeep {x}."
        assert data["unreached"][0]["where"] == "messages[2].prompt.template"
        assert report.changes[1].diff == ""

    def test_where_nothing_was_found_it_says_so_of_the_whole(self, optimizer: PromptOptimizer):
        _, report = optimize_prompt(ChatPromptTemplate.from_messages([("ai", "Hello there.")]), optimizer=optimizer)
        assert str(report) == "there is no text that may be rewritten\n\nmessages[0]: left alone, it is an answer"
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
