"""Whether a model's own likelihoods find the bad rewrites that form cannot: the section "Meaning" of docs/fidelity.md.

`python benchmarks/meaning.py score ../shared SCORES.jsonl --model qwen2.5-coder-0.5b` measures every case,
`python benchmarks/meaning.py table SCORES.jsonl` prints the table from that.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from fidelity import real_prompts, stored_cases, without_a_constraint
from read_replies import in_turn, is_accepted, outcome_today, stored

from fipo_model.backends.opening import open_scorer
from fipo_model.contract.reading import read
from fipo_model.generation import Message, Scorer
from fipo_model.types import count_words

_DELETIONS = 60
_LONGEST_MUTATED = 40  # words: the time is for many prompts, not for long ones
_CASES_AT_ONCE = 6
_COSTS = (0.05, 0.1, 0.2)  # shares of the good rewrites that a threshold may cost
_AGAIN = "Somebody asked this:\n\n{}\n\nSay again, sentence by sentence, what was asked."
_NOTHING = "Somebody asked something. Say again, sentence by sentence, what was asked."
_ENTAILS = (
    "Prompt A:\n{}\n\nPrompt B:\n{}\n\nDoes a response that does everything that prompt B asks also do everything that "
    "prompt A asks? Reply Yes or No."
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A rewrite that is known to be good or bad, and where it comes from."""

    group: str
    is_bad: bool
    naive: str
    rewrite: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the model says of a rewrite; low is suspicious."""

    group: str
    is_bad: bool
    recalled: float
    """How much likelier the rewrite makes the naive prompt's least supported sentence, in nats per token."""
    repeated: float
    """How likely that sentence is after the rewrite, in nats per token."""
    forward: float
    """How likely it is that whoever does what the rewrite asks does what the prompt asks, in nats."""
    both: float
    """The less likely of this and the same asked the other way round."""


SIGNALS: dict[str, Callable[[Scores], float]] = {
    "least supported sentence, against nothing": lambda scores: scores.recalled,
    "least likely sentence": lambda scores: scores.repeated,
    "entailment": lambda scores: scores.forward,
    "entailment both ways": lambda scores: scores.both,
}


def judged_cases(shared: Path) -> list[Judged]:
    """Replies that the contract accepts, or did before it was mended; the shared cases; and deletions."""
    read_ones = [
        Judged(
            "replies" if is_accepted(outcome_today(reply)) else "refused",
            reply.judgement == "bad",
            reply.naive,
            reply.reply,
        )
        for reply in stored()
        if is_accepted(reply.outcome) or is_accepted(outcome_today(reply))
    ]
    cases = [
        Judged("cases", is_bad, case.naive, case.rewrite)
        for name, is_bad in (("bad_rewrites", True), ("good_rewrites", False))
        for case in stored_cases(shared / "cases" / f"{name}.jsonl")
    ]
    short = (prompt for prompt in real_prompts(shared / "data") if count_words(prompt) <= _LONGEST_MUTATED)
    deleted = [
        Judged("deletions", True, case.naive, case.rewrite) for case in islice(without_a_constraint(short), _DELETIONS)
    ]
    groups: dict[tuple[str, bool], list[Judged]] = {}
    for case in [*read_ones, *cases, *deleted]:
        groups.setdefault((case.group, case.is_bad), []).append(case)
    # From each group in turn, at random within a group, so that a run cut short has as many of each.
    return list(in_turn([random.Random(0).sample(group, len(group)) for group in groups.values()]))


def scored(scorer: Scorer, cases: Sequence[Judged]) -> list[Scores]:
    """Every case's scores, from one call."""
    sentences = [[sentence.text for sentence in read(case.naive).sentences] or [case.naive] for case in cases]
    pairs: list[tuple[list[Message], str]] = []
    for case, said in zip(cases, sentences, strict=True):
        pairs += [(_user(_AGAIN.format(case.rewrite)), sentence) for sentence in said]
        pairs += [(_user(_NOTHING), sentence) for sentence in said]
        pairs += [(_user(_ENTAILS.format(case.naive, case.rewrite)), "Yes")]
        pairs += [(_user(_ENTAILS.format(case.rewrite, case.naive)), "Yes")]
    values = iter(scorer.log_likelihoods(pairs))
    return [_scores(case, len(said), values) for case, said in zip(cases, sentences, strict=True)]


def _user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def _scores(case: Judged, sentences: int, values: Iterator[float]) -> Scores:
    given = list(islice(values, sentences))
    alone = list(islice(values, sentences))
    forward, backward = next(values), next(values)
    return Scores(
        group=case.group,
        is_bad=case.is_bad,
        recalled=min(with_it - without for with_it, without in zip(given, alone, strict=True)),
        repeated=min(given),
        forward=forward,
        both=min(forward, backward),
    )


def score(shared: Path, output: Path, model: str) -> None:
    """Append the scores of every case to the file, a few cases at a time."""
    scorer = open_scorer(model)
    cases = judged_cases(shared)
    done = len(output.read_text(encoding="utf-8").splitlines()) if output.exists() else 0
    for start in range(done, len(cases), _CASES_AT_ONCE):
        with output.open("a", encoding="utf-8") as file:
            for scores in scored(scorer, cases[start : start + _CASES_AT_ONCE]):
                file.write(json.dumps(asdict(scores)) + "\n")
        print(f"{start + _CASES_AT_ONCE} of {len(cases)}", flush=True)


def area(bad: Sequence[float], good: Sequence[float]) -> float:
    """How often a bad rewrite scores lower than a good one: the area under the curve, 0.5 for chance."""
    wins = sum((low < high) + (low == high) / 2 for low in bad for high in good)
    return wins / (len(bad) * len(good))


def below(values: Sequence[float], threshold: float) -> str:
    """How many are below the threshold, in words."""
    found = sum(value < threshold for value in values)
    return f"{found} of {len(values)}"


_COLUMNS = {
    "good cases lost": ("cases", False),
    "bad cases found": ("cases", True),
    "deletions found": ("deletions", True),
    "bad replies found that form finds": ("refused", True),
    "that it does not": ("replies", True),
    "good replies lost": ("replies", False),
}


def print_table(scores: Iterable[Scores]) -> None:
    """What each signal and threshold finds, and what that costs. Thresholds are set on the shared good cases."""
    members: dict[tuple[str, bool], list[Scores]] = {group: [] for group in _COLUMNS.values()}
    for each in scores:
        members.setdefault((each.group, each.is_bad), []).append(each)
    print(f"| signal | area: cases | area: replies | {' | '.join(_COLUMNS)} |\n{'|---' * (3 + len(_COLUMNS))}|")
    for name, signal in SIGNALS.items():
        values = {group: [signal(each) for each in found] for group, found in members.items()}
        good_cases = sorted(values["cases", False])
        bad_replies = values["refused", True] + values["replies", True]
        areas = f"{area(values['cases', True], good_cases):.2f} | {area(bad_replies, values['replies', False]):.2f}"
        for cost in _COSTS:
            threshold = good_cases[int(cost * len(good_cases))]
            cells = (below(values[group], threshold) for group in _COLUMNS.values())
            print(f"| {name} | {areas} | {' | '.join(cells)} |")


def main() -> None:
    """Score, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    scoring = commands.add_parser("score")
    scoring.add_argument("shared", type=Path)
    scoring.add_argument("scores", type=Path)
    scoring.add_argument("--model", default="qwen2.5-coder-0.5b")
    showing = commands.add_parser("table")
    showing.add_argument("scores", type=Path)
    options = parser.parse_args()
    if options.command == "score":
        score(options.shared, options.scores, options.model)
    else:
        print_table(Scores(**json.loads(line)) for line in options.scores.read_text(encoding="utf-8").splitlines())


if __name__ == "__main__":
    main()
