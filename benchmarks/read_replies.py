"""What untrained models make of real prompts, for people to read and judge: docs/fidelity.md, "Untrained models".

`python benchmarks/read_replies.py ask ../shared qwen2.5-coder-0.5b reporting` takes the prompts of one part, and
appends a model's replies to benchmarks/reading/replies.jsonl. A reader adds the judgement there: good, equal or bad,
and why. `python benchmarks/read_replies.py rates` asks today's contract about every reply and prints the shares.
"""

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest, Rewriter
from fipo_model.errors import InputError
from fipo_model.evaluation.statistics import share
from fipo_model.fidelity import check
from fipo_model.types import count_words

_Item = TypeVar("_Item")

REPLIES = Path(__file__).parent / "reading" / "replies.jsonl"
_FILES = (
    *("prompt_pairs/train", "prompt_pairs/bpo", "prompt_pairs/candidates"),
    *("instructions/with_golden_response", "instructions/more_with_golden_response"),
)
# Each part is drawn with its own seed from the prompts that no other part has, in this order.
_PARTS = {
    "earlier": (16, 75),
    "second tuning": (17, 60),
    "third tuning": (18, 120),
    "fourth tuning": (19, 120),
    "last report": (20, 90),
}
_BATCH = 8
# Strict wording was chosen on these; the last report had no part in that.
_TUNED_WITH = {"tuning", "second tuning", "third tuning", "fourth tuning", "first report", "reporting"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One model's reply to one prompt, and what a reader thinks of it."""

    id: str
    model: str
    part: str
    """What it was read for: to mend the contract ("tuning"), or to report a rate."""
    naive: str
    reply: str
    outcome: str
    """When it was made; `rates` asks again."""
    detail: str
    judgement: str = ""
    why: str = ""


def drawn_prompts(data: Path, part: str) -> list[tuple[str, str]]:
    """Ids and instructions of 5 to 120 words that come without a context, from each source in turn."""
    prompts: list[tuple[str, str]] = []
    used: set[str] = set()
    for name, (seed, count) in _PARTS.items():
        waiting = (row for row in in_turn(_shuffled_by_source(data, seed)) if row[1] not in used)
        prompts = list(islice(waiting, count))
        if name == part:
            return prompts
        used |= {naive for _, naive in prompts}
    raise SystemExit(f"there is no part {part!r}; the parts are {', '.join(_PARTS)}")


def _shuffled_by_source(data: Path, seed: int) -> list[list[tuple[str, str]]]:
    by_source: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for name in _FILES:
        for line in (data / f"{name}.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n"):
            row = json.loads(line)
            if not row.get("context") and 5 <= count_words(row["instruction"]) <= 120:
                by_source[row["source"]].append((row["id"], row["instruction"]))
    rng = random.Random(seed)
    for rows in by_source.values():
        rng.shuffle(rows)
    return list(by_source.values())


def in_turn(groups: Sequence[Sequence[_Item]]) -> Iterator[_Item]:
    """The first of each group, then the second of each."""
    for place in range(max(len(group) for group in groups)):
        yield from (group[place] for group in groups if place < len(group))


def ask(model: str, data: Path, part: str) -> None:
    """Append the model's replies to the file, a batch at a time."""
    rewriter = Rewriter.from_pretrained(model, adapter="none")
    done = {reply.id for reply in stored() if reply.model == model and reply.part == part}
    waiting = [row for row in drawn_prompts(data, part) if row[0] not in done]
    # Prompts of similar length together: a batch takes as long as its longest.
    waiting.sort(key=lambda row: len(row[1]))
    for start in range(0, len(waiting), _BATCH):
        batch = waiting[start : start + _BATCH]
        proposals = rewriter.propose([OptimizationRequest(naive) for _, naive in batch])
        with REPLIES.open("a", encoding="utf-8") as file:
            for (key, naive), proposal in zip(batch, proposals, strict=True):
                if isinstance(proposal, InputError):
                    raise proposal
                said = proposal[0]
                reply = Reply(
                    id=key,
                    model=model,
                    part=part,
                    naive=naive,
                    reply=said.text,
                    outcome=said.outcome,
                    detail=said.detail,
                )
                file.write(json.dumps(asdict(reply), ensure_ascii=False) + "\n")
        print(f"{start + len(batch)} of {len(waiting)}", flush=True)


def stored() -> list[Reply]:
    """All replies made so far."""
    if not REPLIES.exists():
        return []
    return [Reply(**json.loads(line)) for line in REPLIES.read_text(encoding="utf-8").split("\n") if line]


def outcome_today(reply: Reply, *, strict_wording: bool = False) -> str:
    """What the contract now says; only the original run knows whether a reply was cut off."""
    if reply.outcome == "truncated":
        return reply.outcome
    text = FIPO_1.parse(reply.reply)
    settings = FidelitySettings(strict_wording=strict_wording)
    candidate = check(text, OptimizationRequest(reply.naive), settings, FIPO_1)
    return "added" if strict_wording and reply.naive in candidate.text and candidate.text != text else candidate.outcome


def is_accepted(outcome: str) -> bool:
    """Whether the reply would be used instead of the prompt."""
    return outcome == "optimized"


def _rates_of(replies: list[Reply], outcomes: list[str]) -> str:
    """The shares of accepted replies that are bad, and of good changes that were refused, as table cells."""
    changed = [pair for pair in zip(replies, outcomes, strict=True) if pair[1] != "unchanged"]
    accepted = [reply for reply, outcome in changed if is_accepted(outcome)]
    bad = sum(reply.judgement == "bad" for reply in accepted)
    sound = [outcome for reply, outcome in changed if reply.judgement != "bad"]
    refused = sum(not is_accepted(outcome) for outcome in sound)
    return f"{len(accepted)} of {len(replies)} | {_in_words(bad, len(accepted))} | {_in_words(refused, len(sound))}"


def _in_words(hits: int, of: int) -> str:
    if not of:
        return "none"
    estimate = share(hits, of)
    return f"{hits} of {of}: {100 * hits / of:.0f} % ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


def print_rates() -> None:
    """A row for each model and part, by the contract as it was when the replies were made, and by today's."""
    replies = [reply for reply in stored() if reply.judgement]
    print("| model | prompts | contract | accepted | bad of the accepted | refused of the sound |")
    print("|---|---|---|---|---|---|")
    for model, part in sorted({(reply.model, reply.part) for reply in replies}):
        chosen = [reply for reply in replies if (reply.model, reply.part) == (model, part)]
        print(f"| {model} | {part} | before | {_rates_of(chosen, [reply.outcome for reply in chosen])} |")
        print(f"| {model} | {part} | now | {_rates_of(chosen, [outcome_today(reply) for reply in chosen])} |")
    strictly = [outcome_today(reply, strict_wording=True) for reply in replies]
    for name, parts in (("the tuning parts", _TUNED_WITH), ("last report", {"last report"})):
        pairs = [pair for pair in zip(replies, strictly, strict=True) if pair[0].part in parts]
        added = sum(outcome == "added" for _, outcome in pairs)
        rates = _rates_of([reply for reply, _ in pairs], [outcome for _, outcome in pairs])
        print(f"| both | {name} | strict wording, {added} more as additions | {rates} |")


def main() -> None:
    """Ask a model, or print the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("ask")
    asking.add_argument("shared", type=Path)
    asking.add_argument("model")
    asking.add_argument("part")
    commands.add_parser("rates")
    options = parser.parse_args()
    if options.command == "ask":
        ask(options.model, options.shared / "data", options.part)
    else:
        print_rates()


if __name__ == "__main__":
    main()
