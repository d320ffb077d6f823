"""FIPORunnable in LangChain: what comes out, in how many model calls, and what the rest of LangChain sees of it."""

import asyncio
import pickle
import subprocess
import sys
import threading
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompt_values import (
    ChatPromptValue,
    ChatPromptValueConcrete,
    ImagePromptValue,
    PromptValue,
    StringPromptValue,
)
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnablePassthrough
from langchain_core.tracers import BaseTracer
from pydantic import ValidationError

from fipo_integrations.langchain import EVENT, OUTCOMES, FIPORunnable, default, loads, optimize_prompt
from fipo_model import Message, PromptOptimizer
from fipo_model.backends.batching import BatchingGenerator
from fipo_model.errors import InputError, ModelError, PromptTooLongError
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.langchain_prompts import TOO_LONG, better, rewrite

PROMPTS = [f"Describe the {animal} briefly." for animal in ("otter", "heron", "badger", "newt", "stoat", "raven")]


class Recorder(BaseCallbackHandler):
    """Keeps what a tracer would be told."""

    def __init__(self) -> None:
        self.started: list[tuple[str, UUID, UUID | None, list[str]]] = []
        self.ended: list[Any] = []
        self.failed: list[BaseException] = []
        self.events: list[tuple[str, dict[str, str], UUID, list[str] | None]] = []

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, tags=None, **kwargs):
        self.started.append((kwargs["name"], run_id, parent_run_id, tags))

    def on_chain_end(self, outputs, **kwargs):
        self.ended.append(outputs)

    def on_chain_error(self, error, **kwargs):
        self.failed.append(error)

    def on_custom_event(self, name, data, *, run_id, tags=None, **kwargs):
        self.events.append((name, data, run_id, tags))


class Marker(FIPORunnable):
    """A stranger's class, which is read only when it is named."""

    word: str

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        return self.word


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def runnable(generator: ScriptedGenerator) -> FIPORunnable:
    return FIPORunnable(optimizer=PromptOptimizer(generator))


@pytest.fixture
def default_loads(monkeypatch: pytest.MonkeyPatch, generator: ScriptedGenerator):
    """Stands in for the default weights: a list that grows with every load, slow enough for loads to overlap."""
    loaded: list[int] = []

    def load() -> PromptOptimizer:
        time.sleep(0.02)
        loaded.append(threading.get_ident())
        return PromptOptimizer(generator)

    monkeypatch.setattr(PromptOptimizer, "from_pretrained", load)
    default._load.cache_clear()
    yield loaded
    default._load.cache_clear()


class TestWhatComesOut:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("Explain tides.", better("Explain tides.")),
            (StringPromptValue(text="Explain tides."), StringPromptValue(text=better("Explain tides."))),
            (
                ChatPromptValue(messages=[SystemMessage("Explain tides."), HumanMessage("Why?")]),
                ChatPromptValue(messages=[SystemMessage(better("Explain tides.")), HumanMessage("Why?")]),
            ),
            (
                ChatPromptValueConcrete(messages=[SystemMessage("Explain tides.")]),
                ChatPromptValueConcrete(messages=[SystemMessage(better("Explain tides."))]),
            ),
            ([HumanMessage("Explain tides.")], [HumanMessage(better("Explain tides."))]),
            (
                [("system", "Explain tides."), {"role": "user", "content": "Why?"}],
                [SystemMessage(better("Explain tides.")), HumanMessage("Why?")],
            ),
        ],
        ids=["str", "string value", "chat value", "concrete chat value", "messages", "message likes"],
    )
    async def test_the_type_that_went_in_comes_out(self, runnable: FIPORunnable, given: Any, expected: Any):
        for output in (
            runnable.invoke(given),
            await runnable.ainvoke(given),
            runnable.batch([given])[0],
            (await runnable.abatch([given]))[0],
        ):
            assert type(output) is type(expected)
            assert output == expected

    def test_the_text_of_a_message_comes_out_as_a_plain_string(self, runnable: FIPORunnable):
        silent = FIPORunnable(optimizer=PromptOptimizer(ScriptedGenerator(lambda conversation: "")))
        for output in (runnable.invoke(HumanMessage("Explain tides.").text), silent.invoke(HumanMessage("Hm?").text)):
            assert type(output) is str

    def test_only_the_system_message_is_rewritten_and_the_rest_is_untouched(self, runnable: FIPORunnable):
        system = SystemMessage("Answer as a pilot.", id="s1", name="house", additional_kwargs={"cache": True})
        others = [HumanMessage("My phone is 555.", id="h1"), AIMessage("Noted.", id="a1"), HumanMessage("And now?")]
        output = runnable.invoke([system, *others])
        assert output[0] == system.model_copy(update={"content": better("Answer as a pilot.")})
        assert output[1:] == others
        assert system.content == "Answer as a pilot."

    def test_without_a_system_message_it_is_the_last_human_one(self, runnable: FIPORunnable):
        chat = [HumanMessage("Hello there."), AIMessage("Hi."), HumanMessage("Explain tides."), AIMessage("Well,")]
        assert [m.content for m in runnable.invoke(chat)] == ["Hello there.", "Hi.", better("Explain tides."), "Well,"]

    def test_of_two_system_messages_only_the_first_is_rewritten(self, runnable: FIPORunnable):
        chat = [SystemMessage("Explain tides."), SystemMessage("Speak French."), HumanMessage("Why?")]
        assert [m.content for m in runnable.invoke(chat)] == [better("Explain tides."), "Speak French.", "Why?"]

    def test_a_message_that_names_its_role_itself_is_of_that_role(self, runnable: FIPORunnable):
        chat = [ChatMessage("Act kindly.", role="system"), HumanMessage("Why?")]
        assert [m.content for m in runnable.invoke(chat)] == [better("Act kindly."), "Why?"]
        chat = [ChatMessage("Explain tides.", role="User"), ChatMessage("Well,", role="critic")]
        assert [m.content for m in runnable.invoke(chat)] == [better("Explain tides."), "Well,"]

    @pytest.mark.parametrize(
        ("roles", "rewritten"),
        [(("system",), {0}), (("human",), {1, 3}), (("system", "human"), {0, 1, 3}), ((), set())],
    )
    def test_roles_name_whose_messages_are_rewritten(self, generator: ScriptedGenerator, roles: Any, rewritten: set):
        chat = [SystemMessage("Act kindly."), HumanMessage("Explain tides."), AIMessage("Ok."), HumanMessage("Go on.")]
        output = FIPORunnable(optimizer=PromptOptimizer(generator), roles=roles).invoke(chat)
        assert {place for place, (old, new) in enumerate(zip(chat, output, strict=True)) if old != new} == rewritten
        assert generator.batch_sizes == ([len(rewritten)] if rewritten else [])

    def test_text_blocks_are_rewritten_and_other_blocks_kept(self, runnable: FIPORunnable):
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        cached = {"type": "text", "text": "Describe the picture.", "cache_control": {"type": "ephemeral"}}
        blank = {"type": "text", "text": " "}
        message = HumanMessage(content=[cached, image, blank, "Mention colours."])
        output = runnable.invoke([message])
        rewritten = {**cached, "text": better("Describe the picture.")}
        assert output[0].content == [rewritten, image, blank, better("Mention colours.")]
        assert message.content == [cached, image, blank, "Mention colours."]

    @pytest.mark.parametrize(
        "given",
        [
            "",
            " \n",
            StringPromptValue(text=""),
            ChatPromptValue(messages=[]),
            [],
            [AIMessage("Hi.")],
            [SystemMessage(" "), HumanMessage("Explain tides.")],
            [HumanMessage(content=[{"type": "image_url", "image_url": {"url": "data:,"}}])],
        ],
        ids=repr,
    )
    async def test_nothing_to_rewrite_passes_through_without_a_model(self, default_loads: list[int], given: Any):
        runnable = FIPORunnable()
        for output in (runnable.invoke(given), await runnable.ainvoke(given), runnable.batch([given])[0]):
            assert output == given
        assert default_loads == []

    @pytest.mark.parametrize(
        ("given", "hint"),
        [
            ({"prompt": "Explain tides."}, r'itemgetter\("prompt"\) \| runnable.*RunnablePassthrough\.assign'),
            (HumanMessage("Explain tides."), "list of messages, not HumanMessage$"),
            (ImagePromptValue(image_url={"url": "data:,"}), "not ImagePromptValue$"),
            (7, "not int$"),
            (None, "not NoneType$"),
        ],
        ids=["dict", "message", "image", "int", "None"],
    )
    async def test_what_is_no_prompt_is_refused_with_the_way_out(self, runnable: FIPORunnable, given: Any, hint: str):
        with pytest.raises(TypeError, match=hint):
            runnable.invoke(given)
        with pytest.raises(TypeError, match=hint):
            await runnable.ainvoke(given)

    async def test_a_rewrite_that_fails_the_checks_leaves_the_prompt_as_it_was(self):
        careless = ScriptedGenerator(lambda conversation: "Describe the animal briefly and well.")
        runnable = FIPORunnable(optimizer=PromptOptimizer(careless))
        assert runnable.invoke("Describe {animal} briefly.") == "Describe {animal} briefly."
        assert await runnable.ainvoke("Describe {animal} briefly.") == "Describe {animal} briefly."

    def test_an_optimizer_brings_what_every_rewrite_must_keep_and_how_long_it_may_be(self):
        made = PromptOptimizer(ScriptedGenerator(lambda _: "Describe the animal well, and briefly, as an expert does."))
        chat = [SystemMessage("Describe the animal for us.")]
        (rewritten,) = FIPORunnable(optimizer=made).invoke(chat)
        assert rewritten.content.endswith("as an expert does.")
        for optimizer in (made.keeping("for us"), made.keeping(max_words=5)):
            assert FIPORunnable(optimizer=optimizer).invoke(chat) == chat
            template = ChatPromptTemplate.from_messages([("system", "Describe the animal for us.")])
            _, report = optimize_prompt(template, optimizer=optimizer)
            assert [change.outcome for change in report.changes] != ["optimized"]
        _, report = optimize_prompt(template, optimizer=made)
        assert [change.outcome for change in report.changes] == ["optimized"]

    async def test_a_prompt_that_cannot_be_used_raises_fipos_error(self, runnable: FIPORunnable):
        with pytest.raises(PromptTooLongError):
            runnable.invoke(TOO_LONG)
        with pytest.raises(PromptTooLongError):
            await runnable.ainvoke(TOO_LONG)
        with pytest.raises(InputError, match="UTF-8"):
            runnable.invoke("lone surrogate \ud800")

    async def test_a_stream_is_one_chunk(self, runnable: FIPORunnable):
        assert list(runnable.stream("Explain tides.")) == [better("Explain tides.")]
        assert [chunk async for chunk in runnable.astream("Explain tides.")] == [better("Explain tides.")]
        assert list(runnable.transform(iter(["Explain ", "tides."]))) == [better("Explain tides.")]

    def test_it_costs_well_under_a_millisecond(self, runnable: FIPORunnable):
        chat = ChatPromptValue(messages=[SystemMessage("Explain tides."), HumanMessage("Why?")])
        calls = timeit.repeat(lambda: runnable.invoke(chat), timer=time.thread_time, number=1, repeat=300)
        assert min(calls) < 0.001

    def test_settings_are_checked(self, generator: ScriptedGenerator):
        with pytest.raises(ValidationError, match="modle"):
            FIPORunnable(modle="x")
        with pytest.raises(ValidationError, match="roles"):
            FIPORunnable(roles=("ai",))
        with pytest.raises(ValidationError, match="optimizer"):
            FIPORunnable(optimizer=generator)


class TestBatches:
    async def test_all_texts_of_all_inputs_are_one_model_call_in_order(self, generator: ScriptedGenerator):
        runnable = FIPORunnable(optimizer=PromptOptimizer(generator), roles=("system", "human"))
        chat = [SystemMessage("Act kindly."), HumanMessage("Explain tides.")]
        inputs = [PROMPTS[0], chat, StringPromptValue(text=PROMPTS[1]), ""]
        expected = [
            better(PROMPTS[0]),
            [SystemMessage(better("Act kindly.")), HumanMessage(better("Explain tides."))],
            StringPromptValue(text=better(PROMPTS[1])),
            "",
        ]
        assert runnable.batch(inputs) == expected
        assert generator.batch_sizes == [4]
        fresh = FIPORunnable(optimizer=PromptOptimizer(generator), roles=("system", "human"))
        assert await fresh.abatch(inputs) == expected
        assert generator.batch_sizes == [4, 4]

    def test_an_empty_batch_is_empty(self, runnable: FIPORunnable):
        assert runnable.batch([]) == []
        assert list(runnable.batch_as_completed([])) == []

    async def test_max_concurrency_caps_the_sub_batches(self, generator: ScriptedGenerator):
        expected = [better(prompt) for prompt in PROMPTS]
        for config in ({"max_concurrency": 4}, [{"max_concurrency": 4}] * 6):
            assert FIPORunnable(optimizer=PromptOptimizer(generator)).batch(PROMPTS, config) == expected
            assert await FIPORunnable(optimizer=PromptOptimizer(generator)).abatch(PROMPTS, config) == expected
        assert generator.batch_sizes == [4, 2] * 4

    async def test_exceptions_stand_in_their_inputs_places(self, runnable: FIPORunnable, generator: ScriptedGenerator):
        inputs = [PROMPTS[0], {"prompt": "x"}, TOO_LONG, [("nobody", "x")], [7], PROMPTS[1]]
        for outputs in (
            runnable.batch(inputs, return_exceptions=True),
            await runnable.abatch(inputs, return_exceptions=True),
            [out for _, out in runnable.batch_as_completed(inputs, return_exceptions=True)],
            [out async for _, out in runnable.abatch_as_completed(inputs, return_exceptions=True)],
        ):
            assert [outputs[0], outputs[5]] == [better(PROMPTS[0]), better(PROMPTS[1])]
            errors = [TypeError, PromptTooLongError, ValueError, NotImplementedError]
            assert [type(output) for output in outputs[1:5]] == errors
        assert generator.batch_sizes[0] == 2

    async def test_without_return_exceptions_the_first_is_raised(self, runnable: FIPORunnable):
        inputs = [PROMPTS[0], TOO_LONG, {"prompt": "x"}]
        with pytest.raises(PromptTooLongError):
            runnable.batch(inputs)
        with pytest.raises(PromptTooLongError):
            await runnable.abatch(inputs)

    def test_a_model_that_breaks_costs_only_its_own_sub_batch(self):
        def break_at_newts(conversation: list[Message]) -> str:
            if "newt" in naive_in(conversation):
                raise ModelError("out of memory")
            return rewrite(conversation)

        runnable = FIPORunnable(optimizer=PromptOptimizer(ScriptedGenerator(break_at_newts)))
        outputs = runnable.batch(PROMPTS, {"max_concurrency": 2}, return_exceptions=True)
        assert [isinstance(output, ModelError) for output in outputs] == [False, False, True, True, False, False]

    async def test_as_completed_batches_too_and_gives_out_what_is_done(self, generator: ScriptedGenerator):
        runnable = FIPORunnable(optimizer=PromptOptimizer(generator))
        completed = runnable.batch_as_completed(PROMPTS, {"max_concurrency": 4})
        assert next(completed) == (0, better(PROMPTS[0]))
        assert generator.batch_sizes == [4]
        assert list(completed) == [(place, better(PROMPTS[place])) for place in range(1, 6)]
        fresh = FIPORunnable(optimizer=PromptOptimizer(generator))
        found = [pair async for pair in fresh.abatch_as_completed(PROMPTS, {"max_concurrency": 4})]
        assert found == [(place, better(prompt)) for place, prompt in enumerate(PROMPTS)]
        assert generator.batch_sizes == [4, 2, 4, 2]

    def test_batches_stay_whole_inside_wrappers(self, generator: ScriptedGenerator):
        def fresh() -> FIPORunnable:
            return FIPORunnable(optimizer=PromptOptimizer(generator))

        wrapped = [
            fresh().bind(stop=["."]),
            fresh().with_config(tags=["t"]),
            fresh().with_retry(),
            fresh().with_fallbacks([RunnablePassthrough()]),
            fresh().configurable_alternatives(ConfigurableField(id="rewrite"), off=RunnablePassthrough()),
            PromptTemplate.from_template("{text}") | fresh() | RunnableLambda(lambda value: value.text),
        ]
        for chain in wrapped[:-1]:
            assert chain.batch(PROMPTS) == [better(prompt) for prompt in PROMPTS]
        assert wrapped[-1].batch([{"text": text} for text in PROMPTS]) == [better(prompt) for prompt in PROMPTS]
        assert fresh().map().invoke(PROMPTS) == [better(prompt) for prompt in PROMPTS]
        assert generator.batch_sizes == [6] * 7

    async def test_parallel_steps_meet_in_few_model_calls(self, generator: ScriptedGenerator):
        inputs = [{"topic": str(number), "prompt": prompt} for number, prompt in enumerate(PROMPTS)]
        expected = [{**row, "better": better(row["prompt"])} for row in inputs]

        def chain():
            coalescing = BatchingGenerator(generator, gathering_seconds=0.2)
            runnable = FIPORunnable(optimizer=PromptOptimizer(coalescing))
            return RunnablePassthrough.assign(better=itemgetter("prompt") | runnable)

        assert chain().batch(inputs) == expected
        assert len(generator.batch_sizes) <= 2
        assert await chain().abatch(inputs) == expected
        assert len(generator.batch_sizes) <= 4
        assert sum(generator.batch_sizes) == 12


class TestAsyncio:
    async def test_the_event_loop_runs_while_the_model_works(self):
        release = threading.Event()
        started = threading.Event()

        def wait(conversation: list[Message]) -> str:
            started.set()
            if not release.wait(5):
                raise ModelError("the event loop was blocked")
            return rewrite(conversation)

        for method in ("ainvoke", "abatch"):
            release.clear()
            started.clear()
            runnable = FIPORunnable(optimizer=PromptOptimizer(ScriptedGenerator(wait)))
            given, expected = PROMPTS[0], better(PROMPTS[0])
            call = getattr(runnable, method)(given if method == "ainvoke" else [given])
            task = asyncio.create_task(call)
            while not started.is_set():
                await asyncio.sleep(0.001)
            release.set()
            assert await task == (expected if method == "ainvoke" else [expected])

    async def test_a_cancelled_call_returns_at_once_and_harms_no_other(self):
        may_go_on = threading.Event()

        def slow(conversation: list[Message]) -> str:
            may_go_on.wait(10)
            return rewrite(conversation)

        runnable = FIPORunnable(optimizer=PromptOptimizer(BatchingGenerator(ScriptedGenerator(slow))))
        calls = [asyncio.create_task(runnable.ainvoke(prompt)) for prompt in PROMPTS[:3]]
        await asyncio.sleep(0.05)
        calls[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(calls[0], 1)
        may_go_on.set()
        assert await asyncio.gather(*calls[1:]) == [better(prompt) for prompt in PROMPTS[1:3]]
        assert await runnable.ainvoke(PROMPTS[0]) == better(PROMPTS[0])

    async def test_the_default_weights_are_loaded_off_the_event_loop(self, default_loads: list[int]):
        assert await FIPORunnable().ainvoke("Explain tides.") == better("Explain tides.")
        assert len(default_loads) == 1
        assert default_loads[0] != threading.get_ident()

    async def test_concurrent_calls_can_share_a_model_call(self, generator: ScriptedGenerator):
        coalescing = BatchingGenerator(generator, gathering_seconds=0.2)
        runnable = FIPORunnable(optimizer=PromptOptimizer(coalescing))
        outputs = await asyncio.gather(*(runnable.ainvoke(prompt) for prompt in PROMPTS))
        assert outputs == [better(prompt) for prompt in PROMPTS]
        assert len(generator.batch_sizes) <= 2


class TestDefaultWeights:
    def test_they_are_loaded_once_however_many_ask(self, default_loads: list[int]):
        with ThreadPoolExecutor(6) as pool:
            outputs = list(pool.map(lambda prompt: FIPORunnable().invoke(prompt), PROMPTS))
        assert outputs == [better(prompt) for prompt in PROMPTS]
        assert len(default_loads) == 1

    def test_constructing_and_drawing_load_nothing(self, default_loads: list[int]):
        (FIPORunnable() | StrOutputParser()).get_graph().draw_mermaid()
        assert default_loads == []

    def test_configured_fields_rebuild_the_runnable_but_reload_nothing(
        self, default_loads: list[int], runnable: FIPORunnable, generator: ScriptedGenerator
    ):
        chat = [SystemMessage("Act kindly."), HumanMessage("Explain tides.")]
        field = ConfigurableField(id="roles")
        for configurable in (
            FIPORunnable().configurable_fields(roles=field),
            runnable.configurable_fields(roles=field),
        ):
            for roles, place in ((("human",), 1), (["system"], 0)):
                output = configurable.invoke(chat, {"configurable": {"roles": roles}})
                assert [m.content == better(old.content) for m, old in zip(output, chat, strict=True)].index(
                    True
                ) == place
        assert len(default_loads) == 1
        assert len(generator.calls) == 4


class TestRunsAndEvents:
    async def test_each_call_is_a_run_with_its_name_tags_id_and_output(self, runnable: FIPORunnable):
        for call in ("invoke", "ainvoke"):
            recorder, run_id = Recorder(), uuid4()
            config = {"callbacks": [recorder], "run_name": "rewriter", "tags": ["t"], "run_id": run_id}
            output = getattr(runnable, call)("Explain tides.", config)
            if call == "ainvoke":
                await output
            assert recorder.started == [("rewriter", run_id, None, ["t"])]
            assert recorder.ended == [better("Explain tides.")]

    def test_inside_a_chain_it_is_a_child_run_named_after_its_class(self, runnable: FIPORunnable):
        recorder = Recorder()
        chain = PromptTemplate.from_template("Explain {topic}.") | runnable
        chain.invoke({"topic": "tides"}, {"callbacks": [recorder]})
        runs = {name: (run_id, parent) for name, run_id, parent, _ in recorder.started}
        assert runs["FIPORunnable"][1] == runs["RunnableSequence"][0]

    async def test_each_input_of_a_batch_is_a_run_and_a_failed_one_says_so(self, runnable: FIPORunnable):
        for call in ("batch", "abatch"):
            recorder = Recorder()
            outputs = getattr(runnable, call)([PROMPTS[0], TOO_LONG], {"callbacks": [recorder]}, return_exceptions=True)
            outputs = await outputs if call == "abatch" else outputs
            assert [name for name, *_ in recorder.started] == ["FIPORunnable"] * 2
            assert recorder.ended == [outputs[0]]
            assert recorder.failed == [outputs[1]]

    async def test_events_tell_what_became_of_each_text_under_its_own_run(self):
        def lose_the_newt(conversation: list[Message]) -> str:
            return "Write." if "{newt}" in naive_in(conversation) else rewrite(conversation)

        runnable = FIPORunnable(optimizer=PromptOptimizer(ScriptedGenerator(lose_the_newt)))
        inputs = [PROMPTS[0], "Describe a {newt}.", ""]
        for call in ("invoke", "ainvoke", "batch", "abatch"):
            recorder = Recorder()
            config = {"callbacks": [recorder], "tags": ["t"]}
            for given in inputs if "invoke" in call else [inputs]:
                output = getattr(runnable, call)(given, config)
                if call.startswith("a"):
                    await output
            runs = [run_id for _, run_id, *_ in recorder.started]
            rewritten = {"outcome": "optimized", "naive": PROMPTS[0], "text": better(PROMPTS[0])}
            kept = {"outcome": "placeholder_lost", "naive": inputs[1], "text": inputs[1]}
            assert recorder.events == [(EVENT, rewritten, runs[0], ["t"]), (EVENT, kept, runs[1], ["t"])]

    async def test_outcomes_are_in_each_runs_own_metadata(self, runnable: FIPORunnable):
        class Tracer(BaseTracer):
            def _persist_run(self, run: Any) -> None:
                noted.append(run.extra["metadata"])

        short = "Explain tides."
        for metadata in ({}, {"user": "me"}):
            for call, given in (("invoke", short), ("ainvoke", short), ("batch", [short, ""]), ("abatch", [short, ""])):
                noted: list[dict[str, Any]] = []
                output = getattr(runnable, call)(given, {"callbacks": [Tracer()], "metadata": metadata})
                if call.startswith("a"):
                    await output
                outcomes = [["optimized"], []] if "batch" in call else [["optimized"]]
                assert noted == [{**metadata, OUTCOMES: own} for own in outcomes]
            assert OUTCOMES not in metadata

    async def test_astream_events_shows_the_run_and_the_outcome(self, runnable: FIPORunnable):
        chain = PromptTemplate.from_template("Explain {topic}.") | runnable.with_config(run_name="rewriter")
        events = [event async for event in chain.astream_events({"topic": "tides"}, version="v2")]
        told = [event["data"] for event in events if event["event"] == "on_custom_event" and event["name"] == EVENT]
        assert told == [{"outcome": "optimized", "naive": "Explain {topic}.", "text": better("Explain {topic}.")}]
        assert [event["metadata"] for event in events if event["name"] == "rewriter"][-1] == {OUTCOMES: ["optimized"]}
        kinds = [event["event"] for event in events if event["name"] == "rewriter"]
        assert (kinds[0], kinds[-1]) == ("on_chain_start", "on_chain_end")


class TestComposition:
    async def test_it_goes_between_a_prompt_and_a_model(self, runnable: FIPORunnable):
        template = ChatPromptTemplate.from_messages([("system", "Act kindly."), ("human", "{question}")])
        seen: list[PromptValue] = []
        chain = template | runnable | RunnableLambda(lambda value: seen.append(value) or value)
        chain = chain | FakeListChatModel(responses=["Gladly."]) | StrOutputParser()
        assert chain.invoke({"question": "Explain {tides}."}) == "Gladly."
        assert await chain.ainvoke({"question": "Explain {tides}."}) == "Gladly."
        assert [m.content for m in seen[0].to_messages()] == [better("Act kindly."), "Explain {tides}."]

    def test_it_can_be_switched_off_where_it_runs(self, runnable: FIPORunnable):
        switch = runnable.configurable_alternatives(
            ConfigurableField(id="rewrite"), default_key="on", off=RunnablePassthrough()
        )
        assert switch.invoke("Explain tides.") == better("Explain tides.")
        assert switch.with_config(configurable={"rewrite": "off"}).invoke("Explain tides.") == "Explain tides."

    def test_fallbacks_take_over_and_retries_try_again(self):
        failures = [ModelError("once")]

        def fail_once(conversation: list[Message]) -> str:
            if failures:
                raise failures.pop()
            return rewrite(conversation)

        runnable = FIPORunnable(optimizer=PromptOptimizer(ScriptedGenerator(fail_once)))
        assert runnable.with_fallbacks([RunnablePassthrough()]).invoke(PROMPTS[0]) == PROMPTS[0]
        failures.append(ModelError("once"))
        retrying = runnable.with_retry(wait_exponential_jitter=False, retry_if_exception_type=(ModelError,))
        assert retrying.invoke(PROMPTS[0]) == better(PROMPTS[0])

    def test_schemas_read_messages_back_as_what_they_are(self, runnable: FIPORunnable):
        schema = runnable.get_input_schema()
        chat = schema.model_validate([SystemMessage("Act kindly.").model_dump(), HumanMessage("Why?").model_dump()])
        assert [m.content for m in runnable.invoke(chat.root)] == [better("Act kindly."), "Why?"]
        assert schema.model_validate("Explain tides.").root == "Explain tides."
        assert "anyOf" in runnable.get_input_jsonschema()
        assert "anyOf" in runnable.get_output_jsonschema()

    def test_a_drawn_chain_shows_it(self, runnable: FIPORunnable):
        chain = PromptTemplate.from_template("Explain {topic}.") | runnable | StrOutputParser()
        assert "PromptTemplate --> FIPORunnable;" in chain.get_graph().draw_mermaid()


class TestSerialization:
    def test_settings_survive_and_the_optimizer_is_given_anew(self, runnable: FIPORunnable):
        text = dumps(FIPORunnable(optimizer=runnable.optimizer, roles=("human",), name="rewriter"))
        assert "optimizer" not in text
        read = loads(text, optimizer=runnable.optimizer)
        assert isinstance(read, FIPORunnable)
        assert (read.roles, read.name, read.optimizer) == (("human",), "rewriter", runnable.optimizer)
        assert loads(text).optimizer is None

    def test_a_chain_survives_with_the_runnable_in_it(self, runnable: FIPORunnable):
        template = ChatPromptTemplate.from_messages([("system", "Act kindly."), ("human", "{question}")])
        chain = RunnablePassthrough() | template | runnable.with_config(tags=["t"])
        read = loads(dumps(chain), optimizer=runnable.optimizer)
        assert read.invoke({"question": "Why?"}) == chain.invoke({"question": "Why?"})
        assert [m.content for m in read.invoke({"question": "Why?"}).messages] == [better("Act kindly."), "Why?"]

    def test_other_classes_are_read_only_when_named(self, runnable: FIPORunnable):
        text = dumps(runnable | Marker(word="hi"))
        with pytest.raises(ValueError, match="Marker"):
            loads(text)
        assert loads(text, optimizer=runnable.optimizer, also=[Marker]).invoke("Explain tides.") == "hi"

    def test_it_pickles_with_its_optimizer(self, runnable: FIPORunnable):
        copy = pickle.loads(pickle.dumps(FIPORunnable(optimizer=runnable.optimizer, roles=("human",))))
        assert copy.roles == ("human",)
        assert copy.invoke("Explain tides.") == better("Explain tides.")


class TestImport:
    def test_without_langchain_core_the_extra_is_named(self):
        code = "import sys; sys.modules['langchain_core'] = None; import fipo_integrations.langchain"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "MissingExtraError" in result.stderr
        assert "pip install '.[langchain]'" in result.stderr

    def test_importing_it_brings_in_no_model_library(self):
        # LangChain before 1.6 imports transformers by itself with its prompts.
        code = (
            "import sys; from langchain_core.prompts import ChatPromptTemplate; before = set(sys.modules); "
            "import fipo_integrations.langchain; "
            "print({'torch', 'transformers', 'openai', 'langchain'} & (set(sys.modules) - before))"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout == "set()\n"
