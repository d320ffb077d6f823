"""FIPO as a DSPy optimizer: `FIPO().compile(program)` rewrites the instructions of a program's predictors."""

import inspect
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Unpack

import dspy
from dspy.evaluate import Evaluate
from dspy.teleprompt.teleprompt import Teleprompter

from fipo_integrations.dspy import report
from fipo_integrations.dspy.checking import (
    Examples,
    check_examples,
    check_inputs,
    check_model,
    check_names,
    check_program,
    check_runs,
)
from fipo_integrations.dspy.demos import DEMOS
from fipo_integrations.dspy.estimate import Estimate, count_at_once, estimate
from fipo_integrations.dspy.evaluation import Metric, Variants, metric_name
from fipo_integrations.dspy.instructions import Protected, Target, targets
from fipo_integrations.dspy.naming import (
    DSPyNames,
    by_keyword,
    checked_names,
    rewriter_of,
    settings_of,
    unused_without_metric,
)
from fipo_integrations.dspy.programs import COMPILED, attach, copied, identity, left_alone, with_texts
from fipo_integrations.dspy.responses import Responses, responses, run_once
from fipo_integrations.dspy.results import Report
from fipo_integrations.dspy.rewriting import LazyOptimizer, decide
from fipo_integrations.dspy.search import (
    ProgramProposer,
    Search,
    SearchSettings,
    drawn,
    to_hear,
    to_show,
    without_demonstrations,
)
from fipo_model import PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.search import Journal, check_number, digest_of_data, opened_journal

logger = logging.getLogger("fipo.dspy")


class FIPO(Teleprompter):
    """Rewrites the instructions of a DSPy program with a local model. Fields, models and settings stay as they are.

    The rewriter sees each predictor's instruction and, as context, its fields with their types and descriptions. An
    instruction that DSPy made up ("Given the fields `x`, produce the fields `y`.") is sent as well. The context has the
    information, and a rewrite is refused unless it still names those fields. From a dspy.ReAct's instruction only the
    task is sent; the tools and the protocol stay as they are. Other agents' protocols are not sent (outcome
    "protected"). A rewrite that names a field the signature does not have is not used ("field_invented"). DSPy hides
    the predictors of compiled sub-modules; they stay as they are.

    Without a `metric`, all predictors are rewritten in one batch, the optimizer's checks and its judge decide, and the
    program is not called. Labels of a `trainset` serve as golden responses.

    With a `metric`, several candidates for each predictor, and then sets of demonstrations, are compared with the
    student on `valset`, or else on `trainset`, under the language model in use: see `SearchSettings`. The returned
    program is never below the student there. A tie, more failed examples, or a lead that could be luck
    (`SearchSettings.significance`) keep the student's instructions. The report says how much better the program is.
    (DSPy runs an example that takes longer than two minutes a second time; `num_threads=1` avoids that.)

    The compiled program has `fipo_report`, plain data: "predictors" lists what happened to each instruction. With a
    metric it also has `score`, `candidate_programs`, `trial_logs` and `total_calls`, as DSPy's own optimizers attach
    them, unless it uses those names itself.
    """

    @by_keyword("metric", after=1)
    def __init__(
        self,
        *,
        optimizer: PromptOptimizer | None = None,
        metric: Callable[..., Any] | None = None,
        search: SearchSettings | None = None,
        predictors: Collection[str] | None = None,
        num_threads: int | None = None,
        display_progress: bool = False,
        **others: Unpack[DSPyNames],
    ) -> None:
        """Without `optimizer`, the first `compile` that needs one loads FIPO's own weights. Without a metric they make
        one greedy addition; with a metric they make several samples.

        `metric(example, prediction)` returns a number, higher is better. `predictors` names the predictors to rewrite
        as `program.named_predictors()` does; by default all of them. `prompt_model` is a DSPy language model that
        rewrites. It and the search settings have the names that DSPy's optimizers use: see `DSPyNames`.
        """
        checked_names(others, of="FIPO")
        super().__init__()
        check_names(predictors)
        if num_threads is not None and not (isinstance(num_threads, int) and num_threads >= 1):
            raise InputError(f"num_threads must be at least 1, or None for dspy's own setting, not {num_threads!r}")
        if metric is not None:
            Metric(metric)  # raises for what is no metric
        self.optimizer = rewriter_of(optimizer, others)
        self.metric = metric
        self.search = settings_of(search, others)
        self.predictors = None if predictors is None else sorted(predictors)
        self.num_threads = num_threads
        self.display_progress = display_progress or others.get("verbose", False)
        self.track_stats = others.get("track_stats", True)
        self.callbacks: list[Any] = []
        self._optimizer = LazyOptimizer(self.optimizer, is_proposing=metric is not None)

    def get_params(self) -> dict[str, Any]:
        """The constructor's arguments as data for a log, with names for the model and the metric."""
        directory, price = self.search.log_dir, self.search.price
        search = {**asdict(self.search), "log_dir": None if directory is None else str(directory)}
        return {
            "optimizer": None if self.optimizer is None else self.optimizer.rewriter.name,
            "metric": None if self.metric is None else metric_name(self.metric),
            "search": search | ({"price": metric_name(price)} if callable(price) else {}),
            "predictors": self.predictors,
            "num_threads": self.num_threads,
            "display_progress": self.display_progress,
            "track_stats": self.track_stats,
        }

    @by_keyword("trainset", after=2)
    def compile(  # DSPy passes what is named here; anything else is an error
        self,
        student: dspy.Module,
        *,
        trainset: Examples = None,
        teacher: dspy.Module | None = None,
        valset: Examples = None,
        **others: object,
    ) -> dspy.Module:
        """A copy of `student` with rewritten instructions; `student` itself stays as it is.

        `teacher` belongs to DSPy's protocol and is not used: the student and the labels are enough.

        Raises `InputError` for examples without inputs, or with none of the student's, a metric without examples, a
        metric that returns no number, a budget too small to compare anything, a `log_dir` with other settings, and a
        student that fails everywhere.
        """
        checked_names(others, of="compile", own=inspect.signature(FIPO).parameters)
        if teacher is not None:
            logger.info("FIPO does not use the teacher: golden responses come from labels and successful runs")
        check_program(student)
        examples = check_examples(trainset, "trainset")
        chosen = targets(student, self.predictors, examples)
        for name, why in left_alone(student).items():
            logger.log(logging.INFO if why == COMPILED else logging.WARNING, "%s stays as it is: %s", name, why)
        if not chosen:
            logger.warning("the program has no predictor that may be rewritten; it is returned as it is")
        valued = check_examples(valset, "valset")
        if self.metric is None:
            if unused := unused_without_metric(self.search, valued):
                logger.warning("without a metric nothing is measured: %s is not used", ", ".join(unused))
            return self._rewrite(student, chosen, trainset=examples)
        check_inputs(student, trainset=examples, valset=valued)
        devset = self._devset(examples, valued)
        return self._search(student, chosen, metric=Metric(self.metric), trainset=examples, devset=devset)

    def estimate(
        self,
        student: dspy.Module,
        trainset: Examples = None,
        valset: Examples = None,
        *,
        seconds_per_run: float | None = None,
    ) -> Estimate:
        """What `compile` with these arguments would cost. Calls nothing and loads nothing.

        `seconds_per_run` is how long one run of the program takes, as measured by you; without it no time is estimated.
        The runs share it among `num_threads`, unless the program runs on a `local_lm`, which answers one at a time. The
        rewriter's time is not estimated. Print the estimate to read it as sentences.
        """
        check_program(student)
        if seconds_per_run is not None:
            check_number("seconds_per_run", seconds_per_run)
        examples = check_examples(trainset, "trainset")
        chosen = targets(student, self.predictors, examples)
        devset = None if self.metric is None else self._devset(examples, check_examples(valset, "valset"))
        optimizer = self._optimizer.loaded
        found = estimate(student, chosen, self.search, optimizer=optimizer, trainset=examples, devset=devset)
        if seconds_per_run is None:
            return found
        at_once = count_at_once(student, self.num_threads)
        return replace(found, seconds=found.program_runs * seconds_per_run / at_once, runs_at_once=at_once)

    def _devset(self, trainset: list[dspy.Example], valset: list[dspy.Example]) -> list[dspy.Example]:
        if not valset and not trainset:
            raise InputError("a metric needs examples to be measured on: pass valset=[...] or trainset=[...]")
        devset = valset or without_demonstrations(trainset, self.search)
        if not valset:
            logger.info("without a valset, the %d examples of the trainset decide", len(devset))
        deciding = min(len(devset), self.search.most_examples or len(devset))
        self.search.check_count(deciding)
        self.search.check_budget(deciding)
        return devset

    def _rewrite(
        self, student: dspy.Module, chosen: Sequence[Target | Protected], *, trainset: list[dspy.Example]
    ) -> dspy.Module:
        """Without a metric: one batch, and the optimizer decides."""
        usable = [target for target in chosen if isinstance(target, Target)]
        self._say_what_is_rewritten(usable)
        seen = self._responses(student, trainset) if usable else {}
        found = decide(self._optimizer.ready(), usable, seen) if usable else {}
        decided = report.report_decided(self._optimizer.name, chosen, found)
        compiled = with_texts(student, {row.name: row.text for row in decided.predictors})
        return self._finished(compiled, decided)

    def _responses(self, student: dspy.Module, trainset: list[dspy.Example]) -> dict[str, Responses]:
        """The responses on one training example, which is as much as one rewrite can use."""
        if not trainset:
            return {}
        program, run = copied(student), None
        example = trainset[drawn(trainset, 1, seed=self.search.seed)[0]]
        if self.search.student_responses:
            check_model(student, example)
            run = run_once(program, example)
        return responses(program, example, run, threshold=self.search.metric_threshold)

    def _search(
        self,
        student: dspy.Module,
        chosen: Sequence[Target | Protected],
        *,
        metric: Metric,
        trainset: list[dspy.Example],
        devset: list[dspy.Example],
    ) -> dspy.Module:
        """With a metric: candidates, compared with the student."""
        check_runs(student)
        check_model(student, devset[0])
        program = copied(student)
        examples = {"trainset": trainset, "valset": devset}
        note = self._settings(program, metric, examples)
        with opened_journal(self.search.log_dir, note, kind="a compile") as journal:
            return self._compile_with(program, chosen, journal, metric=metric, trainset=trainset, devset=devset)

    def _compile_with(
        self,
        program: dspy.Module,
        chosen: Sequence[Target | Protected],
        journal: Journal,
        *,
        metric: Metric,
        trainset: list[dspy.Example],
        devset: list[dspy.Example],
    ) -> dspy.Module:
        """The best of the student and its candidates, using what the journal already has."""
        usable = [target for target in chosen if isinstance(target, Target)]
        self._say_what_is_rewritten(usable, examples=len(devset))
        texts = {target.name: target.naive for target in chosen}
        shown = to_show(program, trainset, devset, self.search)
        if not shown and self.search.demos not in ("auto", 0):
            logger.warning(
                "no demonstrations: every example of the trainset decides, too, or the program shows it already"
            )
        variants = Variants(
            program,
            texts | ({DEMOS: ""} if shown else {}),
            devset,
            metric,
            to_show=shown,
            to_hear={number: trainset[number] for number in to_hear(trainset, self.search)} if usable else {},
            evaluate=partial(Evaluate, num_threads=self.num_threads, display_progress=self.display_progress),
        )
        proposer = ProgramProposer(
            student=program,
            targets=usable,
            trainset=trainset,
            optimizer=self._optimizer,
            settings=self.search,
        )
        search = Search.of(variants, proposer, chosen, journal=journal, num_threads=self.num_threads)
        best = search.run()
        measured, compiled = report.measure(search, best), variants.fresh(search.board.texts(best))
        attached = attach(compiled, **report.statistics(search, measured)) if self.track_stats else []
        return self._finished(compiled, report.report_search(search, best, replace(measured, attached=attached)))

    def _settings(
        self, program: dspy.Module, metric: Metric, examples: dict[str, list[dspy.Example]]
    ) -> dict[str, Any]:
        """What the scores in a log_dir depend on.

        Budget and significance are left out: a resumed compile may change them.

        A rewriter that is not loaded yet is known only as the default.
        """
        search = self.search
        rewriter = None if self.optimizer is None else self.optimizer.rewriter
        return {
            **identity(program),
            **{
                name: digest_of_data([[one, sorted(one.inputs().keys())] for one in own])
                for name, own in examples.items()
            },
            "metric": metric.identity,
            "predictors": self.predictors,
            "rewriter": None if rewriter is None else f"{rewriter.name} with {rewriter.template.name}",
            **({} if rewriter is None else rewriter.settings.noted),
            "keep": None if rewriter is None or not rewriter.keep else sorted(rewriter.keep),
            "max_words": None if rewriter is None else rewriter.max_words,
            "candidates": search.rewrites,
            "turns": search.rounds,
            "max_examples": search.most_examples,
            "minibatch_size": search.minibatch_size,
            "metric_threshold": search.metric_threshold,
            "student_responses": search.student_responses,
            "demos": search.demos,
            "seed": search.seed,
        }

    def _say_what_is_rewritten(self, targets: Sequence[Target], *, examples: int | None = None) -> None:
        """Say it before the first wait."""
        instructions = f"{len(targets)} instruction{'s' * (len(targets) != 1)}"
        names = ", ".join(target.name for target in targets)
        rewriter = self._optimizer.name or "FIPO's own weights"
        what = f"rewriting {instructions} ({names}) with {rewriter}" if targets else "nothing to rewrite"
        measured = f"; the program is measured first, on up to {examples} examples" if examples else ""
        logger.info("%s%s", what, measured)

    def _finished(self, compiled: dspy.Module, found: Report) -> dspy.Module:
        """The program with its report on it, in the log, and in log_dir."""
        found = replace(found, left_alone=left_alone(compiled))
        for row in found.predictors:
            logger.info("%s: %s%s", row.name, row.outcome, row.detail and f" ({row.detail})")
        if found.measured is not None and found.measured.demonstrations:
            logger.info("demonstrations: %s", found.measured.demonstrations)
        report.write_report(self.search.log_dir, found)
        attach(compiled, fipo_report=found.to_fields())
        return compiled
