"""Rewrites for texts on their way: the store's first, any other text once, and when in doubt the user's own text."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from fipo_model.contract.case import Case
from fipo_model.contract.formed import forms_fixed_otherwise
from fipo_model.errors import FipoError, InputError
from fipo_model.optimizer import PromptOptimizer
from fipo_model.serve.metrics import Metrics
from fipo_model.serve.settings import LONGEST
from fipo_model.store import RewriteStore
from fipo_model.types import FixedForm, OptimizationRequest, OptimizedPrompt

_MEMO_SIZE = 4096
# As many calls as meet in a model's batch; more would only wait, and take memory.
_MOST_BEGUN = 256
# A model that failed is not asked again by all requests at once.
_REST_SECONDS = 5.0

_log = logging.getLogger("fipo_model.serve")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The text to use, and why.

    The outcome is one of `types.Outcome`, or `skipped` (no prompt that can be rewritten), `late` (the deadline came
    first), `busy` (too many wait already), `failed` (the rewriter did), `unreviewed` (a rewrite waits for approval).
    """

    text: str
    outcome: str
    detail: str = ""


class Rewriting:
    """Finds a text's rewrite, for one event loop. Without an optimizer, only the store's.

    A rewrite that comes after the `deadline` (seconds) is there for the next request with that text.
    """

    def __init__(
        self,
        optimizer: PromptOptimizer | None,
        store: RewriteStore | None = None,
        *,
        deadline: float | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.store = store
        self.deadline = deadline
        self.metrics = metrics or Metrics()
        self._memo: OrderedDict[OptimizationRequest, Rewritten] = OrderedDict()
        self._written: set[OptimizationRequest] = set()  # those of the memo that were put into the store
        self._begun: dict[OptimizationRequest, asyncio.Task[Rewritten]] = {}
        self._unkept: list[OptimizedPrompt] = []
        self._writer: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    async def rewrite(self, text: str, fixed_form: FixedForm | None = None) -> Rewritten:
        """The text to use instead; never raises, whatever the text is or the rewriter does."""
        if len(text) > LONGEST:
            return Rewritten(text, "skipped", f"longer than {LONGEST} characters")
        try:
            request = OptimizationRequest(text, fixed_form=fixed_form)
        except InputError as error:
            return Rewritten(text, "skipped", str(error))
        return self._known(request) or await self._wait_for(request)

    def _known(self, request: OptimizationRequest) -> Rewritten | None:
        text = request.instruction
        stored = None if self.store is None else self._stored(self.store, request)
        if stored is not None:
            return Rewritten(stored.text, stored.outcome, stored.detail)
        if request in self._written and self.store is not None and request not in self.store:
            self._forget(request)  # somebody removed its row
        if request in self._memo:
            self._memo.move_to_end(request)
            return self._memo[request]
        if self.optimizer is None:
            approved = " approved" if self.store is not None and self.store.only_approved else ""
            return Rewritten(text, "unchanged", f"the store is frozen, and does not have it{approved}")
        return None

    def _stored(self, store: RewriteStore, request: OptimizationRequest) -> OptimizedPrompt | None:
        """What a store has for a request; or for its prompt, where that says nothing against the form of the reply."""
        found = store.recall(request)
        if found is not None or request.fixed_form is None:
            return found
        found = store.recall(replace(request, fixed_form=None))
        return None if found is None or forms_fixed_otherwise(Case(found.text, request)) else found

    async def _wait_for(self, request: OptimizationRequest) -> Rewritten:
        text, begun = request.instruction, self._begun.get(request)
        if begun is None:
            if len(self._begun) >= _MOST_BEGUN:
                return Rewritten(text, "busy", f"{_MOST_BEGUN} other texts are waiting for the rewriter")
            if time.monotonic() < self._rests_until:
                return Rewritten(text, "failed", "the rewriter failed a moment ago")
            begun = self._begun[request] = asyncio.create_task(self._find(request))
        with self.metrics.waiting():
            try:
                return await asyncio.wait_for(asyncio.shield(begun), self.deadline)
            except TimeoutError:
                return Rewritten(
                    text, "late", "the rewrite was not ready in time; it will be there for the next request"
                )

    async def _find(self, request: OptimizationRequest) -> Rewritten:
        text = request.instruction
        try:
            result = await self._optimized(request)
        except InputError as error:  # too long for the model, for example
            found = Rewritten(text, "skipped", str(error))
        except Exception as error:  # noqa: BLE001 - a stranger's model: whatever it does, the user's text goes on
            self._rests_until = time.monotonic() + _REST_SECONDS
            # Messages of errors may have words of the prompt, which no log gets.
            _log.warning("the rewriter failed (%s); prompts stay as they are", type(error).__name__)
            return Rewritten(text, "failed", type(error).__name__)
        else:
            found = self._allowed(result)
            self._keep(result)
        finally:
            del self._begun[request]
        self._memo[request] = found
        if len(self._memo) > _MEMO_SIZE:
            self._forget(next(iter(self._memo)))
        return found

    def _forget(self, request: OptimizationRequest) -> None:
        self._memo.pop(request, None)
        self._written.discard(request)

    def _allowed(self, result: OptimizedPrompt) -> Rewritten:
        """A new result, or the user's own text where rewrites are used only once somebody approved them."""
        if result.is_rewritten and self.store is not None and self.store.only_approved:
            return Rewritten(result.request.instruction, "unreviewed", "a rewrite is waiting for approval in the store")
        return Rewritten(result.text, result.outcome, result.detail)

    async def _optimized(self, request: OptimizationRequest) -> OptimizedPrompt:
        if self.optimizer is None:
            raise FipoError("there is no rewriter")
        return await self.optimizer.aoptimize(request)

    def _keep(self, result: OptimizedPrompt) -> None:
        """Have a result put into the store, together with those that come while another is written."""
        if self.store is None or self.store.is_frozen:
            return
        self._unkept.append(result)
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(self.store))

    async def _write(self, store: RewriteStore) -> None:
        try:
            while self._unkept:
                results, self._unkept = self._unkept, []
                if not await self.write(store, partial(store.keep, results)):
                    self._written |= {result.request for result in results} & self._memo.keys()
        finally:
            self._writer = None  # here, before others learn of the end, so that results in between get their own writer

    async def write(self, store: RewriteStore, work: Callable[[], object]) -> str:
        """Write to a store, and return what went wrong, in words, or nothing."""
        try:
            await asyncio.to_thread(work)
        except (FipoError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.metrics.store_failures.inc()
            _log.warning("cannot write to the store: %s; rewrites are kept in memory only", reason)
            return reason
        return ""

    async def close(self) -> None:
        """Write what is not written yet; rewrites that nobody waits for any more are dropped."""
        begun = list(self._begun.values())
        for each in begun:
            each.cancel()
        await asyncio.gather(*begun, return_exceptions=True)
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        if self._unkept and self.store is not None:
            await self._write(self.store)
