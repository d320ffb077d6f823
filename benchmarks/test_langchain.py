"""Speed of FIPO in LangChain, on the default weights. `make bench`; README.md beside this has figures and targets."""

import asyncio
import gc
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda, RunnableParallel, RunnablePassthrough
from measuring import in_turns

from fipo_integrations.langchain import FIPORunnable
from fipo_model import FIPO_2, Completion, Generator, Message, PromptOptimizer, Sampling
from fipo_model.backends.opening import open_generator
from fipo_model.testing import ScriptedGenerator

_TOPICS = (
    *("photography", "tax law", "rain", "jazz", "recycling", "chess openings", "sleep", "volcanoes"),
    *("public libraries", "bread", "black holes", "school uniforms", "bees", "vaccines", "bridges", "poetry"),
)
_ROLES = ("a teacher", "a patient doctor who speaks to children", "the editor of a newspaper", "a retired judge")
INPUTS = [
    {"role": role, "topic": topic, "question": "Why?"} for topic in _TOPICS for role in _ROLES
]  # 64 system prompts
PROMPT = ChatPromptTemplate.from_messages(
    [("system", "You are {role}. Answer questions about {topic} briefly."), ("human", "{question}")]
)
# The model that answers is left out, because only FIPO's own cost is measured.
ANSWER = RunnableLambda(lambda prompt: prompt.to_messages()[0].text)
AT_ONCE: RunnableConfig = {"max_concurrency": 64}


class Short:
    """The generator, cut off after a few tokens, because only the batching of calls is compared."""

    def __init__(self, generator: Generator) -> None:
        self.generator, self.name = generator, generator.name

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        return self.generator.generate(conversations, replace(sampling, max_new_tokens=12), samples=samples)


class OneAtATime:
    """The generator asked by one thread after another, so that no two calls meet in a batch."""

    def __init__(self, generator: Short) -> None:
        self.generator, self.name = generator, generator.name
        self._turn = threading.Lock()

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        with self._turn:
            return self.generator.generate(conversations, sampling, samples=samples)


@pytest.fixture(scope="module")
def generator() -> Short:
    generator = Short(open_generator())
    PromptOptimizer(generator, template=FIPO_2).optimize("Say hello.")
    return generator


def fipo(generator: Any) -> FIPORunnable:
    """A runnable that remembers nothing."""
    return FIPORunnable(optimizer=PromptOptimizer(generator, template=FIPO_2))


def chain(generator: Any) -> Runnable[Any, Any]:
    return PROMPT | fipo(generator) | ANSWER


def assigned(generator: Any) -> Runnable[Any, Any]:
    return RunnablePassthrough.assign(prompt=chain(generator))


def parallel(generator: Any) -> Runnable[Any, Any]:
    return RunnableParallel(prompt=chain(generator), question=itemgetter("question"))


def loop(runnable: Runnable[Any, Any]) -> None:
    for each in INPUTS:
        runnable.invoke(each)


def test_a_chain_in_a_batch_of_64_against_a_loop(benchmark: Any, generator: Short) -> None:
    ratios = in_turns(benchmark, lambda: chain(generator).batch(INPUTS), loop_of_invoke=lambda: loop(chain(generator)))
    assert ratios["loop_of_invoke"] >= 5


@pytest.mark.parametrize(("shape", "config"), [(assigned, {}), (parallel, {}), (parallel, AT_ONCE)])
def test_steps_that_run_in_threads(
    benchmark: Any, generator: Short, shape: Callable[[Any], Runnable[Any, Any]], config: RunnableConfig
) -> None:
    """Against the same threads one at a time: LangChain calls such steps once for each input."""
    ratios = in_turns(
        benchmark,
        lambda: shape(generator).batch(INPUTS, config),
        threads_alone=lambda: shape(OneAtATime(generator)).batch(INPUTS, config),
    )
    assert ratios["threads_alone"] >= 3


def median_ms(call: Callable[[Any], object], value: Any) -> float:
    times = []
    for _ in range(1000):
        started = time.perf_counter()
        call(value)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def test_what_the_runnable_adds_to_a_call(benchmark: Any) -> None:
    """With a repeated system prompt, which is remembered; an empty lambda shows LangChain's own share."""
    runnable = fipo(ScriptedGenerator(lambda conversation: "In a few words, please."))
    prompt, empty = PROMPT.invoke(INPUTS[0]), RunnableLambda(lambda value: value)
    whole, nothing = median_ms(runnable.invoke, prompt), median_ms(empty.invoke, prompt)
    benchmark.extra_info.update(added_ms=whole, langchain_itself_ms=nothing)
    benchmark.pedantic(lambda: runnable.invoke(prompt), rounds=100)
    print(f"\nFIPORunnable takes {whole:.3f} ms for a prompt it knows (an empty RunnableLambda takes {nothing:.3f} ms)")
    assert whole < 0.2


def test_200_concurrent_calls_leave_the_event_loop_free(benchmark: Any, generator: Short) -> None:
    """The longest time for which nothing else ran. A chain without FIPO shows what LangChain's own steps take.

    Existing objects are kept out of garbage collection, as servers do: collecting all of torch's and transformers'
    modules takes a quarter of a second, whoever happens to set it off.
    """
    prompts = [PROMPT.invoke({**INPUTS[place % 64], "role": f"person {place}"}) for place in range(200)]
    gc.collect()
    gc.freeze()
    try:
        ours = [_longest_wait(fipo(generator), prompts) for _ in range(5)]
        without = [_longest_wait(PROMPT | ANSWER, [INPUTS[0]] * 200) for _ in range(5)]
    finally:
        gc.unfreeze()
    waits = {"fipo_ms": statistics.median(ours), "fipo_longest_ms": max(ours), "chain_ms": statistics.median(without)}
    benchmark.extra_info.update(waits)
    benchmark.pedantic(lambda: None)
    print(f"\nthe event loop in 200 concurrent calls: {waits}")
    assert waits["fipo_ms"] < 50


def _longest_wait(runnable: Runnable[Any, Any], inputs: Sequence[Any]) -> float:
    """In milliseconds, while all inputs are asked at once."""

    async def measure() -> float:
        longest, done = 0.0, asyncio.Event()

        async def watch() -> None:
            nonlocal longest
            while not done.is_set():
                started = time.perf_counter()
                await asyncio.sleep(0.002)
                longest = max(longest, time.perf_counter() - started - 0.002)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*map(runnable.ainvoke, inputs))
        done.set()
        await watching
        return 1000 * longest

    return asyncio.run(measure())
