"""optimize_chain: every prompt in a chain, however it was put together, and the original stays as it was."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, FewShotPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    ConfigurableField,
    ConfigurableFieldSingleOption,
    RouterRunnable,
    Runnable,
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    RunnablePick,
    RunnableSerializable,
)
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, ConfigDict

from fipo_integrations.langchain import OUTCOMES, FIPORunnable, Report, optimize_chain, optimize_prompt
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError, ModelError
from fipo_model.testing import ScriptedGenerator
from support.langchain_prompts import GUIDANCE, TOO_LONG, asked, better, left_out, outcomes, replying, rewrite

OPAQUE = "FIPO cannot look inside; if it makes prompts, use optimize_prompt or FIPORunnable there"
TIDES, WAVES, RAIN = ({"topic": topic} for topic in ("tides", "waves", "rain"))


def prompt(verb: str = "Explain") -> PromptTemplate:
    return PromptTemplate.from_template(f"{verb} {{topic}} to me.")


def asks_for(verb: str, topic: str = "tides", *, naive: bool = False) -> str:
    text = f"{verb} {topic} to me."
    return text if naive else better(text)


def echo(value: Any) -> str:
    return value.to_string()


ECHO: Runnable[Any, str] = RunnableLambda(echo)
"""A model that says what it was asked."""


def places(report: Report) -> list[str]:
    return [change.where for change in report.changes]


def at(chain: Any, where: str) -> Any:
    """What stands at a place of a report."""
    return eval(f"chain.{where}", {"chain": chain})  # the report's own path


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def optimizer(generator: ScriptedGenerator) -> PromptOptimizer:
    return PromptOptimizer(generator)


P, Q = prompt("Explain"), prompt("Describe")
FIELD = ConfigurableField(id="which")
FEW = FewShotPromptTemplate(
    example_prompt=PromptTemplate.from_template("{a}"),
    examples=[{"a": "One."}],
    prefix="Explain {topic} to me.",
    suffix="Go on.",
    input_variables=["topic"],
)

# name: a chain of ECHOs, how many texts are in it, an input, and what it gives out with better prompts.
KINDS: dict[str, tuple[Any, int, Any, Any]] = {
    "template": (P, 1, TIDES, None),
    "sequence": (P | ECHO, 1, TIDES, asks_for("Explain")),
    "long sequence": (
        RunnablePassthrough() | P | ECHO | (lambda text: {"topic": text}) | Q | ECHO,
        2,
        TIDES,
        better(f"Describe {asks_for('Explain')} to me."),
    ),
    "parallel": (
        RunnableParallel(one=P | ECHO, two=Q | ECHO),
        2,
        TIDES,
        {"one": asks_for("Explain"), "two": asks_for("Describe")},
    ),
    "assign": (RunnablePassthrough.assign(said=P | ECHO), 1, TIDES, {**TIDES, "said": asks_for("Explain")}),
    "pick": (RunnableParallel(one=P | ECHO, two=Q | ECHO) | RunnablePick("two"), 2, TIDES, asks_for("Describe")),
    "branch": (
        RunnableBranch((lambda given: given["topic"] == "rain", P | ECHO), Q | ECHO),
        2,
        RAIN,
        asks_for("Explain", "rain"),
    ),
    "default of a branch": (
        RunnableBranch((lambda given: given["topic"] == "rain", P | ECHO), Q | ECHO),
        2,
        TIDES,
        asks_for("Describe"),
    ),
    "condition of a branch": (
        RunnableBranch((P | ECHO | (lambda text: GUIDANCE in text), lambda _: "better"), lambda _: "naive"),
        1,
        TIDES,
        "better",
    ),
    "bind": ((P | ECHO).bind(stop=["x"]), 1, TIDES, None),
    "config": ((P | ECHO).with_config(tags=["t"], run_name="r"), 1, TIDES, asks_for("Explain")),
    "listeners": ((P | ECHO).with_listeners(on_end=lambda run: None), 1, TIDES, asks_for("Explain")),
    "types": ((P | ECHO).with_types(input_type=dict), 1, TIDES, asks_for("Explain")),
    "retry": ((P | ECHO).with_retry(stop_after_attempt=2), 1, TIDES, asks_for("Explain")),
    "map": ((P | ECHO).map(), 1, [TIDES, RAIN], [asks_for("Explain"), asks_for("Explain", "rain")]),
    "fallbacks": ((P | ECHO).with_fallbacks([Q | ECHO]), 2, TIDES, asks_for("Explain")),
    "a fallback": (
        (P | RunnableLambda(lambda value: 1 // 0)).with_fallbacks([Q | ECHO]),
        2,
        TIDES,
        asks_for("Describe"),
    ),
    "router": (
        RouterRunnable({"one": P | ECHO, "two": Q | ECHO}),
        2,
        {"key": "two", "input": TIDES},
        asks_for("Describe"),
    ),
    "configurable fields": (
        RunnablePassthrough() | (P.configurable_fields(partial_variables=FIELD)) | ECHO,
        1,
        TIDES,
        asks_for("Explain"),
    ),
    "options of a field": (
        (P | ECHO).configurable_fields(
            first=ConfigurableFieldSingleOption(id="which", options={"p": P, "q": Q}, default="q")
        ),
        3,
        TIDES,
        None,
    ),
    "configurable alternatives": (
        P.configurable_alternatives(FIELD, default_key="p", q=Q) | ECHO,
        2,
        TIDES,
        asks_for("Explain"),
    ),
    "chosen alternative": (
        (P.configurable_alternatives(FIELD, default_key="p", q=Q) | ECHO).with_config(configurable={"which": "q"}),
        2,
        TIDES,
        asks_for("Describe"),
    ),
    "few shots": (FEW | ECHO, 1, TIDES, f"{asks_for('Explain')}\n\nOne.\n\nGo on."),
    "chat": (
        ChatPromptTemplate.from_messages([("system", "Explain {topic} to me."), ("human", "Go on.")]) | ECHO,
        1,
        TIDES,
        f"System: {asks_for('Explain')}\nHuman: Go on.",
    ),
    "deep": (
        RunnablePassthrough.assign(
            said=RunnableBranch(
                (lambda given: False, lambda given: "never"),
                RunnableParallel(one=(P | ECHO).with_retry().with_config(tags=["t"]), two=Q | ECHO)
                .with_fallbacks([FEW | ECHO])
                .pick("one"),
            )
        ),
        3,
        TIDES,
        {**TIDES, "said": asks_for("Explain")},
    ),
}


class TestEveryKindOfChain:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_its_prompts_are_rewritten_and_the_original_stays(
        self, optimizer: PromptOptimizer, generator: ScriptedGenerator, kind: str
    ):
        chain, texts, given, expected = KINDS[kind]
        shown, naive = repr(chain), chain.invoke(given) if kind != "bind" else None
        new, report = optimize_chain(chain, optimizer=optimizer)
        assert [change.outcome for change in report.changes] == ["optimized"] * texts
        assert len(set(places(report))) == texts
        assert len(generator.batch_sizes) == 1
        for change in report.changes:  # the paths lead there
            assert at(chain, change.where) == change.naive
            assert at(new, change.where) == better(change.naive) == change.text
        assert type(new) is type(chain)
        if expected is not None:
            assert new.invoke(given) == expected != naive
            assert new.batch([given, given]) == [expected] * 2
            assert await new.ainvoke(given) == expected
            assert (await new.abatch([given]))[0] == expected
            assert list(new.stream(given))[-1] is not None
            assert chain.invoke(given) == naive
        assert repr(chain) == shown
        again, second = optimize_chain(new, optimizer=optimizer)
        assert again is new
        assert second.changes == ()
        assert [reason for _, reason in left_out(second) if reason != OPAQUE] == [
            "FIPO has rewritten it already"
        ] * texts

    def test_call_options_stay_bound(self, optimizer: PromptOptimizer):
        model = FakeListChatModel(responses=["Well."])
        chain = (P | model.bind(stop=["."])).bind(k=1).with_config(tags=["t"])
        new, _ = optimize_chain(chain, optimizer=optimizer)
        assert (new.kwargs, new.config["tags"]) == ({"k": 1}, ["t"])
        assert new.bound.last is chain.bound.last

    async def test_streams_come_piece_by_piece(self, optimizer: PromptOptimizer):
        seen: list[str] = []
        note = RunnableLambda(lambda value: seen.append(value.to_string()) or value)
        chain = P | note | FakeListChatModel(responses=["Well."]) | StrOutputParser()
        new, _ = optimize_chain(chain, optimizer=optimizer)
        assert list(new.stream(TIDES)) == list("Well.")
        assert [chunk async for chunk in new.astream(TIDES)] == list("Well.")
        assert seen == [f"{asks_for('Explain')}"] * 2

    def test_listeners_still_listen(self, optimizer: PromptOptimizer):
        ended: list[Any] = []
        chain = (P | ECHO).with_listeners(on_end=lambda run: ended.append(run.outputs["output"]))
        new, _ = optimize_chain(chain, optimizer=optimizer)
        new.invoke(TIDES)
        assert ended == [asks_for("Explain")]

    def test_a_map_inside_a_chain_maps(self, optimizer: PromptOptimizer):
        new, report = optimize_chain(itemgetter("topics") | (P | ECHO).map(), optimizer=optimizer)
        assert new.invoke({"topics": [TIDES, RAIN]}) == [asks_for("Explain"), asks_for("Explain", "rain")]
        assert left_out(report) == [("last.bound.last", OPAQUE)]

    def test_options_of_a_field_are_chosen_as_before(self, optimizer: PromptOptimizer):
        chain = KINDS["options of a field"][0]
        new, _ = optimize_chain(chain, optimizer=optimizer)
        for key, verb in (("p", "Explain"), ("q", "Describe")):
            assert new.invoke(TIDES, {"configurable": {"which": key}}) == asks_for(verb)
            assert chain.invoke(TIDES, {"configurable": {"which": key}}) == asks_for(verb, naive=True)

    def test_alternatives_made_by_functions_are_reported_and_still_made(self, optimizer: PromptOptimizer):
        chain = P.configurable_alternatives(FIELD, default_key="p", q=Q, made=lambda: prompt("Draw"))
        for whole, where in ((chain, "alternatives['made']"), (chain | ECHO, "first.alternatives['made']")):
            new, report = optimize_chain(whole, optimizer=optimizer)
            assert (where, OPAQUE) in left_out(report)
            assert callable(at(whole, where))
            values = [new.invoke(TIDES, {"configurable": {"which": key}}) for key in ("p", "q", "made")]
            texts = [value if isinstance(value, str) else value.text for value in values]
            assert texts == [asks_for("Explain"), asks_for("Describe"), asks_for("Draw", naive=True)]

    def test_a_shared_template_is_rewritten_wherever_it_stands_but_asked_for_once(
        self, optimizer: PromptOptimizer, generator: ScriptedGenerator
    ):
        new, report = optimize_chain(RunnableParallel(one=P | ECHO, two=P | ECHO), optimizer=optimizer)
        assert places(report) == ["steps__['one'].first.template", "steps__['two'].first.template"]
        assert generator.batch_sizes == [1]
        assert new.invoke(TIDES) == {"one": asks_for("Explain"), "two": asks_for("Explain")}

    def test_only_what_was_rewritten_is_new(self):
        optimizer = replying(lambda naive: naive if "Describe" in naive else better(naive))
        chain = RunnableParallel(one=P | ECHO, two=Q | ECHO)
        new, report = optimize_chain(chain, optimizer=optimizer)
        assert outcomes(report) == [
            ("steps__['one'].first.template", "optimized"),
            ("steps__['two'].first.template", "unchanged"),
        ]
        assert new.steps__["two"] is chain.steps__["two"]
        assert new.steps__["one"].last is chain.steps__["one"].last

    def test_more_than_ten_prompts_each_know_their_own_outcome(self):
        optimizer = replying(lambda naive: naive if "1 " in naive else better(naive))
        prompts = [prompt(f"Explain {n}") for n in range(12)]
        chain = RunnableBranch(*((lambda given: False, each) for each in prompts), P)
        new, _ = optimize_chain(chain, optimizer=optimizer)
        marked = [(branch[1].metadata or {}).get(OUTCOMES) for branch in new.branches]
        assert marked == [None if n in (1, 11) else ["optimized"] for n in range(12)]

    def test_roles_hold_for_every_chat(self, optimizer: PromptOptimizer):
        chat = ChatPromptTemplate.from_messages([("system", "Act kindly."), ("human", "Explain {topic} to me.")])
        _, report = optimize_chain(RunnableParallel(one=chat, two=P), optimizer=optimizer, roles=("human",))
        assert places(report) == ["steps__['one'].messages[1].prompt.template", "steps__['two'].template"]

    def test_a_cycle_ends(self, optimizer: PromptOptimizer):
        chain = P | RunnablePassthrough() | ECHO
        chain.middle.append(chain)
        new, report = optimize_chain(chain, optimizer=optimizer)
        assert places(report) == ["first.template"]
        assert new.first.template == better(P.template)


class TestWhatCannotBeReached:
    def test_a_function_that_holds_prompts_is_named_with_its_place(
        self, optimizer: PromptOptimizer, generator: ScriptedGenerator
    ):
        inner, other = P | ECHO, Q | ECHO
        one = RunnableLambda(lambda given: inner.invoke(given))
        two = RunnableLambda(lambda given: inner.invoke(given) + other.invoke(given))
        advice = "give it the rewritten one with optimize_prompt"
        for step, held in ((one, "a prompt"), (two, "2 prompts")):
            chain = RunnablePassthrough() | step
            new, report = optimize_chain(chain, optimizer=optimizer)
            assert new is chain
            assert left_out(report) == [("last", f"it is a function that holds {held}: {advice}")]
            assert at(chain, "last") is step
        assert generator.calls == []

    def test_other_functions_and_generators_are_reported_and_getters_are_not(self, optimizer: PromptOptimizer):
        def upper(chunks: Iterator[str]) -> Iterator[str]:
            yield from (chunk.upper() for chunk in chunks)

        chain = itemgetter("row") | P | ECHO | RunnableGenerator(upper)
        new, report = optimize_chain(chain, optimizer=optimizer)
        assert left_out(report) == [("middle[1]", OPAQUE), ("last", OPAQUE)]
        assert new.invoke({"row": TIDES}) == asks_for("Explain").upper()

    def test_a_compiled_graph_is_reported(self, optimizer: PromptOptimizer):
        graph = pytest.importorskip("langgraph.graph")
        builder = graph.StateGraph(dict)
        builder.add_node("say", lambda state: {"said": str(state)})
        builder.set_entry_point("say")
        compiled = builder.compile()
        new, report = optimize_chain(P | compiled, optimizer=optimizer)
        assert places(report) == ["first.template"]
        ((where, reason),) = left_out(report)
        assert where == "last"
        assert "FIPOMiddleware" in reason
        assert "optimize_prompt" in reason
        assert new.last is compiled
        alone, report = optimize_chain(compiled, optimizer=optimizer)
        assert alone is compiled
        assert left_out(report) == [("", reason)]

    def test_prompts_in_models_that_are_no_runnables_are_rewritten(self, optimizer: PromptOptimizer):
        class Agent(BaseModel):
            """As in LangChain's executors and compressors: a plain model with a chain in it."""

            model_config = ConfigDict(arbitrary_types_allowed=True)
            chain: Runnable

        class Executor(RunnableSerializable):
            agent: Agent
            tools: list[Any]

            def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
                return self.agent.chain.invoke(input, config)

        executor = Executor(agent=Agent(chain=P | ECHO), tools=[])
        new, report = optimize_chain(executor, optimizer=optimizer)
        assert places(report) == ["agent.chain.first.template"]
        assert new.invoke(TIDES) == asks_for("Explain")
        assert executor.invoke(TIDES) == asks_for("Explain", naive=True)
        alone, report = optimize_chain(executor.agent, optimizer=optimizer)
        assert places(report) == ["chain.first.template"]
        assert type(alone) is Agent

    @pytest.mark.filterwarnings("ignore:This API is in beta")
    def test_a_tool_or_a_strangers_object_that_holds_prompts_is_named(self, optimizer: PromptOptimizer):
        class Writer:
            """No model of pydantic's."""

            def __init__(self) -> None:
                self.prompts = [P, Q]

            def write(self, topic: str) -> str:
                return self.prompts[0].format(topic=topic)

        class Holder(RunnableSerializable):
            writer: Any
            tools: list[Any]

            def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
                return self.writer.write(input)

        made = (P | ECHO).as_tool(name="explain", description="Explains.", arg_types={"topic": str})
        written = StructuredTool.from_function(Writer().write, name="write", description="Writes.")
        plain = StructuredTool.from_function(lambda topic: topic, name="echo", description="Echoes.")
        _, report = optimize_chain(Holder(writer=Writer(), tools=[made, written, plain]), optimizer=optimizer)
        advice = "give it the rewritten one with optimize_prompt"
        assert left_out(report) == [
            ("writer", f"it is a Writer that holds 2 prompts: {advice}"),
            ("tools[0]", f"it is a StructuredTool that holds a prompt: {advice}"),
            ("tools[1]", f"it is a StructuredTool that holds 2 prompts: {advice}"),
        ]

    def test_a_runnable_that_rewrites_at_run_time_is_reported(self, optimizer: PromptOptimizer):
        _, report = optimize_chain(P | FIPORunnable(optimizer=optimizer) | ECHO, optimizer=optimizer)
        why = "it rewrites at run time, including what was rewritten here: leave out one of the two"
        assert ("middle[0]", why) in left_out(report)
        assert places(report) == ["first.template"]

    def test_templates_that_were_rewritten_before_are_left_alone(
        self, optimizer: PromptOptimizer, generator: ScriptedGenerator
    ):
        done, _ = optimize_prompt(P, optimizer=optimizer)
        new, report = optimize_chain(RunnableParallel(one=done, two=Q), optimizer=optimizer)
        assert new.steps__["one"] is done
        assert places(report) == ["steps__['two'].template"]
        assert left_out(report) == [("steps__['one'].template", "FIPO has rewritten it already")]
        assert generator.batch_sizes == [1, 1]

    def test_what_cannot_be_rewritten_does_not_keep_others_from_it(self, optimizer: PromptOptimizer):
        pytest.importorskip("jinja2")
        chain = RunnableParallel(
            jinja=PromptTemplate.from_template("Explain {{ topic }}.", template_format="jinja2"),
            long=PromptTemplate.from_template(TOO_LONG),
            blank=PromptTemplate.from_template(""),
            braces=ChatPromptTemplate.from_messages([("human", "Explain {topic} as {{topic}}.")]),
            good=P,
        )
        new, report = optimize_chain(chain, optimizer=optimizer)
        reasons = dict(left_out(report))
        assert "can run code" in reasons["steps__['jinja'].template"]
        assert "the model's context holds 500" in reasons["steps__['long'].template"]
        assert reasons["steps__['blank'].template"] == "it is empty"
        assert "literal braces" in reasons["steps__['braces'].messages[0].prompt.template"]
        assert len(reasons) == 4
        assert places(report) == ["steps__['good'].template"]
        assert [new.steps__[key] is chain.steps__[key] for key in chain.steps__] == [True, True, True, True, False]

    def test_a_template_of_an_own_class_does_not_keep_others_from_it(self, optimizer: PromptOptimizer):
        class Bakery(ChatPromptTemplate):
            def __init__(self, topic: str) -> None:
                super().__init__([("system", f"Talk about {topic}.")])

        chain = RunnableParallel(own=Bakery("bread"), good=P)
        new, report = optimize_chain(chain, optimizer=optimizer)
        ((where, reason),) = left_out(report)
        assert where == "steps__['own']"
        assert reason.startswith("a Bakery cannot be rebuilt with another text: ")
        assert places(report) == ["steps__['good'].template"]
        assert new.steps__["own"] is chain.steps__["own"]

    @pytest.mark.parametrize("chain", ["Explain tides.", None, {"a": P}, [P], echo])
    def test_what_is_no_runnable_is_refused(self, chain: Any):
        with pytest.raises(InputError, match=r"a chain is a runnable, such as prompt \| model, not"):
            optimize_chain(chain)

    def test_without_prompts_the_same_chain_comes_back_and_nothing_is_loaded(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(PromptOptimizer, "from_pretrained", lambda: pytest.fail("the weights were loaded"))
        chain = RunnablePassthrough() | StrOutputParser()
        for switch in (False, True):
            new, report = optimize_chain(chain, alternatives=switch)
            assert new is chain
            assert (report.changes, report.unreached) == ((), ())

    def test_errors_of_the_model_are_raised(self):
        def fail(conversation: Any) -> str:
            raise ModelError("out of memory")

        with pytest.raises(ModelError, match="out of memory"):
            optimize_chain(P | ECHO, optimizer=PromptOptimizer(ScriptedGenerator(fail)))


class TestAlternatives:
    async def test_the_new_chain_can_be_the_original_one(self, optimizer: PromptOptimizer):
        chain = P | ECHO
        new, _ = optimize_chain(chain, optimizer=optimizer, alternatives=True)
        settings: tuple[tuple[Callable[[Any], Any], str], ...] = (
            (lambda made: made, asks_for("Explain")),
            (lambda made: made.with_config(configurable={"fipo_prompt": "optimized"}), asks_for("Explain")),
            (lambda made: made.with_config(configurable={"fipo_prompt": "original"}), asks_for("Explain", naive=True)),
        )
        for choose, expected in settings:
            chosen = choose(new)
            assert chosen.invoke(TIDES) == expected
            assert await chosen.ainvoke(TIDES) == expected
            assert chosen.batch([TIDES, TIDES]) == [expected] * 2
            assert await chosen.abatch([TIDES]) == [expected]
            assert "".join(chosen.stream(TIDES)) == expected
        assert new.alternatives["original"] is chain

    def test_a_text_that_is_a_configurable_field_cannot_have_both(self, optimizer: PromptOptimizer):
        chain = P.configurable_fields(template=ConfigurableField(id="text")) | ECHO
        with pytest.raises(InputError, match="Keep the two chains apart"):
            optimize_chain(chain, optimizer=optimizer, alternatives=True)
        new, _ = optimize_chain(chain, optimizer=optimizer)
        assert new.config_specs[0].default != chain.config_specs[0].default

    def test_a_second_time_it_is_left_alone(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        new, _ = optimize_chain(P | ECHO, optimizer=optimizer, alternatives=True)
        again, report = optimize_chain(new, optimizer=optimizer)
        assert again is new
        assert left_out(report) == [("", "FIPO has rewritten it already")]
        inside, report = optimize_chain(RunnableParallel(one=new, two=Q | ECHO), optimizer=optimizer)
        assert inside.steps__["one"] is new
        assert places(report) == ["steps__['two'].first.template"]
        assert generator.batch_sizes == [1, 1]

    def test_where_nothing_was_rewritten_there_is_nothing_to_choose(self):
        chain = P | ECHO
        new, report = optimize_chain(chain, optimizer=replying("Explain it."), alternatives=True)
        assert new is chain
        assert outcomes(report) == [("first.template", "placeholder_lost")]


class History(BaseChatMessageHistory):
    """A conversation."""

    def __init__(self) -> None:
        self.messages = []

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        self.messages = [*self.messages, *messages]

    def clear(self) -> None:
        self.messages = []


class Histories:
    """Where conversations are kept."""

    def __init__(self) -> None:
        self.kept: dict[str, History] = {}

    def __call__(self, session_id: str) -> History:
        return self.kept.setdefault(session_id, History())


def with_history(inner: Any, histories: Histories, **options: Any) -> RunnableWithMessageHistory:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*RunnableWithMessageHistory", category=DeprecationWarning)
        return RunnableWithMessageHistory(inner, histories, **options)


KEYS = {"input_messages_key": "question", "history_messages_key": "history"}


class TestMessageHistory:
    chat = ChatPromptTemplate.from_messages(
        [("system", "Act kindly."), MessagesPlaceholder("history"), ("human", "{question}")]
    )

    def test_it_is_deprecated_by_langchain_but_looking_through_it_warns_of_nothing(self, optimizer: PromptOptimizer):
        with pytest.warns(DeprecationWarning, match="RunnableWithMessageHistory is deprecated"):
            chain = RunnableWithMessageHistory(self.chat | ECHO, Histories(), **KEYS)
        optimize_chain(chain, optimizer=optimizer)  # a warning would be an error

    async def test_the_prompt_is_rewritten_and_the_history_still_kept(self, optimizer: PromptOptimizer):
        histories = Histories()
        chain = with_history(self.chat | ECHO | AIMessage, histories, **KEYS)
        new, report = optimize_chain(chain, optimizer=optimizer)
        assert [change.outcome for change in report.changes] == ["optimized"]
        assert report.changes[0].where == "runnable.bound.first.messages[0].prompt.template"
        config = {"configurable": {"session_id": "one"}}
        first = new.invoke({"question": "Why?"}, config).content
        assert first == f"System: {better('Act kindly.')}\nHuman: Why?"
        assert histories.kept["one"].messages == [HumanMessage("Why?"), AIMessage(first)]
        second = (await new.ainvoke({"question": "How?"}, config)).content
        assert second == f"System: {better('Act kindly.')}\nHuman: Why?\nAI: {first}\nHuman: How?"
        assert [m.content for m in histories.kept["one"].messages] == ["Why?", first, "How?", second]
        naive = chain.invoke({"question": "Why?"}, {"configurable": {"session_id": "two"}}).content
        assert naive == "System: Act kindly.\nHuman: Why?"
        assert len(histories.kept["two"].messages) == 2

    def test_listeners_and_settings_of_the_chain_inside_stay(self, optimizer: PromptOptimizer):
        histories, ended = Histories(), []
        inner = (self.chat | ECHO | AIMessage).with_listeners(on_end=lambda run: ended.append(run.name))
        chain = with_history(inner.with_config(run_name="inside", tags=["t"]), histories, **KEYS)
        new, _ = optimize_chain(chain, optimizer=optimizer)
        config = {"configurable": {"session_id": "one"}}
        new.invoke({"question": "Why?"}, config)
        assert ended == ["inside"]
        assert len(histories.kept["one"].messages) == 2
        chain.invoke({"question": "Why?"}, config)
        assert len(histories.kept["one"].messages) == 4

    def test_inside_a_chain_and_with_a_switch_it_works_as_well(self, optimizer: PromptOptimizer):
        histories = Histories()
        chain = with_history(self.chat | ECHO | AIMessage, histories, **KEYS) | StrOutputParser()
        new, report = optimize_chain(chain, optimizer=optimizer, alternatives=True)
        assert places(report) == ["first.runnable.bound.first.messages[0].prompt.template"]
        for which, text, session in (("optimized", better("Act kindly."), "a"), ("original", "Act kindly.", "b")):
            config = {"configurable": {"session_id": session, "fipo_prompt": which}}
            assert new.invoke({"question": "Why?"}, config) == f"System: {text}\nHuman: Why?"
            assert len(histories.kept[session].messages) == 2

    def test_where_nothing_is_rewritten_it_stays_the_same(self, optimizer: PromptOptimizer):
        chain = with_history(ECHO, Histories())
        assert optimize_chain(chain, optimizer=optimizer)[0] is chain

    def test_a_chain_that_cannot_be_found_inside_is_reported(self, optimizer: PromptOptimizer):
        chain = with_history((self.chat | ECHO).map(), Histories())
        new, report = optimize_chain(chain, optimizer=optimizer)
        assert new is chain
        assert left_out(report) == [("", OPAQUE)]


class Shelf(BaseRetriever):
    """Finds what has a word of the question in it."""

    texts: list[str]

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(text) for text in self.texts if any(word in text for word in query.split())]


def joined(documents: list[Document]) -> str:
    return "\n".join(document.page_content for document in documents)


class TestChainsAsInTheDocumentation:
    """Three common shapes, each made to work by one added line."""

    def test_answering_from_documents(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        template = ChatPromptTemplate.from_template(
            "Answer the question from these notes alone.\n\n{context}\n\nQuestion: {question}"
        )
        shelf = Shelf(texts=["An otter holds hands.", "A newt grows back its tail."])
        chain = {"context": shelf | joined, "question": RunnablePassthrough()} | template | ECHO | StrOutputParser()

        chain, report = optimize_chain(chain, optimizer=optimizer)

        assert asked(generator) == ["Answer the question from these notes alone."]
        said = chain.invoke("Why does an otter do so?")
        assert said == (
            f"Human: {better('Answer the question from these notes alone.')}\n\n"
            "An otter holds hands.\n\nQuestion: Why does an otter do so?"
        )
        assert places(report) == ["middle[0].messages[0].prompt.template"]

    def test_answering_from_documents_with_a_rewriter_in_the_chain(self, optimizer: PromptOptimizer):
        template = ChatPromptTemplate.from_messages(
            [("system", "Use these notes."), ("human", "{context}\n{question}")]
        )
        shelf = Shelf(texts=["An otter holds hands.", "A newt grows back its tail."])
        chain = {"context": shelf | joined, "question": RunnablePassthrough()} | template
        chain = chain | FIPORunnable(optimizer=optimizer)
        chain = chain | ECHO | StrOutputParser()
        said = chain.invoke("Why an otter?")
        assert said == f"System: {better('Use these notes.')}\nHuman: An otter holds hands.\nWhy an otter?"

    def test_two_prompts_one_after_the_other(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        city = PromptTemplate.from_template("Name the city where {person} was born.")
        country = PromptTemplate.from_template("Name the country of {city}, in {language}.")
        model = RunnableLambda(lambda value: "Ulm" if "city where" in value.text else value.text)
        chain = (
            {"city": city | model | StrOutputParser(), "language": itemgetter("language")}
            | country
            | model
            | StrOutputParser()
        )

        chain, report = optimize_chain(chain, optimizer=optimizer)

        assert chain.invoke({"person": "Einstein", "language": "Dutch"}) == better("Name the country of Ulm, in Dutch.")
        assert places(report) == ["first.steps__['city'].first.template", "middle[0].template"]
        assert generator.batch_sizes == [2]

    def test_routing_by_a_classification(self, optimizer: PromptOptimizer, generator: ScriptedGenerator):
        classify = PromptTemplate.from_template("Say whether this is about 'sea' or 'land': {topic}")
        model = RunnableLambda(lambda value: "sea" if "tide" in value.text else "land")
        route = RunnableBranch(
            (lambda given: given["kind"] == "sea", prompt("Explain as a sailor") | ECHO),
            prompt("Explain as a farmer") | ECHO,
        )
        chain = {"kind": classify | model | StrOutputParser(), "topic": itemgetter("topic")} | route

        chain, report = optimize_chain(chain, optimizer=optimizer)

        assert chain.invoke({"topic": "the tide"}) == asks_for("Explain as a sailor", "the tide")
        assert chain.invoke({"topic": "a field"}) == asks_for("Explain as a farmer", "a field")
        assert len(report.changes) == 3
        assert generator.batch_sizes == [3]

    def test_routing_by_a_function_rewrites_at_run_time(self, optimizer: PromptOptimizer):
        sailor, farmer = prompt("Explain as a sailor"), prompt("Explain as a farmer")
        route = RunnableLambda(lambda given: sailor if given["kind"] == "sea" else farmer)
        chain = route | FIPORunnable(optimizer=optimizer) | ECHO
        assert chain.invoke({"kind": "sea", "topic": "tides"}) == asks_for("Explain as a sailor")
        assert chain.invoke({"kind": "land", "topic": "tides"}) == asks_for("Explain as a farmer")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"store": "rewrites.jsonl"}, r"store must be a RewriteStore, such as RewriteStore\('rewrites.jsonl'\)"),
        ({"max_words": -3}, "max_words must be at least 1, not -3"),
        ({"max_words": "three"}, "max_words must be a whole number, not 'three'"),
        ({"feedback": 3}, "feedback must be text, not int"),
    ],
)
def test_a_wish_that_cannot_be_is_an_error_before_anything_is_rewritten(options, said):
    with pytest.raises(InputError, match=said):
        optimize_chain(PromptTemplate.from_template("Explain {topic}."), **options)
    with pytest.raises(ValueError, match=rf"{said}|{next(iter(options))}\n"):  # pydantic's own, for wrong types
        FIPORunnable(**options).invoke("Explain tides.")


def test_a_pattern_that_is_none_is_named():
    with pytest.raises(InputError, match=r"protect has '\(', which is no regular expression: missing \)"):
        FIPORunnable(protect=("(",)).invoke("Explain tides.")
