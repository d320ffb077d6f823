"""A chain that sorts messages into a Pydantic object, and the same chain with its prompt rewritten. Offline.

pip install '.[cpu,langchain]'
python examples/classification_chain.py
"""

from typing import Literal

from downstream import base_model, langchain_model
from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import BaseOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from fipo_integrations.langchain import optimize_chain
from fipo_model import PromptOptimizer

Topic = Literal["billing", "delivery", "other"]
MESSAGES: list[tuple[str, Topic]] = [
    ("I was charged twice for my order.", "billing"),
    ("My parcel has not arrived yet.", "delivery"),
    ("The invoice shows the wrong amount.", "billing"),
    ("Where is my package?", "delivery"),
    ("Do you have this shirt in green?", "other"),
    ("Please refund my payment.", "billing"),
    ("The courier left the box in the rain.", "delivery"),
    ("Which size should I take?", "other"),
]


class Ticket(BaseModel):
    """What a message is about."""

    topic: Topic


class TicketParser(BaseOutputParser[Ticket]):
    """The first topic that a reply names; small models write no JSON."""

    def parse(self, text: str) -> Ticket:
        """A ticket, or an error that says what the model replied."""
        places = {topic: text.lower().find(topic) for topic in ("billing", "delivery", "other")}
        named = [topic for topic, place in places.items() if place >= 0]
        if not named:
            raise OutputParserException(f"no topic in the reply {text[:60]!r}")
        return Ticket(topic=min(named, key=places.__getitem__))


def main() -> None:
    """Sort the messages with both chains."""
    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "Say what a customer's message is about. Reply with one word: billing, delivery or other."),
            ("human", "I paid too much."),
            ("ai", "billing"),
            ("human", "The truck did not come today."),
            ("ai", "delivery"),
            ("human", "Is there a shop in Leeds?"),
            ("ai", "other"),
            ("human", "{message}"),
        ]
    )
    chain = prompt | langchain_model(base_model(), max_tokens=8) | TicketParser()

    optimized, report = optimize_chain(chain, optimizer=PromptOptimizer.from_pretrained())

    print(f"{report}\n")
    inputs = [{"message": message} for message, _ in MESSAGES]
    for name, each in (("original", chain), ("optimized", optimized)):
        tickets = each.batch(inputs, return_exceptions=True)
        right = sum(isinstance(t, Ticket) and t.topic == topic for t, (_, topic) in zip(tickets, MESSAGES, strict=True))
        failed = sum(isinstance(ticket, Exception) for ticket in tickets)
        print(f"{name}: {right} of {len(MESSAGES)} right, {failed} without a topic")
    print("Eight messages prove nothing: `fipo compare chain` gives both chains scores with intervals.")


if __name__ == "__main__":
    main()
