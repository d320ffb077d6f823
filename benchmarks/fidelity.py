"""How often the contract lets bad rewrites pass and refuses good ones: the table of docs/fidelity.md.

`python benchmarks/fidelity.py ../shared` prints it; `--failures NAME` also lists the failures behind each rate with
NAME in its name; `--json FILE` keeps the figures. The cases are those of ../shared/cases; the mutations are made here
from the prompts of ../shared/data, seeded.
"""

import argparse
import json
import random
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from planting import plant

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import as_addition, check
from fipo_model.types import count_words

_ACCEPTED = ("optimized", "unchanged")
_OTHER_TASKS = 8  # for each
_MUTATIONS = 260  # of each kind, as in the first measurement
_CONSTRAINT = re.compile(
    r"(?i)\b(?:must|should|do not|don't|never|only|at least|at most|no more than|avoid|ensure|make sure|include|"
    r"exactly|use|keep|limit|without|always|each|every)\b"
)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]+(?=\s|$)")
_SLOTS = ("{audience}", "{{ tone }}", "[COMPANY]", "<topic>", "${name}", "%s")
_TAGS = ("<thinking>", "<answer>", "</notes>")


@dataclass(frozen=True, slots=True)
class Case:
    """A rewrite that ought to be refused, or one that ought to be accepted."""

    naive: str
    rewrite: str
    context: str | None = None
    note: str = ""


@dataclass
class Rate:
    """How many cases failed, out of how many, and which."""

    name: str
    cases: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The part that failed."""
        return self.failed / self.cases if self.cases else float("nan")


def outcome_of(case: Case) -> tuple[str, str]:
    """What becomes of a rewrite, with the word limit out of the way."""
    request = OptimizationRequest(case.naive, context=case.context or None, max_words=100_000)
    candidate = check(case.rewrite, request, FidelitySettings(), FIPO_1)
    return candidate.outcome, candidate.detail


def passing(name: str, cases: Iterable[Case]) -> Rate:
    """How many rewrites pass although they ought not to."""
    return _rate(name, cases, lambda outcome: outcome in _ACCEPTED)


def refused(name: str, cases: Iterable[Case]) -> Rate:
    """How many rewrites are refused although they ought not to be."""
    return _rate(name, cases, lambda outcome: outcome not in _ACCEPTED)


def _rate(name: str, cases: Iterable[Case], fails: Callable[[str], bool]) -> Rate:
    rate = Rate(name)
    for case in cases:
        outcome, detail = outcome_of(case)
        rate.cases += 1
        if fails(outcome):
            rate.failed += 1
            rate.failures.append(f"{case.note} | {outcome}: {detail} | {case.naive[:300]!r} -> {case.rewrite[:300]!r}")
    return rate


def rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def stored_cases(path: Path) -> list[Case]:
    """Cases of the shared folder."""
    return [Case(row["naive"], row["rewrite"], row.get("context"), row["kind"]) for row in rows(path)]


def real_prompts(data: Path) -> list[str]:
    """Instructions that people wrote, of 5 to 200 words, in a random order."""
    files = ("prompt_pairs/train", "prompt_pairs/candidates", "prompt_pairs/bpo", "instructions/with_golden_response")
    found = {row["instruction"] for name in files for row in rows(data / f"{name}.jsonl")}
    # "2 / 5" at the beginning is what a chat's page adds when a conversation is copied.
    prompts = sorted(p for p in found if 5 <= count_words(p) <= 200 and not re.match(r"\d+ / \d+", p))
    random.Random(0).shuffle(prompts)
    return prompts


def without_a_constraint(prompts: Iterable[str], seed: int = 1) -> Iterator[Case]:
    """Prompts of several sentences, with one that sets a constraint deleted."""
    rng = random.Random(seed)
    for prompt in prompts:
        sentences = list(_SENTENCE.finditer(prompt))
        constraints = [match for match in sentences if _CONSTRAINT.search(match[0]) and count_words(match[0]) > 2]
        if len(sentences) > 1 and constraints:
            cut = rng.choice(constraints)
            yield Case(prompt, f"{prompt[: cut.start()].rstrip()} {prompt[cut.end() :].lstrip()}".strip(), note=cut[0])


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one word: each match of `pattern` becomes a different one of `others`."""

    name: str
    pattern: str
    others: Sequence[str]
    flags: re.RegexFlag = re.IGNORECASE

    def cases(self, prompts: Iterable[str], seed: int = 2) -> Iterator[Case]:
        """Prompts with one such change."""
        rng = random.Random(seed)
        for prompt in prompts:
            found = list(re.finditer(self.pattern, prompt, self.flags))
            if not found:
                continue
            match = rng.choice(found)
            others = [other for other in self.others if other.lower() != match[0].lower()]
            other = rng.choice(others)
            changed = prompt[: match.start()] + other + prompt[match.end() :]
            yield Case(prompt, re.sub(r"  +", " ", changed) if not other else changed, note=f"{match[0]} -> {other}")


_LANGUAGE = (
    r"\b(?:English|French|German|Spanish|Italian|Chinese|Japanese|Russian|Portuguese|Arabic|Hindi|Korean|Dutch)\b"
)
_NUMBER_WORD = r"\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|fifteen|twenty)\b"
_MEASURED = (
    r"(?<=\d )(?:minutes?|hours?|days?|weeks?|months?|years?|km|miles?|kg|cm|meters?|words?|sentences?|degrees?)\b"
)
EDITS = (
    Edit("`not` deleted", r"(?<= )not (?!only)", ("",)),
    Edit("`not` inserted", r"(?<=\bshould )(?!not\b)(?=\w)|(?<=\bmust )(?!not\b)(?=\w)", ("not ",)),
    Edit("`only` deleted", r"(?<= )only (?!if)", ("",)),
    Edit("number word", _NUMBER_WORD, ("two", "three", "seven", "eleven", "forty")),
    Edit("number", r"(?<![\w.,-])[2-9]\d*(?![\w.,:)-])", ("13", "47", "98")),
    Edit("name", r"(?<=[a-z,] )[A-Z][a-z]{3,}(?= [a-z])", ("Marlowe", "Zagreb", "Okafor"), re.RegexFlag(0)),
    Edit("language", _LANGUAGE, ("Swedish", "Greek", "Turkish")),
    Edit("bound: other way", r"\bat least\b|(?<!no )(?<!not )\bmore than\b|\bminimum of\b", ("at most", "less than")),
    Edit("bound: before, after", r"\bbefore\b", ("after",)),
    Edit("bound deleted", r"\bat least |\bat most |\bno more than |\bexactly |\bup to (?=\d)", ("",)),
    Edit("unit", _MEASURED, ("pounds", "inches", "seconds", "pages")),
)


def planted(prompts: Iterable[str], marks: Sequence[str], seed: int = 3) -> Iterator[Case]:
    """Prompts with a slot or a tag between two words, which the rewrite lacks."""
    rng = random.Random(seed)
    for prompt in prompts:
        words = prompt.split(" ")
        place = rng.randint(0, len(words))
        mark = rng.choice(marks)
        yield Case(" ".join([*words[:place], mark, *words[place:]]), prompt, note=mark)


def _role(prompt: str) -> str:
    return f"You are a helpful expert. {prompt}"


def _bullets(prompt: str) -> str:
    return "\n".join(f"- {sentence.strip()}" for sentence in re.split(r"(?<=[.!?])\s+", prompt) if sentence.strip())


def _quotes(prompt: str) -> str:
    return re.sub(r"(?<!\w)\"([^\"\n]+)\"(?!\w)", r"“\1”", prompt).replace("'", "\u2019")


def _dashes(prompt: str) -> str:
    return prompt.replace(" - ", " \u2014 ").replace("--", "\u2014")


def _wrapped(prompt: str) -> str:
    return f"<instructions>\n{prompt}\n</instructions>"


HARMLESS: dict[str, Callable[[str], str]] = {
    "role": _role,
    "bullets": _bullets,
    "quotes": _quotes,
    "dashes": _dashes,
    "XML wrap": _wrapped,
}


def harmless(name: str, prompts: Iterable[str]) -> Rate:
    """How many prompts are refused after an edit that does not change their meaning, of those whose text it changes."""
    edited = ((prompt, HARMLESS[name](prompt)) for prompt in prompts)
    return refused(
        f"harmless: {name}", [Case(old, new) for old, new in edited if old.split() != new.split()][:_MUTATIONS]
    )


def language_rates(path: Path) -> list[Rate]:
    """Questions that become requests, and unrelated texts in English."""
    stored = rows(path)
    good = [Case(row["question"], row["good_rewrite"], note=row["language"]) for row in stored]
    unrelated = [Case(row["good_rewrite"], row["unrelated_english"], note=row["language"]) for row in stored]
    return [refused("languages: good refused", good), passing("languages: unrelated passing", unrelated)]


def task_rates(data: Path, seed: int = 5) -> list[Rate]:
    """What somebody typed in a hurry, followed by a good wording of the same task, or of another task."""
    tasks = [row["wordings"] for name in ("tasks", "more_tasks") for row in rows(data / f"{name}.jsonl")]
    rng = random.Random(seed)
    own, others = [], []
    for wordings in tasks:
        hasty, *good = wordings[:1] + wordings[2:]
        own += [Case(hasty, f"{hasty}\n\n{wording}") for wording in good]
        for other in rng.sample([each for each in tasks if each is not wordings], _OTHER_TASKS):
            others.append(Case(hasty, f"{hasty}\n\n{rng.choice(other[2:])}"))
    return [
        refused("good wordings of a task refused as additions", own),
        passing("another task's wordings passing as additions", others),
    ]


def form_rate(path: Path) -> Rate:
    """Variables, slots and literals that may go missing."""
    frame = "Summarize the report about {} in a friendly tone."
    cases = [
        Case(frame.replace("{}", row["text"]), "Summarize the report in a friendly tone.", note=row["form"])
        for row in rows(path)
    ]
    return passing("variable forms lost unnoticed", cases)


def milliseconds_for_one_check(prompts: Sequence[str]) -> tuple[float, float]:
    """Median processor times in milliseconds: the first rewrite of a prompt of about 200 words, and a second one."""
    first: list[float] = []
    second: list[float] = []
    for start in range(0, 800, 8):
        # Prompts are joined until they are that long.
        naive = "\n".join(prompts[start : start + 8])
        naive = naive[: [*re.finditer(r"\S+", naive)][:200][-1].end()]
        for times, word in ((first, "this"), (second, "that")):
            case = Case(naive, f"{naive.replace(' the ', f' {word} ', 1)}\nBe brief.")
            began = time.process_time()
            outcome_of(case)
            times.append(time.process_time() - began)
    return 1000 * statistics.median(first), 1000 * statistics.median(second)


def measure(shared: Path) -> tuple[list[Rate], tuple[float, float]]:
    """All rates, and the times of one check."""
    cases, data = shared / "cases", shared / "data"
    prompts = real_prompts(data)
    bad, good = stored_cases(cases / "bad_rewrites.jsonl"), stored_cases(cases / "good_rewrites.jsonl")
    pairs = [Case(r["instruction"], r["optimized"], r["context"]) for r in rows(data / "prompt_pairs/bpo.jsonl")]
    deleted = list(without_a_constraint(prompts))[:_MUTATIONS]
    rates = [
        passing("bad rewrites passing", bad),
        passing("one constraint sentence deleted, passing", deleted),
        *(passing(f"one word: {edit.name}", list(edit.cases(prompts))[:_MUTATIONS]) for edit in EDITS),
        passing("one word: slot", list(planted(prompts, _SLOTS))[:_MUTATIONS]),
        passing("one word: tag", list(planted(prompts, _TAGS))[:_MUTATIONS]),
        refused("good rewrites refused", good),
        refused("good rewrites refused as additions", as_additions(good)),
        passing("bad rewrites passing as additions", as_additions(bad)),
        *(harmless(name, prompts) for name in HARMLESS),
        refused("reference rewrites of BPO refused", pairs),
        refused("reference rewrites of BPO refused as additions", as_additions(pairs)),
        *language_rates(cases / "languages.jsonl"),
        *task_rates(data),
        form_rate(cases / "variable_forms.jsonl"),
    ]
    return rates, milliseconds_for_one_check(prompts)


def as_additions(cases: Iterable[Case]) -> list[Case]:
    """The same rewrites, each appended to its prompt."""
    return [
        Case(case.naive, as_addition(case.rewrite, OptimizationRequest(case.naive)), case.context, case.note)
        for case in cases
    ]


def planted_rates(prompts: Sequence[str], count: int, seed: int = 4) -> list[Rate]:
    """Random commitments in random prompts, by their change: harmful changes that pass, harmless ones refused."""
    rng = random.Random(seed)
    rates: dict[str, Rate] = {}
    for _ in range(count):
        made = plant(rng.choice(prompts), rng)
        name = f"planted, {made.change}: {made.kind}{' (harmless)' if made.is_harmless else ''}"
        rate = rates.setdefault(name, Rate(name))
        outcome, detail = outcome_of(Case(made.naive, made.rewrite))
        rate.cases += 1
        if (outcome in _ACCEPTED) != made.is_harmless:
            rate.failed += 1
            rate.failures.append(f"{outcome}: {detail} | {made.naive[-200:]!r} -> {made.rewrite[-200:]!r}")
    return [rates[name] for name in sorted(rates)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--failures", metavar="NAME", help="list what failed of the rates whose name contains this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--planted", metavar="N", type=int, help="plant N random commitments instead")
    options = parser.parse_args()
    if options.planted:
        rates, times = planted_rates(real_prompts(options.shared / "data"), options.planted), None
    else:
        rates, times = measure(options.shared)
    print("| what | failed | of | share |\n|---|---|---|---|")
    for rate in rates:
        print(f"| {rate.name} | {rate.failed} | {rate.cases} | {100 * rate.share:.1f} % |")
    if times:
        print(f"| check of a rewrite of 200 words, the prompt new | | | {times[0]:.1f} ms |")
        print(f"| check of a rewrite of 200 words, the prompt known | | | {times[1]:.1f} ms |")
    if options.failures:
        for rate in rates:
            if options.failures in rate.name:
                print(f"\n{rate.name}", *rate.failures, sep="\n  ")
    if options.json:
        figures = {"rates": [asdict(rate) for rate in rates], "milliseconds": times}
        options.json.write_text(json.dumps(figures, ensure_ascii=False, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
