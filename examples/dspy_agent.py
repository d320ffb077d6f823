"""A DSPy agent compiled with FIPO: its task is rewritten, its tools and its protocol are not touched. Offline.

The default weights rewrite the task. They are too small to keep to the protocol of a dspy.ReAct, so the agent itself
runs on a stand-in that follows fixed rules: the example shows that a compiled agent still works, not that it is better.

    pip install '.[cpu,dspy]'
    python examples/dspy_agent.py
"""

import re

import dspy

from fipo_integrations.dspy import FIPO, local_lm
from fipo_model import Message
from fipo_model.testing import ScriptedGenerator

HOURS = {"saturday": "8 to 13", "sunday": "9 to 11"}


class Help(dspy.Signature):
    """Help the customers of a bakery with their questions."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


def opening_hours(day: str) -> str:
    """When the bakery is open on a day of the week."""
    return f"The opening hours on {day} are: {HOURS.get(day.lower(), '7 to 18')}."


def fixed_rules(conversation: list[Message]) -> str:
    """A stand-in for a language model: it looks up the day in the question, then finishes."""
    instruction, asked = conversation[0]["content"], conversation[-1]["content"]
    day = re.search(r"(\w+day)\?", asked)
    observed = re.search(r"The opening hours on .*?\.", asked)
    if "next_tool_name" not in instruction:
        fields = {"reasoning": "The hours were looked up.", "answer": observed[0] if observed else "I cannot say."}
    elif observed:
        fields = {"next_thought": "I know enough.", "next_tool_name": "finish", "next_tool_args": "{}"}
    else:
        arguments = f'{{"day": "{day[1] if day else "Monday"}"}}'
        fields = {"next_thought": "Look it up.", "next_tool_name": "opening_hours", "next_tool_args": arguments}
    return "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in {**fields, "completed": ""}.items())


def main() -> None:
    """Compile the agent, show what changed and what did not, and ask it."""
    agent = dspy.ReAct(Help, tools=[opening_hours])
    compiled = FIPO().compile(agent)

    for row in compiled.fipo_report["predictors"]:
        print(f"{row['name']}: {row['outcome']} {row['detail']}")
    before, after = (each.react.signature.instructions for each in (agent, compiled))
    # DSPy writes the task, an empty line, and then what the loop and its tools are.
    protocol = before[before.index("\n\nYou are an Agent.") :]
    task = after.removesuffix(protocol)
    print(f"\ntask before: {before.removesuffix(protocol)}\ntask after:  {task}")
    print(f"tools and protocol, {len(protocol)} characters, byte for byte the same: {after.endswith(protocol)}\n")

    with dspy.context(lm=local_lm(ScriptedGenerator(fixed_rules))):
        for question in ("When are you open on Saturday?", "When are you open on Sunday?"):
            found = compiled(question=question)
            print(f"{question}\n  {found.trajectory['tool_name_0']}({found.trajectory['tool_args_0']})")
            print(f"  {found.answer}")


if __name__ == "__main__":
    main()
