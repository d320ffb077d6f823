"""Three prompts as somebody in a hurry types them, a metric and rows for them, to see what FIPO makes of such a chain.

    python benchmarks/hasty_chains.py ../shared/data/classification ROWS
    PYTHONPATH=benchmarks fipo compare chain benchmarks/hasty_chains.py:sentiment --data ROWS/sst2.jsonl \
        --metric hasty_chains:named --model qwen2.5-coder-0.5b --optimizer-model qwen2.5-coder-0.5b --max-tokens 12

and the same with `news` and `agnews.jsonl`, or with `question` and `trec.jsonl`. The rows are those of the train split
after the first 24. These are in `ROWS/NAME.examples.jsonl`, for `--examples`.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from langchain_core.prompts import PromptTemplate

sentiment = PromptTemplate.from_template("positive or negative?\n\n{text}")
news = PromptTemplate.from_template("World, Sports, Business or Tech?\n\n{text}")
question = PromptTemplate.from_template("kind of question\n\n{text}")

LABELS = (
    ("positive", "negative"),
    ("world", "sports", "business", "tech"),
    ("description", "entity", "expression", "human", "location", "number"),
)
LOOKED_AT, ROWS = 24, 96


def named(reference: str, output: Any, _: Any) -> bool:
    """Whether an output names the right label and no other, as any reader of labels needs it."""
    text = str(getattr(output, "content", output)).lower()
    labels = next(labels for labels in LABELS if reference.lower() in labels)
    return [label for label in labels if re.search(rf"\b{label}\b", text)] == [reference.lower()]


def main(folder: str, out: str) -> None:
    """Write the rows and the examples of each task."""
    Path(out).mkdir(parents=True, exist_ok=True)
    for task in ("sst2", "agnews", "trec"):
        lines = (Path(folder) / f"{task}.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["split"] == "train"][: LOOKED_AT + ROWS]
        made = [{"id": row["id"], "input": {"text": row["text"]}, "reference": row["label"]} for row in rows]
        for name, some in ((f"{task}.examples.jsonl", made[:LOOKED_AT]), (f"{task}.jsonl", made[LOOKED_AT:])):
            (Path(out) / name).write_text("".join(f"{json.dumps(row)}\n" for row in some), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
