"""Texts chosen on evidence: the chain is run with other texts in it.

A metric, or the likelihood of right outputs, decides.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable

from fipo_integrations.langchain.asking import Asking
from fipo_integrations.langchain.chat_model import conversation_of
from fipo_integrations.langchain.examples import Example, as_pair, text_of
from fipo_integrations.langchain.proposals import Taken, change_of, take
from fipo_integrations.langchain.report import Report
from fipo_integrations.langchain.variables import VariablesChangedError
from fipo_integrations.langchain.walking import Slot
from fipo_model import Candidate, OptimizedPrompt, Outcome, Scorer
from fipo_model import search as searching
from fipo_model.errors import InputError

_RUNS_AT_ONCE = 16

Metric = str | Callable[..., Any]
"""The name of one that FIPO has, or a function (reference, output, input) that returns a number."""
Build = Callable[[Report], Any]
"""The chain with the changes of a report in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What decides between a prompt and its rewrites."""

    examples: Sequence[Example]
    metric: Metric | None
    """None: the log-probability of the right outputs under `scorer`."""
    scorer: Scorer | None = None
    settings: searching.SearchSettings = field(default_factory=searching.SearchSettings)

    @property
    def read(self) -> list[searching.Example]:
        """The examples. Raises `InputError` for anything that is not an example, or that could not decide anything."""
        pairs = [as_pair(place, example) for place, example in enumerate(self.examples)]
        made = [searching.Example(input=given, outputs=() if right is None else (right,)) for given, right in pairs]
        if not made:
            raise InputError("choosing on evidence needs examples=[...]: inputs and right outputs")
        self.settings.check_count(len(made))
        metric = None if self.metric is None else searching.as_metric(self.metric)
        for place, example in enumerate(made):
            right = example.outputs[0] if example.outputs else None
            reason = "there is no right output to measure" if metric is None and right is None else ""
            if metric is not None:
                reason = metric.unfit(right)
            if reason:
                raise InputError(f"example {place}: {reason}")
        return made


@dataclass(kw_only=True)
class _Chain:
    """A chain whose instructions may be replaced, as the search sees it."""

    taken: Mapping[str, Taken]
    build: Build
    examples: Sequence[searching.Example]
    texts: Mapping[str, str] = field(init=False)
    _built: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.texts = {name: one.request.instruction for name, one in self.taken.items()}

    def __len__(self) -> int:
        return len(self.examples)

    def measure(self, runs: Sequence[searching.Run], note: searching.Note) -> list[searching.Measurement]:
        """Each arm's runs in one batch."""
        found: dict[searching.Run, searching.Measurement] = {}
        for arm in dict.fromkeys(run.arm for run in runs):
            own = [run for run in runs if run.arm == arm]
            if arm not in self._built:
                self._built[arm] = self.build(_report(self.taken, own[0].texts))
            for run, measured in zip(own, self._measured(self._built[arm], own), strict=True):
                found[run] = measured
                if isinstance(measured, searching.Measured):
                    note(run, measured)
        return [found[run] for run in runs]

    def _measured(self, chain: Any, runs: Sequence[searching.Run]) -> list[searching.Measurement]:
        raise NotImplementedError

    @property
    def measured_by(self) -> str:
        """What the scores are."""
        raise NotImplementedError

    def notes_on(self, board: searching.Scoreboard, arm: str) -> list[str]:
        """What the scores do not say about the texts to use."""
        return []


@dataclass(kw_only=True)
class _Answered(_Chain):
    """The chain's outputs, scored by a metric."""

    metric: searching.Metric

    @property
    def measured_by(self) -> str:
        return f"what the metric {self.metric.name} gives to the chain's outputs"

    def notes_on(self, board: searching.Scoreboard, arm: str) -> list[str]:
        return searching.notes_on_answers(board, arm, self.examples, self.metric)

    def _measured(self, chain: Any, runs: Sequence[searching.Run]) -> list[searching.Measurement]:
        outputs = chain.batch([self.examples[run.example].input for run in runs], return_exceptions=True)
        stop_on_interrupt(outputs)
        return [self._scored(run, output) for run, output in zip(runs, outputs, strict=True)]

    def _scored(self, run: searching.Run, output: Any) -> searching.Measurement:
        if isinstance(output, Exception):
            return searching.failure(output)
        example = self.examples[run.example]
        said = text_of(output) if isinstance(output, BaseMessage) else output
        try:
            value = self.metric.function(example.outputs[0] if example.outputs else None, said, example.input)
        except Exception as error:  # noqa: BLE001 - the metric is a stranger's; its cause is kept
            return searching.failure(error)
        read = searching.judgement(value, metric=self.metric.name)
        best = 1.0 if self.metric.needs_reference else read.best
        return searching.Measured(scores=(read.score,), best=best, response=text_of(output), feedback=read.feedback)


def stop_on_interrupt(outputs: Sequence[Any]) -> None:
    """Raise Ctrl-C, which LangChain's sequences return as if it were the output of every row."""
    for output in outputs:
        if isinstance(output, BaseException) and not isinstance(output, Exception):
            raise output


@dataclass(kw_only=True)
class _Likely(_Chain):
    """How likely a model finds the right outputs after a template, in nats per token."""

    scorer: Scorer

    @property
    def measured_by(self) -> str:
        return (
            f"the log-probability of the right outputs under {self.scorer.name}, in nats per token; no output of a "
            "chain was looked at: that takes a metric"
        )

    def _measured(self, chain: Any, runs: Sequence[searching.Run]) -> list[searching.Measurement]:
        pairs = []
        for run in runs:
            example = self.examples[run.example]
            messages = chain.invoke(example.input).to_messages()
            pairs.append((conversation_of(messages), text_of(example.outputs[0]) or ""))
        return [searching.Measured(scores=(value,)) for value in self.scorer.log_likelihoods(pairs)]


def search(slots: Sequence[Slot], asking: Asking, evidence: Evidence, build: Build) -> Report:
    """What becomes of each text, decided by how well the chain that `build` makes does with it."""
    taken, unreached = take(slots, asking)
    named = {one.slot.where: one for one in taken}
    known = _stored(named, asking)
    if not named or known is not None:
        return replace(known or Report(changes=()), unreached=tuple(unreached))
    parts = searching.split(evidence.read, None, seed=evidence.settings.seed)
    deciding, aside = parts.deciding, parts.aside
    most = evidence.settings.most_examples or len(deciding)
    evidence.settings.check_budget(min(len(deciding), most), held_out=len(aside))
    rewriter = asking.opened.rewriter
    subject = _subject(named, build, deciding, evidence)
    note = {
        "texts": searching.digest(subject.texts),
        "examples": searching.digest({str(place): repr(one) for place, one in enumerate([*deciding, *aside])}),
        "metric": subject.metric.identity if isinstance(subject, _Answered) else subject.scorer.name,
        "rewriter": f"{rewriter.name} with {rewriter.template.name}",
        **rewriter.settings.noted,
        "candidates": evidence.settings.rewrites,
        "seed": evidence.settings.seed,
    }
    with searching.opened_journal(evidence.settings.log_dir, note, kind="a search of a chain") as journal:
        proposer = searching.RewriterProposer(
            rewriter=rewriter,
            parts=[searching.Part(name=name, request=one.request, check=_check(one)) for name, one in named.items()],
            candidates=evidence.settings.rewrites,
            seed=evidence.settings.seed,
            shown={place: example.shown for place, example in enumerate(deciding)},
            outputs=[example.shown.output for example in (*deciding, *aside)],
        )
        made = searching.Search(
            subject=subject,
            proposer=proposer,
            settings=evidence.settings.less(2 * len(aside)),
            journal=journal,
            runs_at_once=_RUNS_AT_ONCE,
            rights=searching.rights_of(deciding),
        )
        best = made.run()
        other = made.held_out(_subject(named, build, aside, evidence), best, runs_at_once=_RUNS_AT_ONCE)
    results = {one.name: _result(named[one.name], one, made.model or rewriter.name) for one in made.changes(best)}
    if asking.store is not None:
        asking.store.keep(list(results.values()))
    said = [*parts.notes, *subject.notes_on(made.board, best)]
    searched = made.result(best, measured_by=subject.measured_by, held_out=other, notes=said)
    if evidence.settings.log_dir is not None:
        searching.write_report(evidence.settings.log_dir, searched)
    return Report(
        changes=tuple(change_of(one, results[name]) for name, one in named.items()),
        unreached=tuple(unreached),
        searched=searched,
    )


def _stored(named: Mapping[str, Taken], asking: Asking) -> Report | None:
    """What a store has for all the texts; None where it lacks one, or is not to be asked."""
    if asking.store is None or (asking.force and not asking.store.is_frozen):
        return None
    found = {name: asking.store.recall(one.request) for name, one in named.items()}
    if not asking.store.is_frozen and None in found.values():
        return None
    changes = [change_of(named[name], result) for name, result in found.items() if result is not None]
    return Report(changes=tuple(changes))


def _subject(
    named: Mapping[str, Taken], build: Build, examples: Sequence[searching.Example], evidence: Evidence
) -> _Answered | _Likely:
    if evidence.metric is not None:
        metric = searching.as_metric(evidence.metric)
        return _Answered(taken=named, build=build, examples=examples, metric=metric)
    if evidence.scorer is None:
        raise InputError(
            "nothing can decide: pass a metric, or a Scorer as downstream, which measures how likely right outputs are"
        )
    return _Likely(taken=named, build=build, examples=examples, scorer=evidence.scorer)


def _check(one: Taken) -> Callable[[Candidate], Candidate]:
    """What a template demands of a rewrite beyond the contract: all of its variables."""

    def check(candidate: Candidate) -> Candidate:
        try:
            one.text.rewritten(candidate.text)
        except VariablesChangedError as error:
            if candidate.outcome == "optimized":
                return replace(candidate, outcome="placeholder_lost", detail=str(error))
        return candidate

    return check


def _report(taken: Mapping[str, Taken], texts: Mapping[str, str]) -> Report:
    changed = [searching.Changed(**_fields(name, one, texts[name])) for name, one in taken.items()]
    return Report(changes=tuple(change_of(taken[one.name], _result(taken[one.name], one, "")) for one in changed))


def _fields(name: str, one: Taken, text: str) -> dict[str, Any]:
    naive = one.request.instruction
    outcome = "unchanged" if text == naive else "optimized"
    return {"name": name, "naive": naive, "text": text, "outcome": outcome, "detail": "", "candidates": ()}


def _result(one: Taken, changed: searching.Changed, model: str) -> OptimizedPrompt:
    # The search has outcomes of its own, such as a budget that ran out: then nothing was preferred.
    outcome: Outcome = changed.outcome if changed.outcome in get_args(Outcome) else "not_preferred"  # type: ignore[assignment]
    tried = [each for each in changed.candidates if each.outcome in get_args(Outcome)]
    candidates = [Candidate(text=each.text, outcome=each.outcome, detail=each.detail) for each in tried]  # type: ignore[arg-type]
    told = Candidate(text=changed.text, outcome=outcome, detail=changed.detail)
    return OptimizedPrompt(
        text=changed.text,
        request=one.request,
        outcome=outcome,
        candidates=(told, *candidates),
        model=model,
        template="",
    )


def as_chain(template: BasePromptTemplate, downstream: Any) -> Runnable:
    """A template with what follows it. Raises `InputError` where nothing follows that a metric could score."""
    if not isinstance(downstream, Runnable):
        raise InputError("a metric scores the output of a chain: pass what follows the template as downstream")
    return template | downstream
