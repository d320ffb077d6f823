"""Train the 1.5B rewriter that comes with FIPO: about an hour on one core, and 15 GB of memory.

    pip install '.[train]'
    python examples/larger_rewriter_weights.py ../shared/data runs/larger-rewriter

One stage teaches the base what the 0.5B learned in five: to say a hasty prompt in full, and no more than the prompt and
the examples show. The rows are the briefest of those that were written for it, because time goes with their tokens.
Nothing used for measuring is trained on. Interrupted runs resume. docs/training-log.md has the reasons and the figures.
"""

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from rewriter_weights import by_hand, careful, complete, is_hasty, train, training_row, write_rows, written
from small_weights import export, note, options
from transformers import AutoTokenizer

from fipo_model.models.registry import QWEN_CODER_15B as BASE
from fipo_model.models.weights import fetch

LONGEST = 170  # tokens
# How many rows of each kind.
ALONE, WITH_INPUTS, WITH_OUTPUTS, BY_HAND, COMPLETE, LEFT_ALONE = 350, 170, 40, 40, 40, 40
# Nats per token. Chosen on development tasks: below it, too many additions were wrong (docs/training-log.md).
LEAST_LIKELIHOOD = -0.8

Row = dict[str, Any]


def rows_of(data: Path) -> list[Row]:
    """Hasty wordings of tasks, most of them shown alone, and prompts to which there is nothing to add."""
    source = random.Random(20)
    tokenizer = AutoTokenizer.from_pretrained(fetch(BASE))

    def brief(rows: list[Row], count: int) -> list[Row]:
        short = [row for row in rows if length(row, tokenizer) <= LONGEST]
        source.shuffle(short)
        return short[:count]

    by_kind = careful_by_kind()
    made = brief(by_kind["alone"], ALONE) + brief(by_kind["inputs"], WITH_INPUTS)
    made += brief(by_kind["outputs"], WITH_OUTPUTS) + brief([row for row in by_hand() if row], BY_HAND)
    made += brief([row for row in complete(data) if row], COMPLETE)
    return made + brief(left_alone(), LEFT_ALONE)


def careful_by_kind() -> dict[str, list[Row]]:
    """Additions to hasty wordings of tasks that say only what can be known, by what is shown beside the wording."""
    shown = {row["id"]: what_is_shown(row) for row in written("task_additions.jsonl")}
    found: dict[str, list[Row]] = defaultdict(list)
    for part in (1, 2, 3):
        for row in careful(part, "task"):
            if row:
                found[shown[row["id"]]].append(row)
    return found


def what_is_shown(row: Row) -> str:
    """The wording alone, with inputs, or with their right outputs."""
    examples = row.get("examples") or []
    if any("output" in example for example in examples):
        return "outputs"
    return "inputs" if examples else "alone"


def left_alone() -> list[Row]:
    """Single prompts that say enough."""
    single = [row for row in written("task_additions.jsonl") if row["kind"] == "single prompt"]
    prompts = [row for row in single if not is_hasty(row["instruction"])]
    made = [training_row(f"{row['id']}/none", row["instruction"], None) for row in prompts]
    return [row for row in made if row]


def length(row: Row, tokenizer: Any) -> int:
    """How many tokens a row has, about."""
    prompt = tokenizer.apply_chat_template(row["prompt"], return_dict=False)
    chosen = row["chosen"]
    reply = chosen if isinstance(chosen, str) else chosen[0]["content"]
    return len(prompt) + len(tokenizer(reply)["input_ids"]) + 4


def main() -> None:
    """Data, training, and the adapter as it is shipped."""
    asked = options(__doc__)
    output = asked.output
    rows = write_rows(rows_of(asked.data), output / "rows.jsonl", asked.rows)
    brief = ("lora.r=8", "lora.alpha=16", "trainer.save_steps=20")
    train(output / "trained", rows, f"model={BASE.name}", *brief)
    export(output / "trained", output / "adapter", BASE.name)
    note(output / "adapter" / "fipo.json", least_likelihood=LEAST_LIKELIHOOD)


if __name__ == "__main__":
    main()
