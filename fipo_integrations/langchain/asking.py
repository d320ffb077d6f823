"""The options that all entry points share: who rewrites, what a rewrite must satisfy, and where rewrites are stored."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import run_in_executor

from fipo_integrations.langchain.default import default_optimizer
from fipo_model import FixedForm, OptimizationRequest, OptimizedPrompt, PromptOptimizer
from fipo_model.errors import InputError
from fipo_model.forking import PerProcess
from fipo_model.store import RewriteStore

Optimizer = PromptOptimizer | BaseChatModel
"""Who rewrites; `optimizer_from` makes an optimizer from a chat model."""
Results = list[OptimizedPrompt | InputError]

_MOST_OPTIMIZERS = 64

_lock = PerProcess(threading.Lock)
# By the identity of a chat model. Its optimizer holds the model, so the identity is not reused.
_optimizers: dict[int, PromptOptimizer] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Who rewrites, and what a rewrite must satisfy."""

    optimizer: Optimizer | None = None
    """None: FIPO's default weights, loaded once in a process when first needed."""
    keep: tuple[str, ...] = ()
    """Texts that a rewrite must keep if its prompt contains them."""
    max_words: int | None = None
    """The most words a rewrite may have."""
    feedback: str | None = None
    """What a reader or a metric said about the responses to the prompts."""
    fixed_form: FixedForm | None = None
    """What gives the replies their form, where nothing that FIPO sees says so."""
    store: RewriteStore | None = None
    """Where rewrites are looked up first, and stored."""
    force: bool = False
    """Whether texts that FIPO wrote, and prompts that the store has, are rewritten again."""

    def __post_init__(self) -> None:
        if isinstance(self.keep, str) or not all(isinstance(text, str) for text in self.keep):
            raise InputError(f"keep must be a tuple of texts, such as ('Acme',), not {self.keep!r}")
        # Raises for a wish that no request can have.
        OptimizationRequest("any", max_words=self.max_words, feedback=self.feedback, fixed_form=self.fixed_form)
        if not isinstance(self.store, RewriteStore | None):
            given = f"{self.store!r:.80}"
            raise InputError(f"store must be a RewriteStore, such as RewriteStore('rewrites.jsonl'), not {given}")
        if not isinstance(self.optimizer, Optimizer | None):
            raise InputError(
                f"an optimizer is a PromptOptimizer or a LangChain chat model, not a {type(self.optimizer).__name__}"
            )

    def check_kept(self, texts: Iterable[str]) -> None:
        """Raise `InputError` for a text to keep that none of these has: it may be mistyped."""
        known = list(texts)
        if missing := [text for text in self.keep if not any(text in one for one in known)]:
            raise InputError(f"keep names {missing[0]!r}, which no text that may be rewritten contains")

    @property
    def opened(self) -> PromptOptimizer:
        """The optimizer; the first to ask for it loads the weights."""
        if not isinstance(self.optimizer, BaseChatModel):
            return self.optimizer or default_optimizer()
        with _lock.value:  # one for each model, so that it remembers prompts
            known = _optimizers.get(id(self.optimizer))
            if known is None:
                from fipo_integrations.langchain.chat_model import optimizer_from

                if len(_optimizers) >= _MOST_OPTIMIZERS:
                    _optimizers.clear()
                known = _optimizers[id(self.optimizer)] = optimizer_from(self.optimizer)
            return known

    def request(
        self,
        instruction: str,
        *,
        context: str | None = None,
        keep: tuple[str, ...] = (),
        fixed_form: FixedForm | None = None,
    ) -> OptimizationRequest:
        """A request for a rewrite, with the wishes. Raises `InputError` where there is nothing to rewrite."""
        own = tuple(text for text in self.keep if text in instruction)
        return OptimizationRequest(
            instruction,
            context=context,
            keep=(*keep, *own),
            max_words=self.max_words,
            feedback=self.feedback,
            fixed_form=fixed_form or self.fixed_form,
        )

    def each(self, requests: Sequence[OptimizationRequest]) -> Results:
        """A result for each request, in one batch at most."""
        return self.stored(requests, lambda unknown: self.opened.optimize_each(unknown))

    async def aeach(self, requests: Sequence[OptimizationRequest]) -> Results:
        """`each` for asyncio: never blocks the event loop."""
        if self.store is not None:
            return await run_in_executor(None, partial(self.each, requests))
        optimizer = await run_in_executor(None, lambda: self.opened)
        return await optimizer.aoptimize_each(requests)

    def stored(
        self, requests: Sequence[OptimizationRequest], optimize: Callable[[list[OptimizationRequest]], Results]
    ) -> Results:
        """A result for each request: the store's, else the one that `optimize` finds, which is then stored."""
        if self.store is None:
            return optimize(list(requests))
        if not self.force or self.store.is_frozen:
            return self.store.optimized(requests, optimize)
        found = optimize(list(requests))
        self.store.keep([result for result in found if isinstance(result, OptimizedPrompt)])
        return found
