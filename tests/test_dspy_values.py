"""Values as values: which of a field's values a rewrite names, and requests for what a program fills in."""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any, Literal

import dspy
import pytest
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from fipo_integrations.dspy.asking import wants_inputs
from fipo_integrations.dspy.instructions import targets
from fipo_integrations.dspy.values import choices_of, favoured, labels_of, listed_in, named_in
from fipo_model.contract.case import Case
from fipo_model.contract.formed import forms_fixed_otherwise
from support.conversations import naive_in
from support.dspy_programs import fipo, outcomes

pytestmark = pytest.mark.usefixtures("no_dspy_cache")


class Kind(enum.Enum):
    LIABILITY = "liability"
    PAYMENT = "payment"
    END = "termination"


class Clause(BaseModel):
    kind: Literal["liability", "payment", "termination"]
    page: int


class Described(BaseModel):
    kind: str = Field(description="one of liability, payment, termination")


class Contract(BaseModel):
    clauses: list[Clause]
    parent: "Contract | None" = None


@dataclasses.dataclass
class Record:
    kind: Kind


class Typed(TypedDict):
    kind: Literal["liability", "payment", "termination"]


THREE = [
    (Literal["liability", "payment", "termination"], None),
    (Literal["liability", "payment"] | Literal["termination"], None),
    (Literal["liability", "payment", "termination"] | None, None),
    (Literal[Kind.LIABILITY, Kind.PAYMENT, Kind.END], None),
    (dict[str, list[Literal["liability", "payment", "termination"]]], None),
    (Kind | None, None),
    (list[Clause], None),
    (list[Described], None),
    (Contract, None),
    (Record, None),
    (Typed, None),
    (str, "liability, payment or termination"),
    (str, "what it is about (liability, payment, termination)"),
    (str, "what it is about: 'liability', 'payment', 'termination'."),
    (list[str], "liability/payment/termination"),
]


@pytest.mark.parametrize(("kind", "description"), THREE)
@pytest.mark.parametrize(
    ("addition", "outcome"),
    [
        ("Name each as liability or payment.", "golden_leaked"),
        ("Look for what says `payment`.", "golden_leaked"),
        ("Sort them into liability, payment and termination.", "optimized"),
        ("Sort them into `liability`, `payment` or `termination`.", "optimized"),
        ("Read every paragraph.", "optimized"),
    ],
)
def test_some_of_a_fields_values_are_not_named_without_the_others_wherever_they_are_written(
    kind, description, addition, outcome
):
    fields = {"contract": (str, dspy.InputField()), "found": (kind, dspy.OutputField(desc=description))}
    program = dspy.Predict(dspy.Signature(fields, "Extract the clauses of the contract."))
    assert outcomes(fipo(lambda asked: f"{naive_in(asked)} {addition}").compile(program)) == {"self": outcome}


def labelled(*labels: object) -> list[dspy.Example]:
    return [dspy.Example(ticket=f"Ticket {n}", topic=label).with_inputs("ticket") for n, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("addition", "outcome"),
    [
        ("Say refund or delivery.", "golden_leaked"),
        ("Say `refund`, `delivery` or `damage`.", "optimized"),
        ("Read the whole ticket.", "optimized"),
    ],
)
def test_labels_that_only_the_trainset_shows_are_values(addition, outcome):
    program = dspy.Predict(dspy.Signature("ticket -> topic", "Sort the ticket of a customer."))
    trainset = labelled("refund", "delivery", "damage", "refund", "delivery", "damage")
    compiled = fipo(lambda asked: f"{naive_in(asked)} {addition}").compile(program, trainset=trainset)
    assert outcomes(compiled) == {"self": outcome}


@pytest.mark.parametrize(
    "labels", [["Paris", "Rome", "Bern"], ["Paris"] * 4, ["one two three four five", "b"] * 4, [1.5, None] * 4, []]
)
def test_answers_that_do_not_recur_are_no_labels(labels):
    assert labels_of(labels) is None


LETTERS, RATING, TOPICS = Literal["A", "B", "C", "D"], Literal[1, 2, 3, 4, 5], Literal["refund", "order", "other"]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (LETTERS, "Choose a single letter.", None),
        (LETTERS, "A good answer is one letter.", None),
        (LETTERS, "Answer with A, B, C, or D.", None),
        (LETTERS, "Choose one of the options A-D.", None),
        (LETTERS, "Answer A.", "A"),
        (LETTERS, "Answer with 'A' where you are not sure.", "A"),
        (LETTERS, "Pick A or B.", "A"),
        (RATING, "Rate it on a scale from 1 to 5.", None),
        (RATING, "Rate it between 1 and 3.", "1"),
        (RATING, "Write 1 sentence.", None),
        (RATING, "Give your reasons in 2 or 3 sentences.", None),
        (RATING, "Return 1 if it does not help.", "1"),
        (bool, "Check whether it is true that it holds.", None),
        (bool, "Return True if it holds.", "True"),
        (bool, "Return True if it holds and False otherwise.", None),
        (TOPICS, "Take other details into account in order to be right.", None),
        (TOPICS, "Say order.", "order"),
        (TOPICS, "Say that it is a REFUND.", "refund"),
        (Literal["very_positive", "negative"], "Say very positive.", "very_positive"),
    ],
)
def test_a_value_that_is_an_ordinary_word_is_named_only_where_it_is_said_as_a_value(kind, text, value):
    (choice,) = choices_of(kind)
    assert favoured(text, "Do it.", choice) == value


def test_values_that_the_task_names_are_kept_together():
    (choice,) = choices_of(TOPICS)
    assert favoured("Say refund or other.", "Say refund, order or other.", choice) is not None
    assert favoured("Say refund.", "Say refund.", choice) is None
    assert named_in("Say refund, an order or other.", choice) == {0, 1, 2}


@pytest.mark.parametrize(
    "description",
    [
        "how soon somebody must look at it",
        "a short answer, one or two words",
        "a title, and the author",
        "the name of a person or place",
        "topic of the ticket, such as refund",
        "",
    ],
)
def test_a_description_that_lists_no_values_has_none(description):
    assert listed_in(description) is None


ENGLISH: list[tuple[str, bool]] = [
    ("Please provide the ticket number.", True),
    ("Please provide the text.", True),
    ("Sort it. Could you share the ticket?", True),
    ("Upload the document first.", True),
    ("Give me the ticket, and I will sort it.", True),
    ("Please provide more information.", True),
    ("Provide the topic of the ticket.", False),
    ("Please provide the topic.", False),
    ("Give the ticket a topic.", False),
    ("Then provide a short explanation of the ticket.", False),
    ("Provide the details of the decision.", False),
    ("Send the ticket to the right topic.", False),
    ("Please give the text of the topic.", False),
]


@pytest.mark.parametrize(("text", "asks"), ENGLISH)
def test_a_program_fills_in_its_inputs_and_nobody_is_asked_for_them(text, asks):
    assert (wants_inputs(text, "Sort the ticket of a customer.", ["ticket"], ["topic"]) is not None) == asks


def test_what_the_task_itself_asks_for_may_be_asked_for():
    task = "Ask the customer: please provide the ticket number."
    assert wants_inputs(task, task, ["ticket"], ["topic"]) is None


@pytest.mark.parametrize("field", ["ticket", "documentPages", "patient_note"])
def test_a_rewrite_that_asks_for_an_input_is_refused_by_the_name_of_its_field(field: str):
    noun: Any = {"documentPages": "document pages", "patient_note": "patient's note"}.get(field, field)
    program = dspy.Predict(dspy.Signature(f"{field} -> topic", f"Find the topic of the {noun}."))
    compiled = fipo(lambda asked: f"{naive_in(asked)} Please provide the {noun} in full.").compile(program)
    assert outcomes(compiled) == {"self": "input_requested"}


class Order(BaseModel):
    what: str
    is_paid: bool
    by: Literal["mail", "van"] | None
    parts: list[Described]


class Names(RootModel[list[str]]):
    pass


class Orders(RootModel[list[Order]]):
    pass


class Tree(RootModel[dict[str, "Tree"]]):
    pass


@pytest.mark.parametrize(
    ("output", "form"),
    [
        (Tree, "fields"),
        (RootModel[Names], "value"),
        (Names, "value"),
        (Orders, "fields"),
        (Mapping[str, int], "fields"),
        (dspy.Code["python"], "value"),
    ],
)
def test_a_root_has_no_name_in_an_output_and_code_no_fields(output, form):
    fields = {"text": (str, dspy.InputField()), "found": (output, dspy.OutputField())}
    (target,) = targets(dspy.Predict(dspy.Signature(fields, "find it")))
    assert target.fixed_form == form
    assert "root" not in (target.context or "").lower()


@pytest.mark.parametrize(
    ("output", "described"),
    [
        (
            "order: Order",
            "order: Order with what, is_paid, by (one of mail, van), parts (kind (one of liability, payment,",
        ),
        ("orders: list[Order]", "orders: list[Order] with what,"),
        ("contract: Contract", "contract: Contract with clauses (kind (one of "),
        ("is_paid: bool", "is_paid: bool"),
        ("all_paid: list[bool]", "all_paid: list[bool]"),
        ("by: Literal['mail', 'van']", "by: one of mail, van"),
        ("ways: list[Literal['mail', 'van']]", "ways: each one of mail, van"),
        ("prices: dict[str, float]", "prices: dict[str, float]"),
    ],
)
def test_a_rewriter_reads_what_an_output_consists_of(output, described):
    made = dspy.Signature(
        f"text -> {output}", "find it", custom_types={"Literal": Literal, "Order": Order, "Contract": Contract}
    )
    (target,) = targets(dspy.Predict(made))
    assert target.context is not None
    assert target.context.splitlines()[-1].startswith(described)


@pytest.mark.parametrize(
    ("signature", "naive", "said", "demand"),
    [
        (
            "comment -> toxic: bool",
            "toxic or not",
            "Reply with the verdict, a colon and a space.",
            "a colon and a space",
        ),
        ("text -> names: list[str]", "names", "List the names, separated by commas.", "separated by commas"),
        ("text -> names: list[str]", "names, with commas", "List the names, with commas.", None),
        (
            "contract -> parties: list[str]",
            "parties",
            "List the parties, each on its own line.",
            "each on its own line",
        ),
        ("text -> person, age: int", "who", "Name the person, and nothing else.", "nothing else"),
        ("text -> person, place", "who and where", "Name the person and the place alone.", "alone"),
        ("text -> total: float", "total", "Compute the total and give the number alone.", None),
        ("text -> total: float", "total", "Compute the total as a float, in bold.", "as a float"),
        ("text -> order: Order", "order", "Find what was ordered. Answer yes or no.", "Answer yes"),
        ("text -> orders: list[Order]", "orders", "Name the first order alone.", "alone"),
        ("text -> facts: dict[str, str]", "facts", "State the facts and nothing else.", "nothing else"),
        ("notes -> title, body", "bug report", "Write a short title, and a body that says how it fails.", None),
        ("report -> stage: int", "stage", "State the stage of the colon cancer.", None),
        ("note -> alone: bool, smoker: bool", "habits", "Say whether the patient lives alone and smokes.", None),
        ("text -> sorts: list[Kind]", "which kinds", "Name the kinds in small letters.", "in small letters"),
        # These are written as the model says them.
        ("text -> kind: Kind", "which kind", "Name the kind in small letters.", None),
        ("text -> kind: Literal['news', 'advert']", "which kind", "Name the kind and nothing else.", None),
        ("text -> names", "names", "List the names, a comma and a space between them.", None),
        ("text -> reasoning, names", "names", "List the names alone, each on its own line.", None),
    ],
)
def test_a_rewrite_asks_for_no_form_where_types_and_fields_give_it(signature, naive, said, demand):
    made = dspy.Signature(signature, naive, custom_types={"Kind": Kind, "Literal": Literal, "Order": Order})
    (target,) = targets(dspy.Predict(made))
    found = forms_fixed_otherwise(Case(f"{naive}\n\n{said}", target.request()))
    assert found == (demand and f"says '{demand}', but types or a schema give the outputs their form")


def test_what_is_left_of_it_is_used():
    program = dspy.Predict(dspy.Signature("text -> person, age: int", "who is it about"))
    compiled = fipo(lambda asked: f"{naive_in(asked)}\n\nName the person, and nothing else.").compile(program)
    assert compiled.signature.instructions == "who is it about\n\nName the person."
