"""The paper's five benchmarks, a card for each: how it is asked, what its rows have, and where they are on the hub.

Another one takes a card here, its name in `BenchmarkName`, and its tasks in `fipo_model/evaluation/tasks`. Pure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

BenchmarkName = Literal["gsm8k", "bbh", "piqa", "cosmosqa", "mmlu"]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class HubData:
    """A data set on the Hugging Face hub, and how one of its rows becomes one of ours."""

    name: str
    split: str
    normalise: Callable[[Row], Row]
    config: str | None = None
    """None: every configuration of the data set is a group of its own."""
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCard:
    """The facts about a benchmark."""

    name: BenchmarkName
    shots: int
    """In-context examples, as in the paper."""
    instruction: str
    """What is rewritten, once for all questions, where an instruction rather than each question is optimized."""
    answers: Literal["choice", "number", "text"]
    """The index of one of the row's `choices`, a number as text, or a text, which may turn out to be a choice."""
    has_groups: bool = False
    """Whether rows name their `task`."""
    has_context: bool = False
    has_rationale: bool = False
    hub: HubData


def _gsm8k(row: Row) -> Row:
    # The answer is the rationale, four number signs and the number.
    rationale, _, number = row["answer"].rpartition("####")
    return {"question": row["question"], "rationale": rationale.strip(), "answer": number.strip().replace(",", "")}


def _bbh(row: Row) -> Row:
    return {"question": row["input"], "answer": row["target"]}


def _piqa(row: Row) -> Row:
    return {"question": row["goal"], "choices": [row["sol1"], row["sol2"]], "answer": row["label"]}


def _cosmosqa(row: Row) -> Row:
    choices = [row[f"answer{place}"] for place in range(4)]
    return {"context": row["context"], "question": row["question"], "choices": choices, "answer": row["label"]}


def _mmlu(row: Row) -> Row:
    return {"task": row["subject"], "question": row["question"], "choices": row["choices"], "answer": row["answer"]}


# PIQA and BBH in the copies that lm-eval uses, and CosmosQA in the hub's own conversion: the originals (ybisk/piqa,
# lukaemon/bbh) are loading scripts, which `datasets` no longer runs. Test splits, or validation where the test split
# has no answers.
_ALL = (
    BenchmarkCard(
        name="gsm8k",
        shots=3,
        instruction="Solve the math problem.",
        answers="number",
        has_rationale=True,
        hub=HubData(name="openai/gsm8k", config="main", split="test", normalise=_gsm8k),
    ),
    BenchmarkCard(
        name="bbh",
        shots=3,
        instruction="Answer the question.",
        answers="text",
        has_groups=True,
        hub=HubData(name="SaylorTwift/bbh", split="test", normalise=_bbh),
    ),
    BenchmarkCard(
        name="piqa",
        shots=3,
        instruction="Say how to reach the goal.",
        answers="choice",
        hub=HubData(name="baber/piqa", config="default", split="validation", normalise=_piqa),
    ),
    BenchmarkCard(
        name="cosmosqa",
        shots=5,
        instruction="Read the text and answer the question.",
        answers="choice",
        has_context=True,
        hub=HubData(
            name="allenai/cosmos_qa",
            config="default",
            split="validation",
            normalise=_cosmosqa,
            revision="refs/convert/parquet",
        ),
    ),
    BenchmarkCard(
        name="mmlu",
        shots=5,
        instruction="Answer the exam question.",
        answers="choice",
        has_groups=True,
        hub=HubData(name="cais/mmlu", config="all", split="test", normalise=_mmlu),
    ),
)

BENCHMARKS: dict[BenchmarkName, BenchmarkCard] = {card.name: card for card in _ALL}
