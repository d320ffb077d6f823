"""The product: naive prompts in, prompts to use out. Never worse without saying so."""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fipo_model import fidelity
from fipo_model.callers import Callers
from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.fidelity import FidelitySettings
from fipo_model.forking import survive_forks
from fipo_model.generation import Completion, Generator, Sampling, generate_each
from fipo_model.judge import Comparison, Judge, LLMJudge
from fipo_model.templates import FIPO_1, Template
from fipo_model.types import Candidate, OptimizationRequest, OptimizedPrompt, Outcome

# Paper, appendix: candidates are sampled with temperature 0.8 and top-p 0.95.
_TEMPERATURE = 0.8
_TOP_P = 0.95
# English takes about 1.4 tokens a word with today's vocabularies; 2 leaves room for code and other scripts. A rewrite
# that needs more is over the word limit anyway.
_TOKENS_PER_WORD = 2
_MEMO_SIZE = 4096


class PromptOptimizer:
    """Rewrites naive prompts with a language model, checks every rewrite, and falls back to the naive prompt.

    One request costs one greedy completion. With `candidates` above 1, that many are sampled instead and a judge
    chooses among them and the naive prompt; with a judge and one candidate, the judge is a gate. The last few thousand
    results of greedy calls are remembered, so a prompt that comes again costs nothing. Safe to share between threads;
    copies and pickles share or reload the model rather than duplicate it.
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
        if candidates < 1:
            raise InputError(f"candidates must be at least 1, not {candidates}")
        if candidates > 1 and judge is None:
            raise InputError("choosing among several candidates needs a judge, for example judge=LLMJudge(generator)")
        self.generator = generator
        self.template = template
        self.judge = judge
        self.settings = settings or FidelitySettings()
        self.candidates = candidates
        self.seed = seed
        self._memo: OrderedDict[OptimizationRequest, OptimizedPrompt] = OrderedDict()
        self._memo_lock = threading.Lock()
        self._callers = Callers()
        survive_forks(self)

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        adapter: str | Path | None = None,
        template: Template | None = None,
        judge: bool = False,
        candidates: int = 1,
        seed: int = 0,
    ) -> "PromptOptimizer":
        """An optimizer on a model in this process, by a name that `models.names` knows; by default FIPO's own weights.

        `adapter` is a PEFT adapter for that model, or "none" for a base without FIPO's own. A directory written by
        FIPO's training carries its template's name, which is used unless `template` is given. `judge=True` lets the
        same model judge its rewrites, for which
        FIPO's own weights are too small. Calls from several threads are batched together. For other settings (4-bit,
        several GPUs) build the parts: `PromptOptimizer(TransformersGenerator.from_pretrained(...))`.

        Raises `ModelError` where the model cannot be loaded, `WeightsError` where the default weights cannot be had,
        and `MissingExtraError` without the extra `local`.
        """
        from fipo_model.backends.coalesce import CoalescingGenerator
        from fipo_model.backends.hf import TransformersGenerator
        from fipo_model.models.names import resolve_local

        checkpoint = resolve_local(model, adapter)
        generator = TransformersGenerator.from_pretrained(checkpoint.base, adapter=checkpoint.adapter)
        return cls._judging_itself(
            CoalescingGenerator(generator),
            template or checkpoint.template,
            judge=judge,
            candidates=candidates,
            seed=seed,
        )

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
        """An optimizer on the model called `name` behind an OpenAI-compatible server; prompts go there and only there.

        `base_url` usually ends in /v1. Raises `ServerError` when it is used and something is wrong with it, and
        `MissingExtraError` without the extra `server`.
        """
        from fipo_model.backends.openai import OpenAIGenerator

        generator = OpenAIGenerator(base_url, name=name)
        return cls._judging_itself(generator, template or FIPO_1, judge=judge, candidates=candidates, seed=seed)

    @classmethod
    def _judging_itself(
        cls, generator: Generator, template: Template, *, judge: bool, candidates: int, seed: int
    ) -> "PromptOptimizer":
        own = LLMJudge(generator, template=template) if judge or candidates > 1 else None
        return cls(generator, template=template, judge=own, candidates=candidates, seed=seed)

    def optimize(self, prompt: str | OptimizationRequest) -> OptimizedPrompt:
        """Rewrite one prompt; a plain string is an instruction without context or responses."""
        return self.optimize_batch([prompt])[0]

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
        """Like `optimize_batch`, with the error in its place for a prompt that cannot be used (empty, too long).

        Errors that concern the model rather than a prompt (a server that is down) are still raised.
        """
        if isinstance(prompts, str):
            raise InputError("this takes a list of prompts; for a single one there is optimize")
        requests = [_as_request(prompt) for prompt in prompts]
        known: dict[OptimizationRequest, OptimizedPrompt | InputError] = {}
        for request in requests:
            if isinstance(request, OptimizationRequest) and (remembered := self._recall(request)) is not None:
                known[request] = remembered
        new = [r for r in dict.fromkeys(requests) if isinstance(r, OptimizationRequest) and r not in known]
        known.update(zip(new, self._decide(new, self.propose_each(new)), strict=True))
        for request in new:
            if isinstance(result := known[request], OptimizedPrompt):
                self._remember(request, result)
        results = [known[r] if isinstance(r, OptimizationRequest) else r for r in requests]
        return [r.at(place) if isinstance(r, PromptTooLongError) else r for place, r in enumerate(results)]

    async def aoptimize(self, prompt: str | OptimizationRequest) -> OptimizedPrompt:
        """`optimize` for asyncio: never blocks the event loop; concurrent calls share model batches."""
        return await self._callers.run(lambda: self.optimize(prompt))

    async def aoptimize_each(self, prompts: Sequence[str | OptimizationRequest]) -> list[OptimizedPrompt | InputError]:
        """`optimize_each` for asyncio."""
        return await self._callers.run(lambda: self.optimize_each(prompts))

    async def aoptimize_batch(self, prompts: Sequence[str | OptimizationRequest]) -> list[OptimizedPrompt]:
        """`optimize_batch` for asyncio."""
        return await self._callers.run(lambda: self.optimize_batch(prompts))

    def propose_each(self, requests: Sequence[OptimizationRequest]) -> list[tuple[Candidate, ...] | InputError]:
        """What the model proposes for each request, checked but not decided, with the error in its place.

        Equal proposals come once. Requests of one length class go out as one call.
        """
        by_limit: defaultdict[int, list[int]] = defaultdict(list)
        for index, request in enumerate(requests):
            by_limit[request.word_limit].append(index)
        proposals: dict[int, tuple[Candidate, ...] | InputError] = {}
        for limit, indices in by_limit.items():
            conversations = [self.template.render(requests[i]) for i in indices for _ in range(self.candidates)]
            replies = generate_each(self.generator, conversations, self._sampling(limit))
            for place, index in enumerate(indices):
                own = replies[place * self.candidates : (place + 1) * self.candidates]
                proposals[index] = self._check(own, requests[index])
        return [proposals[index] for index in range(len(requests))]

    def check(self, text: str, request: OptimizationRequest) -> Candidate:
        """A rewrite from elsewhere by the rules that this optimizer's own go by."""
        return fidelity.check(text, request, self.settings, self.template)

    def _sampling(self, word_limit: int) -> Sampling:
        greedy = Sampling(max_new_tokens=_TOKENS_PER_WORD * word_limit + 16, seed=self.seed)
        return greedy if self.candidates == 1 else replace(greedy, temperature=_TEMPERATURE, top_p=_TOP_P)

    def _check(
        self, replies: Sequence[Completion | PromptTooLongError], request: OptimizationRequest
    ) -> tuple[Candidate, ...] | InputError:
        checked: dict[Candidate, None] = {}
        for reply in replies:
            if isinstance(reply, PromptTooLongError):
                return reply
            text = self.template.rewrite(reply.text, request.instruction)
            if reply.is_truncated:
                cut = f"the model was cut off after {reply.completion_tokens} tokens"
                checked[Candidate(text=text, outcome="truncated", detail=cut)] = None
            else:
                checked[self.check(text, request)] = None
        return tuple(checked)

    def _decide(
        self,
        requests: Sequence[OptimizationRequest],
        proposals: Sequence[tuple[Candidate, ...] | InputError],
    ) -> list[OptimizedPrompt | InputError]:
        """The naive prompt holds its place until a rewrite that passed every check, and then the judge, takes it."""
        decided: list[list[Candidate]] = [[] if isinstance(p, InputError) else list(p) for p in proposals]
        best = [next((c for c in row if c.outcome == "optimized"), None) for row in decided]
        if self.judge is not None:
            best = self._tournament(self.judge, requests, decided)
        return [
            proposal if isinstance(proposal, InputError) else self._result(request, row, winner)
            for request, proposal, row, winner in zip(requests, proposals, decided, best, strict=True)
        ]

    def _tournament(
        self, judge: Judge, requests: Sequence[OptimizationRequest], decided: list[list[Candidate]]
    ) -> list[Candidate | None]:
        """Each acceptable rewrite in turn against the best so far, the naive prompt first; one batch for each turn."""
        best: list[int | None] = [None] * len(requests)
        for turn in range(max(map(len, decided), default=0)):
            rows = [i for i, row in enumerate(decided) if turn < len(row) and row[turn].outcome == "optimized"]
            comparisons = [
                Comparison(
                    request=requests[row],
                    incumbent=requests[row].instruction if (held := best[row]) is None else decided[row][held].text,
                    challenger=decided[row][turn].text,
                )
                for row in rows
            ]
            for row, verdict in zip(rows, judge.prefer(comparisons) if rows else [], strict=True):
                loser = best[row] if verdict.winner == "challenger" else turn
                best[row] = turn if verdict.winner == "challenger" else best[row]
                if loser is not None:
                    reason = verdict.reason if loser == turn else f"a later rewrite won: {verdict.reason}"
                    decided[row][loser] = replace(decided[row][loser], outcome="not_preferred", detail=reason)
        return [None if held is None else row[held] for row, held in zip(decided, best, strict=True)]

    def _result(
        self, request: OptimizationRequest, candidates: list[Candidate], winner: Candidate | None
    ) -> OptimizedPrompt:
        outcome: Outcome = "optimized"
        if winner is None:
            # A rewrite that got as far as the judge explains most; otherwise the first one speaks for all.
            outcome = next((c.outcome for c in candidates if c.outcome == "not_preferred"), candidates[0].outcome)
        return OptimizedPrompt(
            text=request.instruction if winner is None else winner.text,
            request=request,
            outcome=outcome,
            candidates=tuple(candidates),
            model=self.generator.name,
            template=self.template.name,
        )

    def _recall(self, request: OptimizationRequest) -> OptimizedPrompt | None:
        with self._memo_lock:
            if request in self._memo:
                self._memo.move_to_end(request)
            return self._memo.get(request)

    def _remember(self, request: OptimizationRequest, result: OptimizedPrompt) -> None:
        if self.candidates > 1:
            return
        with self._memo_lock:
            self._memo[request] = result
            if len(self._memo) > _MEMO_SIZE:
                self._memo.popitem(last=False)

    def __getstate__(self) -> dict[str, Any]:
        private = ("_memo", "_memo_lock", "_callers")
        return {name: value for name, value in self.__dict__.items() if name not in private}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._memo = OrderedDict()
        self._memo_lock = threading.Lock()
        self._callers = Callers()
        survive_forks(self)

    def _after_fork(self) -> None:
        self._memo_lock = threading.Lock()


def _as_request(prompt: str | OptimizationRequest) -> OptimizationRequest | InputError:
    if isinstance(prompt, OptimizationRequest):
        return prompt
    try:
        return OptimizationRequest(prompt)
    except InputError as error:
        return error
