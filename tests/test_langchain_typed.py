"""Outputs that are objects: compared with right outputs as their types read these, and shown as what they are."""

import enum
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import PydanticOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, Field, RootModel, computed_field, field_validator

from fipo_integrations.langchain import optimize_chain
from fipo_integrations.langchain.evidence import AnsweredChain, _run
from fipo_integrations.langchain.examples import as_example, plain_data, text_of
from fipo_model import FIPO_2, PromptOptimizer
from fipo_model.search import Measured, SearchSettings, as_metric
from fipo_model.testing import ScriptedGenerator
from support.conversations import naive_in


class Topic(enum.Enum):
    BILLING = "billing"


class Line(BaseModel):
    price: Decimal = Field(alias="unitPrice")


class Mail(BaseModel):
    topic: Topic = Field(alias="mailTopic")
    note: str | None = None


class Bill(BaseModel):
    amount: Decimal
    due: datetime = datetime(2026, 3, 3, tzinfo=UTC)
    tags: set[str] = set()
    lines: list[Line] = []

    @computed_field
    @property
    def rounded(self) -> int:
        return round(self.amount)


class Tags(RootModel[set[str]]):
    pass


class Odd(BaseModel):
    number: int

    @field_validator("number")
    @classmethod
    def check(cls, value: int) -> int:
        if value % 2 == 0:
            raise RuntimeError("even")
        return value


BILL = Bill(amount=Decimal("12.50"), tags={"a", "b", "c"}, lines=[Line(unitPrice="1.50")])
MAIL = Mail(mailTopic=Topic.BILLING)


def score(metric: str, right: Any, output: Any) -> float:
    chain = AnsweredChain(texts={}, build=lambda _: None, examples=[], metric=as_metric(metric))
    found = chain._scored(as_example(0, ("x", right)), output)
    assert isinstance(found, Measured)
    return found.scores[0]


@pytest.mark.parametrize(
    ("right", "output"),
    [
        ({"topic": "billing"}, MAIL),
        ({"mailTopic": "billing", "note": "Urgent."}, Mail(mailTopic=Topic.BILLING, note="urgent")),
        (MAIL, MAIL),
        ({"amount": 12.5}, Bill(amount=Decimal("12.50"))),
        ({"amount": "12.5", "due": "2026-03-03T00:00:00+00:00"}, Bill(amount=Decimal("12.50"))),
        ({"amount": "12.5", "due": "2026-03-03T00:00:00Z"}, Bill(amount=Decimal("12.50"))),
        ({"amount": 12.5, "tags": ["c", "b", "a"], "lines": [{"unitPrice": 1.5}]}, BILL),
        ({"answer": "yes"}, {"answer": AIMessage("Yes.")}),
        ({"bill": {"amount": 12.5}}, {"bill": Bill(amount=Decimal("12.50"))}),
        ([{"amount": 12.5}], [Bill(amount=Decimal("12.50"))]),
        (["b", "a"], {"a", "b"}),
        (["b", "a"], Tags({"a", "b"})),
        ("2026-03-03T00:00:00Z", datetime(2026, 3, 3, tzinfo=UTC)),
        ('{"amount": 12.5}', Bill(amount=Decimal("12.50"))),
        ({"number": 3}, Odd(number=3)),
    ],
)
def test_what_an_outputs_type_holds_to_be_equal_is(right: Any, output: Any):
    assert score("exact", right, output) == 1


@pytest.mark.parametrize(
    ("right", "output"),
    [
        ({"topic": "billing"}, Mail(mailTopic=Topic.BILLING, note="urgent")),
        ({"amount": 12}, Bill(amount=Decimal("12.50"))),
        ({}, MAIL),
        ({"amount": 12.5, "due": "soon"}, Bill(amount=Decimal("12.50"))),
        ({"number": 2}, Odd(number=3)),
        ("billing", MAIL),
        (True, 1),
        (["a"], {"a", "b"}),
        ([{"amount": 12.5}], [Bill(amount=Decimal("12.50"))] * 2),
        ({"answer": "yes"}, {}),
    ],
)
def test_what_it_does_not_is_not(right: Any, output: Any):
    assert score("exact", right, output) == 0


@pytest.mark.parametrize(
    ("right", "output", "share"),
    [
        ({"topic": "billing"}, Mail(mailTopic=Topic.BILLING, note="urgent"), 1),
        ({"mailTopic": "billing", "note": "other"}, Mail(mailTopic=Topic.BILLING, note="urgent"), 0.5),
        ({"due": "2026-03-03T00:00:00+00:00"}, BILL, 1),
        ({"amount": 12.5, "weight": 3}, BILL, 0.5),
        ({"number": 2}, Odd(number=3), 0),
        ({"number": "3", "other": 1}, Odd(number=3), 0.5),
        ({"answer": "yes", "question": "Is it?"}, {"answer": AIMessage("yes"), "question": HumanMessage("Is it?")}, 1),
    ],
)
def test_fields_that_the_right_output_lacks_do_not_count(right: Any, output: Any, share: float):
    assert score("json_fields", right, output) == share


def test_the_metrics_of_texts_see_the_fields_as_they_are_written():
    assert score("contains", "billing", MAIL) == 1
    assert score("f1", {"topic": "billing", "note": None}, MAIL) == 1


def test_a_text_has_the_names_of_fields_and_the_texts_of_messages():
    assert text_of(MAIL) == '{"topic": "billing", "note": null}'
    assert text_of({"chat": [AIMessage("Hi"), {"last": HumanMessage("Bye")}]}) == '{"chat": ["Hi", {"last": "Bye"}]}'


def test_what_has_no_plain_form_stays():
    held: dict[str, Any] = {}
    held["held"] = held
    thing = object()
    assert plain_data(held) is held
    assert plain_data({"thing": thing, "said": AIMessage("Hi")}) == {"thing": thing, "said": "Hi"}


def test_an_example_of_objects_is_shown_as_what_they_say():
    example = as_example(0, ({"chat": [HumanMessage("Hi")], "mail": MAIL}, MAIL))
    assert example.outputs == (MAIL,)
    assert example.rights == ('{"topic": "billing", "note": null}',)
    assert example.shown.output == '{"topic": "billing", "note": null}'
    assert example.shown.input == 'chat: ["Hi"]\nmail: {"topic": "billing", "note": null}'


class Ticket(BaseModel):
    topic: str


@pytest.mark.parametrize("has_objects", [True, False])
def test_where_replies_have_fields_no_rule_names_objects_made_from_them(has_objects: bool):
    seen: list[str] = []

    def propose(asked: Any) -> str:
        seen.append(asked[-1]["content"])
        return f"{naive_in(asked)}\n\nJudge which department answers the mail."

    parser = PydanticOutputParser(pydantic_object=Ticket)
    model = FakeListChatModel(responses=['{"topic": "billing"}'])
    chain: Any = ChatPromptTemplate.from_messages([("system", "department"), ("human", "{mail}")]) | model | parser
    chain = chain if has_objects else chain | (lambda ticket: ticket.topic)
    topics = [("billing", "delivery")[number % 2] for number in range(12)]
    rows = [({"mail": f"mail {n}"}, Ticket(topic=topic) if has_objects else topic) for n, topic in enumerate(topics)]
    _, report = optimize_chain(
        chain,
        optimizer=PromptOptimizer(ScriptedGenerator(propose), template=FIPO_2),
        examples=rows,
        metric="exact",
        search=SearchSettings(candidates=2),
    )
    texts = [candidate.text for candidate in report.changes[0].candidates]
    assert any("Answer with one of" in text for text in texts) is not has_objects
    assert any(('Right output: {"topic": "delivery"}' in text) is has_objects for text in seen)
    assert not any("topic=" in text for text in [*seen, *texts])


def test_what_a_run_does_to_its_input_is_not_there_in_the_next():
    def counted(given: Any) -> int:
        given["history"].append("said")
        given["lock"].append("held")
        return len(given["history"])

    class Locked(list[str]):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("cannot be copied")

    inputs = [{"history": ["Hi"], "lock": Locked()}]
    assert _run(RunnableLambda(counted), inputs) == _run(RunnableLambda(counted), inputs) == [2]
    assert inputs[0]["lock"] == ["held"] * 2
