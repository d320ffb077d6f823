"""The report as one page: what happened to the records, in plots, numbers and examples."""

import base64
import io
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from fipo_model.data.collection.cases import Case
from fipo_model.data.collection.report import Calls, Judged, Report, lengths_of
from fipo_model.data.collection.workplace import Spent
from fipo_model.errors import explain_missing
from fipo_model.pages.figures import Table
from fipo_model.pages.numbers import counted

with explain_missing("train", "matplotlib", "jinja2"):
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

    from fipo_model.pages.document import Section, document

_PAIRS_SHOWN = 5
_LONGEST_TEXT = 1200
_GOOD, _OPEN, _BAD = "#2a7f62", "#8d99ae", "#c8553d"
_SECTIONS = (
    Section("outcomes", "What happened to the records"),
    Section("judge", "What the judge said"),
    Section("lengths", "How long the texts are"),
    Section("calls", "What it took"),
    Section("pairs", "Pairs"),
    Section("failures", "Failures, one for each reason"),
    Section("settings", "Settings"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A plot as a data URI, with its caption and the words that stand for it."""

    source: str
    caption: str
    alternative: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A record on the page: a title, and its texts by their names."""

    title: str
    texts: Mapping[str, str]


def render_page(report: Report, cases: Sequence[Case], title: str) -> str:
    """The page for a report and the records it is about. Whatever they contain is shown, never interpreted."""
    return document(
        f"{__package__}/page.html.j2",
        title=title,
        sentences=[_summarize(report)],
        sections=_SECTIONS,
        content={
            "outcomes": _plot_outcomes(report),
            "judge": _plot_verdicts(report.judge),
            "lengths": _plot_lengths(lengths_of(cases)),
            "calls": _tabulate_calls(report.calls),
            "pairs": list(islice(_show_pairs(cases), _PAIRS_SHOWN)),
            "failures": list(_show_failures(cases)),
            "reasons": Table(
                caption="All reasons for failure", header=("reason", "records"), rows=list(report.failed.items())
            ),
            "settings": Table(
                caption="Settings", header=("setting", "value"), rows=list((report.settings or {}).items())
            ),
        },
    )


def _summarize(report: Report) -> str:
    records = report.records
    waiting = f", and {counted(records.waiting, 'is', 'are')} waiting for more calls" if records.waiting else ""
    unusable = f" {counted(report.bad_rows, 'line')} of the input could not be used." if report.bad_rows else ""
    return (
        f"Of {counted(records.read, 'record')}, {records.accepted} became preference pairs and {records.failed} failed"
        f"{waiting}.{unusable}"
    )


def _plot_outcomes(report: Report) -> Image:
    failed = [(reason, count, _BAD) for reason, count in sorted(report.failed.items()) if count]
    bars = [("accepted", report.records.accepted, _GOOD), *sorted(failed, key=lambda bar: -bar[1])]
    if report.records.waiting:
        bars.append(("waiting", report.records.waiting, _OPEN))
    names, counts, colours = zip(*bars, strict=True)
    figure = Figure(figsize=(8, 0.7 + 0.34 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.barh(names, counts, color=colours)
    axes.bar_label(drawn, padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("records")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _image(figure, "Records by outcome", ", ".join(f"{name}: {count}" for name, count, _ in bars))


def _plot_verdicts(judge: Judged) -> Image | None:
    if not judge.judged:
        return None
    kinds = {
        "prefers chosen": (judge.prefers_chosen, _GOOD),
        "tie": (judge.tie, _OPEN),
        "prefers rejected": (judge.prefers_rejected, _BAD),
    }
    figure = Figure(figsize=(8, 1.5), layout="constrained")
    axes = figure.add_subplot()
    left = 0
    for kind, (count, colour) in kinds.items():
        drawn = axes.barh([""], [count], left=left, color=colour, label=kind)
        axes.bar_label(drawn, labels=[str(count or "")], label_type="center", color="white")
        left += count
    axes.set_xlabel("pairs")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_yticks([])
    axes.set_xlim(0, left)
    figure.legend(loc="outside upper center", ncols=len(kinds), frameon=False)
    ties = "".join(f"; tie: {reason} ({count})" for reason, count in judge.ties.items())
    agreement = f"The two orders agree on {judge.agreement:.1%} of {judge.judged} pairs{ties}"
    return _image(figure, agreement, ", ".join(f"{kind}: {count}" for kind, (count, _) in kinds.items()))


def _plot_lengths(lengths: Mapping[str, Sequence[int]]) -> Image | None:
    if not lengths:
        return None
    figure = Figure(figsize=(8, 0.7 + 0.45 * len(lengths)), layout="constrained")
    axes = figure.add_subplot()
    # A text without words (only signs) has no place on the logarithmic scale.
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


def _image(figure: Figure, caption: str, alternative: str) -> Image:
    with matplotlib.rc_context({"svg.hashsalt": "fipo"}), io.BytesIO() as drawing:
        # Without a date and with fixed names, so that the same report gives the same page.
        figure.savefig(drawing, format="svg", metadata={"Date": None, "Creator": None})
        source = base64.b64encode(drawing.getvalue()).decode("ascii")
    return Image(source=f"data:image/svg+xml;base64,{source}", caption=caption, alternative=alternative)


def _tabulate_calls(calls: Calls) -> Table:
    spent = list(calls.by_stage.items())
    together = Spent(
        calls=sum(one.calls for _, one in spent),
        prompt_tokens=sum(one.prompt_tokens for _, one in spent),
        completion_tokens=sum(one.completion_tokens for _, one in spent),
    )
    rows = [(name, one.calls, one.prompt_tokens, one.completion_tokens) for name, one in (*spent, ("total", together))]
    header = ("stage", "calls", "prompt tokens", "reply tokens")
    return Table(caption="Model calls", header=header, rows=rows)


def _show_pairs(cases: Sequence[Case]) -> Iterator[Shown]:
    for case in cases:
        if case.is_accepted:
            record = case.record
            texts = {"naive prompt": record.instruction, "chosen": record.chosen, "rejected": record.rejected}
            yield Shown(title=record.id, texts=_shorten(texts))


def _show_failures(cases: Sequence[Case]) -> Iterator[Shown]:
    """The first failure for each reason."""
    seen = set()
    for case in cases:
        failure = case.failure
        if failure is None or failure.reason in seen:
            continue
        seen.add(failure.reason)
        texts = {"naive prompt": case.record.instruction, "text": failure.text, "why": failure.detail}
        yield Shown(title=f"{failure.reason}: {case.record.id}", texts=_shorten(texts))


def _shorten(texts: Mapping[str, str | None]) -> dict[str, str]:
    """The texts that there are, with long ones cut."""
    there = {name: text for name, text in texts.items() if text}
    return {name: text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} …" for name, text in there.items()}
