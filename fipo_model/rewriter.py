"""Proposing rewrites: what a model says to each prompt, read and checked. Whether one is used is decided elsewhere."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path

from fipo_model import fidelity
from fipo_model.contract.shown import outputs_shown
from fipo_model.contract.topics import topic
from fipo_model.errors import InputError
from fipo_model.fidelity import RULES, FidelitySettings
from fipo_model.forms import form_sentence, label_sentence, misleads
from fipo_model.generation import Completion, Generator, Message, Sampling, Second, check_generator, generate_each
from fipo_model.models.registry import Role
from fipo_model.replies import is_thought
from fipo_model.templates import FIPO_1, Template
from fipo_model.types import Candidate, OptimizationRequest

# Paper, appendix: candidates are sampled with temperature 0.8 and top-p 0.95.
_TEMPERATURE = 0.8
_TOP_P = 0.95
# English takes about 1.4 tokens a word with today's vocabularies; 2 leaves room for code and other scripts. A rewrite
# that needs more is over the word limit anyway.
_TOKENS_PER_WORD = 2
_FEWEST_TOKENS = 16

# Where a rule has something true to say, the model has to be surer. Of the additions to development tasks with outputs
# shown, six are between the two limits: 2 right, 2 vague and 2 wrong (docs/training-log.md).
_SURER = 0.1  # nats per token
_BY_RULE = "no model wrote this: it states the form of the right outputs shown"
# Of fewer right outputs, labels may be missing.
_FEWEST_LABELLED = 8

Proposal = tuple[Candidate, ...] | InputError
"""The distinct rewrites of one request, in the order in which they were generated, or why there can be none."""


@dataclass(frozen=True, slots=True)
class Rewriter:
    """A model and how it is asked for rewrites. It proposes and checks; its users decide.

    One request costs one greedy completion, or `samples` sampled ones. `dataclasses.replace` gives the same rewriter
    with another number of samples or another seed; the model is shared.
    """

    generator: Generator
    _: KW_ONLY
    template: Template = FIPO_1
    settings: FidelitySettings = field(default_factory=FidelitySettings)
    samples: int = 1
    seed: int = 0
    keep: tuple[str, ...] = ()
    """Texts that a rewrite must have where the prompt has them, besides those that a request names."""
    max_words: int | None = None
    """The most words a rewrite may have if its request does not say; docs/limits.md says what the default is."""
    least_likelihood: float | None = None
    """A reply that the model itself finds less likely than this is "uncertain": it guesses. In nats per token."""
    second: Second | None = None
    """Asked once more, without sampling, about each prompt alone to which the model adds nothing for sure."""

    def __post_init__(self) -> None:
        check_generator(self.generator)
        _check_numbers(self.samples, self.seed)
        if not isinstance(self.keep, tuple) or not all(isinstance(text, str) for text in self.keep):
            raise InputError(f"keep must be a tuple of texts, such as ('<name>',), not {self.keep!r}")
        if self.max_words is not None and self.max_words < 1:
            raise InputError(f"max_words must be at least 1, not {self.max_words}")

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | Generator | None = None,
        *,
        adapter: str | Path | None = None,
        template: Template | None = None,
        role: Role | None = "rewriting",
        samples: int = 1,
        seed: int = 0,
    ) -> "Rewriter":
        """The rewriter on the model with this name, by default FIPO's own weights.

        `model` is any name that `fipo_model.models.names` knows: a registered name, a directory, a hub id, a server's
        address. `adapter` is a PEFT adapter for it, or "none" for a base without FIPO's adapter. `role` chooses among
        FIPO's own adapters; None uses none of them. A directory from FIPO's training names its template, which is used
        unless you give a `template`. A model that was not trained to rewrite is held to strict wording
        (`FidelitySettings`). For other settings (4-bit, several GPUs) build the parts:
        `Rewriter(TransformersGenerator.from_pretrained(...))`.

        Raises `ModelError` if the model cannot be loaded, `WeightsError` if the default weights cannot be fetched, and
        `MissingExtraError` without the extra that the model needs.
        """
        from fipo_model.backends.opening import manner_of, open_generator, open_second

        _check_numbers(samples, seed)  # before a model is loaded
        manner = manner_of(model, adapter=adapter, role=role)
        generator = open_generator(model, adapter=adapter, role=role)
        return cls(
            generator,
            template=template or manner.template,
            settings=manner.settings,
            samples=samples,
            seed=seed,
            least_likelihood=manner.least_likelihood,
            second=open_second(generator, model, adapter=adapter, role=role),
        )

    @property
    def name(self) -> str:
        """The model's name."""
        return self.generator.name

    @property
    def bold(self) -> "Rewriter":
        """The same one for where examples decide: what it is unsure of, or puts in its own words, may be tried."""
        settings = replace(self.settings, strict_wording=False)
        least = None if self.least_likelihood is None else -math.inf  # it is still asked how sure it is
        return replace(self, least_likelihood=least, settings=settings, second=None)

    def propose(self, requests: Sequence[OptimizationRequest]) -> list[Proposal]:
        """The model's checked proposals for each request, or the error of a request that cannot be used.

        Equal proposals are returned once. Requests with the same word limit share one call.
        """
        proposals = self._propose(requests)
        if self.second is None or self.samples > 1:
            return proposals
        waiting = [
            place for place, request in enumerate(requests) if _is_alone(request) and _adds_nothing(proposals[place])
        ]
        if not waiting:
            return proposals
        other = replace(
            self, generator=self.second.generator, least_likelihood=self.second.least_likelihood, second=None
        )
        for place, added in zip(waiting, other.propose([requests[place] for place in waiting]), strict=True):
            if not isinstance(added, InputError) and any(each.outcome == "optimized" for each in added):
                proposals[place] = added
        return proposals

    def _propose(self, requests: Sequence[OptimizationRequest]) -> list[Proposal]:
        places_by_sampling: defaultdict[Sampling, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            places_by_sampling[self.sampling(request)].append(place)
        proposals: dict[int, Proposal] = {}
        for sampling, places in places_by_sampling.items():
            asked = [requests[place] for place in places]
            proposals.update(zip(places, self._ask(asked, sampling), strict=True))
        return [proposals[place] for place in range(len(requests))]

    def check(self, text: str, request: OptimizationRequest) -> Candidate:
        """Check a rewrite from elsewhere by the same rules as the model's own."""
        return fidelity.check(text, self._completed(request), self.settings, self.template)

    def check_rule(self, text: str, request: OptimizationRequest) -> Candidate:
        """Check a text that a rule made, which is in English whatever the prompt's language is."""
        return replace(self, settings=self.settings.without("language_changed")).check(text, request)

    def render(self, request: OptimizationRequest) -> list[Message]:
        """What the model is asked about a request."""
        return self.template.render(self._completed(request))

    def sampling(self, request: OptimizationRequest) -> Sampling:
        """How the model is to answer, `samples` times."""
        tokens = _TOKENS_PER_WORD * self._completed(request).word_limit + _FEWEST_TOKENS
        greedy = Sampling(max_new_tokens=tokens, seed=self.seed, with_likelihood=self.least_likelihood is not None)
        return greedy if self.samples == 1 else replace(greedy, temperature=_TEMPERATURE, top_p=_TOP_P)

    def read(self, replies: Sequence[Completion], request: OptimizationRequest) -> tuple[Candidate, ...]:
        """The distinct rewrites that its answers hold, checked."""
        form = self._form(request)
        least = self.least_likelihood
        if least is not None and form is not None:
            least += _SURER
        candidates = tuple(dict.fromkeys(self._candidate(reply, request, least) for reply in replies))
        return candidates if form is None else self._with_form(form, candidates, request)

    def _with_form(
        self, form: str, candidates: tuple[Candidate, ...], request: OptimizationRequest
    ) -> tuple[Candidate, ...]:
        """Each with a sentence on the form of the outputs shown; or, if none passed, that sentence alone after them."""
        if any(each.outcome == "optimized" for each in candidates):
            return tuple(self._followed_by(form, each, request) for each in candidates)
        if any(_is_left_alone(each, request) for each in candidates):
            return candidates
        alone = self.check(f"{request.instruction}\n\n{form}", request)
        return (*candidates, replace(alone, detail=_BY_RULE)) if alone.outcome == "optimized" else candidates

    def _followed_by(self, form: str, candidate: Candidate, request: OptimizationRequest) -> Candidate:
        if candidate.outcome != "optimized" or _says(candidate.text, form):
            return candidate
        end = "" if candidate.text.endswith((".", "!", "?", ":")) else "."
        longer = self.check(f"{candidate.text}{end} {form}", request)
        return replace(longer, log_likelihood=candidate.log_likelihood) if longer.outcome == "optimized" else candidate

    def _form(self, request: OptimizationRequest) -> str | None:
        """What a rule could add: a small model reads forms badly, and a rule reads them without guessing."""
        if not self.template.is_addition or self.samples > 1:
            return None
        outputs = outputs_shown(request)
        is_many = len(outputs) >= _FEWEST_LABELLED
        if is_many and (labels := label_sentence(request.instruction, outputs, is_tried=False)):
            return labels
        form = form_sentence(outputs)
        return None if form is None or misleads(form, request.instruction, outputs) else form

    def _completed(self, request: OptimizationRequest) -> OptimizationRequest:
        """The request with the settings that this rewriter gives every request."""
        own = [text for text in self.keep if text in request.instruction and text not in request.keep]
        max_words = self.max_words if request.max_words is None else request.max_words
        if not own and max_words == request.max_words:
            return request
        return replace(request, keep=(*request.keep, *own), max_words=max_words)

    def _ask(self, requests: Sequence[OptimizationRequest], sampling: Sampling) -> list[Proposal]:
        conversations = [self.render(request) for request in requests]
        replies = generate_each(self.generator, conversations, sampling, samples=self.samples)
        return [
            reply if isinstance(reply, InputError) else self.read(reply, request)
            for reply, request in zip(replies, requests, strict=True)
        ]

    def _candidate(self, reply: Completion, request: OptimizationRequest, least: float | None) -> Candidate:
        text = self.template.rewrite(reply.text, request.instruction)
        if reply.is_refused:
            return Candidate(text=text, outcome="refused", detail=reply.note)
        if reply.is_truncated:
            cut = f"the model was cut off after {reply.completion_tokens} tokens"
            return Candidate(text=text, outcome="truncated", detail=reply.note or cut)
        if not text and (reply.note or is_thought(reply.text, request.instruction)):
            return Candidate(text=text, outcome="empty", detail=reply.note or "the model thought, but did not reply")
        likelihood = reply.log_likelihood
        candidate = replace(self.check(text, request), log_likelihood=likelihood)
        if candidate.outcome != "optimized" or least is None or likelihood is None or likelihood >= least:
            return candidate
        guess = "the rewriter finds its own words too unlikely, so they may be a guess"
        detail = f"{guess} (confidence {likelihood:.3f}, limit {least:.3f})"
        return replace(candidate, outcome="uncertain", detail=detail)


def _is_left_alone(candidate: Candidate, request: OptimizationRequest) -> bool:
    """Whether the model had nothing to add, or did not answer; what it said and a check turned down is neither."""
    is_repeated = candidate.outcome == "unchanged" and candidate.text != request.instruction
    return not (candidate.outcome in RULES or candidate.outcome == "uncertain" or is_repeated)


def _says(text: str, form: str) -> bool:
    """Whether a text has the words of a form, and what it quotes."""
    words, quoted = topic(form) - topic("Reply or answer with one of nothing else."), re.findall(r"\"([^\"]+)\"", form)
    return words <= topic(text) and all(re.search(rf"(?i)(?<!\w){re.escape(one)}(?!\w)", text) for one in quoted)


def _is_alone(request: OptimizationRequest) -> bool:
    """Whether nothing but the prompt is known, so that it may be asked just once."""
    return request == OptimizationRequest(request.instruction, max_words=request.max_words, keep=request.keep)


def _adds_nothing(proposal: Proposal) -> bool:
    """Whether the model left a prompt alone, or was too unsure of what it said."""
    return not isinstance(proposal, InputError) and {each.outcome for each in proposal} <= {"unchanged", "uncertain"}


def _check_numbers(samples: object, seed: object) -> None:
    if not isinstance(samples, int) or samples < 1:
        raise InputError(f"samples must be a whole number of at least 1, not {samples!r}")
    if not isinstance(seed, int):
        raise InputError(f"seed must be a whole number, not {seed!r}")
