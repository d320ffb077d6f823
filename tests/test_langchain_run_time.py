"""FIPORunnable behind a template: that is rewritten, once, and what fills it never passes through a rewriter."""

import gc
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import (
    ChatPromptTemplate,
    FewShotPromptTemplate,
    MessagesPlaceholder,
    PromptTemplate,
)
from langchain_core.runnables import Runnable, RunnableLambda, RunnableParallel, RunnablePassthrough, RunnableSequence

from fipo_integrations.langchain import FIPORunnable, optimize_prompt
from fipo_integrations.langchain.filling import form_of, refilled
from fipo_model import FIPO_2, PromptOptimizer
from fipo_model.store import RewriteStore
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.forks import fork_while_locked
from support.langchain_prompts import asked, better, rewrite

CONTEXT = "Use the context to answer the question and stay short."
CHAT = ChatPromptTemplate.from_messages([("system", f"{CONTEXT}\n\n{{context}}"), ("human", "{input}")])
GIVEN = {"context": "We open at seven.", "input": "When?"}
ADDED = "Keep all names."


def spoil(conversation: Any) -> str:
    """A rewriter that changes the time wherever it sees one, and adds a sentence."""
    return f"{naive_in(conversation)} Be exact.".replace("seven", "eight")


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def fipo(generator: ScriptedGenerator) -> FIPORunnable:
    return FIPORunnable(optimizer=PromptOptimizer(generator))


def texts(value: Any) -> list[Any]:
    return [message.content for message in value.to_messages()]


async def run(chain: Runnable, given: dict[str, str], mode: str) -> None:
    """Run a chain in one of the ways that LangChain has."""
    if mode in ("invoke", "batch"):
        getattr(chain, mode)([given] if mode == "batch" else given)
    elif mode in ("ainvoke", "abatch"):
        await getattr(chain, mode)([given] if mode == "abatch" else given)
    elif mode == "stream":
        list(chain.stream(given))
    else:
        _ = [value async for value in chain.astream(given)]


class TestBehindATemplate:
    async def test_documents_never_pass_through_and_many_cost_one_rewrite(self):
        generator = ScriptedGenerator(spoil)
        chain = CHAT | FIPORunnable(optimizer=PromptOptimizer(generator))
        expected = [f"{CONTEXT} Be exact.\n\nWe open at seven.", "When?"]
        assert texts(chain.invoke(GIVEN)) == expected
        assert texts(await chain.ainvoke(GIVEN)) == expected
        assert [texts(value) for value in chain.batch([GIVEN, {**GIVEN, "context": "seven"}])] == [
            expected,
            [f"{CONTEXT} Be exact.\n\nseven", "When?"],
        ]
        assert [texts(value) for value in await chain.abatch([GIVEN] * 20)] == [expected] * 20
        assert [texts(value) for value in chain.stream(GIVEN)] == [expected]
        assert [texts(value) async for value in chain.astream(GIVEN)] == [expected]
        assert asked(generator) == [CONTEXT]
        assert "seven" not in str(generator.calls)

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda prompt, fipo: prompt.with_config(tags=["t"]) | fipo,
            lambda prompt, fipo: prompt | fipo.with_config(tags=["t"]),
            lambda prompt, fipo: prompt | fipo.with_retry(),
            lambda prompt, fipo: RunnablePassthrough() | prompt | fipo | RunnablePassthrough(),
            lambda prompt, fipo: prompt | (fipo | RunnablePassthrough()),
            lambda prompt, fipo: (prompt | fipo).with_fallbacks([prompt]),
        ],
    )
    def test_it_is_seen_through_what_stands_around_it(
        self, fipo: FIPORunnable, generator: ScriptedGenerator, wrap: Callable[..., Runnable]
    ):
        chain = wrap(CHAT, fipo)
        for context in ("We open at seven.", "We close at nine."):
            assert texts(chain.invoke({**GIVEN, "context": context}))[0] == f"{better(CONTEXT)}\n\n{context}"
        assert texts(chain.batch([GIVEN])[0])[0] == f"{better(CONTEXT)}\n\nWe open at seven."
        assert asked(generator) == [CONTEXT]

    @pytest.mark.parametrize("mode", ["invoke", "ainvoke", "batch", "abatch", "stream", "astream"])
    @pytest.mark.parametrize(
        "wrap", [lambda fipo: fipo, lambda fipo: fipo.with_config(tags=["t"]), lambda fipo: fipo.with_retry()]
    )
    async def test_one_that_stands_twice_in_a_chain_finds_both_templates(
        self, fipo: FIPORunnable, generator: ScriptedGenerator, wrap: Callable[..., Runnable], mode: str
    ):
        # The second prompt was once compared with the first template, and left alone.
        if mode in ("ainvoke", "abatch") and wrap(fipo) is not fipo:
            pytest.skip("under asyncio, what wraps a step runs in a task of its own")
        one = PromptTemplate.from_template("Summarize the note: {note}")
        two = PromptTemplate.from_template("Explain it to a child: {text}")
        told: list[str] = []

        def answer(value: Any) -> dict[str, str]:
            told.append(value.text)
            return {"text": "gold"}

        step = wrap(fipo)
        await run(one | step | RunnableLambda(answer) | two | step | RunnableLambda(answer), {"note": "tin"}, mode)
        expected = [f"{better('Summarize the note:')}\n\ntin", f"{better('Explain it to a child:')}\n\ngold"]
        assert told == expected
        assert not any(word in str(generator.calls) for word in ("gold", "tin"))

    @pytest.mark.parametrize("mode", ["stream", "astream"])
    @pytest.mark.parametrize(
        "rest",
        [
            FakeListChatModel(responses=["Yes."]),
            FakeListChatModel(responses=["Yes."]) | StrOutputParser(),
            RunnablePassthrough(),
            RunnableLambda(str),
            RunnableSequence(*[RunnablePassthrough()] * 14),  # too many to look through from call to call
        ],
    )
    async def test_it_is_seen_in_a_stream_that_goes_on(
        self, fipo: FIPORunnable, generator: ScriptedGenerator, rest: Runnable, mode: str
    ):
        # In a stream a step is called by the step behind it; so the data once reached the rewriter.
        for step in (fipo, fipo.with_config(tags=["t"])):
            await run(CHAT | step | rest, GIVEN, mode)
            await run(RunnablePassthrough() | CHAT.with_config(tags=["t"]) | (step | rest), GIVEN, mode)
        assert asked(generator) == [CONTEXT]

    def test_where_it_cannot_be_seen_it_can_be_named(self, generator: ScriptedGenerator):
        optimizer = PromptOptimizer(generator)
        chain = CHAT | RunnableLambda(lambda value: value) | FIPORunnable(optimizer=optimizer, template=CHAT)
        assert texts(chain.invoke(GIVEN))[0] == f"{better(CONTEXT)}\n\nWe open at seven."
        parallel = CHAT | RunnableParallel(one=FIPORunnable(optimizer=optimizer, template=CHAT))
        assert texts(parallel.invoke(GIVEN)["one"])[0] == f"{better(CONTEXT)}\n\nWe open at seven."
        assert asked(generator) == [CONTEXT]

    def test_variables_inside_the_instruction_are_filled_again(self, fipo: FIPORunnable, generator: ScriptedGenerator):
        for form, text in (("f-string", "Explain {a!r} to {b:>5}."), ("mustache", "Explain {{a}} to {{{b}}}.")):
            prompt = PromptTemplate.from_template(text, template_format=form)
            value = (prompt | fipo).invoke({"a": "<tides>", "b": "Ann"})
            assert value.text == better(prompt.format(a="<tides>", b="Ann"))
        assert len(asked(generator)) == 2

    def test_of_few_shots_the_prefix_is_rewritten(self, fipo: FIPORunnable, generator: ScriptedGenerator):
        few = FewShotPromptTemplate(
            example_prompt=PromptTemplate.from_template("Q: {q}\nA: {a}"),
            examples=[{"q": "2+2", "a": "4"}],
            prefix="Add the numbers for {who}.",
            suffix="Q: {q}\nA:",
            input_variables=["q", "who"],
        )
        value = (few | fipo).invoke({"q": "3+3", "who": "Ann"})
        assert value.text == f"{better('Add the numbers for Ann.')}\n\nQ: 2+2\nA: 4\n\nQ: 3+3\nA:"
        assert asked(generator) == ["Add the numbers for {who}."]

    def test_what_follows_few_shots_stays_and_its_values_are_not_sent(
        self, fipo: FIPORunnable, generator: ScriptedGenerator
    ):
        few = FewShotPromptTemplate(
            example_prompt=PromptTemplate.from_template("Q: {q}\nA: {a}"),
            examples=[{"q": "2+2", "a": "4"}],
            suffix="Add the numbers for {who}.\nQ: {q}\nA:",
            input_variables=["q", "who"],
        )
        given = {"q": "3+3", "who": "Ann"}
        assert (few | fipo).invoke(given).text == few.format(**given)
        assert generator.calls == []

    def test_a_history_that_looks_like_the_template_stays(self, fipo: FIPORunnable):
        chat = ChatPromptTemplate.from_messages([MessagesPlaceholder("before"), ("human", "Explain {topic}.")])
        before = [HumanMessage("Explain rain."), AIMessage("Well,")]
        value = (chat | fipo).invoke({"before": before, "topic": "tides"})
        assert texts(value) == ["Explain rain.", "Well,", better("Explain tides.")]

    def test_a_template_of_variables_alone_is_not_in_the_way_of_the_prompt(self, fipo: FIPORunnable):
        for prompt in (PromptTemplate.from_template("{text}"), ChatPromptTemplate.from_messages([("human", "{text}")])):
            assert (prompt | fipo).invoke({"text": "Explain tides."}).to_messages()[0].content == better(
                "Explain tides."
            )

    def test_what_was_rewritten_before_stays(self, fipo: FIPORunnable, generator: ScriptedGenerator):
        done, _ = optimize_prompt(CHAT, optimizer=fipo.optimizer)
        assert texts((done | fipo).invoke(GIVEN)) == texts(done.invoke(GIVEN))
        assert len(asked(generator)) == 1

    def test_a_text_that_can_be_read_in_two_ways_stays(self, fipo: FIPORunnable):
        prompt = PromptTemplate.from_template("Say {a} and {b}, please.")
        optimizer = PromptOptimizer(ScriptedGenerator(lambda _: "Please say {b} and {a} to me."))
        lenient = FIPORunnable(optimizer=optimizer)
        assert (prompt | lenient).invoke({"a": "x and y", "b": "z"}).text == "Say x and y and z, please."
        assert (prompt | fipo).invoke({"a": "x and y", "b": "z"}).text == better("Say x and y and z, please.")

    def test_each_thread_finds_its_own_template(self, generator: ScriptedGenerator):
        fipo = FIPORunnable(optimizer=PromptOptimizer(generator))
        prompts = [PromptTemplate.from_template(f"Explain {{topic}} in style {number}.") for number in range(8)]
        found: dict[int, str] = {}

        def run(number: int) -> None:
            found[number] = (prompts[number] | fipo).invoke({"topic": "tides"}).text

        threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: better(f"Explain tides in style {number}.") for number in range(8)}

    @settings(max_examples=200, deadline=None)
    @given(context=st.text(max_size=60), question=st.text(max_size=20))
    def test_whatever_fills_it_comes_out_as_it_was(self, context: str, question: str):
        adding = PromptOptimizer(ScriptedGenerator(lambda _: ADDED), template=FIPO_2)
        prompt = PromptTemplate.from_template("Answer from the notes.\n\nNotes: {context}\n\nQuestion: {question}")
        value = (prompt | FIPORunnable(optimizer=adding)).invoke({"context": context, "question": question})
        assert value.text == f"Answer from the notes.\n\n{ADDED}\n\nNotes: {context}\n\nQuestion: {question}"


class TestWhereOnlyTextIsKnown:
    def test_what_a_pattern_finds_passes_by(self):
        generator = ScriptedGenerator(spoil)
        fipo = FIPORunnable(optimizer=PromptOptimizer(generator), protect=("<notes>(.*?)</notes>", r"\bseven\b"))
        for notes in ("We open at seven.", "{x} opens at\nseven, {{too}}."):
            given = f"Answer from the notes at seven.\n\n<notes>{notes}</notes>"
            assert fipo.invoke(given) == f"Answer from the notes at seven. Be exact.\n\n<notes>{notes}</notes>"
        assert len(asked(generator)) == 1
        assert "opens" not in str(generator.calls)

    @pytest.mark.parametrize(
        ("protect", "data"),
        [
            (("<doc>.*?</doc>",), "<doc>gold</doc><doc>tin</doc>"),
            (("- .*?\n",), "- gold\n- tin\n"),
            (("Data:", "Data: .*? END"), "Data: gold tin END"),
            (("Data: .*? END", "Data: .*? END of it"), "Data: gold tin END of it"),
            ((r"note \w+ \w+", r"\w+ tail \w+"), "note on gold tail tin"),
            (("<a>.*</a>", "gold", "(?=tin)"), "<a>gold tin</a>"),
            (("gold", "tin", "(?=tin)"), "goldtin"),
        ],
    )
    @pytest.mark.parametrize(
        "frame", ["Summarize it for Ann.\n{}", "Summarize {} for Ann.", "{} is to be summarized for Ann."]
    )
    def test_data_that_touch_or_overlap_pass_by_as_one(self, protect: tuple[str, ...], data: str, frame: str):
        # Where two patterns began together, or overlapped, a part of the data once reached the rewriter.
        generator = ScriptedGenerator(rewrite)
        fipo = FIPORunnable(optimizer=PromptOptimizer(generator), protect=protect)
        made = fipo.invoke(frame.format(data))
        assert made != frame.format(data)
        assert data.strip() in made
        assert len(asked(generator)) == 1
        assert not any(word in str(generator.calls) for word in ("gold", "tin"))

    def test_data_that_a_rewrite_brings_together_are_filled_in(self):
        joined = ScriptedGenerator(lambda conversation: naive_in(conversation).replace("} {data", "}{data"))
        fipo = FIPORunnable(optimizer=PromptOptimizer(joined), protect=("gold", "tin"))
        assert fipo.invoke("Explain gold tin {to} Ann.") == "Explain goldtin {to} Ann."

    def test_white_space_at_the_borders_of_blocks_stays(self, fipo: FIPORunnable):
        blocks = [{"type": "text", "text": "You help."}, {"type": "text", "text": "\n\n## Tools\nUse the list.\n"}]
        (message,) = fipo.invoke([SystemMessage(blocks)])
        assert [block["text"] for block in message.content] == [
            better("You help."),
            f"\n\n{better(f'## Tools{chr(10)}Use the list.')}\n",
        ]


class TestWishes:
    def test_keep_and_max_words_and_a_store_hold_here_too(self, tmp_path: Path):
        store = RewriteStore(tmp_path / "rewrites.jsonl")
        generator = ScriptedGenerator(lambda _: "Explain tides well, and in short, as an expert would.")
        optimizer = PromptOptimizer(generator)
        prompt = "Explain tides for Acme."
        assert FIPORunnable(optimizer=optimizer, keep=("Acme", "absent")).invoke(prompt) == prompt
        assert FIPORunnable(optimizer=optimizer, max_words=4).invoke("Explain tides.") == "Explain tides."
        better_one = FIPORunnable(optimizer=optimizer, store=store).invoke("Explain tides.")
        assert better_one.endswith("would.")
        frozen = RewriteStore(store.path, is_frozen=True)
        unable = PromptOptimizer(ScriptedGenerator(lambda _: pytest.fail("a model was asked")))
        reviewed = FIPORunnable(optimizer=unable, store=frozen)
        assert reviewed.batch(["Explain tides.", "Explain rain."]) == [better_one, "Explain rain."]

    async def test_a_store_works_under_asyncio(self, tmp_path: Path, generator: ScriptedGenerator):
        store = RewriteStore(tmp_path / "rewrites.jsonl")
        fipo = FIPORunnable(optimizer=PromptOptimizer(generator), store=store)
        assert await fipo.ainvoke("Explain tides.") == better("Explain tides.")
        assert len(RewriteStore(store.path)) == 1

    def test_feedback_is_shown_to_the_rewriter(self, generator: ScriptedGenerator):
        FIPORunnable(optimizer=PromptOptimizer(generator), feedback="It was too long.").invoke("Explain tides.")
        assert "It was too long." in generator.calls[0][0][-1]["content"]


@pytest.mark.parametrize(
    ("old", "new", "filled", "expected"),
    [
        ("A {x} B", "A {x} C", "A 1 B", "A 1 C"),
        ("A {x} B {y}", "{y}: A {x} B", "A 1 B 2", "2: A 1 B"),
        ("A {x} B {x}", "C {x} {x}", "A 1 B 1", "C 1 1"),
        ("A {x} B {x}", "C {x} {x}", "A 1 B 2", None),
        ("A {x} B {y}", "C. A {x} B {y}", "A 1 B 2 B 3", "C. A 1 B 2 B 3"),
        ("A {x} B {y}", "A {y} B {x}", "A 1 B 2 B 3", None),
        ("A {x}", "B {x}", "C 1", None),
        ("A {x}", "A {x} {y}", "A 1", None),
        ("{x}{y}", "{x}{y}!", "12", "12!"),
        ("{{a}} {x}", "{{a}} {{b}} {x}", "{a} 1", "{a} {b} 1"),
        ("static", "static, too", "static", "static, too"),
        ("aXa {x} aXa", "b {x}", "aXa", None),
    ],
)
def test_a_text_is_filled_anew(old: str, new: str, filled: str, expected: str | None):
    before, after = form_of(old, "f-string"), form_of(new, "f-string")
    assert before is not None
    assert after is not None
    assert refilled(filled, before, after) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize(
    ("setup", "lock", "work"),
    [
        (
            "from fipo_integrations.langchain import default\ndefault._load = lambda: None",
            "default._lock",
            "default.default_optimizer()",
        ),
        (
            """
            from langchain_core.language_models import FakeListChatModel
            from fipo_integrations.langchain import asking
            """,
            "asking._lock",
            "asking.Asking(optimizer=FakeListChatModel(responses=['Hi.'])).opened",
        ),
    ],
    ids=["default", "asking"],
)
def test_a_process_forked_while_an_optimizer_was_made_makes_its_own(setup: str, lock: str, work: str):
    assert fork_while_locked(setup, lock=lock, work=work) == 0


class TestTheMemoOfTemplates:
    def test_templates_made_for_one_request_are_not_kept(self, fipo: FIPORunnable):
        kept = [weakref.ref(template) for template in self.run(fipo, 200)]
        gc.collect()
        assert sum(template() is not None for template in kept) <= 64

    def test_the_last_templates_are_taken_apart_once(self, fipo: FIPORunnable):
        templates = list(self.run(fipo, 2))
        known = [fipo._sources_of(template) for template in templates]
        assert all(fipo._sources_of(one) is own for one, own in zip(templates, known, strict=True))

    def test_a_template_that_was_changed_is_taken_apart_anew(self, fipo: FIPORunnable, generator: ScriptedGenerator):
        # LangChain's templates can be changed in place; the memo once knew them by their identity alone.
        prompt = PromptTemplate.from_template("Explain {topic}.")
        chat = ChatPromptTemplate.from_messages([("system", "Explain tides."), ("human", "{topic}")])
        for chain in (prompt | fipo, chat | fipo):
            chain.invoke({"topic": "gold"})
        prompt.template = "Describe {topic}."
        assert (prompt | fipo).invoke({"topic": "gold"}).text == better("Describe gold.")
        chat.messages[0] = SystemMessage("Describe tides.")
        assert texts((chat | fipo).invoke({"topic": "gold"})) == [better("Describe tides."), "gold"]
        chat.messages[0] = HumanMessage("Describe tides.")
        chat.append(("human", "Name {topic}."))
        assert texts((chat | fipo).invoke({"topic": "gold"})) == ["Describe tides.", "gold", better("Name gold.")]
        assert "gold" not in str(generator.calls)

    @staticmethod
    def run(fipo: FIPORunnable, count: int) -> Iterator[PromptTemplate]:
        for number in range(count):
            template = PromptTemplate.from_template(f"Say in {number} words: {{text}}")
            (template | fipo).invoke({"text": "Hello."})
            yield template
