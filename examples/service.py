"""A service that rewrites and answers requests as they come. Simultaneous requests share model calls. Offline.

    pip install '.[cpu,langchain]'
    python examples/service.py

`answer` is what a FastAPI route would call: `@app.post("/answer")` above it is all that is missing.
"""

import asyncio
import time

from downstream import base_model, langchain_model
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from fipo_integrations.langchain import FIPORunnable
from fipo_model import PromptOptimizer

QUESTIONS = ["What is salt?", "Why is sleep good?", "What is a river?", "Who is a pilot?"]
REQUESTS = [
    {"style": style, "question": question} for style in ("a teacher", "a librarian", "a cook") for question in QUESTIONS
]


class Service:
    """One chain for all requests; system prompts differ from request to request, so they are rewritten in the chain."""

    def __init__(self) -> None:
        prompt = ChatPromptTemplate.from_messages(
            [("system", "You are {style}. Tell people what they want to know in a few words."), ("human", "{question}")]
        )
        fipo = FIPORunnable(optimizer=PromptOptimizer.from_pretrained())
        self.chain = prompt | fipo | langchain_model(base_model(), max_tokens=12) | StrOutputParser()

    async def answer(self, request: dict[str, str]) -> dict[str, str]:
        """Handle one request; the event loop stays free for the others."""
        return {"answer": await self.chain.ainvoke(request)}


async def longest_wait(stopped: asyncio.Event) -> float:
    """The longest time, in milliseconds, for which the event loop was blocked."""
    longest = 0.0
    while not stopped.is_set():
        started = time.perf_counter()
        await asyncio.sleep(0.005)
        longest = max(longest, 1000 * (time.perf_counter() - started - 0.005))
    return longest


async def serve() -> None:
    """Answer the requests one after another, then as they would come from many clients."""
    service = Service()
    await service.answer({"style": "a painter", "question": "What is blue?"})  # a first call warms the model up

    started = time.perf_counter()
    one_by_one = [await service.answer(request) for request in REQUESTS[:4]]
    alone = (time.perf_counter() - started) / len(one_by_one)

    stopped = asyncio.Event()
    watching = asyncio.create_task(longest_wait(stopped))
    started = time.perf_counter()
    answers = await asyncio.gather(*map(service.answer, REQUESTS[4:]))
    together = (time.perf_counter() - started) / len(answers)
    stopped.set()

    for request, answer in list(zip(REQUESTS[4:], answers, strict=True))[:3]:
        print(f"{request['style']}, {request['question']} {answer['answer'].strip()!r}")
    print(f"one by one: {alone:.2f} s per request; {len(answers)} together: {together:.2f} s per request")
    print(f"the event loop was never blocked for more than {await watching:.0f} ms")


if __name__ == "__main__":
    asyncio.run(serve())
