"""The search: a subject is measured as it is, other texts are proposed, and one replaces another only on evidence."""

import logging
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fipo_model.errors import InputError
from fipo_model.search import proposals
from fipo_model.search.budget import Budget, Limit, say_limit
from fipo_model.search.comparing import HeldOut, compared
from fipo_model.search.evidence import beats, lead
from fipo_model.search.explaining import all_right, count_refusals, explained, one_answer
from fipo_model.search.halving import Rules, best_of, select
from fipo_model.search.journal import Journal
from fipo_model.search.measuring import Measuring
from fipo_model.search.proposals import Proposals, Proposed, Proposer, Seen
from fipo_model.search.results import Attempt, Changed, Compared, SearchResult
from fipo_model.search.scoreboard import Scoreboard, Trial
from fipo_model.search.settings import SearchSettings
from fipo_model.search.subject import Subject

logger = logging.getLogger("fipo_model.search")

_LONGEST_SAID = 200


class UnmeasurableError(InputError):
    """The original cannot be measured, so that nothing could be compared with it."""


@dataclass(kw_only=True)
class Search:
    """One search. The present text is always among the candidates, and a tie keeps it.

    The texts are improved one after another, in their order, each with the best of the others so far.
    """

    subject: Subject
    proposer: Proposer
    settings: SearchSettings
    journal: Journal = field(default_factory=Journal)
    runs_at_once: int = 1
    rights: Sequence[str | None] = ()
    """The right outputs of the examples, where they are known: one answer to all of them is not used, however high its
    score."""
    prefers_rules: bool = False
    """Whether a text that a rule made is used in the place of one of the rewriter's whose lead over it could be luck,
    and not only of an equal one: for scores that do not tell whether a text means what was meant."""
    may_end_early: bool = False
    """Whether a rewrite may be used that leads on a part of the examples when a limit is reached."""
    log: logging.Logger = logger
    """Who tells of trials and choices."""
    proposals: dict[str, list[Proposed]] = field(default_factory=dict, init=False)
    model: str | None = field(default=None, init=False)
    """The name of the model that proposed."""
    limits: dict[str, Limit] = field(default_factory=dict, init=False)
    """By the names of the texts whose candidates were not all compared: what ended it."""
    reasons: dict[str, str] = field(default_factory=dict, init=False)
    """By the names of texts that stay: why, where there is more to say than that no rewrite was better."""

    def __post_init__(self) -> None:
        self.budget: Budget = self.settings.budget()
        self.measuring = Measuring(self.subject, self.budget, patience=self.settings.patience)
        self.board = Scoreboard(
            self.measuring,
            self.budget,
            journal=self.journal,
            runs_at_once=self.runs_at_once,
            report=self._say,
        )
        self.naive: Mapping[str, str] = dict(self.subject.texts)
        self.start = self.board.add(self.naive)
        self.examples: Sequence[int] = drawn(len(self.subject), self.settings.most_examples, seed=self.settings.seed)

    def run(self) -> str:
        """The arm to use."""
        self.settings.check_budget(len(self.examples))
        self._measure_start()
        best = self.start
        for number in range(self.rounds):
            if (said := all_right(self.board, best, self.examples)) is not None:
                self.reasons |= {name: said for name in self.naive if name not in self.proposals}
                break
            usable = self.propose(number, best)
            for place, (name, texts) in enumerate(usable.items()):
                if self._ended_by("unreachable") is not None:
                    self.limits[name] = "unreachable"
                    continue
                later = self.rounds - number - 1
                best = self._improve(best, name, texts, left=len(usable) - place + later)
            if (limit := self._ended_by("max_seconds", "unreachable")) is not None:
                self.limits = {name: limit for name in self.naive if name not in self.proposals} | self.limits
                break
        return best

    @property
    def rounds(self) -> int:
        """How many rounds of proposals there are."""
        return self.settings.rounds

    def _measure_start(self) -> None:
        """Raises `UnmeasurableError` where nothing of it can be measured."""
        limit = self.board.measure([self.start], self.examples)
        cause = "" if self.measuring.first_failure is None else self.measuring.first_failure.cause
        if limit == "unreachable":
            raise UnmeasurableError(
                f"the model could not be reached for {self.settings.patience:g} seconds; {cause}. Try again when it "
                "can be: with a directory for results, earlier measurements are kept."
            )
        if limit is not None:
            raise UnmeasurableError(f"{limit} was reached before the texts as they are had been measured. Raise it.")
        failed = self.board.failed(self.start, self.examples)
        if failed + self.board.missing(self.start, self.examples) == len(self.examples):
            raise UnmeasurableError(f"all {len(self.examples)} examples failed; {cause}")

    def propose(self, number: int, best: str) -> dict[str, list[str]]:
        """The candidates of a round by the names of the texts, from the journal or the proposer."""
        if self.budget.is_out_of_time:
            self.limits |= dict.fromkeys(self.naive, "max_seconds")
            return {}
        if self.was_proposed(number):
            found = proposals.from_fields(self.journal[_key(number)])
        else:
            found = self._ask_proposer(number, best)
            self.journal.put(_key(number), proposals.to_fields(found))
        self.model = found.model
        for name, rows in found.by_text.items():
            self.proposals[name] = [*self.proposals.get(name, ()), *rows]
        usable = {name: [one.text for one in found.by_text.get(name, ()) if one.is_usable] for name in self.naive}
        return {name: texts for name, texts in usable.items() if texts}

    def was_proposed(self, number: int) -> bool:
        """Whether the journal has the proposals of a round."""
        return _key(number) in self.journal

    def _ask_proposer(self, number: int, best: str) -> Proposals:
        measurements = dict(zip(self.examples, self.board.measurements(best, self.examples), strict=True))
        tried = {name: [one.text for one in rows if one.is_usable] for name, rows in self.proposals.items()}
        seen = Seen(
            texts=self.board.texts(best),
            measurements=measurements,
            tried=tried,
            turn=number,
            seconds_left=self.budget.seconds_left,
        )
        return self.proposer.propose(seen)

    def _improve(self, best: str, name: str, texts: Sequence[str], *, left: int) -> str:
        """The arm with the best of a text's candidates, and everything else as in the best arm so far."""
        self.reasons.pop(name, None)  # of an earlier turn
        before = self.board.texts(best)
        arms = [self.board.add({**before, name: text}) for text in texts]
        if limit := self.budget.objection(len(self.examples)):
            self.limits[name] = limit
            return best
        chosen, decided_on = self._preferred(best, name, arms, left=left)
        examples = sorted(set(self.examples) & set(decided_on))
        # Leads add up only on the same examples; the best so far may have led on others, and have missed some of these.
        if chosen != best and lead(self.board.pairs(chosen, self.start, examples)) > 0:
            self.examples = examples
            self.log.info("%s: something better was found", name)
            return chosen
        if name not in self.reasons:
            self._explain(name, best, arms, decided_on)
        self.log.info("%s: nothing better was found", name)
        return best

    def _preferred(self, best: str, name: str, arms: Sequence[str], *, left: int) -> tuple[str, Sequence[int]]:
        """The arm that is preferred to the best so far, or that one, and the examples that decided."""
        rules, count = self.rules_for(name), len(self.examples)
        order = self.order_for(name, best)
        # A fair share of what is left, but enough to compare one candidate.
        calls = self.budget.calls_left
        share = calls if calls == math.inf else max(calls // left, count)
        leader, limit, decided_on = select(self.board, best, arms, order=order, rules=rules, calls=share)
        if limit:
            self.limits[name] = limit
        others = list(arms)
        while leader != best and (said := one_answer(self.board, leader, self.rights, rules=rules)) is not None:
            self.reasons[name] = said
            others.remove(leader)
            leader = best_of(self.board, best, others, order=decided_on, rules=rules)
        if leader == best:
            return best, decided_on
        ruled = self._made_by_rule(name, others)
        return self._safest(leader, best, arms=ruled, order=decided_on, rules=rules), decided_on

    def _made_by_rule(self, name: str, arms: Sequence[str]) -> list[str]:
        ruled = {one.text for one in self.proposals[name] if one.origin != "rewriter"}
        return [arm for arm in arms if self.board.texts(arm)[name] in ruled]

    def _safest(self, chosen: str, best: str, *, arms: Sequence[str], order: Sequence[int], rules: Rules) -> str:
        """One of these arms if it beats the best so far, and the chosen one is no better; else the chosen one."""
        for arm in arms:
            if self.prefers_rules:
                self.board.measure([arm], order)
            if not self.board.has(arm, order) or one_answer(self.board, arm, self.rights, rules=rules) is not None:
                continue
            ahead = self.board.pairs(chosen, arm, order)
            is_surpassed = beats(ahead, significance=rules.significance) if self.prefers_rules else lead(ahead) > 0
            if not is_surpassed and beats(self.board.pairs(arm, best, order), significance=rules.significance):
                return arm
        return chosen

    def _explain(self, name: str, best: str, arms: Sequence[str], decided_on: Sequence[int]) -> None:
        """Note why no rewrite was used, where there is more to say than that none was better."""
        examples = [one for one in decided_on if self.board.has(best, [one])]
        said = explained(self.board, best, arms, examples, rules=self.rules_for(name))
        if said is not None:
            self.reasons[name] = said

    def _say(self, trial: Trial) -> None:
        """Report a trial as it ends: which text it is about, by its number and its words, and what it got."""
        texts = self.board.texts(trial.arm)
        changed = [self.in_words(name, text) for name, text in texts.items() if text != self.naive[name]]
        tried = " ".join(" / ".join(changed).split())[:_LONGEST_SAID] or "the texts as they are"
        failed = f", {trial.failed} failed" if trial.failed else ""
        number = 1 + [*dict.fromkeys(one.arm for one in self.board.trials)].index(trial.arm)
        self.log.info("trial %d: %.3g on %d examples%s: %s", number, trial.mean, trial.examples, failed, tried)

    def rules_for(self, name: str) -> Rules:
        """How candidates for a text are compared."""
        return replace(self.settings.rules, may_end_early=self.may_end_early)

    def order_for(self, name: str, best: str) -> list[int]:
        """The order in which examples decide about candidates for a text, of which batches are the beginnings."""
        return random.Random(f"{self.settings.seed} {name}").sample(self.examples, len(self.examples))

    def in_words(self, name: str, text: str) -> str:
        """A text as people are told of it."""
        return text

    # What happened to it

    def measured(self) -> list[str]:
        """The arms measured on all examples, best first; the original comes before its equals."""
        arms = dict.fromkeys(trial.arm for trial in self.board.trials)
        complete = [arm for arm in arms if self.board.has(arm, self.examples)]
        return sorted(complete, key=lambda arm: -self.board.level(arm, self.examples))

    def changes(self, best: str) -> list[Changed]:
        """What happened to each text."""
        texts = self.board.texts(best)
        return [self._changed(name, texts[name]) for name in self.naive]

    def _changed(self, name: str, text: str) -> Changed:
        rows = self.proposals.get(name, [])
        outcome, detail = self._outcome(name, text, rows)
        return Changed(name=name, naive=self.naive[name], text=text, outcome=outcome, detail=detail, candidates=rows)

    def _outcome(self, name: str, text: str, rows: Sequence[Proposed]) -> tuple[str, str]:
        if text != self.naive[name]:
            return "optimized", ""
        candidate = self.rules_for(name).candidate
        if name in self.limits:
            what = f"every {candidate} was compared" if self._was_tried(name) else f"any {candidate} was measured"
            return "out_of_budget", f"{say_limit(self.limits[name])} ended the search before {what}"
        if any(one.is_usable for one in rows):
            no_lead = f"no {candidate} got a higher score without more failures"
            return "not_preferred", self.reasons.get(name, no_lead)
        if rows:
            return rows[0].outcome, count_refusals(rows)
        return "unchanged", self.reasons.get(name, "nothing was proposed")

    def _was_tried(self, name: str) -> bool:
        return any(self.board.texts(trial.arm)[name] != self.naive[name] for trial in self.board.trials)

    def compared(self, best: str) -> Compared:
        """The original and the winner, on the examples that decided; no gain where no other text was measured."""
        found = compared(self.board, self.start, best, self.examples, seed=self.settings.seed)
        is_alone = all(trial.arm == self.start for trial in self.board.trials)
        return replace(found, gain=None) if is_alone else found

    def attempts(self) -> list[Attempt]:
        """What was tried, in its order."""
        found = []
        for trial in self.board.trials:
            texts = self.board.texts(trial.arm)
            changed = {name: self.in_words(name, text) for name, text in texts.items() if text != self.naive[name]}
            found.append(
                Attempt(
                    arm=trial.arm,
                    changed=changed,
                    score=trial.mean,
                    failed=trial.failed,
                    examples=trial.examples,
                    missing=trial.missing,
                )
            )
        return found

    @property
    def stopped_by(self) -> Limit | None:
        """What ended the search before everything was compared, if anything did."""
        return next(iter(self.limits.values()), None)

    def _ended_by(self, *limits: Limit) -> Limit | None:
        """Which of these ended any of it, be it that another one ended something before."""
        return next((limit for limit in self.limits.values() if limit in limits), None)

    def held_out(self, subject: Subject, best: str, *, runs_at_once: int = 1) -> HeldOut:
        """The original and the winner, on examples that decided nothing; not measured where the original stays.

        It has its own budget of calls, and the time and money that are left.
        """
        if best == self.start:
            return HeldOut()
        if not len(subject):
            return HeldOut(is_missing=True)
        if self.budget.is_out_of_time:
            return HeldOut(limit="max_seconds")
        budget = self.budget.for_held_out(2 * len(subject))
        measuring = Measuring(subject, budget, patience=self.settings.patience)
        board = Scoreboard(measuring, budget, journal=self.journal, runs_at_once=runs_at_once, kind="held-out score")
        start, chosen = (board.add(self.board.texts(arm)) for arm in (self.start, best))
        everything = range(len(subject))
        limit = board.measure([start, chosen], everything)
        found = None if limit else compared(board, start, chosen, everything, seed=self.settings.seed)
        if found is not None and found.gain is None:  # nothing was measured with both
            found, limit = None, "unreachable"
        return HeldOut(compared=found, limit=limit, budget=budget, resumed=board.resumed, measuring=measuring)

    def result(
        self, best: str, *, measured_by: str, held_out: HeldOut | None = None, notes: Sequence[str] = ()
    ) -> SearchResult:
        """A readable account of the search; `measured_by` says what the scores are."""
        other = held_out or HeldOut()
        asked = [one for one in (self.measuring, other.measuring) if one is not None]
        first = next((one.first_failure for one in asked if one.first_failure is not None), None)
        return SearchResult(
            model=self.model,
            measured_by=measured_by,
            texts=self.changes(best),
            chosen_on=self.compared(best),
            held_out=other.compared,
            trials=self.attempts(),
            metric_calls=self.budget.calls + other.budget.calls,
            metric_calls_resumed=self.board.resumed + other.resumed,
            tried_again=sum(one.tried_again for one in asked),
            cost=self.budget.cost_with(other.budget),
            stopped_by=self.stopped_by,
            first_failure=None if first is None else first.cause,
            notes=[*notes, *other.notes],
            seed=self.settings.seed,
        )


def _key(number: int) -> str:
    return "proposals" if number == 0 else f"proposals {number + 1}"


def drawn(count: int, most: int | None, *, seed: int) -> Sequence[int]:
    """The numbers of all examples, or of as many as allowed, drawn with the seed."""
    if most is None or count <= most:
        return range(count)
    return sorted(random.Random(seed).sample(range(count), most))
