"""An agent with a tool. Its system prompt is rewritten once, however many steps it takes. Offline.

pip install '.[cpu,agents]'
python examples/agent.py
"""

import re
from collections.abc import Sequence
from typing import Any

from downstream import base_model
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import tool_call
from langchain_core.outputs import ChatResult
from langchain_core.tools import BaseTool, tool

from fipo_integrations.langchain import EVENT, FIPOMiddleware, GeneratorChatModel
from fipo_model import PromptOptimizer

HOURS = {"saturday": "8 to 13", "sunday": "9 to 11"}


@tool
def opening_hours(day: str) -> str:
    """When the bakery is open on a day of the week."""
    return f"The opening hours on {day} are: {HOURS.get(day.lower(), '7 to 18')}."


class ToolModel(GeneratorChatModel):
    """Lets a model of 135 million parameters use tools of one argument: it is shown how to call one, and copies that.

    In your own agents this is any chat model that LangChain can bind tools to.
    """

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """The model with the tools that it may call."""
        return self.bind(tools=[each for each in tools if isinstance(each, BaseTool)])

    def _generate(
        self, messages: list[BaseMessage], *args: Any, tools: Sequence[Any] = (), **kwargs: Any
    ) -> ChatResult:
        if isinstance(messages[-1], ToolMessage):
            tools = ()  # such a small model would call it again and again
        result = super()._generate(_as_text(messages, tools), *args, **kwargs)
        message = result.generations[0].message
        call = re.match(r"(\w+)\((.*?)\)", message.text.strip())
        named = {each.name: each for each in tools}
        if call and call[1] in named:
            (argument,) = named[call[1]].args
            arguments = {argument: call[2].strip("'\" ")}
            message.content = ""
            message.tool_calls = [tool_call(name=call[1], args=arguments, id=f"call-{len(messages)}")]
        return result


def _as_text(messages: list[BaseMessage], tools: Sequence[BaseTool]) -> list[BaseMessage]:
    """The conversation in words: the system message describes the tools, and the user reports their results."""
    made: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, SystemMessage) and tools:
            described = "\n".join(f"{each.name}({', '.join(each.args)}): {each.description}" for each in tools)
            made.append(SystemMessage(f"{message.text}\n\nReply with a call to use a tool:\n{described}"))
            made += [HumanMessage("When are you open on Friday?"), AIMessage("opening_hours(Friday)")]
        elif isinstance(message, ToolMessage):
            made[-1] = HumanMessage(f"{made[-1].text}\n{message.text}\nAnswer in one sentence.")
        elif not (isinstance(message, AIMessage) and message.tool_calls):
            made.append(message)
    return made


class Watcher(BaseCallbackHandler):
    """Counts the model's steps and the rewrites, as a tracer would see them."""

    def __init__(self) -> None:
        self.systems: list[str] = []
        self.outcomes: list[str] = []

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        """A step of the model."""
        self.systems.append(messages[0][0].text)

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        """A rewrite."""
        if name == EVENT:
            self.outcomes.append(data["outcome"])


def main() -> None:
    """Ask the agent, and show its steps."""
    model = ToolModel(generator=base_model(), max_tokens=40)
    fipo = FIPOMiddleware(optimizer=PromptOptimizer.from_pretrained())
    agent = create_agent(
        model,
        tools=[opening_hours],
        system_prompt="Help the customers of a bakery with their questions.",
        middleware=[fipo],
    )
    watcher = Watcher()
    for question in ("When are you open on Saturday?", "When are you open on Sunday?"):
        state = agent.invoke({"messages": [HumanMessage(question)]}, {"callbacks": [watcher]})
        for message in state["messages"]:
            print(f"{message.type}: {message.text or message.tool_calls[0]['args']}")
        print()
    print(f"model steps: {len(watcher.systems)}; rewriting steps: {len(watcher.outcomes)} {watcher.outcomes}")
    print(f"the system prompt in the last step:\n{watcher.systems[-1]}")


if __name__ == "__main__":
    main()
