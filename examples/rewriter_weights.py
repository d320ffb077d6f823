"""Train the 0.5B rewriter that comes with FIPO, from tasks and public data: about three and a half hours on one core.

    pip install '.[train]'
    python examples/rewriter_weights.py ../shared/data runs/rewriter

Stage 1 learns to word hasty tasks well, and to tell when there is nothing to add. Stage 2 goes on with other good
wordings and other examples of the same tasks, and with hundreds of public instructions worded in a hurry. Three more
stages teach it not to guess, from additions that say only what the prompt, inputs and outputs show. From there on, a
second adapter learns what to ask of the answer to a single prompt, by the kind of prompt, and to leave tasks alone.
Tasks are split by family; nothing used for measuring is trained on. Interrupted runs resume.
docs/training-log.md has the reasons, the figures and the runs that failed.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from small_weights import export, fipo, first_sentences, is_development, is_usable, note, options, rows

from fipo_model import FIPO_2, OptimizationRequest, ShownExample, fidelity
from fipo_model.data.split import draw
from fipo_model.data.tasks import Task, read_tasks
from fipo_model.data.tasks.teaching import teaching_rows
from fipo_model.fidelity import FidelitySettings
from fipo_model.types import count_words

BASE = "qwen2.5-coder-0.5b"
WRITTEN = Path(__file__).parent / "data"
REFERENCES, COMPLETE, PUBLIC = 180, 60, 560  # rows
KEPT_WITH_OUTPUTS, KEPT_CAREFUL = 200, 165  # rows
LEFT_TASKS, LEFT_COMPLETE = 350, 50  # rows
LONGEST_HASTY = 6  # words
SECOND = "single-prompts"
# Nats per token. Chosen on development prompts: below these, too many additions were wrong (docs/training-log.md).
LEAST_LIKELIHOOD, LEAST_OF_ENDINGS = -0.75, -0.045
SAID_ALREADY = 0.6
"""The share of what stage 1 was shown alone that stage 2 does not show again."""
LONGEST_REFERENCE = 45  # words
LONGEST_SHOWN = 200  # characters


def training_row(
    name: str,
    naive: str,
    addition: str | None,
    context: str | None = None,
    *,
    examples: tuple[ShownExample, ...] = (),
) -> dict[str, Any] | None:
    """A prompt and what to add to it, if anything; None where the contract refuses the addition."""
    request = OptimizationRequest(naive, context=context, examples=examples)
    rewrite = naive if addition is None else f"{naive}\n\n{addition}"
    outcome = fidelity.check(rewrite, request, FidelitySettings(), FIPO_2).outcome
    if outcome not in ("optimized", "unchanged"):
        return None
    chosen = FIPO_2.reply_for(rewrite, naive)
    prompt = FIPO_2.render(request)
    return {"id": name, "kind": "rewriting", "type": "single prompt", "prompt": prompt, "chosen": chosen}


def written(name: str) -> Iterator[dict[str, Any]]:
    """The rows of a file that was written for FIPO."""
    for line in (WRITTEN / name).read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def by_hand() -> Iterator[dict[str, Any] | None]:
    """Prompts as people type them, in fourteen languages, and what to add."""
    for number, row in enumerate(written("additions.jsonl")):
        yield training_row(f"hand/{number}", row["instruction"], row["addition"])


def in_a_hurry(data: Path) -> Iterator[dict[str, Any] | None]:
    """Public instructions, each worded in a hurry twice or more: shown alone, and with its input where it has one.

    Templates hold instruction and input in one text, so they come with a good wording of their own.
    """
    files = ("with_golden_response", "more_with_golden_response")
    public = {row["id"]: row for name in files for row in rows(data / "instructions" / f"{name}.jsonl")}
    for row in written("hasty.jsonl"):
        if row["id"] not in public:
            continue
        source = public[row["id"]]
        good = row.get("good") or source["instruction"].strip()
        for number, hasty in enumerate(row["hasty"]):
            context, golden = source["context"] or "", source["golden_response"]
            is_brief = 0 < len(context) <= LONGEST_SHOWN and len(golden) <= LONGEST_SHOWN
            shown = (ShownExample(context, golden),) if number and is_brief else ()
            yield training_row(f"{row['id']}/hasty/{number}", hasty, good, examples=shown)


def references(data: Path) -> Iterator[dict[str, Any] | None]:
    """Short reference rewrites, as additions to the naive prompt."""
    for row in rows(data / "prompt_pairs" / "bpo.jsonl"):
        is_short = len(row["optimized"].split()) <= LONGEST_REFERENCE and len(row["instruction"].split()) <= 60
        if is_short and not is_development(row):
            yield training_row(row["id"], row["instruction"], row["optimized"].strip(), row["context"])
    others = sorted(rows(data / "prompt_pairs" / "train.jsonl"), key=lambda row: draw(row["id"], 5))
    for row in others:
        addition = first_sentences(row["optimized"].strip())
        is_short = max(len(row["instruction"].split()), len((row["context"] or "").split())) <= 40
        if is_short and is_usable(row, addition):
            yield training_row(row["id"], row["instruction"], addition, row["context"])


def complete(data: Path) -> Iterator[dict[str, Any] | None]:
    """Prompts that say enough, to which there is nothing to add."""
    for row in rows(data / "instructions" / "with_golden_response.jsonl"):
        if 18 <= len(row["instruction"].split()) <= 45 and len((row["context"] or "").split()) <= 60:
            yield training_row(f"{row['id']}/complete", row["instruction"], None, row["context"])


def first_rows(tasks: list[Task], data: Path) -> list[dict[str, Any]]:
    """Tasks, references, and complete prompts."""
    made: list[dict[str, Any]] = [row.to_fields() for row in teaching_rows(tasks, FIPO_2)]
    made += [row for row in by_hand() if row]
    made += [row for row in references(data) if row][:REFERENCES]
    return made + [row for row in complete(data) if row][:COMPLETE]


def further_rows(tasks: list[Task], data: Path) -> list[dict[str, Any]]:
    """The same tasks shown in other ways, and public instructions worded in a hurry."""
    source = random.Random(2)
    seen = {row.id for row in teaching_rows(tasks, FIPO_2)}
    made: list[dict[str, Any]] = []
    for row in teaching_rows(tasks, FIPO_2, seed=1):
        is_said = row.type == "hasty, alone" and row.id in seen
        if not is_said or source.random() >= SAID_ALREADY:
            made.append(row.to_fields())
    public = [row for row in in_a_hurry(data) if row]
    source.shuffle(public)
    made += public[:PUBLIC]
    made += [row for row in by_hand() if row]
    return made + [row for row in complete(data) if row][:COMPLETE]


def careful(part: int, kind: str | None = None) -> Iterator[dict[str, Any] | None]:
    """Prompts with additions that say only what can be known from the prompt and the examples shown."""
    for row in written("task_additions.jsonl"):
        if row["part"] == part and kind in (None, row["kind"]):
            examples = tuple(ShownExample(**example) for example in row.get("examples", ()))
            yield training_row(row["id"], row["instruction"], row["addition"], examples=examples)


def careful_rows(tasks: list[Task], data: Path) -> list[dict[str, Any]]:
    """The first careful additions, with enough rows of earlier stages to keep those from being forgotten."""
    source = random.Random(5)
    again = [row.to_fields() for row in teaching_rows(tasks, FIPO_2, seed=7)]
    source.shuffle(again)
    with_outputs = [row for row in again if row["type"] in ("hasty, outputs", "hasty, feedback")]
    nothing_to_add = [row for row in again if row["type"].startswith("complete")]
    made = [row for row in careful(1) if row] + with_outputs[:KEPT_WITH_OUTPUTS] + nothing_to_add[:COMPLETE]
    made += [row for row in by_hand() if row]
    return made + [row for row in complete(data) if row][:COMPLETE]


def final_rows() -> list[dict[str, Any]]:
    """Forms that only outputs show, and single prompts, to which such a small model had better add nothing."""
    source = random.Random(7)
    single = [row for row in written("task_additions.jsonl") if row["kind"] == "single prompt"]
    single += [{"id": f"hand/{number}", **row} for number, row in enumerate(written("additions.jsonl"))]
    made = list(careful(3))
    made += [training_row(row["id"], row["instruction"], None) for row in single if not is_hasty(row["instruction"])]
    earlier = [row for part in (1, 2) for row in careful(part) if row]
    source.shuffle(earlier)
    return [row for row in made if row] + earlier[:KEPT_CAREFUL]


def single_rows(tasks: list[Task], data: Path) -> list[dict[str, Any]]:
    """Prompts as people type them into a chat with what to ask of the answer, by kind; and prompts to leave alone."""
    source = random.Random(8)
    endings = json.loads((WRITTEN / "endings.json").read_text(encoding="utf-8"))
    made = [
        training_row(f"single/{number}", row["instruction"], endings.get(row["kind"]))  # "none" has no ending
        for number, row in enumerate(written("single_prompts.jsonl"))
    ]
    hasty = list(dict.fromkeys(wording for task in tasks for wording in task.hasty))
    complete_prompts = list(complete(data))
    source.shuffle(hasty)
    source.shuffle(complete_prompts)
    made += [training_row(f"task/{number}", wording, None) for number, wording in enumerate(hasty[:LEFT_TASKS])]
    return [row for row in [*made, *complete_prompts[:LEFT_COMPLETE]] if row]


def is_hasty(prompt: str) -> bool:
    """Whether a prompt is short enough to be said more fully."""
    return count_words(prompt) <= LONGEST_HASTY


def write_rows(made: list[dict[str, Any]], target: Path, limit: int | None) -> Path:
    """Training rows, in an order drawn once."""
    random.Random(0).shuffle(made)
    lines = (json.dumps(row, ensure_ascii=False) for row in made[:limit])
    target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return target


def train(output: Path, data: Path, *settings: str) -> None:
    """One stage, as the recipe says."""
    changes = [f"output={output}", f"data.train={data}", *settings]
    recipe = Path(__file__).parent / "recipes" / "tasks.toml"
    fipo("train", "sft", str(recipe), "--resume", *(part for change in changes for part in ("--set", change)))


def brief_rows(rate: str) -> tuple[str, str]:
    """The settings of stages whose rows are brief."""
    return "data.max_length=300", f"trainer.learning_rate={rate}"


def main() -> None:
    """Data, all stages, and the adapter as it is shipped."""
    asked = options(__doc__)
    data, output = asked.data, asked.output
    also = [part for name in ("tasks", "more_tasks") for part in ("--also", str(data / f"{name}.jsonl"))]
    fipo("data", "tasks", str(output / "tasks.jsonl"), "--split", "train", "--examples", "30", *also)
    tasks = [task for task in read_tasks(output / "tasks.jsonl") if isinstance(task, Task)]
    train(output / "first", write_rows(first_rows(tasks, data), output / "first.jsonl", asked.rows))
    further = write_rows(further_rows(tasks, data), output / "further.jsonl", asked.rows)
    train(output / "further", further, f"adapter={output / 'first'}", "data.max_length=260")
    before = output / "further"
    for name, rate, made in (
        ("careful", "2e-4", careful_rows(tasks, data)),
        ("more-careful", "1.5e-4", [row for row in careful(2) if row]),
        ("final", "1.5e-4", final_rows()),
    ):
        written_rows = write_rows(made, output / f"{name}.jsonl", asked.rows)
        train(output / name, written_rows, f"adapter={before}", *brief_rows(rate))
        before = output / name
    single = write_rows(single_rows(tasks, data), output / f"{SECOND}.jsonl", asked.rows)
    train(output / SECOND, single, f"adapter={before}", *brief_rows("1.5e-4"))
    export(before, output / "adapter", BASE)
    export(output / SECOND, output / "adapter" / SECOND, BASE)
    note(output / "adapter" / "fipo.json", least_likelihood=LEAST_LIKELIHOOD, second=SECOND)
    note(output / "adapter" / SECOND / "fipo.json", least_likelihood=LEAST_OF_ENDINGS)


if __name__ == "__main__":
    main()
