"""The plain case: one prompt, examples, and a metric or right outputs that decide."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fipo_model import places
from fipo_model.errors import InputError, NoLikelihoodsError
from fipo_model.generation import Generator, Scorer
from fipo_model.rewriter import Rewriter
from fipo_model.search.asking import Part
from fipo_model.search.examples import Example, Row, misfit, read_examples
from fipo_model.search.explaining import notes_on_answers, rights_of
from fipo_model.search.identity import digest_of_data
from fipo_model.search.journal import Journal, opened_journal
from fipo_model.search.meaning import Meaning
from fipo_model.search.metrics import Metric, as_metric
from fipo_model.search.prompts import CAP, PROMPT, AnsweredPrompt, LikelyPrompt
from fipo_model.search.proposing import RewriterProposer
from fipo_model.search.reporting import write_report
from fipo_model.search.results import SearchResult
from fipo_model.search.searching import Search
from fipo_model.search.settings import SearchSettings
from fipo_model.search.splitting import split
from fipo_model.types import OptimizationRequest, as_request

logger = logging.getLogger("fipo_model.search")

Model = str | Path | Generator | Scorer
"""A model by any name, or a Generator where a metric decides, or a Scorer where right outputs do."""
Prompted = AnsweredPrompt | LikelyPrompt

_NEVER_ANSWERED = (
    "the right outputs became likelier, but no model was asked to answer: to count right answers, use a metric "
    '(metric="exact", or --metric exact on the command line)'
)
_FIRST_LIKELY = 8
# Arms that together take this many runs are measured in one batch.
_RUNS_AT_ONCE = 64
_Opened = TypeVar("_Opened")


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What decides: a metric on the answers of models, or without one how likely models find the right outputs.

    Without `models` it uses the default base without FIPO's adapter. Where likelihoods decide, it also uses a second
    base, if one is on this machine, because a single small model favours texts that only sound like the right form.
    """

    metric: Metric | None
    models: Sequence[Generator | Scorer]

    @classmethod
    def opened(cls, metric: str | Callable[..., Any] | None, models: Sequence[Model]) -> "Yardstick":
        """Raises `InputError` for an invalid metric or model; `ModelError` or `ServerError` if one is not there."""
        from fipo_model.backends.opening import open_generator, open_scorer

        # Which interface a model has is checked where it is opened.
        specs: list[Any] = list(models) if isinstance(models, list | tuple) else [models]
        if metric is None:
            try:
                return cls(metric=None, models=_at_hand([open_scorer(one) for one in specs or _usual_models()]))
            except NoLikelihoodsError as error:
                raise NoLikelihoodsError(
                    'give a metric (metric="exact", or --metric exact on the command line), which needs nothing more: '
                    f"the model then answers. Without a metric, likelihoods decide, but {error}"
                ) from error
        known = as_metric(metric)
        return cls(metric=known, models=_at_hand([open_generator(one, role=None) for one in specs or [None]]))

    def check_rows(self, prompt: str, examples: Sequence[Example], *, called: str) -> None:
        """Raise `InputError` for the first that does not fill the prompt or cannot be scored, named by its place."""
        for number, example in enumerate(examples, start=1):
            if wrong := misfit(prompt, example.input):
                raise InputError(f"{called} {number}: the prompt {wrong}")
            if self.metric is None and not example.outputs:
                raise InputError(
                    f"{called} {number} has no right output, and there is no metric: give each its `output`, or pass a "
                    "metric that needs none"
                )
            for output in example.outputs or (None,):
                if self.metric is not None and (reason := self.metric.unfit(output)):
                    raise InputError(f"{called} {number}: {reason}")

    def of(self, prompt: str, examples: Sequence[Example]) -> Prompted:
        """The prompt, to be measured in this way on these examples."""
        if self.metric is None:
            return LikelyPrompt(prompt, examples, models=self.models)  # type: ignore[arg-type]
        return AnsweredPrompt(prompt, examples, metric=self.metric, models=self.models)  # type: ignore[arg-type]

    @property
    def names(self) -> list[str]:
        """The models' names."""
        return [one.name for one in self.models]

    def __str__(self) -> str:
        names = " and ".join(self.names)
        if self.metric is not None:
            return f"what the metric {self.metric.name} gives the answers of {names}"
        several = ", the lowest of them" if len(self.models) > 1 else ""
        return f"gains in the log-probability of the right outputs under {names}{several}, in nats per token"


def search_prompt(
    rewriter: Rewriter,
    prompt: str | OptimizationRequest,
    *,
    examples: Iterable[Row],
    yardstick: Yardstick,
    settings: SearchSettings,
    held_out: Iterable[Row] | None = None,
) -> SearchResult:
    """The prompt, or the rewrite of it that leads on the examples by too much to be luck.

    `held_out` are examples that decide nothing and measure the gain; by default a third of twelve or more.
    """
    request = as_request(prompt)
    rows, others = read_examples(examples), None if held_out is None else read_examples(held_out)
    settings.check_count(len(rows))
    yardstick.check_rows(request.instruction, rows, called="example")
    yardstick.check_rows(request.instruction, others or (), called="held-out example")
    parts = split(rows, others, seed=settings.seed)
    deciding, aside = parts.deciding, parts.aside
    settings.check_count(len(deciding), counted=" that are not repeated")
    settings.check_budget(min(len(deciding), settings.most_examples or len(deciding)), held_out=len(aside))
    note = _note(rewriter, request, yardstick, settings, (deciding, aside))
    logger.info(
        "rewrites are proposed by %s; scores are %s; %d examples decide, %d are held out",
        rewriter.name,
        yardstick,
        len(deciding),
        len(aside),
    )
    with opened_journal(settings.log_dir, note, option="log_dir (--out)") as journal:
        plain = _Plain(rewriter=rewriter, request=request, yardstick=yardstick, settings=settings, journal=journal)
        known = deciding if held_out is not None else (*deciding, *aside)
        result = plain.run(deciding, aside, outputs=[one.shown.output for one in known], notes=parts.notes)
        if settings.log_dir is not None:
            write_report(settings.log_dir, result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plain:
    """One search of a bare prompt."""

    rewriter: Rewriter
    request: OptimizationRequest
    yardstick: Yardstick
    settings: SearchSettings
    journal: Journal

    def run(
        self,
        deciding: Sequence[Example],
        aside: Sequence[Example],
        *,
        outputs: Sequence[str | None],
        notes: Sequence[str],
    ) -> SearchResult:
        prompt = self.request.instruction
        subject = self.yardstick.of(prompt, deciding)
        proposer = RewriterProposer(
            rewriter=self.rewriter,
            parts=[self._part(deciding)],
            candidates=self.settings.rewrites,
            seed=self.settings.seed,
            shown={number: example.shown for number, example in enumerate(deciding)},
            outputs=outputs,
        )
        settings = self.settings.less(2 * len(aside))
        if self.yardstick.metric is None:  # likelihoods cost little, and say little on four examples
            settings = replace(settings, minibatch_size=max(_FIRST_LIKELY, settings.minibatch_size))
        search = Search(
            subject=subject,
            proposer=proposer,
            settings=settings,
            journal=self.journal,
            runs_at_once=_RUNS_AT_ONCE,
            rights=rights_of(deciding),
            prefers_rules=self.yardstick.metric is None,
            may_end_early=True,
        )
        best = search.run()
        held_out = self.yardstick.of(prompt, aside)
        other = search.held_out(held_out, best, runs_at_once=_RUNS_AT_ONCE)
        said = [*notes, *subject.notes, *self._about_answers(search, best, deciding)]
        return search.result(best, measured_by=str(self.yardstick), held_out=other, notes=said)

    def _about_answers(self, search: Search, best: str, deciding: Sequence[Example]) -> Iterator[str]:
        """What the scores do not say about the answers that the text to use gets."""
        metric = self.yardstick.metric
        if metric is not None:
            yield from notes_on_answers(search.board, best, deciding, metric)
        elif best != search.start:
            yield _NEVER_ANSWERED

    def _part(self, deciding: Sequence[Example]) -> Part:
        """The prompt. Meaning comes first: likelihoods favour whatever brings about a form, and metrics err, too."""
        is_answered = self.yardstick.metric is not None
        meaning = Meaning.of(self.rewriter, self.request, deciding, is_answered=is_answered)
        return Part(name=PROMPT, request=self.request, meaning=meaning.check)


def _note(
    rewriter: Rewriter,
    request: OptimizationRequest,
    yardstick: Yardstick,
    settings: SearchSettings,
    examples: tuple[Sequence[Example], Sequence[Example]],
) -> dict[str, Any]:
    """What the scores in a log_dir depend on.

    Budget and significance are left out: a resumed search may change them.
    """
    deciding, aside = ([[one.input, one.outputs] for one in part] for part in examples)
    return {
        "prompt": request.instruction,
        "context": request.context,
        "responses": digest_of_data([request.silver_response, request.golden_response, request.feedback]),
        "shown": digest_of_data([[one.input, one.output, one.response] for one in request.examples]),
        "keep": sorted({*request.keep, *rewriter.keep}),
        "max_words": request.max_words or rewriter.max_words,
        "examples": digest_of_data(deciding),
        "held_out": digest_of_data(aside),
        "metric": None if yardstick.metric is None else yardstick.metric.identity,
        "models": yardstick.names,
        "rewriter": f"{rewriter.name} with {rewriter.template.name}",
        **rewriter.settings.noted,
        "candidates": settings.rewrites,
        "turns": settings.rounds,
        "max_examples": settings.most_examples,
        "minibatch_size": settings.minibatch_size,
        "cap": None if yardstick.metric is not None else CAP,
        "seed": settings.seed,
    }


def _at_hand(models: list[_Opened]) -> list[_Opened]:
    """The models, none of which is at an address where nothing listens. Raises `ServerError`."""
    for one in models:
        check: Callable[[], None] | None = getattr(one, "check_listening", None)
        if check is not None:
            check()
    return models


def _usual_models() -> Iterator[str]:
    """The default base, and the smallest other one that is on this machine already."""
    from fipo_model.models import registry, weights

    # Opened before the others are looked for: if it cannot be, a second one would not help.
    yield registry.DEFAULT.name
    others = sorted((card for card in registry.CARDS if card != registry.DEFAULT), key=lambda card: card.parameters)
    here = [card.name for card in others if places.is_directory(weights.directory(card))]
    if not here:
        logger.info("one small model decides alone; a second one (fipo weights pull) would make the choice safer")
    yield from here[:1]
