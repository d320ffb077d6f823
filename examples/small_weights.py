"""Train the adapters that come with FIPO, from the public data in a directory: about an hour on two CPU cores.

    pip install '.[train]'
    python examples/small_weights.py ../shared/data runs/small

Stage 1 learns the form: reference rewrites as additions to the naive prompt. The result is the adapter that proposes
where a metric chooses. Stage 2 starts from it and learns when to say the task again and when to leave the prompt alone,
from the effect on the golden response (`fipo data rank`). The result is the adapter that rewrites. Interrupted runs
resume. docs/training-log.md has the reasons and the runs that failed.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from fipo_model import fidelity
from fipo_model.contract.topics import topic
from fipo_model.data.split import draw, is_held_out
from fipo_model.models.registry import SMOLLM2_135M
from fipo_model.types import OptimizationRequest, count_words

HELD_OUT, SEED = 0.35, 0  # as in examples/recipes/eval.toml; never trained on, measured once
DEVELOPMENT, DEVELOPMENT_SEED = 0.2, 1  # of the rest; for choosing between recipes
LONGEST_ADDITION = 45
LONGEST_REPEATED = 60
# A gain this close to the margin says nothing about whether saying the task again helps.
MARGIN, UNSURE = 0.005, 0.004
# The first words of a rewrite that invents a scenario instead of saying the task.
_SCENARIO = re.compile(r"(?i)imagine|you are|you're|i am|i'm|assume|act as|rewrite|as an? |pretend|roleplay")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file that may be trained on."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            if not is_held_out(row["id"], HELD_OUT, SEED):
                yield row


def is_development(row: dict[str, Any]) -> bool:
    """Whether a row was kept for choosing between recipes."""
    return is_held_out(row["id"], DEVELOPMENT, DEVELOPMENT_SEED)


def write(path: Path, made: list[dict[str, Any]], limit: int | None) -> Path:
    """Write a JSONL file of records, leaving out absent parts."""
    lines = (json.dumps({key: value for key, value in row.items() if value}) for row in made[:limit])
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def reference_pairs(data: Path) -> list[dict[str, Any]]:
    """Stage 1: BPO's rewrites three times, and the first sentences of the others' where they keep to the topic."""
    pairs = []
    for row in rows(data / "prompt_pairs" / "bpo.jsonl"):
        is_short = count_words(row["optimized"]) <= 70 and count_words(row["instruction"]) <= 120
        if is_short and not is_development(row):
            pairs += [_pair(row, row["optimized"].strip(), f"#{copy}") for copy in range(3)]
    others = []
    for row in rows(data / "prompt_pairs" / "train.jsonl"):
        addition = first_sentences(row["optimized"].strip())
        if is_usable(row, addition):
            others.append(_pair(row, addition))
    return pairs + sorted(others, key=lambda row: draw(row["id"], 5))[:750]


def _pair(row: dict[str, Any], chosen: str, copy: str = "") -> dict[str, Any]:
    return {"id": row["id"] + copy, "instruction": row["instruction"], "context": row["context"], "chosen": chosen}


def first_sentences(text: str) -> str:
    """The first sentences of a text, as many as an addition may have."""
    kept: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        if len(" ".join([*kept, sentence]).split()) > LONGEST_ADDITION:
            break
        kept.append(sentence)
    return re.sub(r"\s+\d+\.$", "", " ".join(kept))


def is_usable(row: dict[str, Any], addition: str) -> bool:
    """Whether a reference rewrite keeps to the topic, and is short and plain enough to learn from."""
    naive, context = row["instruction"], row["context"] or ""
    if len(addition.split()) < 5 or "\n" in row["optimized"].strip()[:200] or _SCENARIO.match(addition):
        return False
    if len(naive.split()) > 80 or len(context.split()) > 120:
        return False
    request = OptimizationRequest(naive)
    if any(fidelity.RULES[name].objection(addition, request) for name in ("off_topic", "answered")):
        return False
    asked = topic(naive)
    return not asked or len(asked & topic(addition)) >= 0.5 * len(asked)


def golden_prompts(data: Path) -> list[dict[str, Any]]:
    """Stage 2: prompts with golden responses, mostly of the kinds people write themselves."""
    chosen, spare = [], []
    for name, share in (
        ("prompt_pairs/bpo", 1.0),
        ("instructions/with_golden_response", 1.0),
        ("instructions/more_with_golden_response", 0.06),
    ):
        for row in rows(data / f"{name}.jsonl"):
            naive, context = len(row["instruction"].split()), len((row["context"] or "").split())
            if row["source"] == "t0-p3" or not row["golden_response"].strip():
                continue
            if draw(row["id"], 7) <= share and naive <= 120 and context <= 150:
                chosen.append(row)
            elif row["source"].startswith("gpteacher") and naive <= 80 and context <= 100:
                spare.append(row)
    kept = [row for row in chosen if not is_development(row)]
    fields = ("id", "instruction", "context", "golden_response", "source")
    extra = sorted(spare, key=lambda row: draw(row["id"], 9))[:200]
    return [{field: row[field] for field in fields} for row in (*kept, *extra)]


def decisions(ranked: Path) -> list[dict[str, Any]]:
    """The prompt said twice where that gains; the prompt alone where it does not, or where it is long."""
    made = []
    for line in ranked.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        (repeated,) = row["ranked"]
        if abs(repeated["gain"] - MARGIN) < UNSURE:
            continue
        naive = row["instruction"]
        is_again = repeated["gain"] > MARGIN and len(naive.split()) <= LONGEST_REPEATED
        chosen = repeated["text"] if is_again else naive
        made.append({**{key: row.get(key) for key in ("id", "instruction", "context", "source")}, "chosen": chosen})
    return made


def train(output: Path, data: Path, *settings: str) -> None:
    """One stage, as recipes/default.toml says."""
    changes = [f"output={output}", f"data.train={data}", *settings]
    recipe = Path(__file__).parent / "recipes" / "default.toml"
    fipo("train", "sft", str(recipe), "--resume", *(part for change in changes for part in ("--set", change)))


def export(checkpoint: Path, target: Path, base: str = SMOLLM2_135M.name) -> None:
    """The adapter as it is shipped: in bf16, with no trace of this machine."""
    target.mkdir(parents=True, exist_ok=True)
    tensors = load_file(checkpoint / "adapter_model.safetensors")
    halved = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in tensors.items()}
    save_file(halved, target / "adapter_model.safetensors", metadata={"format": "pt"})
    (target / "adapter_model.safetensors").chmod(0o644)  # safetensors are written for their owner only
    config = json.loads((checkpoint / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(checkpoint / "fipo.json", target / "fipo.json")


def note(file: Path, **entries: float | str) -> None:
    """Add to what a checkpoint says about itself."""
    noted = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(noted | entries, indent=2) + "\n", encoding="utf-8")


def fipo(*arguments: str) -> None:
    """A command as a user would type it."""
    subprocess.run([sys.executable, "-m", "fipo_model.cli", *arguments], check=True)


def options(description: str | None) -> argparse.Namespace:
    """What the command line says, to all programs that train weights."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the directory of public data")
    parser.add_argument("output", type=Path, help="the directory to write to, or to resume in")
    parser.add_argument("--rows", type=int, help="try every stage with so few rows")
    found = parser.parse_args()
    found.output.mkdir(parents=True, exist_ok=True)
    return found


def main() -> None:
    """Both stages."""
    asked = options(__doc__)
    data, output = asked.data, asked.output
    faster = ("trainer.learning_rate=4e-4", "data.max_length=400")
    train(output / "form", write(output / "pairs.jsonl", reference_pairs(data), asked.rows), *faster)
    golden, ranked = write(output / "golden.jsonl", golden_prompts(data), asked.rows), output / "ranked.jsonl"
    ranking = ("--candidates", "0", "--repeat", "--margin", str(MARGIN), "--max-response-tokens", "96")
    fipo("data", "rank", str(golden), str(ranked), *ranking)
    again = ("trainer.num_train_epochs=2", f"adapter={output / 'form'}")
    train(output / "decision", write(output / "decisions.jsonl", decisions(ranked), asked.rows), *again)
    export(output / "form", output / "proposer")
    export(output / "decision", output / "adapter")
    for name in ("proposer", "adapter"):  # what they learned to say is often the prompt
        note(output / name / "fipo.json", may_repeat=True)


if __name__ == "__main__":
    main()
