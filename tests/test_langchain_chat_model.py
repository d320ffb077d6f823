"""GeneratorChatModel: LangChain's own tests of a chat model, and what a chain sees of the generator behind it."""

import warnings
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import BaseTool, tool
from pydantic import Field, ValidationError

from fipo_integrations.langchain import (
    ChatModelGenerator,
    FIPOMiddleware,
    FIPORunnable,
    GeneratorChatModel,
    optimize_chain,
    optimize_prompt,
    optimizer_from,
)
from fipo_model import FIPO_1, Message, PromptOptimizer, Sampling
from fipo_model.backends.batching import BatchingGenerator
from fipo_model.errors import InputError, ModelError, PromptTooLongError
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in
from support.langchain_prompts import better, rewrite

unit_tests = pytest.importorskip("langchain_tests.unit_tests")


def echo(conversation: list[Message]) -> str:
    return f"You said: {conversation[-1]['content']}"


class Keeping(ScriptedGenerator):
    """Keeps how it was asked to sample, too."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.samplings: list[Sampling] = []

    def generate(self, conversations: Any, sampling: Sampling, *, samples: int = 1) -> Any:
        self.samplings.append(sampling)
        return super().generate(conversations, sampling, samples=samples)


@pytest.fixture
def generator() -> Keeping:
    return Keeping(echo, context_tokens=300)


@pytest.fixture
def model(generator: Keeping) -> GeneratorChatModel:
    return GeneratorChatModel(generator=generator)


class TestAsAnyChatModel(unit_tests.ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return GeneratorChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"generator": ScriptedGenerator(echo)}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # Those of the suite's own that a generator has: it needs no key, no patience and no second try.
        return {"temperature": 0, "max_tokens": 100, "stop": []}

    @pytest.mark.xfail(reason="a reply comes as a whole, and a setting that would do nothing is refused", strict=True)
    def test_init_streaming(self) -> None:
        super().test_init_streaming()

    # It says that it has none of these, so the suite's tests of them are left out.
    has_tool_calling = False
    has_structured_output = False


class TestAsATool(unit_tests.ToolsUnitTests):
    @property
    def tool_constructor(self) -> Any:
        optimizer = PromptOptimizer(ScriptedGenerator(rewrite))
        rewriter = FIPORunnable(optimizer=optimizer)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="This API is in beta", category=Warning)
            return RunnableLambda(lambda given: rewriter.invoke(given["prompt"])).as_tool(
                name="improve_prompt", description="Makes a prompt better.", arg_types={"prompt": str}
            )

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"prompt": "Explain tides."}

    def test_it_rewrites(self, tool: BaseTool):
        assert tool.invoke({"prompt": "Explain tides."}) == better("Explain tides.")


class TestReplies:
    async def test_a_reply_comes_with_its_counts_its_model_and_its_end(
        self, model: GeneratorChatModel, generator: Keeping
    ):
        messages = [SystemMessage("Be kind."), HumanMessage("Hi."), AIMessage("Hello."), HumanMessage("Why so?")]
        for reply in (model.invoke(messages), await model.ainvoke(messages), model.batch([messages])[0]):
            assert reply.content == "You said: Why so?"
            assert reply.usage_metadata == {"input_tokens": 6, "output_tokens": 4, "total_tokens": 10}
            assert reply.response_metadata["model_name"] == "scripted"
            assert reply.response_metadata["finish_reason"] == "stop"
        assert generator.calls[0] == [
            [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hi."},
                {"role": "assistant", "content": "Hello."},
                {"role": "user", "content": "Why so?"},
            ]
        ]
        assert generator.samplings == [Sampling(max_new_tokens=256)] * 3

    async def test_a_stream_is_the_whole_reply(self, model: GeneratorChatModel):
        assert [chunk.content for chunk in model.stream("Hi.")] == ["You said: Hi."]
        assert [chunk.content async for chunk in model.astream("Hi.")] == ["You said: Hi."]

    def test_a_reply_that_was_cut_off_says_so(self, generator: Keeping):
        short = GeneratorChatModel(generator=generator, max_tokens=2).invoke("Why is it so?")
        assert short.content == "You said:"
        assert short.response_metadata["finish_reason"] == "length"
        bound = GeneratorChatModel(generator=generator).bind(max_tokens=3).invoke("Why is it so?")
        assert (bound.content, bound.usage_metadata["output_tokens"]) == ("You said: Why", 3)

    @pytest.mark.parametrize(
        ("stop", "content", "reason"),
        [
            (["is"], "You said: Why ", "stop"),
            (["so", "Why"], "You said: ", "stop"),
            (["never"], "You said: Why is", "length"),
            ([], "You said: Why is", "length"),
            (None, "You said: Why is", "length"),
            (["You"], "", "stop"),
        ],
    )
    def test_it_ends_before_the_first_stop_word(self, generator: Keeping, stop: Any, content: str, reason: str):
        reply = GeneratorChatModel(generator=generator, max_tokens=4).invoke("Why is it so?", stop=stop)
        assert (reply.content, reply.response_metadata["finish_reason"]) == (content, reason)
        assert reply.usage_metadata["output_tokens"] == 4  # what was made, kept or not

    def test_stop_words_may_be_a_setting_that_a_call_overrides(self, generator: Keeping):
        model = GeneratorChatModel(generator=generator, stop=["is"])
        assert model.invoke("Why is it so?").content == "You said: Why "
        assert model.invoke("Why is it so?", stop=["so"]).content == "You said: Why is it "
        assert model._get_ls_params()["ls_stop"] == ["is"]

    def test_settings_reach_the_generator(self, generator: Keeping):
        model = GeneratorChatModel(generator=generator, max_tokens=9, temperature=0.7, top_p=0.5, seed=3)
        assert model.invoke("Hi.").content == "You said: Hi. (sample-3.0)"
        model.bind(temperature=0.0, max_tokens=7).invoke("Hi.")
        assert generator.samplings == [
            Sampling(max_new_tokens=9, temperature=0.7, top_p=0.5, seed=3),
            Sampling(max_new_tokens=7, temperature=0.0, top_p=0.5, seed=3),
        ]

    def test_settings_are_checked(self, generator: Keeping):
        with pytest.raises(ValidationError, match="max_token"):
            GeneratorChatModel(generator=generator, max_token=9)
        with pytest.raises(ValidationError, match="generator"):
            GeneratorChatModel()

    def test_text_blocks_are_read_as_text(self, model: GeneratorChatModel):
        blocks = [{"type": "text", "text": "Why"}, {"type": "text", "text": "so?"}]
        assert model.invoke([HumanMessage(blocks)]).content == "You said: Why\nso?"

    @pytest.mark.parametrize(
        ("message", "what"),
        [
            (ToolMessage("9 m", tool_call_id="c"), "a message with the role 'tool'"),
            (AIMessage("", tool_calls=[{"name": "depth", "args": {}, "id": "c"}]), "a tool call"),
            (HumanMessage([{"type": "image_url", "image_url": {"url": "data:,"}}]), "content that is not text"),
            (
                HumanMessage([{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "data:,"}}]),
                "content that is not text",
            ),
        ],
        ids=["tool", "call", "image", "text and image"],
    )
    async def test_what_it_cannot_read_is_refused(
        self, model: GeneratorChatModel, generator: Keeping, message: Any, what: str
    ):
        messages = [HumanMessage("Hi."), message]
        with pytest.raises(InputError, match=f"reads only text from system, user and assistant, not {what}"):
            model.invoke(messages)
        with pytest.raises(InputError, match=what):
            await model.ainvoke(messages)
        assert generator.calls == []

    def test_tools_are_refused_rather_than_forgotten(self, model: GeneratorChatModel):
        @tool
        def depth(place: str) -> str:
            """How deep the water is."""
            return place

        with pytest.raises(NotImplementedError):
            model.bind_tools([depth])

    def test_errors_of_the_generator_are_raised(self, model: GeneratorChatModel):
        def fail(conversation: list[Message]) -> str:
            raise ModelError("out of memory")

        with pytest.raises(PromptTooLongError):
            model.invoke("word " * 300)
        with pytest.raises(ModelError, match="out of memory"):
            GeneratorChatModel(generator=ScriptedGenerator(fail)).invoke("Hi.")


class TestManyAtOnce:
    async def test_a_batch_makes_few_calls_of_a_coalescing_generator(self, generator: Keeping):
        model = GeneratorChatModel(generator=BatchingGenerator(generator, gathering_seconds=0.2))
        asked = [f"Hi {number}." for number in range(6)]
        expected = [f"You said: {text}" for text in asked]
        assert [reply.content for reply in model.batch(asked)] == expected
        assert len(generator.calls) <= 2
        assert [reply.content for reply in await model.abatch(asked)] == expected
        assert len(generator.calls) <= 4
        assert sum(generator.batch_sizes) == 12


class TestWhatIsWrittenOfIt:
    def test_the_generator_is_not(self, model: GeneratorChatModel):
        assert "generator" not in model.model_dump()
        assert "Keeping" not in str(dumpd(model).get("kwargs"))
        assert model._identifying_params == {
            "model_name": "scripted",
            "max_tokens": 256,
            "temperature": 0.0,
            "top_p": 1.0,
            "seed": 0,
            "stop_words": None,
        }
        assert model._llm_type == "fipo-generator"

    def test_caches_tell_models_and_settings_apart(self, model: GeneratorChatModel, generator: Keeping):
        others = [
            GeneratorChatModel(generator=Keeping(echo, name="other")),
            *(
                GeneratorChatModel(generator=generator, **each)
                for each in ({"max_tokens": 9}, {"seed": 1}, {"stop": ["x"]})
            ),
        ]
        keys = [each._get_llm_string() for each in (model, *others)]
        assert len(set(keys)) == 5
        assert GeneratorChatModel(generator=generator)._get_llm_string() == keys[0]

    def test_traces_name_the_model(self, model: GeneratorChatModel):
        params = model._get_ls_params(stop=["."], temperature=0.5)
        assert params == {
            "ls_provider": "fipo",
            "ls_model_name": "scripted",
            "ls_model_type": "chat",
            "ls_temperature": 0.5,
            "ls_max_tokens": 256,
            "ls_stop": ["."],
        }


class TestInAChain:
    def test_one_generator_rewrites_and_answers(self):
        def script(conversation: list[Message]) -> str:
            is_rewriting = conversation[-1]["content"].startswith("Naive prompt:")
            return better(naive_in(conversation)) if is_rewriting else f"Told: {conversation[0]['content']}"

        generator = ScriptedGenerator(script)
        template = ChatPromptTemplate.from_messages([("system", "Act kindly."), ("human", "{q}")])
        chain = template | GeneratorChatModel(generator=generator) | StrOutputParser()
        new, report = optimize_chain(chain, optimizer=PromptOptimizer(generator))
        assert chain.invoke({"q": "Why?"}) == "Told: Act kindly."
        assert new.invoke({"q": "Why?"}) == f"Told: {better('Act kindly.')}"
        assert report.unreached == ()


class Rewriting(FakeListChatModel):
    """A chat model of LangChain's that adds to prompts and keeps what it was asked."""

    temperature: float = 0.0
    reason: str | None = None
    asked: list[list[Any]] = Field(default_factory=list)

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.asked.append(messages)
        metadata = {} if self.reason is None else {"finish_reason": self.reason}
        reply = AIMessage(self.responses[0], response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=reply)])


NAIVE = "Explain rain to Acme."


def _through_a_prompt(model: BaseChatModel, **wishes: Any) -> str:
    return optimize_prompt(PromptTemplate.from_template(NAIVE), optimizer=model, **wishes)[0].template


def _through_a_chain(model: BaseChatModel, **wishes: Any) -> str:
    chain = PromptTemplate.from_template(NAIVE) | StrOutputParser()
    return optimize_chain(chain, optimizer=model, **wishes)[0].first.template


def _through_a_runnable(model: BaseChatModel, **wishes: Any) -> str:
    return str(FIPORunnable(optimizer=model, **wishes).invoke(NAIVE))


def _through_a_middleware(model: BaseChatModel, **wishes: Any) -> str:
    agents = pytest.importorskip("langchain.agents")
    told: list[str] = []

    class Telling(FakeListChatModel):
        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            told.append(messages[0].content)
            return super()._generate(messages, *args, **kwargs)

    middleware = FIPOMiddleware(optimizer=model, **wishes)
    agents.create_agent(Telling(responses=["Yes."]), system_prompt=NAIVE, middleware=[middleware]).invoke(
        {"messages": [HumanMessage("Why?")]}
    )
    return told[0]


class TestAsARewriter:
    def test_every_door_takes_it(self):
        model = Rewriting(responses=["Be brief."])
        prompt = PromptTemplate.from_template("Explain {topic}.")
        expected = "Explain {topic}.\n\nBe brief."
        assert optimize_prompt(prompt, optimizer=model)[0].template == expected
        assert optimize_chain(prompt | StrOutputParser(), optimizer=model)[0].first.template == expected
        assert FIPORunnable(optimizer=model).invoke("Explain rain.") == "Explain rain.\n\nBe brief."
        assert len(model.asked) == 2  # it remembers prompts from door to door

    @pytest.mark.parametrize("take", [_through_a_prompt, _through_a_chain, _through_a_runnable, _through_a_middleware])
    def test_every_door_takes_wishes_besides(self, take: Any):
        model = Rewriting(responses=["Be brief."])
        assert take(model, keep=("Acme",), max_words=40, feedback="It was too long.") == f"{NAIVE}\n\nBe brief."
        assert "It was too long." in model.asked[0][-1].content
        assert take(model, max_words=4) == NAIVE

    def test_as_an_optimizer_of_its_own_it_may_sample_and_judge(self):
        model = Rewriting(responses=["Be brief."])
        assert optimizer_from(model).optimize("Explain rain.").text == "Explain rain.\n\nBe brief."
        asked = len(model.asked)
        judged = optimizer_from(model, candidates=3, seed=7)
        assert judged.judge is not None
        assert judged.rewriter.samples == 3
        assert judged.optimize("Explain rain.").outcome == "not_preferred"  # "Be brief." is no verdict
        assert len(model.asked) > asked + 3
        written = optimizer_from(Rewriting(responses=["Explain rain in brief."]), template=FIPO_1)
        assert written.optimize("Explain rain.").text == "Explain rain in brief."

    def test_it_is_a_generator_and_batches(self):
        model = Rewriting(responses=["Be brief."], temperature=0.3)
        generator = ChatModelGenerator(model)
        optimizer = PromptOptimizer(generator, template=FIPO_1)
        assert optimizer.rewriter.name == "Rewriting"
        found = generator.generate([[{"role": "user", "content": "Hi."}]] * 3, Sampling(temperature=0.8), samples=2)
        assert [[each.text for each in row] for row in found] == [["Be brief."] * 2] * 3
        assert model.temperature == 0.3
        assert generator.generate([], Sampling()) == []
        with pytest.raises(InputError, match="greedy"):
            generator.generate([[{"role": "user", "content": "Hi."}]], Sampling(), samples=2)

    @pytest.mark.parametrize(
        ("reason", "is_truncated", "is_refused"),
        [
            (None, False, False),
            ("stop", False, False),
            ("end_turn", False, False),
            ("length", True, False),
            ("strange", True, False),
            ("content_filter", False, True),
        ],
    )
    def test_how_a_reply_ended_is_heeded(self, reason: str | None, is_truncated: bool, is_refused: bool):
        generator = ChatModelGenerator(Rewriting(responses=["Be brief."], reason=reason))
        ((completion,),) = generator.generate([[{"role": "user", "content": "Hi."}]], Sampling())
        assert (completion.is_truncated, completion.is_refused) == (is_truncated, is_refused)

    @pytest.mark.parametrize(("status", "is_truncated"), [("completed", False), ("incomplete", True)])
    def test_a_reply_of_the_responses_api_says_by_its_status_that_it_was_cut_off(self, status: str, is_truncated: bool):
        class Responding(FakeListChatModel):
            """Ends its replies as ChatOpenAI does with `use_responses_api=True`."""

            def _generate(self, *args: Any, **kwargs: Any) -> Any:
                reply = AIMessage("Half a", response_metadata={"status": status})
                return ChatResult(generations=[ChatGeneration(message=reply)])

        generator = ChatModelGenerator(Responding(responses=["Half a"]))
        ((found,),) = generator.generate([[{"role": "user", "content": "Go."}]], Sampling())
        assert found.is_truncated == is_truncated

    def test_a_model_that_fails_is_fipos_error_with_its_cause(self):
        class Failing(Rewriting):
            def _generate(self, *args: Any, **kwargs: Any) -> Any:
                raise ValueError("no key")

        with pytest.raises(ModelError, match="the chat model Failing failed: ValueError: no key"):
            optimize_prompt(PromptTemplate.from_template("Explain {topic}."), optimizer=Failing(responses=[]))

    def test_what_is_no_chat_model_is_refused(self):
        with pytest.raises(InputError, match="a LangChain chat model is needed, not a str"):
            ChatModelGenerator("gpt")
        with pytest.raises(InputError, match="an optimizer is a PromptOptimizer or a LangChain chat model"):
            optimize_prompt(PromptTemplate.from_template("Explain {topic}."), optimizer="gpt")


def test_what_it_cannot_do_is_said():
    with pytest.raises(ValueError, match=r"generator must be a Generator, such as open_generator\('default'\)"):
        GeneratorChatModel(generator="default")
    with pytest.raises(NotImplementedError, match="reads and writes only text here, so it cannot call tools"):
        GeneratorChatModel(generator=ScriptedGenerator(lambda _: "")).bind_tools([])
