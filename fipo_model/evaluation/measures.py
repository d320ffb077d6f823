"""What is measured of rewrites: what became of them, what they keep, and what they do to the golden response."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fipo_model import fidelity
from fipo_model.data.records import Record
from fipo_model.evaluation import statistics
from fipo_model.evaluation.systems import judged_request_of, request_of
from fipo_model.types import Outcome, count_words

Rewrites = Mapping[str, Mapping[str, Any]]
"""By the records' ids: the fields `outcome`, `text` (the prompt to use) and `proposed`."""

_KEPT: dict[str, Outcome] = {
    "placeholders": "placeholder_lost",
    "urls": "url_lost",
    "e-mail addresses": "email_lost",
    "numbers": "number_lost",
    "quotations": "quotation_lost",
    "code": "code_lost",
}
NO_GOLDEN = "no golden response"


def rewriting(records: Mapping[str, Record], rewrites: Rewrites, *, seed: int) -> dict[str, Any]:
    """Outcomes, how much was rewritten and how long it got, which literals survived, and answers given away."""
    changed = [key for key in records if rewrites[key]["text"] != records[key].instruction]
    ratios = [count_words(rewrites[key]["text"]) / count_words(records[key].instruction) for key in changed]
    leaks = [key for key in records if _leaks(records[key], rewrites[key]["text"])]
    return {
        "rows": len(records),
        "outcomes": dict(Counter(rewrites[key]["outcome"] for key in records).most_common()),
        "rewritten": asdict(statistics.share(len(changed), len(records))),
        "kept": {name: _kept(records, rewrites, fidelity.RULES[rule]) for name, rule in _KEPT.items()},
        "length_ratio": asdict(statistics.mean(ratios, seed=seed)) if len(ratios) > 1 else None,
        "leaked": {"of": sum(record.golden_response is not None for record in records.values()), "leaks": len(leaks)},
    }


def _kept(records: Mapping[str, Record], rewrites: Rewrites, rule: fidelity.Rule) -> dict[str, int]:
    """Of the prompts that have such a literal, how many proposals, and how many prompts to use, kept all of theirs."""
    # A rule that objects to an empty rewrite is one whose literals the prompt has.
    having = [key for key, record in records.items() if rule.objection("", request_of(record)) is not None]

    def keeping(field: str) -> int:
        return sum(rule.objection(rewrites[key][field] or "", request_of(records[key])) is None for key in having)

    return {"of": len(having), "proposed": keeping("proposed"), "final": keeping("text")}


def _leaks(record: Record, text: str) -> bool:
    """Whether a prompt gives away the golden response, where the naive prompt did not."""
    if record.golden_response is None:
        return False
    return fidelity.golden_leaked(text, judged_request_of(record)) is not None


def gains(
    records: Mapping[str, Record], rewrites: Rewrites, measured: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, float], dict[str, int]]:
    """What each rewrite changes in log p(golden response | prompt), in nats per token, and what was left out and why.

    `measured`: the log-likelihood (`value`), or a reason not to have one (`error`), by `likelihood_key`.
    """
    found: dict[str, float] = {}
    left_out: Counter[str] = Counter()
    for key, record in records.items():
        if record.golden_response is None:
            left_out[NO_GOLDEN] += 1
            continue
        both = [measured[likelihood_key(key, text)] for text in (record.instruction, rewrites[key]["text"])]
        if error := next((fields["error"] for fields in both if "error" in fields), None):
            left_out[error] += 1
            continue
        naive, new = (fields["value"] for fields in both)
        found[key] = new - naive
    return found, dict(left_out)


def likelihood_key(record_id: str, text: str) -> str:
    """The key of a measured likelihood: one prompt is measured once, whichever systems propose it."""
    return f"{record_id}\n{text}"


def golden_gain(found: Mapping[str, float], left_out: Mapping[str, int], *, seed: int) -> dict[str, Any] | None:
    """The mean gain, and the shares that became better, worse and neither. None for fewer than two prompts."""
    values = list(found.values())
    if len(values) < 2:
        return None
    return {
        "rows": len(values),
        "gain": asdict(statistics.mean(values, seed=seed)),
        "better": asdict(statistics.share(sum(value > 0 for value in values), len(values))),
        "worse": asdict(statistics.share(sum(value < 0 for value in values), len(values))),
        "unchanged": sum(value == 0 for value in values) / len(values),
        "left_out": dict(left_out),
    }


def preference_pairs(
    records: Mapping[str, Record], rejecting: Rewrites | None
) -> tuple[dict[str, tuple[str, str]], dict[str, int]]:
    """A better and a worse rewrite for each record that has both, and what was left out and why.

    `rejecting`: rewrites that stand for the rejected ones where a record has none of its own.
    """
    pairs: dict[str, tuple[str, str]] = {}
    left_out: Counter[str] = Counter()
    for key, record in records.items():
        rejected = record.rejected or ((rejecting[key]["proposed"] or "") if rejecting else "")
        if record.chosen is None:
            left_out["no chosen rewrite"] += 1
        elif not rejected.strip():
            left_out["no rejected rewrite"] += 1
        elif rejected.strip() == record.chosen.strip():
            left_out["chosen and rejected are equal"] += 1
        else:
            pairs[key] = (record.chosen, rejected)
    return pairs, dict(left_out)


def preference_accuracy(found: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, int]) -> dict[str, Any] | None:
    """In how many pairs the chosen rewrite has a `margin` above 0; those with an `error` are left out."""
    margins = [fields["margin"] for fields in found.values() if "margin" in fields]
    if not margins:
        return None
    errors = Counter(fields["error"] for fields in found.values() if "error" in fields)
    accuracy = statistics.share(sum(margin > 0 for margin in margins), len(margins))
    return {"rows": len(margins), "accuracy": asdict(accuracy), "left_out": {**left_out, **errors}}
