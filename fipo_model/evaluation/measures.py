"""Measures of rewrites: what happened to them, what they keep, and what they do to the golden response."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fipo_model import fidelity
from fipo_model.data.records import Record
from fipo_model.evaluation import statistics
from fipo_model.evaluation.results import GoldenGain, Kept, Leaked, PreferenceAccuracy, Rewriting, Seconds
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


def count_rewriting(
    records: Mapping[str, Record],
    rewrites: Rewrites,
    *,
    system: str,
    data: str,
    seconds: Seconds | None,
    seed: int,
) -> Rewriting:
    """Outcomes, how much was rewritten and how long it got, which literals survived, and answers given away."""
    changed = [key for key in records if rewrites[key]["text"] != records[key].instruction]
    ratios = [count_words(rewrites[key]["text"]) / count_words(records[key].instruction) for key in changed]
    leaks = [key for key in records if _leaks(records[key], rewrites[key]["text"])]
    golden = [key for key in records if records[key].golden_response is not None]
    return Rewriting(
        system=system,
        data=data,
        rows=len(records),
        outcomes=dict(Counter(rewrites[key]["outcome"] for key in records).most_common()),
        rewritten=statistics.share(len(changed), len(records)),
        kept={name: _count_kept(records, rewrites, fidelity.RULES[rule]) for name, rule in _KEPT.items()},
        length_ratio=statistics.mean(ratios, seed=seed) if len(ratios) > 1 else None,
        leaked=Leaked(of=len(golden), leaks=len(leaks)),
        seconds=seconds,
    )


def _count_kept(records: Mapping[str, Record], rewrites: Rewrites, rule: fidelity.Rule) -> Kept:
    """Of the prompts with such a literal, how many proposals and how many prompts to use kept all of theirs."""
    # If a rule objects to an empty rewrite, the prompt has literals of its kind.
    having = [key for key, record in records.items() if rule.objection("", request_of(record)) is not None]

    def keeping(field: str) -> int:
        return sum(rule.objection(rewrites[key][field] or "", request_of(records[key])) is None for key in having)

    return Kept(of=len(having), proposed=keeping("proposed"), final=keeping("text"))


def _leaks(record: Record, text: str) -> bool:
    """Whether a prompt gives away the golden response, where the naive prompt did not."""
    if record.golden_response is None:
        return False
    return fidelity.golden_leaked(text, judged_request_of(record)) is not None


def find_gains(
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
        naive = measured[likelihood_key(key, record.instruction)]
        new = measured[likelihood_key(key, rewrites[key]["text"])]
        error = naive.get("error") or new.get("error")
        if error:
            left_out[error] += 1
        else:
            found[key] = new["value"] - naive["value"]
    return found, dict(left_out)


def likelihood_key(record_id: str, text: str) -> str:
    """The key of a measured likelihood. A prompt is measured once, whichever systems propose it."""
    return f"{record_id}\n{text}"


def count_gains(
    gains: Mapping[str, float],
    left_out: Mapping[str, int],
    *,
    system: str,
    data: str,
    test_model: str,
    seed: int,
) -> GoldenGain | None:
    """The mean gain, and the shares that became better, worse and neither. None for fewer than two prompts."""
    values = list(gains.values())
    if len(values) < 2:
        return None
    return GoldenGain(
        system=system,
        data=data,
        test_model=test_model,
        rows=len(values),
        gain=statistics.mean(values, seed=seed),
        better=statistics.share(sum(value > 0 for value in values), len(values)),
        worse=statistics.share(sum(value < 0 for value in values), len(values)),
        unchanged=sum(value == 0 for value in values) / len(values),
        left_out=left_out,
    )


def find_pairs(
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


def count_preferred(
    found: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, int], *, system: str, data: str
) -> PreferenceAccuracy | None:
    """In how many pairs the chosen rewrite has a `margin` above 0; those with an `error` are left out."""
    margins = [fields["margin"] for fields in found.values() if "margin" in fields]
    if not margins:
        return None
    errors = Counter(fields["error"] for fields in found.values() if "error" in fields)
    return PreferenceAccuracy(
        system=system,
        data=data,
        rows=len(margins),
        accuracy=statistics.share(sum(margin > 0 for margin in margins), len(margins)),
        left_out={**left_out, **errors},
    )
