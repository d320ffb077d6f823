"""Compiling with a metric: what the rewriter is shown of a program, and the search that chooses."""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import dspy
from dspy.dsp.utils.settings import settings

from fipo_integrations.dspy.demos import (
    AUTO,
    BATCH,
    DEMOS,
    ENOUGH,
    MOST_LABELLED,
    SETS,
    TRIES,
    Fields,
    apart_from,
    count_of,
    set_of_labels,
    sets_of,
)
from fipo_integrations.dspy.evaluation import Variants, answer_of, runs_at_once
from fipo_integrations.dspy.instructions import Protected, Target
from fipo_integrations.dspy.programs import all_predictors, digest_here
from fipo_integrations.dspy.responses import Responses, Run, responses
from fipo_integrations.dspy.rewriting import LazyOptimizer, propose
from fipo_integrations.dspy.showing import said_by_the_metric, solved_by_one, used_together
from fipo_model import search
from fipo_model.errors import InputError
from fipo_model.search import (
    Journal,
    Limit,
    Measured,
    Proposals,
    Proposed,
    Seen,
    UnmeasurableError,
    check_number,
    requests_needed,
)

logger = logging.getLogger("fipo.dspy")

_ENOUGH_TO_DECIDE = 24
"""With as many examples, of which a third are held out, a clear lead can still be told from luck."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings(search.SearchSettings):
    """How examples and a metric are used. Without either, only `log_dir` matters.

    Raises `InputError` for numbers that make no sense.
    """

    metric_threshold: float = 1.0
    """From this score on, what the inner predictors of a run said is taken for golden."""
    student_responses: bool | None = None
    """Whether the student is run on training examples for silver responses: by default only with a metric."""
    demos: int | Literal["auto"] = "auto"
    """Most demonstrations that each predictor gets after its instruction, on the same evidence; 0 for none.

    "auto" is 4 from runs, or 16 with labels, if there are examples to spare: with a valset, or with 36 or more examples
    in the trainset.
    """

    def __post_init__(self) -> None:
        search.SearchSettings.__post_init__(self)
        check_number("metric_threshold", self.metric_threshold)
        if self.student_responses not in (None, True, False):
            raise InputError(f"student_responses must be True, False or None, not {self.student_responses!r:.80}")
        is_number = isinstance(self.demos, int) and not isinstance(self.demos, bool)
        if self.demos != "auto" and not (is_number and self.demos >= 0):
            raise InputError(f'demos must be a number, 0 for none, or "auto", not {self.demos!r}')

    @property
    def demonstrations(self) -> int:
        """The most demonstrations of a predictor that come from runs."""
        return AUTO if self.demos == "auto" else self.demos

    @property
    def most_demonstrations(self) -> int:
        """The most demonstrations that a predictor gets."""
        return MOST_LABELLED if self.demos == "auto" else self.demos


@dataclass(kw_only=True)
class ProgramProposer:
    """Asks the rewriter for the instructions of a program, showing it what the predictors said."""

    student: dspy.Module
    targets: Sequence[Target]
    trainset: Sequence[dspy.Example]
    optimizer: LazyOptimizer
    settings: SearchSettings
    runs: Mapping[int, Run] = field(default_factory=dict)
    """What the student said on training examples, by their numbers, where it was run."""

    def propose(self, seen: Seen) -> Proposals:
        """Candidates for each target."""
        if not self.targets:
            return Proposals(model=None, by_text={})
        said = self._responses({} if seen.tried else self.runs)
        # What is shown varies, so that rewrites do: one example's responses, several examples, what the metric said.
        more = drawn(self.trainset, len(self.trainset), seed=self.settings.seed)
        others = (used_together(self.student, self.trainset, more), said_by_the_metric(self.student, seen.measurements))
        said[1:1] = [one for one in others if one]
        by_text = propose(
            self.optimizer.ready().rewriter,
            [target.with_text(seen.texts[target.name]) for target in self.targets],
            said,
            candidates=self.settings.rewrites,
            seed=self.settings.seed + 1000 * seen.turn,
            solved=solved_by_one(self.student, self.trainset),
            state=seen,
        )
        return Proposals(model=self.optimizer.name, by_text=by_text)

    def _responses(self, runs: Mapping[int, Run]) -> list[dict[str, Responses]]:
        """What the student said on a few training examples (where it was run), and their labels."""
        threshold = self.settings.metric_threshold
        return [
            responses(self.student, self.trainset[number], runs.get(number), threshold=threshold)
            for number in _for_responses(self.trainset, self.settings)
        ]


class Search(search.Search):
    """One compile with a metric: the search, with messages for DSPy users whose program does not run."""

    subject: Variants
    proposer: ProgramProposer
    targets: Sequence[Target | Protected]
    further: Sequence[int] = ()
    """The numbers of the training examples that decide about demonstrations, too."""

    @classmethod
    def of(
        cls,
        variants: Variants,
        proposer: ProgramProposer,
        targets: Sequence[Target | Protected],
        *,
        journal: Journal,
        num_threads: int | None,
    ) -> "Search":
        """The search among the proposals for a program."""
        made = cls(
            subject=variants,
            proposer=proposer,
            settings=proposer.settings,
            journal=journal,
            runs_at_once=runs_at_once(num_threads),
            rights=[answer_of(one, one) or None for one in variants.examples],
            log=logger,
        )
        made.targets = targets
        return made

    @property
    def rounds(self) -> int:
        """How many rounds of proposals there are: demonstrations come last, for the chosen instructions."""
        return self.settings.rounds + bool(self.subject.shown)

    def propose(self, number: int, best: str) -> dict[str, list[str]]:
        """The candidates of a round: for the instructions, and once all rounds for these are over, demonstrations."""
        if number == 0 and (limit := self._hear()):
            self.limits |= dict.fromkeys(self.naive, limit)
            return {}
        if number < self.settings.rounds:
            return super().propose(number, best)
        if limit := self._propose_sets(best):
            self.limits[DEMOS] = limit
        texts = [one.text for one in self.proposals.get(DEMOS, ())]
        return {DEMOS: texts} if texts else {}

    def _hear(self) -> Limit | None:
        """Run the student on a few training examples, as far as that is affordable, and keep what its predictors say.

        Returns what ended the search meanwhile, if anything did.
        """
        rows = self.subject.heard
        new = [row for row in rows.values() if not self.board.has(self.start, [row])]
        if self.was_proposed(0):  # then the rewriter has seen what it has seen
            new = [row for row in new if self.board.remembers(self.start, row)]
        limit = self.board.measure([self.start], new[: self._affordable(len(new), len(self.examples))])
        known = {number: row for number, row in rows.items() if self.board.has(self.start, [row])}
        found = zip(known, self.board.measurements(self.start, known.values()), strict=True)
        self.proposer.runs = {
            number: Run(score=one.scores[0], steps=one.kept["steps"])
            for number, one in found
            if isinstance(one, Measured) and one.kept
        }
        return limit

    def _propose_sets(self, best: str) -> Limit | None:
        """Propose sets of demonstrations from runs of the best program so far, and from labels.

        Returns what ended that, or kept examples from deciding, if anything did.
        """
        settings, shown = self.proposer.settings, self.subject.shown
        count, examples = settings.demonstrations, self.subject.examples[shown.start : shown.stop]
        names = {target.name for target in self.targets}
        tried = shown[: self._affordable(TRIES * count, len(self.examples))]
        if limit := self.board.measure([best], tried):
            return limit
        good = self._succeeded(best, tried)
        labels = set_of_labels(self.subject.student, examples, settings.most_demonstrations, names=names)
        if labels and len(good) < count:
            # With labelled examples it may succeed more often, and answer as they do; BootstrapFewShot's teacher does.
            helped = self.board.add({**self.board.texts(best), DEMOS: labels})
            others = [one for one in tried if one not in good and count_of(apart_from(labels, one - shown.start))]
            again = others[: self._affordable(len(others), self._cost_of(SETS, len(self.examples)))]
            if limit := self.board.measure([helped], again):
                return limit
            good |= self._succeeded(helped, again)
        texts = sets_of(
            self.subject.student,
            [(one - shown.start, self._calls_to_show(good[one], one)) for one in tried if one in good],
            examples,
            names=names,
            count=count,
            most=settings.most_demonstrations,
        )
        self.proposals[DEMOS] = [Proposed(text=text, outcome="optimized") for text in texts]
        if not texts:
            unlabelled = "no training example has the inputs and outputs of a predictor"
            unsuccessful = f"no run scored {settings.metric_threshold:g} or more, and {unlabelled}"
            self.reasons[DEMOS] = "what its runs take and put out cannot be shown as text" if good else unsuccessful
            return None
        return self._let_training_examples_decide(best, sets=len(texts))

    def _affordable(self, wanted: int, reserved: int) -> int:
        return int(max(0, min(wanted, self.budget.calls_left - reserved)))

    def _succeeded(self, arm: str, rows: Sequence[int]) -> dict[int, str]:
        """The arm by the numbers of the examples on which its runs may be shown."""
        found = zip(rows, self.board.measurements(arm, rows), strict=True)
        threshold = self.proposer.settings.metric_threshold
        return {row: arm for row, one in found if isinstance(one, Measured) and one.scores[0] >= threshold}

    def _calls_to_show(self, arm: str, row: int) -> dict[str, Fields]:
        (found,) = self.board.measurements(arm, [row])
        calls: dict[str, Fields] = found.kept["calls"] if isinstance(found, Measured) and found.kept else {}
        return calls

    def _let_training_examples_decide(self, best: str, *, sets: int) -> Limit | None:
        """Where few examples decide, the training examples do, too, as far as the budget allows once sets are compared.

        Not those on which nothing was measured or could be scored, because nothing can be compared there.
        """
        wanted = self.subject.shown[: most_further(len(self.examples), self.settings)]
        rows = wanted
        while rows and self._cost_with(best, rows, sets=sets) > self.budget.calls_left:
            rows = rows[:-1]
        if limit := self.board.measure([best], rows):
            return limit
        self.further = [row for row in rows if self._is_comparable(best, row)]
        return self.budget.scarce if len(rows) < len(wanted) else None

    def _cost_of(self, sets: int, examples: int) -> int:
        """The most runs that comparing so many sets takes."""
        minibatch = self.rules_for(DEMOS).minibatch
        return search.cost(search.schedule(sets, examples=examples, minibatch=minibatch))

    def _cost_with(self, best: str, rows: Sequence[int], *, sets: int) -> int:
        """The same if these rows decide, too, on which the best program so far has to be measured first."""
        unmeasured = sum(not self.board.has(best, [row]) for row in rows)
        return unmeasured + self._cost_of(sets, len(self.examples) + len(rows))

    def _is_comparable(self, arm: str, row: int) -> bool:
        if not self.board.has(arm, [row]):
            return False
        (found,) = self.board.measurements(arm, [row])
        return isinstance(found, Measured) or not (found.is_passing or found.is_unscored)

    def rules_for(self, name: str) -> search.Rules:
        """Sets of demonstrations are few, are compared on more examples at first, and cost tokens in every call."""
        rules = super().rules_for(name)
        if name != DEMOS:
            return rules
        deciding = len(self.examples)
        first = max(rules.minibatch, BATCH)
        return replace(
            rules, minibatch=first, must_lead_on=deciding, prefers_brief=True, candidate="set of demonstrations"
        )

    def order_for(self, name: str, best: str) -> list[int]:
        """For sets of demonstrations, each batch has its share of the examples that the program fails on.

        They are few and go through few batches, and once all were dropped after one that had whatever it solves. The
        training examples that decide, too, come after the others.
        """
        order = super().order_for(name, best)
        if name != DEMOS:
            return order
        return [*search.evenly(order, lambda one: self.board.level(best, [one])), *self.further]

    def in_words(self, name: str, text: str) -> str:
        """A text as people are told of it: demonstrations are only counted."""
        if name != DEMOS:
            return text
        count = count_of(text)
        return f"{count} demonstration{'s' * (count != 1)}"

    def _measure_start(self) -> None:
        self.subject.is_untried = self.journal.is_empty
        try:
            super()._measure_start()
        except UnmeasurableError as error:
            hint = (
                " (is a language model set? do the inputs fit the program?)" if "program raised" in str(error) else ""
            )
            raise UnmeasurableError(f"{error}{hint}") from error
        failed = self.board.failed(self.start, self.examples)
        if failed >= settings.max_errors and self.measuring.first_failure is not None:
            raise InputError(
                f"too many examples failed for dspy.settings.max_errors={settings.max_errors}; raise that with "
                f"dspy.configure(max_errors=...), or find out why: {self.measuring.first_failure.cause}"
            )

    def variant(self, arm: str) -> dspy.Module:
        """The program of an arm, without a memory of what it was run on."""
        program = self.subject.program(arm, self.board.texts(arm))
        modules: Any = program.named_sub_modules(type_=dspy.Module)
        for _, module in modules:
            module.history = []
        return program


def to_hear(trainset: Sequence[dspy.Example], settings: SearchSettings) -> list[int]:
    """The numbers of the examples on which the student is run for what the rewriter sees."""
    return [] if settings.student_responses is False else _for_responses(trainset, settings)


def _for_responses(trainset: Sequence[dspy.Example], settings: SearchSettings) -> list[int]:
    """The numbers of the examples whose labels, and what the student said on them, the rewriter sees."""
    return drawn(trainset, requests_needed(settings.rewrites), seed=settings.seed)


def to_show(
    student: dspy.Module,
    trainset: Sequence[dspy.Example],
    devset: Sequence[dspy.Example],
    settings: SearchSettings,
) -> list[dspy.Example]:
    """Examples for demonstrations, in the order of the seed.

    One that decides is none, nor is one that the student shows already: it would see its own answer.
    """
    if not settings.demonstrations:
        return []
    taken = {digest_here(example.inputs()) for example in devset} | _shown_by(student, trainset)
    order = _in_order_for_demonstrations(trainset, settings)
    # Of two alike, one would show the other's answer.
    own = {digest_here(example.inputs()): example for example in order}
    return [example for inputs, example in own.items() if inputs not in taken]


def _shown_by(student: dspy.Module, examples: Sequence[dspy.Example]) -> set[str]:
    """What a program's demonstrations have of the inputs that examples have."""
    inputs = {tuple(example.inputs().keys()) for example in examples}
    return {
        digest_here({name: demo.get(name) for name in names})
        for predictor in all_predictors(student)
        for demo in predictor.demos
        for names in inputs
        if {*names} <= {*demo}
    }


def most_further(deciding: int, settings: search.SearchSettings) -> int:
    """How many training examples may decide about demonstrations beside those that decide about everything."""
    return max(0, min(ENOUGH, settings.most_examples or ENOUGH) - deciding)


def without_demonstrations(trainset: Sequence[dspy.Example], settings: SearchSettings) -> list[dspy.Example]:
    """The examples that decide where there is no valset: all except those that demonstrations come from."""
    wanted = TRIES * settings.demonstrations
    aside = min(wanted, len(trainset) // 2)
    if settings.demos == "auto" and len(trainset) < wanted + _ENOUGH_TO_DECIDE:
        aside = 0
    chosen = _in_order_for_demonstrations(trainset, settings)[:aside]
    return [example for example in trainset if all(example is not other for other in chosen)]


def _in_order_for_demonstrations(trainset: Sequence[dspy.Example], settings: SearchSettings) -> list[dspy.Example]:
    return [trainset[number] for number in drawn(trainset, len(trainset), seed=settings.seed + 1)]


def drawn(examples: Sequence[Any], count: int, *, seed: int) -> list[int]:
    """The numbers of that many examples, or of all if there are fewer, in an order that the seed decides."""
    return random.Random(seed).sample(range(len(examples)), min(count, len(examples)))
