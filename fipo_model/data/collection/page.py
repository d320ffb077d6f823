"""The report as one page: what became of the records, in plots, numbers and examples."""

import base64
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from typing import Any

from fipo_model.data.collection.cases import Case
from fipo_model.data.collection.report import lengths_of
from fipo_model.errors import explain_missing
from fipo_model.pages.document import Section, document
from fipo_model.pages.markup import table

with explain_missing("train", "matplotlib"):
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

_PAIRS_SHOWN = 5
_LONGEST_TEXT = 1200
_GOOD, _OPEN, _BAD = "#2a7f62", "#8d99ae", "#c8553d"

_STYLE = """
img { max-width: 100%; height: auto; }
dl { margin: 0 0 1.2rem; } dt { color: var(--soft); font-size: .85rem; margin-top: .4rem; }
dd { margin: 0; white-space: pre-wrap; background: var(--sheet); padding: .4rem .6rem; }
"""


def render_page(report: Mapping[str, Any], cases: Sequence[Case], title: str) -> str:
    """The page for a report and the records it is about. Whatever they contain is shown, never interpreted."""
    reasons = table("Every reason to fail", ("reason", "records"), report["failed"].items())
    settings = table("Settings", ("setting", "value"), (report["settings"] or {}).items())
    parts = [
        Section("outcomes", "What became of the records", _outcomes_figure(report)),
        Section("judge", "What the judge said", _judge_figure(report["judge"])),
        Section("lengths", "How long the texts are", _lengths_figure(lengths_of(cases))),
        Section("calls", "What it took", _calls_table(report["calls"])),
        Section("pairs", "Pairs", "".join(_pairs(cases))),
        Section("failures", "Failures, one for each reason", "".join(_failures(cases)) + reasons),
        Section("settings", "Settings", settings),
    ]
    return document(title, [_summary(report)], parts, style=_STYLE)


def _summary(report: Mapping[str, Any]) -> str:
    records = report["records"]
    waiting = f", {records['waiting']} wait for more calls" if records["waiting"] else ""
    unusable = f" {report['bad_rows']} lines of the input could not be used." if report["bad_rows"] else ""
    return (
        f"Of {records['read']} records, {records['accepted']} became preference pairs and {records['failed']} failed"
        f"{waiting}.{unusable}"
    )


def _outcomes_figure(report: Mapping[str, Any]) -> str:
    reasons = sorted(((n, reason) for reason, n in report["failed"].items() if n), key=lambda pair: (-pair[0], pair[1]))
    bars = [("accepted", report["records"]["accepted"], _GOOD), *((reason, n, _BAD) for n, reason in reasons)]
    if report["records"]["waiting"]:
        bars.append(("waiting", report["records"]["waiting"], _OPEN))
    figure = Figure(figsize=(8, 0.7 + 0.34 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.barh([b[0] for b in bars], [b[1] for b in bars], color=[b[2] for b in bars])
    axes.bar_label(drawn, padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("records")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _image(figure, "Records by outcome", ", ".join(f"{name}: {count}" for name, count, _ in bars))


def _judge_figure(judge: Mapping[str, Any]) -> str:
    if not judge["judged"]:
        return "<p>No pair came as far as the judge.</p>"
    kinds = (("prefers_chosen", _GOOD), ("tie", _OPEN), ("prefers_rejected", _BAD))
    figure = Figure(figsize=(8, 1.5), layout="constrained")
    axes = figure.add_subplot()
    left = 0
    for kind, colour in kinds:
        drawn = axes.barh([""], [judge[kind]], left=left, color=colour, label=kind.replace("_", " "))
        axes.bar_label(drawn, labels=[str(judge[kind] or "")], label_type="center", color="white")
        left += judge[kind]
    axes.set_xlabel("pairs")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks([])
    axes.set_xlim(0, left)
    figure.legend(loc="outside upper center", ncols=len(kinds), frameon=False)
    ties = "".join(f"; tie: {reason} ({count})" for reason, count in judge["ties"].items())
    agreement = f"The two orders agree on {judge['agreement']:.1%} of {judge['judged']} pairs{ties}"
    return _image(figure, agreement, ", ".join(f"{kind}: {judge[kind]}" for kind, _ in kinds))


def _lengths_figure(lengths: Mapping[str, Sequence[int]]) -> str:
    if not lengths:
        return "<p>No record was accepted.</p>"
    figure = Figure(figsize=(8, 0.7 + 0.45 * len(lengths)), layout="constrained")
    axes = figure.add_subplot()
    # A text of no word (only signs of its own kind) has no place on the logarithmic scale.
    counts = [[max(1, count) for count in part] for part in lengths.values()]
    axes.boxplot(counts, orientation="horizontal", tick_labels=[name.replace("_", " ") for name in lengths], widths=0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.invert_yaxis()
    axes.set_xlabel("words")
    medians = ", ".join(f"{name}: {statistics.median(part):g}" for name, part in lengths.items())
    return _image(figure, "Words in each part of the accepted records (box: quartiles)", f"medians: {medians}")


def _image(figure: Figure, caption: str, alternative: str) -> str:
    with matplotlib.rc_context({"svg.hashsalt": "fipo"}), io.BytesIO() as drawing:
        # Without a date and with fixed names, so that the same report gives the same page.
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
        source = base64.b64encode(drawing.getvalue()).decode("ascii")
    image = f'<img src="data:image/svg+xml;base64,{source}" alt="{escape(alternative)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _calls_table(calls: Mapping[str, Any]) -> str:
    rows = [
        (stage, spent["calls"], spent["prompt_tokens"], spent["completion_tokens"])
        for stage, spent in calls["by_stage"].items()
    ]
    rows.append(("together", *(sum(row[column] for row in rows) for column in (1, 2, 3))))
    return table("Calls of models", ("stage", "calls", "tokens of prompts", "tokens of replies"), rows)


def _pairs(cases: Sequence[Case]) -> Iterator[str]:
    accepted = (case.record for case in cases if case.is_accepted)
    for record in islice(accepted, _PAIRS_SHOWN):
        parts = {"naive prompt": record.instruction, "chosen": record.chosen, "rejected": record.rejected}
        yield f"<h3>{escape(record.id)}</h3>{_texts(parts)}"


def _failures(cases: Sequence[Case]) -> Iterator[str]:
    shown = set()
    for case in cases:
        if (failure := case.failure) is not None and failure.reason not in shown:
            shown.add(failure.reason)
            parts = {"naive prompt": case.record.instruction, "text": failure.text, "why": failure.detail}
            yield f"<h3>{escape(failure.reason)}: {escape(case.record.id)}</h3>{_texts(parts)}"


def _texts(parts: Mapping[str, str | None]) -> str:
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{_shortened(text)}</dd>' for name, text in parts.items() if text)}</dl>"


def _shortened(text: str) -> str:
    return escape(text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …")
