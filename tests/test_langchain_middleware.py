"""FIPOMiddleware in real agents: what the model is told, how often FIPO is asked, and what stays as it was."""

import asyncio
import operator
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from fipo_integrations.langchain import FIPOMiddleware, FIPORunnable
from fipo_integrations.langchain import middleware as module
from fipo_model import Message, PromptOptimizer
from fipo_model.backends.batching import BatchingGenerator
from fipo_model.errors import ServerError
from fipo_model.judge import LLMJudge
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.langchain_prompts import TOO_LONG, asked, better, rewrite

agents = pytest.importorskip("langchain.agents")
from langchain.agents.middleware import (  # noqa: E402 - where it is installed
    ModelRequest,
    TodoListMiddleware,
    dynamic_prompt,
    wrap_model_call,
)
from langgraph.graph import START, StateGraph  # noqa: E402
from langgraph.types import Send  # noqa: E402

PROMPT = "Answer as a sailor."


class Caller(BaseChatModel):
    """Calls a tool twice, then answers; keeps what it was told at each step."""

    told: list[list[BaseMessage]] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "caller"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable:
        return self

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.told.append(messages)
        last_human = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
        done = sum(isinstance(message, ToolMessage) for message in messages[last_human:])
        calls = [{"name": "depth", "args": {"place": "bay"}, "id": f"c{len(messages)}"}] if done < 2 else []
        reply = AIMessage("" if calls else "Nine metres.", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=reply)])

    @property
    def systems(self) -> list[Any]:
        """The system prompt at each step."""
        return [[m.content for m in messages if isinstance(m, SystemMessage)] for messages in self.told]


class Depth(BaseModel):
    metres: int


class Filler(Caller):
    """Answers by filling in a form."""

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.told.append(messages)
        reply = AIMessage("", tool_calls=[{"name": "Depth", "args": {"metres": 9}, "id": "c1"}])
        return ChatResult(generations=[ChatGeneration(message=reply)])


@tool
def depth(place: str) -> str:
    """How deep the water is."""
    return f"9 m in the {place}"


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(rewrite, context_tokens=500)


@pytest.fixture
def fipo(generator: ScriptedGenerator) -> FIPOMiddleware:
    return FIPOMiddleware(optimizer=PromptOptimizer(generator))


@pytest.fixture
def model() -> Caller:
    return Caller()


def ask(text: str = "How deep is it?") -> dict[str, Any]:
    return {"messages": [HumanMessage(text)]}


class TestInAnAgent:
    @pytest.mark.parametrize("mode", ["sync", "async", "stream", "astream"])
    async def test_every_step_is_told_the_better_prompt_and_it_is_made_once(
        self, model: Caller, fipo: FIPOMiddleware, generator: ScriptedGenerator, mode: str
    ):
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo])
        for _ in range(2):
            if mode == "sync":
                assert agent.invoke(ask())["messages"][-1].content == "Nine metres."
            elif mode == "async":
                assert (await agent.ainvoke(ask()))["messages"][-1].content == "Nine metres."
            elif mode == "stream":
                steps = list(agent.stream(ask(), stream_mode="updates"))
                assert [next(iter(step)) for step in steps] == ["model", "tools", "model", "tools", "model"]
            else:
                assert [step async for step in agent.astream(ask(), stream_mode="updates")]
        assert model.systems == [[better(PROMPT)]] * 6
        assert generator.batch_sizes == [1]

    def test_messages_of_users_and_tools_and_the_history_stay(self, model: Caller, fipo: FIPOMiddleware):
        plain = agents.create_agent(Caller(), [depth], system_prompt=PROMPT)
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo])
        messages = agent.invoke(ask("Explain the tides."))["messages"]
        kinds = ["human", "ai", "tool", "ai", "tool", "ai"]
        assert [message.type for message in messages] == kinds
        assert messages[0].content == "Explain the tides."
        expected = plain.invoke(ask("Explain the tides."))["messages"]
        assert [message.content for message in messages] == [message.content for message in expected]
        assert [message.content for message in model.told[-1][1:]] == [m.content for m in messages[:-1]]

    def test_a_checkpoint_holds_no_system_prompt_and_goes_on(
        self, model: Caller, fipo: FIPOMiddleware, generator: ScriptedGenerator
    ):
        memory = pytest.importorskip("langgraph.checkpoint.memory")
        agent = agents.create_agent(
            model, [depth], system_prompt=PROMPT, middleware=[fipo], checkpointer=memory.InMemorySaver()
        )
        config = {"configurable": {"thread_id": "one"}}
        agent.invoke(ask(), config)
        agent.invoke(ask("And now?"), config)
        kept = agent.get_state(config).values["messages"]
        assert [message.type for message in kept].count("human") == 2
        assert not any(isinstance(message, SystemMessage) or better("") in str(message.content) for message in kept)
        assert model.systems == [[better(PROMPT)]] * 6
        assert generator.batch_sizes == [1]

    def test_blocks_that_are_not_text_and_cache_marks_stay(
        self, model: Caller, fipo: FIPOMiddleware, generator: ScriptedGenerator
    ):
        cached = {"type": "text", "text": PROMPT, "cache_control": {"type": "ephemeral"}}
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        system = SystemMessage([cached, image, {"type": "text", "text": "Be brief, always."}], id="s")
        agent = agents.create_agent(model, [depth], system_prompt=system, middleware=[fipo])
        agent.invoke(ask())
        expected = [{**cached, "text": better(PROMPT)}, image, {"type": "text", "text": "Be brief, always."}]
        assert model.systems == [[expected]] * 3
        assert model.told[0][0].id == "s"
        assert generator.batch_sizes == [1]
        assert system.content[0] == cached
        (alone,) = fipo.fipo_report.left_alone
        assert alone.where == "system_message.content[2]"

    async def test_without_a_system_prompt_nothing_is_asked(
        self, model: Caller, fipo: FIPOMiddleware, generator: ScriptedGenerator
    ):
        agent = agents.create_agent(model, [depth], middleware=[fipo])
        agent.invoke(ask())
        await agent.ainvoke(ask())
        assert model.systems == [[]] * 6
        assert generator.calls == []

    async def test_each_dynamic_prompt_is_rewritten_once(
        self, model: Caller, fipo: FIPOMiddleware, generator: ScriptedGenerator
    ):
        @dynamic_prompt
        def by_length(request: ModelRequest) -> str:
            return "Answer at length." if len(request.messages) > 1 else "Answer in brief."

        agent = agents.create_agent(model, [depth], middleware=[by_length, fipo])
        agent.invoke(ask())
        await agent.ainvoke(ask())
        brief, long = [better("Answer in brief.")], [better("Answer at length.")]
        assert model.systems == [brief, long, long] * 2
        assert asked(generator) == ["Answer in brief.", "Answer at length."]

    def test_a_prompt_made_of_the_better_one_by_another_agent_is_not_rewritten_again(
        self, model: Caller, fipo: FIPOMiddleware, generator: ScriptedGenerator
    ):
        agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo]).invoke(ask())
        agents.create_agent(model, [depth], system_prompt=better(PROMPT), middleware=[fipo]).invoke(ask())
        assert model.systems == [[better(PROMPT)]] * 6
        assert generator.batch_sizes == [1]

    async def test_a_rewrite_that_fails_the_checks_leaves_the_prompt_and_is_not_tried_again(self, model: Caller):
        careless = ScriptedGenerator(lambda conversation: "Sure! Here it is.")
        optimizer = PromptOptimizer(careless, candidates=2, judge=LLMJudge(careless))  # which remembers nothing
        agent = agents.create_agent(
            model, [depth], system_prompt=PROMPT, middleware=[FIPOMiddleware(optimizer=optimizer)]
        )
        agent.invoke(ask())
        await agent.ainvoke(ask())
        assert model.systems == [[PROMPT]] * 6
        assert len(careless.calls) == 1

    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_an_agent_with_a_format_for_its_answers_is_told_no_other(self, mode: str):
        said = "Speak as a sailor would. Reply with the answer and nothing else."
        fipo = FIPOMiddleware(optimizer=PromptOptimizer(ScriptedGenerator(lambda asked: f"{naive_in(asked)} {said}")))
        free, filling = Caller(), Filler()
        for model, options in ((filling, {"response_format": Depth}), (free, {})) * 2:
            agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo], **options)
            found = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())
            assert found.get("structured_response") == (Depth(metres=9) if options else None)
        assert filling.systems == [[f"{PROMPT} Speak as a sailor would."]] * 2
        assert free.systems == [[f"{PROMPT} {said}"]] * 6

    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_several_candidates_are_made_once_too(self, model: Caller, mode: str):
        def script(conversation: list[Message]) -> str:
            if "Prompt A" in conversation[-1]["content"]:  # the judge: whichever has more to say
                one, two = conversation[-1]["content"].split("Prompt A:\n")[1].split("\n\nPrompt B:\n")
                return "A" if len(one) > len(two.partition("\n\nWhich")[0]) else "B"
            return better(naive_in(conversation))

        generator = ScriptedGenerator(script)
        optimizer = PromptOptimizer(generator, candidates=2, judge=LLMJudge(generator))
        agent = agents.create_agent(
            model, [depth], system_prompt=PROMPT, middleware=[FIPOMiddleware(optimizer=optimizer)]
        )
        for _ in range(2):
            if mode == "sync":
                agent.invoke(ask())
            else:
                await agent.ainvoke(ask())
        assert len({repr(system) for system in model.systems}) == 1
        assert model.systems[0][0].startswith(better(PROMPT))
        proposed = [call for call in generator.calls if "Prompt A" not in call[0][-1]["content"]]
        assert [len(call) for call in proposed] == [1]

    async def test_a_prompt_too_long_for_the_rewriter_stays_with_one_warning(
        self, model: Caller, fipo: FIPOMiddleware, caplog: pytest.LogCaptureFixture
    ):
        agent = agents.create_agent(model, [depth], system_prompt=TOO_LONG, middleware=[fipo])
        agent.invoke(ask())
        await agent.ainvoke(ask())
        assert {text for system in model.systems for text in system} == {TOO_LONG}
        warnings = [record.getMessage() for record in caplog.records if record.name == "fipo.langchain"]
        assert len(warnings) == 1
        assert "system prompt stays as it is: the request needs" in warnings[0]


@dynamic_prompt
def at_length(request: ModelRequest) -> str:
    return "Answer at length."


class TestItsPlaceInTheList:
    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_the_texts_of_other_middleware_are_never_rewritten(
        self, model: Caller, generator: ScriptedGenerator, mode: str
    ):
        for order in (0, 1):
            middleware: list[Any] = [TodoListMiddleware()]
            middleware.insert(order, FIPOMiddleware(optimizer=PromptOptimizer(generator)))
            plain = Caller()
            agents.create_agent(plain, [depth], system_prompt=PROMPT, middleware=[TodoListMiddleware()]).invoke(ask())
            agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=middleware)
            _ = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())
            own, *others = model.told[-1][0].content_blocks
            assert own["text"] == better(PROMPT)
            assert others == plain.told[-1][0].content_blocks[1:]
        assert asked(generator) == [PROMPT] * 2

    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_where_it_comes_too_early_it_says_so_once(
        self, model: Caller, fipo: FIPOMiddleware, caplog: pytest.LogCaptureFixture, mode: str
    ):
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo, at_length])
        for _ in range(2):
            _ = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())
        assert model.systems == [["Answer at length."]] * 6
        warnings = [record.getMessage() for record in caplog.records if record.name == "fipo.langchain"]
        assert len(warnings) == 1
        assert "put FIPOMiddleware after the one that makes the prompt" in warnings[0]
        (told,) = fipo.fipo_report.unreached
        assert told.reason in warnings[0]

    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_another_model_that_helps_a_later_middleware_is_not_mistaken_for_the_agents(
        self, model: Caller, fipo: FIPOMiddleware, caplog: pytest.LogCaptureFixture, mode: str
    ):
        # As a selector of tools has; FIPO once warned that it does nothing here, though the rewrite was used.
        helper = FakeListChatModel(responses=["depth"])

        @wrap_model_call
        def choosing(request: ModelRequest, handler: Any) -> Any:
            helper.invoke([("system", "Choose the tools."), ("human", "How deep is it?")])
            return handler(request)

        @wrap_model_call
        async def achoosing(request: ModelRequest, handler: Any) -> Any:
            await helper.ainvoke([("system", "Choose the tools."), ("human", "How deep is it?")])
            return await handler(request)

        late: list[Any] = [choosing if mode == "sync" else achoosing]
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo, *late])
        _ = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())
        assert model.systems == [[better(PROMPT)]] * 3
        assert fipo.fipo_report.unreached == ()
        assert "does nothing here" not in caplog.text
        other = FIPOMiddleware(optimizer=fipo._runnable.optimizer)
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[other, at_length, *late])
        _ = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())
        assert model.systems[-1] == ["Answer at length."]
        assert caplog.text.count("does nothing here") == 1

    def test_behind_it_all_is_well(self, model: Caller, fipo: FIPOMiddleware, caplog: pytest.LogCaptureFixture):
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[at_length, fipo])
        agent.invoke(ask())
        assert model.systems == [[better("Answer at length.")]] * 3
        assert [record for record in caplog.records if record.name == "fipo.langchain"] == []
        assert fipo.fipo_report.unreached == ()


class TestWhatItTells:
    async def test_the_report_has_every_prompt_and_what_became_of_it(self, model: Caller, fipo: FIPOMiddleware):
        assert fipo.fipo_report.changes == ()
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo])
        agent.invoke(ask())
        await agent.ainvoke(ask())
        (change,) = fipo.fipo_report.changes
        assert (change.naive, change.text, change.outcome) == (PROMPT, better(PROMPT), "optimized")

    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_a_rewriter_that_is_down_does_not_stop_the_agent(
        self, model: Caller, caplog: pytest.LogCaptureFixture, mode: str
    ):
        is_down = [True]

        def script(conversation: list[Message]) -> str:
            if is_down[0]:
                raise ServerError("the server is down")
            return rewrite(conversation)

        fipo = FIPOMiddleware(optimizer=PromptOptimizer(ScriptedGenerator(script)))
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo])
        _ = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())
        assert model.systems == [[PROMPT]] * 3
        assert "system prompt stays as it is: the server is down" in caplog.text
        assert fipo.fipo_report.unreached[0].reason == "the server is down"
        is_down[0] = False
        _ = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())
        assert model.systems[3:] == [[better(PROMPT)]] * 3

    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_where_that_is_wished_it_does(self, model: Caller, mode: str):
        def fail(conversation: list[Message]) -> str:
            raise ServerError("the server is down")

        fipo = FIPOMiddleware(optimizer=PromptOptimizer(ScriptedGenerator(fail)), fail_open=False)
        agent = agents.create_agent(model, [depth], system_prompt=PROMPT, middleware=[fipo])
        with pytest.raises(ServerError, match="is down"):
            _ = agent.invoke(ask()) if mode == "sync" else await agent.ainvoke(ask())

    def test_data_in_a_prompt_can_be_protected(self, model: Caller, generator: ScriptedGenerator):
        @dynamic_prompt
        def for_user(request: ModelRequest) -> str:
            return "Answer the user as a sailor.\n\n<user>My phone is 555.</user>"

        fipo = FIPOMiddleware(optimizer=PromptOptimizer(generator), protect=("<user>(.*?)</user>",))
        agents.create_agent(model, [depth], middleware=[for_user, fipo]).invoke(ask())
        expected = better("Answer the user as a sailor.") + "\n\n<user>My phone is 555.</user>"
        assert model.systems == [[expected]] * 3
        assert "555" not in str(generator.calls)


class TestManyAtOnce:
    def test_threads_each_get_their_own_prompt_and_none_is_rewritten_twice_over(self, generator: ScriptedGenerator):
        fipo, barrier = FIPOMiddleware(optimizer=PromptOptimizer(generator)), threading.Barrier(8)

        def run(number: int) -> list[Any]:
            model = Caller()
            prompt = f"Answer as sailor {number % 4}."
            agent = agents.create_agent(model, [depth], system_prompt=prompt, middleware=[fipo])
            barrier.wait(20)
            for _ in range(3):
                agent.invoke(ask())
            return model.systems

        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(run, range(8)))
        assert found == [[[better(f"Answer as sailor {number % 4}.")]] * 9 for number in range(8)]
        assert set(asked(generator)) == {f"Answer as sailor {number}." for number in range(4)}
        assert len(asked(generator)) <= 8  # two that come at the same moment may both ask, but no later step does

    async def test_so_do_tasks(self, generator: ScriptedGenerator):
        fipo = FIPOMiddleware(optimizer=PromptOptimizer(generator))

        async def run(number: int) -> list[Any]:
            model = Caller()
            prompt = f"Answer as sailor {number}."
            agent = agents.create_agent(model, [depth], system_prompt=prompt, middleware=[fipo])
            await agent.ainvoke(ask())
            await agent.ainvoke(ask())
            return model.systems

        found = await asyncio.gather(*(run(number) for number in range(6)))
        assert found == [[[better(f"Answer as sailor {number}.")]] * 6 for number in range(6)]
        assert len(asked(generator)) == 6

    def test_the_oldest_prompts_are_forgotten(
        self, model: Caller, fipo: FIPOMiddleware, generator: ScriptedGenerator, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr(module, "_MEMO_SIZE", 4)
        for number in range(5):
            prompt = f"Answer as sailor {number}."
            agents.create_agent(model, [depth], system_prompt=prompt, middleware=[fipo]).invoke(ask())
            assert len(fipo._known) <= 4
        assert model.systems[-1] == [better("Answer as sailor 4.")]
        assert len(asked(generator)) == 5


class TestImport:
    def test_without_langchain_the_extra_is_named_and_the_rest_works(self):
        code = (
            "import sys\n"
            "class Absent:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.partition('.')[0] == 'langchain':\n"
            "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
            "sys.meta_path.insert(0, Absent())\n"
            "import fipo_integrations.langchain as fipo\n"
            "print(fipo.FIPORunnable.__name__, 'FIPOMiddleware' in fipo.__all__)\n"
            "fipo.FIPOMiddleware"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert result.stdout == "FIPORunnable True\n"
        assert "MissingExtraError" in result.stderr
        assert "pip install '.[agents]'" in result.stderr

    def test_importing_the_package_does_not_import_langchain(self):
        code = "import sys, fipo_integrations.langchain; print({'langchain', 'langgraph'} & set(sys.modules))"
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout == "set()\n"

    def test_no_other_name_is_made_up(self):
        import fipo_integrations.langchain as package

        with pytest.raises(AttributeError, match="has no attribute 'FIPOMiddle'"):
            _ = package.FIPOMiddle


class Prompts(TypedDict):
    """What the nodes of a graph put together."""

    prompts: Annotated[list[str], operator.add]


class TestInAGraph:
    @pytest.mark.parametrize("mode", ["sync", "async"])
    async def test_nodes_that_run_side_by_side_share_model_calls(self, generator: ScriptedGenerator, mode: str):
        rewriter = FIPORunnable(optimizer=PromptOptimizer(BatchingGenerator(generator, gathering_seconds=0.1)))
        topics = [f"topic {number}" for number in range(4)]

        def one(state: dict[str, str]) -> dict[str, list[str]]:
            return {"prompts": [rewriter.invoke(f"Explain {state['topic']}.")]}

        async def aone(state: dict[str, str]) -> dict[str, list[str]]:
            return {"prompts": [await rewriter.ainvoke(f"Explain {state['topic']}.")]}

        graph = StateGraph(Prompts)
        graph.add_node("one", one if mode == "sync" else aone)
        graph.add_conditional_edges(START, lambda state: [Send("one", {"topic": topic}) for topic in topics])
        app = graph.compile()
        state = app.invoke({"prompts": []}) if mode == "sync" else await app.ainvoke({"prompts": []})
        assert sorted(state["prompts"]) == [better(f"Explain {topic}.") for topic in topics]
        assert len(generator.calls) <= 2
        assert sum(map(len, generator.calls)) == 4
