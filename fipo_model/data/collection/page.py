"""The report as one page that needs nothing else: what became of the records, in plots, numbers and examples."""

import base64
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import islice
from string import Template
from typing import Any

from fipo_model.data.collection.cases import Case
from fipo_model.data.collection.report import lengths_of
from fipo_model.errors import explain_missing

with explain_missing("train", "matplotlib"):
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

_PAIRS_SHOWN = 5
_LONGEST_TEXT = 1200
_GOOD, _OPEN, _BAD = "#2a7f62", "#8d99ae", "#c8553d"

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2430; background: #fff; max-width: 56rem; margin: 2rem auto; \
padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; } h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #566; font-size: .9rem; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .2rem 1.2rem .2rem 0; vertical-align: top; }
tr { border-bottom: 1px solid #e3e6ea; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
dl { margin: 0 0 1.2rem; } dt { color: #566; font-size: .85rem; margin-top: .4rem; }
dd { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f6f8; padding: .4rem .6rem; }
</style>
</head>
<body>
<h1>$title</h1>
<p>$summary</p>
$body
</body>
</html>
""")


def render_page(report: Mapping[str, Any], cases: Sequence[Case], title: str) -> str:
    """The page for a report and the records it is about. Whatever they contain is shown, never interpreted."""
    body = [
        *("<h2>What became of the records</h2>", _outcomes_figure(report)),
        *("<h2>What the judge said</h2>", _judge_figure(report["judge"])),
        *("<h2>How long the texts are</h2>", _lengths_figure(lengths_of(cases))),
        *("<h2>What it took</h2>", _calls_table(report["calls"])),
        *("<h2>Pairs</h2>", *_pairs(cases)),
        *("<h2>Failures, one for each reason</h2>", *_failures(cases)),
        *("<h2>Every reason to fail</h2>", _table(("reason", "records"), report["failed"].items())),
        *("<h2>Settings</h2>", _table(("setting", "value"), (report["settings"] or {}).items())),
    ]
    return _PAGE.substitute(title=escape(title), summary=escape(_summary(report)), body="\n".join(body))


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
    return _table(("stage", "calls", "tokens of prompts", "tokens of replies"), rows)


def _table(header: Sequence[str], rows: Any) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f'<td class="number">{text}</td>' if is_number else f"<td>{escape(text)}</td>"


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
