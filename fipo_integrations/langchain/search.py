"""The search for better texts of a template or a chain, decided by evidence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from fipo_integrations.langchain.asking import Asking
from fipo_integrations.langchain.evidence import AnsweredChain, Evidence, LikelyPrompt
from fipo_integrations.langchain.identity import identity
from fipo_integrations.langchain.proposals import Taken, change_of, take, tried
from fipo_integrations.langchain.report import Report
from fipo_integrations.langchain.variables import VariablesChangedError
from fipo_integrations.langchain.walking import Slot
from fipo_model import Candidate, OptimizedPrompt, Outcome, Rewriter
from fipo_model import search as searching

_RUNS_AT_ONCE = 16

Build = Callable[[Report], Any]
"""The chain with the changes of a report in it."""


def choose_on_evidence(slots: Sequence[Slot], asking: Asking, evidence: Evidence, build: Build) -> Report:
    """What becomes of each text, decided by how well the chain that `build` makes does with it."""
    taken, unreached = take(slots, asking)
    named = {one.slot.where: one for one in taken}
    known = _stored(named, asking)
    if not named or known is not None:
        return replace(known or Report(changes=()), unreached=tuple(unreached))
    settings = evidence.settings
    parts = searching.split(evidence.read_examples(), None, seed=settings.seed)
    settings.check_count(len(parts.deciding), counted=" that are not repeated")
    most = settings.most_examples or len(parts.deciding)
    settings.check_budget(min(len(parts.deciding), most), held_out=len(parts.aside))
    made = _Choice(
        named=named, asking=asking, evidence=evidence, build=build, deciding=parts.deciding, aside=parts.aside
    )
    with searching.opened_journal(settings.log_dir, made.note(), kind="a search of a chain") as journal:
        searched = made.run(journal, notes=parts.notes)
        if settings.log_dir is not None:
            searching.write_report(settings.log_dir, searched)
    model = searched.model or asking.opened.rewriter.name
    results = {one.name: _result(named[one.name], one, model) for one in searched.texts}
    if asking.store is not None:
        asking.store.keep(list(results.values()), evidence=" ".join(searching.sentences(searched)))
    changes = tuple(change_of(one, results[name]) for name, one in named.items())
    return Report(changes=changes, unreached=tuple(unreached), searched=searched)


def _stored(named: Mapping[str, Taken], asking: Asking) -> Report | None:
    """What a store has for all the texts; None where it lacks one, or is not to be asked."""
    if asking.store is None or (asking.force and not asking.store.is_frozen):
        return None
    found = {name: asking.store.recall(one.request) for name, one in named.items()}
    if not asking.store.is_frozen and None in found.values():
        return None
    changes = [change_of(named[name], result) for name, result in found.items() if result is not None]
    return Report(changes=tuple(changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    """One search of a chain."""

    named: Mapping[str, Taken]
    asking: Asking
    evidence: Evidence
    build: Build
    deciding: Sequence[searching.Example]
    aside: Sequence[searching.Example]

    def note(self) -> dict[str, Any]:
        """What the scores in a log_dir depend on.

        Budget and significance are left out: a resumed search may change them.
        """
        subject, rewriter, settings = self._subject(self.deciding), self._rewriter, self.evidence.settings
        examples = [*self.deciding, *self.aside]
        return {
            "texts": searching.digest(subject.texts),
            **identity(self.build(Report(changes=()))),
            "examples": searching.digest_of_data(examples),
            "metric": subject.decided_by,
            "rewriter": f"{rewriter.name} with {rewriter.template.name}",
            **rewriter.settings.noted,
            "keep": sorted({*self.asking.keep, *rewriter.keep}),
            "max_words": self.asking.max_words or rewriter.max_words,
            "feedback": self.asking.feedback,
            "candidates": settings.rewrites,
            "turns": settings.rounds,
            "max_examples": settings.most_examples,
            "minibatch_size": settings.minibatch_size,
            "seed": settings.seed,
        }

    def run(self, journal: searching.Journal, *, notes: Sequence[str]) -> searching.SearchResult:
        """The search, using what the journal already has."""
        subject = self._subject(self.deciding)
        made = searching.Search(
            subject=subject,
            proposer=self._proposer(),
            settings=self.evidence.settings.less(2 * len(self.aside)),
            journal=journal,
            runs_at_once=_RUNS_AT_ONCE,
            rights=searching.rights_of(self.deciding),
        )
        best = made.run()
        other = made.held_out(self._subject(self.aside), best, runs_at_once=_RUNS_AT_ONCE)
        said = [*notes, *subject.notes_on(made.board, best)]
        return made.result(best, measured_by=subject.measured_by, held_out=other, notes=said)

    @property
    def _rewriter(self) -> Rewriter:
        return self.asking.opened.rewriter

    def _subject(self, examples: Sequence[searching.Example]) -> AnsweredChain | LikelyPrompt:
        texts = {name: one.request.instruction for name, one in self.named.items()}
        return self.evidence.subject(texts, self._built, examples)

    def _built(self, texts: Mapping[str, str]) -> Any:
        return self.build(Report(changes=tuple(tried(self.named[name], text) for name, text in texts.items())))

    def _proposer(self) -> searching.RewriterProposer:
        settings = self.evidence.settings
        return searching.RewriterProposer(
            rewriter=self._rewriter,
            parts=[
                searching.Part(name=name, request=one.request, check=_check(one)) for name, one in self.named.items()
            ],
            candidates=settings.rewrites,
            seed=settings.seed,
            shown={place: example.shown for place, example in enumerate(self.deciding)},
            outputs=self._to_name(),
        )

    def _to_name(self) -> Sequence[str | None]:
        """The right outputs whose labels or form a rule may name in a text: what the model itself is to reply with.

        Where replies have fields, objects are made from them.
        """
        examples = (*self.deciding, *self.aside)
        have_fields = any(one.request.fixed_form == "fields" for one in self.named.values())
        if have_fields and not all(isinstance(right, str) for example in examples for right in example.outputs):
            return ()
        return searching.rights_of(examples)


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


def _result(one: Taken, changed: searching.Changed, model: str) -> OptimizedPrompt:
    # The search has outcomes of its own, such as a budget that ran out: then nothing was preferred.
    outcome: Outcome = changed.outcome if changed.outcome in get_args(Outcome) else "not_preferred"  # type: ignore[assignment]
    known = [each for each in changed.candidates if each.outcome in get_args(Outcome)]
    candidates = [Candidate(text=each.text, outcome=each.outcome, detail=each.detail) for each in known]  # type: ignore[arg-type]
    told = Candidate(text=changed.text, outcome=outcome, detail=changed.detail)
    return OptimizedPrompt(
        text=changed.text,
        request=one.request,
        outcome=outcome,
        candidates=(told, *candidates),
        model=model,
        template="",
    )
