"""The benchmarks as data sets on the Hugging Face hub, in the shape of our files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fipo_model.errors import InputError, explain_missing
from fipo_model.evaluation.benchmarks.rows import Located

with explain_missing("eval", "datasets"):
    from datasets import get_dataset_config_names, load_dataset


def gsm8k(row: dict[str, Any]) -> dict[str, Any]:
    """A row of openai/gsm8k, whose answer is the rationale, four number signs and the number."""
    rationale, _, number = row["answer"].rpartition("####")
    return {"question": row["question"], "rationale": rationale.strip(), "answer": number.strip().replace(",", "")}


def bbh(row: dict[str, Any]) -> dict[str, Any]:
    """A row of BIG-Bench Hard."""
    return {"question": row["input"], "answer": row["target"]}


def piqa(row: dict[str, Any]) -> dict[str, Any]:
    """A row of PIQA."""
    return {"question": row["goal"], "choices": [row["sol1"], row["sol2"]], "answer": row["label"]}


def cosmosqa(row: dict[str, Any]) -> dict[str, Any]:
    """A row of allenai/cosmos_qa."""
    choices = [row[f"answer{place}"] for place in range(4)]
    return {"context": row["context"], "question": row["question"], "choices": choices, "answer": row["label"]}


def mmlu(row: dict[str, Any]) -> dict[str, Any]:
    """A row of cais/mmlu."""
    return {"task": row["subject"], "question": row["question"], "choices": row["choices"], "answer": row["answer"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class _DataSet:
    name: str
    split: str
    normalise: Callable[[dict[str, Any]], dict[str, Any]]
    config: str | None = None
    """None: every configuration of the data set is a group of its own."""
    revision: str | None = None


# PIQA and BBH in the copies that lm-eval uses, and CosmosQA in the hub's own conversion: the originals (ybisk/piqa,
# lukaemon/bbh) are loading scripts, which `datasets` no longer runs. Test splits, or validation where the test split
# has no answers.
_DATA_SETS = {
    "gsm8k": _DataSet(name="openai/gsm8k", config="main", split="test", normalise=gsm8k),
    "bbh": _DataSet(name="SaylorTwift/bbh", split="test", normalise=bbh),
    "piqa": _DataSet(name="baber/piqa", config="default", split="validation", normalise=piqa),
    "cosmosqa": _DataSet(
        name="allenai/cosmos_qa",
        config="default",
        split="validation",
        normalise=cosmosqa,
        revision="refs/convert/parquet",
    ),
    "mmlu": _DataSet(name="cais/mmlu", config="all", split="test", normalise=mmlu),
}


def read(benchmark: str) -> Iterator[Located]:
    """The rows of a benchmark, streamed. Raises `InputError` if they cannot be had."""
    wanted = _DATA_SETS[benchmark]
    try:
        configs = [wanted.config] if wanted.config else get_dataset_config_names(wanted.name)
        for config in configs:
            rows = load_dataset(wanted.name, config, split=wanted.split, revision=wanted.revision, streaming=True)
            task = {} if wanted.config else {"task": config}
            prefix = "-".join([benchmark, *task.values()])
            for number, row in enumerate(rows):
                yield (
                    f"{wanted.name}, {config}, {wanted.split}, row {number}",
                    {"id": f"{prefix}-{number}", **task, **wanted.normalise(row)},
                )
    except Exception as error:
        # Anything from the network, a file format or the library itself; the cause is kept.
        raise InputError(f"the data set {wanted.name} cannot be read: {type(error).__name__}: {error}") from error
