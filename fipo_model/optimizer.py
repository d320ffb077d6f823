"""The main entry point: takes the prompts you have and returns the prompts to use."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fipo_model.callers import in_thread
from fipo_model.choosing import choose, conclude
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.fidelity import FidelitySettings
from fipo_model.forking import PerProcess
from fipo_model.generation import Generator
from fipo_model.judge import Judge, LLMJudge
from fipo_model.rewriter import Rewriter
from fipo_model.search.examples import Row, to_show
from fipo_model.search.headroom import MAX_SECONDS, Headroom, measure_headroom
from fipo_model.search.results import SearchResult
from fipo_model.search.scoring import PromptScores, score_prompts
from fipo_model.search.settings import SearchSettings
from fipo_model.search.tuning import Model, Yardstick, search_prompt
from fipo_model.templates import FIPO_1, Template
from fipo_model.types import OptimizationRequest, OptimizedPrompt, as_request

_MEMO_SIZE = 4096

_memo_lock = PerProcess(threading.Lock)  # of all optimizers: it is held for microseconds


class PromptOptimizer:
    """Rewrites prompts with a language model, checks every rewrite, and falls back to the original prompt.

    One request costs one greedy completion. With more than one of `candidates`, that many are sampled instead, and a
    judge chooses among them and the original prompt. With a judge and one candidate, the judge accepts or refuses it.
    The last few thousand results of greedy calls are remembered, so a repeated prompt costs nothing. Safe to share
    between threads. Copies and pickles share or reload the model; they do not duplicate it.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        template: Template = FIPO_1,
        judge: Judge | None = None,
        settings: FidelitySettings | None = None,
        candidates: int = 1,
        seed: int = 0,
    ) -> None:
        if not isinstance(candidates, int) or candidates < 1:
            raise InputError(f"candidates must be a whole number of at least 1, not {candidates!r}")
        if candidates > 1 and judge is None:
            raise InputError("choosing among several candidates needs a judge, for example judge=LLMJudge(generator)")
        settings = settings or FidelitySettings()
        self.rewriter = Rewriter(generator, template=template, settings=settings, samples=candidates, seed=seed)
        self.judge = judge
        self._memo = _Memo()

    @classmethod
    def from_rewriter(cls, rewriter: Rewriter, *, judge: Judge | None = None) -> "PromptOptimizer":
        """An optimizer that chooses among the proposals of `rewriter`."""
        made = cls(rewriter.generator, judge=judge, candidates=rewriter.samples)
        made.rewriter = rewriter
        return made

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | Generator | None = None,
        *,
        adapter: str | Path | None = None,
        template: Template | None = None,
        judge: bool = False,
        candidates: int = 1,
        seed: int = 0,
    ) -> "PromptOptimizer":
        """An optimizer on the model with this name, by default FIPO's own weights.

        For `model`, `adapter` and `template` see `Rewriter.from_pretrained`. With `judge=True`, or more than one
        candidate, the same model judges its rewrites. FIPO's own weights are too small for that.
        """
        rewriter = Rewriter.from_pretrained(model, adapter=adapter, template=template, samples=candidates, seed=seed)
        return cls.judging_itself(rewriter, judge=judge)

    @classmethod
    def from_server(
        cls,
        base_url: str,
        *,
        name: str,
        template: Template | None = None,
        judge: bool = False,
        candidates: int = 1,
        seed: int = 0,
    ) -> "PromptOptimizer":
        """An optimizer on the model called `name` behind an OpenAI-compatible server. Prompts go only there.

        `base_url` usually ends in /v1. Raises `ServerError` on use if the server cannot answer, and `MissingExtraError`
        without the extra `server`.
        """
        from fipo_model.backends.openai import OpenAIGenerator

        generator = OpenAIGenerator(base_url, name=name)
        rewriter = Rewriter(generator, template=template or FIPO_1, samples=candidates, seed=seed)
        return cls.judging_itself(rewriter, judge=judge)

    @classmethod
    def judging_itself(cls, rewriter: Rewriter, *, judge: bool = True) -> "PromptOptimizer":
        """An optimizer whose model also judges its proposals, always if it proposes several rewrites."""
        is_judged = judge or rewriter.samples > 1
        own = LLMJudge(rewriter.generator, template=rewriter.template) if is_judged else None
        return cls.from_rewriter(rewriter, judge=own)

    def keeping(self, *texts: str, max_words: int | None = None) -> "PromptOptimizer":
        """The same optimizer, whose rewrites must keep these texts if the prompt has them.

        `max_words` is the most words a rewrite may have. Both add to the settings of a request. This is for
        integrations, which make the requests themselves: `FIPORunnable(optimizer=optimizer.keeping("Ann"))`.
        """
        rewriter = replace(
            self.rewriter,
            keep=tuple(dict.fromkeys((*self.rewriter.keep, *texts))),
            max_words=self.rewriter.max_words if max_words is None else max_words,
        )
        return type(self).from_rewriter(rewriter, judge=self.judge)

    def checking(self, settings: FidelitySettings) -> "PromptOptimizer":
        """The same optimizer with other rules for rewrites.

        `optimizer.checking(FidelitySettings(strict_wording=True))` is for a small model behind a server. For local
        models that were not trained to rewrite, it is the default.
        """
        return type(self).from_rewriter(replace(self.rewriter, settings=settings), judge=self.judge)

    def optimize(self, prompt: str | OptimizationRequest, *, examples: Iterable[Row] = ()) -> OptimizedPrompt:
        """Rewrite one prompt; a plain string is an instruction without context or responses.

        `examples` are those of `search`: pairs of an input and its right output, or rows. The model is shown four of
        them; the checks, and the rules for forms and labels, use the first 200.
        """
        return self.optimize_batch([_showing(prompt, examples)])[0]

    def optimize_batch(self, prompts: Sequence[str | OptimizationRequest]) -> list[OptimizedPrompt]:
        """Rewrite many prompts in as few model calls as their lengths allow: one result for each, in order.

        Raises the first prompt's error if one cannot be used; `optimize_each` keeps the others' results.
        """
        results = []
        for result in self.optimize_each(prompts):
            if isinstance(result, InputError):
                raise result
            results.append(result)
        return results

    def optimize_each(self, prompts: Sequence[str | OptimizationRequest]) -> list[OptimizedPrompt | InputError]:
        """Like `optimize_batch`, but a prompt that cannot be used (empty, too long) gives its error as its result.

        Errors that concern the model rather than a prompt (a server that is down) are still raised.
        """
        if isinstance(prompts, str | OptimizationRequest) or not isinstance(prompts, Iterable):
            raise InputError(
                f"this takes a list of prompts, not a {type(prompts).__name__}; for a single one, use optimize"
            )
        asked = [_as_request(prompt) for prompt in prompts]
        known: dict[OptimizationRequest, OptimizedPrompt | InputError] = {}
        new: list[OptimizationRequest] = []
        for request in dict.fromkeys(each for each in asked if isinstance(each, OptimizationRequest)):
            if (remembered := self._memo.recall(request)) is not None:
                known[request] = remembered
            else:
                new.append(request)
        for request, result in zip(new, self._decide(new), strict=True):
            known[request] = result
            # Samples are not kept: a repeated request wants new ones.
            if isinstance(result, OptimizedPrompt) and self.rewriter.samples == 1:
                self._memo.keep(result)
        results = [known[each] if isinstance(each, OptimizationRequest) else each for each in asked]
        return [each.at(place) if isinstance(each, PromptTooLongError) else each for place, each in enumerate(results)]

    async def aoptimize(self, prompt: str | OptimizationRequest, *, examples: Iterable[Row] = ()) -> OptimizedPrompt:
        """`optimize` for asyncio: never blocks the event loop; concurrent calls share model batches."""
        return await in_thread(lambda: self.optimize(prompt, examples=examples))

    async def aoptimize_each(self, prompts: Sequence[str | OptimizationRequest]) -> list[OptimizedPrompt | InputError]:
        """`optimize_each` for asyncio."""
        return await in_thread(lambda: self.optimize_each(prompts))

    async def aoptimize_batch(self, prompts: Sequence[str | OptimizationRequest]) -> list[OptimizedPrompt]:
        """`optimize_batch` for asyncio."""
        return await in_thread(lambda: self.optimize_batch(prompts))

    def search(
        self,
        prompt: str | OptimizationRequest,
        examples: Iterable[Row],
        *,
        metric: str | Callable[..., Any] | None = None,
        models: Sequence[Model] = (),
        settings: SearchSettings | None = None,
        held_out: Iterable[Row] | None = None,
    ) -> SearchResult:
        """Choose the prompt to use (`.text`) by measuring on examples.

        It is a rewrite only if the rewrite's lead is too large to be luck.

        `examples` are pairs of an input and its right output, or rows with `input` and `output`. A `metric` (`exact`,
        `contains`, `f1`, `json_fields`, or a function of reference, output and input) scores the answers of `models`.
        Without one, the right outputs must become likelier under all `models`. The default model is the default base
        without FIPO's adapter and, without a metric, also the smallest other base on this machine. `held_out` examples
        only measure the gain; by default, a third of the examples (at most 50) are set aside if there are twelve or
        more. See docs/search.md.

        Raises `InputError` for examples that cannot decide and a budget too small to compare anything.
        """
        return search_prompt(
            self.rewriter,
            as_request(prompt),  # first, because a model may take long to load
            examples=examples,
            yardstick=Yardstick.opened(metric, models),
            settings=SearchSettings.of(settings),
            held_out=held_out,
        )

    async def asearch(
        self,
        prompt: str | OptimizationRequest,
        examples: Iterable[Row],
        *,
        metric: str | Callable[..., Any] | None = None,
        models: Sequence[Model] = (),
        settings: SearchSettings | None = None,
        held_out: Iterable[Row] | None = None,
    ) -> SearchResult:
        """`search` for asyncio: never blocks the event loop."""
        return await in_thread(
            lambda: self.search(prompt, examples, metric=metric, models=models, settings=settings, held_out=held_out)
        )

    @staticmethod
    def score(
        prompts: Sequence[str],
        rows: Iterable[Row],
        *,
        metric: str | Callable[..., Any] | None = None,
        models: Sequence[Model] = (),
        seed: int = 0,
    ) -> PromptScores:
        """Score several prompts on the same rows: the mean of each, and its gain over the first with a 95 % interval.

        Rows, metric and models are those of `search`, but nothing is proposed or chosen, so no rewriter is loaded: call
        it on the class if you have no optimizer. The gains are unbiased on rows that no search has seen. Raises
        `InputError` for prompts and rows that cannot be measured.
        """
        return score_prompts(prompts, rows, yardstick=Yardstick.opened(metric, models), seed=seed)

    def headroom(
        self,
        prompt: str | OptimizationRequest,
        examples: Iterable[Row],
        *,
        metric: str | Callable[..., Any] | None = None,
        models: Sequence[Model] = (),
        max_seconds: float = MAX_SECONDS,
        seed: int = 0,
    ) -> Headroom:
        """How much `search` could gain with the same arguments, estimated in about a minute (`.verdict`)."""
        yardstick = Yardstick.opened(metric, models)
        return measure_headroom(
            self.rewriter, prompt, examples=examples, yardstick=yardstick, seed=seed, max_seconds=max_seconds
        )

    def _decide(self, requests: Sequence[OptimizationRequest]) -> list[OptimizedPrompt | InputError]:
        choices = choose(self.judge, requests, self.rewriter.propose(requests))
        return [
            choice if isinstance(choice, InputError) else conclude(self.rewriter, request, choice)
            for request, choice in zip(requests, choices, strict=True)
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {"rewriter": self.rewriter, "judge": self.judge}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _memo=_Memo())


class _Memo:
    """The last few thousand results, by their requests. Safe to share between threads."""

    def __init__(self) -> None:
        self._results: OrderedDict[OptimizationRequest, OptimizedPrompt] = OrderedDict()

    def __len__(self) -> int:
        return len(self._results)

    def recall(self, request: OptimizationRequest) -> OptimizedPrompt | None:
        with _memo_lock.value:
            if request in self._results:
                self._results.move_to_end(request)
            return self._results.get(request)

    def keep(self, result: OptimizedPrompt) -> None:
        with _memo_lock.value:
            self._results[result.request] = result
            if len(self._results) > _MEMO_SIZE:
                self._results.popitem(last=False)


def _showing(prompt: str | OptimizationRequest, examples: Iterable[Row]) -> str | OptimizationRequest:
    shown = to_show(examples)
    return replace(as_request(prompt), examples=shown) if shown else prompt


def _as_request(prompt: str | OptimizationRequest) -> OptimizationRequest | InputError:
    try:
        return as_request(prompt)
    except InputError as error:
        return error
