"""The optimizer's input and output. Pure data; imports nothing heavy."""

import re
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, get_args

from fipo_model.errors import InputError

Outcome = Literal[
    "optimized",
    "unchanged",
    "empty",
    "truncated",
    "refused",
    "template_echoed",
    "uncertain",
    "input_requested",
    "language_changed",
    "answered",
    "placeholder_lost",
    "placeholder_invented",
    "placeholder_doubled",
    "order_changed",
    "literal_lost",
    "token_lost",
    "url_lost",
    "email_lost",
    "path_lost",
    "code_lost",
    "quotation_lost",
    "example_lost",
    "number_lost",
    "number_invented",
    "negation_lost",
    "negation_invented",
    "bound_lost",
    "language_lost",
    "language_invented",
    "name_lost",
    "name_invented",
    "label_lost",
    "label_invented",
    "format_lost",
    "format_invented",
    "form_contradicted",
    "manner_lost",
    "manner_contradicted",
    "task_invented",
    "task_lost",
    "sentence_lost",
    "golden_leaked",
    "example_leaked",
    "context_copied",
    "off_topic",
    "too_long",
    "repetitive",
    "not_preferred",
]
"""What happened to a rewrite. Only `optimized` means the returned text differs from the naive instruction."""

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

# Scripts written without spaces are counted by character: one "word" a sentence would make the limit meaningless.
UNSPACED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
_SMALLEST_WORD_LIMIT = 60


def count_words(text: str) -> int:
    """Number of words in `text`: runs without white space, or single characters in East and Southeast Asian scripts."""
    # ASCII has none of those scripts, and splitting is far quicker.
    return len(text.split()) if text.isascii() else len(_WORD.findall(text))


@dataclass(frozen=True, slots=True)
class ShownExample:
    """One use of a prompt: the input, and if known the right output and the actual one."""

    input: str
    output: str | None = None
    response: str | None = None
    """What the prompt got for this input; shown as a wrong output, so leave out a response that was right."""

    def __post_init__(self) -> None:
        for name in ("input", "output", "response"):
            text = getattr(self, name)
            if text is not None or name == "input":
                check_text(f"an example's {name}", text)


def as_request(prompt: "str | OptimizationRequest") -> "OptimizationRequest":
    """A prompt as a request. Raises `InputError` for anything that is not one prompt."""
    if isinstance(prompt, OptimizationRequest):
        return prompt
    if not isinstance(prompt, str):
        several = " (optimize_batch takes several)" if isinstance(prompt, list | tuple) else ""
        raise InputError(f"a prompt must be a text, not {type(prompt).__name__}{several}")
    return OptimizationRequest(prompt)


FixedForm = Literal["value", "fields"]


@dataclass(frozen=True, slots=True)
class OptimizationRequest:
    """One naive prompt to rewrite, with everything known about it.

    The naive prompt has two parts. The `instruction` is rewritten. The `context` it is applied to (an article, a
    sentence, a list of fields) is shown to the optimizer and never changed. The responses are the optional parts of
    FIPO's modular template (paper, section 3.1): the response the naive prompt got, and the one it should get.
    """

    instruction: str
    _: KW_ONLY
    context: str | None = None
    silver_response: str | None = None
    golden_response: str | None = None
    max_words: int | None = None
    """Upper bound for the rewrite in words; by default derived from the instruction, see `word_limit`."""
    keep: tuple[str, ...] = ()
    """Literals that must survive besides those recognised by form, such as `<name>` or `[TOPIC]`."""
    examples: tuple[ShownExample, ...] = ()
    """Inputs the prompt is used on. The rewrite is for all such inputs, so it may not name a detail of one.

    The model is shown the first four. The checks, and the rules for the form and the labels of right outputs, know all.
    """
    feedback: str | None = None
    """What a metric or a reader said about what the prompt got."""
    fixed_form: FixedForm | None = None
    """What gives the outputs their form beside the prompt: a type ("value"), or a schema with several ("fields").

    A text that asks for another form is refused then (`form_contradicted`), as it is where the prompt or its context
    asks for replies by a schema, or has a parser's `{format_instructions}`.
    """

    def __post_init__(self) -> None:
        for name in ("instruction", "context", "silver_response", "golden_response", "feedback"):
            check_text(name, getattr(self, name))
        if self.fixed_form is not None and self.fixed_form not in get_args(FixedForm):
            raise InputError(f'fixed_form must be "value", "fields" or None, not {self.fixed_form!r:.80}')
        if not isinstance(self.examples, tuple) or not all(isinstance(each, ShownExample) for each in self.examples):
            raise InputError(
                "examples must be a tuple of ShownExample (optimizer.optimize(prompt, examples=rows) takes pairs of an "
                f"input and its right output), not {self.examples!r:.80}"
            )
        if not self.instruction.strip():
            raise InputError("the prompt is empty: there is nothing to rewrite. Pass the instruction as text.")
        if not isinstance(self.max_words, int | None):
            raise InputError(f"max_words must be a whole number, not {self.max_words!r}")
        if self.max_words is not None and self.max_words < 1:
            raise InputError(f"max_words must be at least 1, not {self.max_words}")
        # A bare string would be taken letter by letter; a list would make the request impossible to remember.
        if not isinstance(self.keep, tuple) or not all(isinstance(literal, str) for literal in self.keep):
            raise InputError(f"keep must be a tuple of texts, such as ('<name>',), not {self.keep!r}")
        if missing := [literal for literal in self.keep if literal not in self.instruction]:
            raise InputError(f"keep names {missing[0]!r}, which the prompt does not contain")

    @property
    def word_limit(self) -> int:
        """The most words a rewrite may have.

        Without `max_words` it is the first of 60, 120, 240, ... that is at least twice the instruction's length. The
        steps are coarse, so that the limit neither leaks the length of a reference rewrite nor splits a batch into
        many.
        """
        if self.max_words is not None:
            return self.max_words
        limit, words = _SMALLEST_WORD_LIMIT, count_words(self.instruction)
        while limit < 2 * words:
            limit *= 2
        return limit


def check_text(name: str, value: object) -> None:
    """Raise `InputError` for anything but text that can be written; only the instruction may not be None."""
    if value is None and name != "instruction":
        return
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, not {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{name} is not valid UTF-8 text: {error.reason} at character {error.start}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One rewrite the model proposed, and what happened to it."""

    text: str
    outcome: Outcome
    detail: str = ""
    """What exactly was lost or leaked, for a reader; empty where the outcome says it all."""
    unchecked: tuple[str, ...] = ()
    """What could not be checked in the prompt's language, in words: "negations", "number words"."""
    log_likelihood: float | None = field(default=None, compare=False)
    """How likely the model found it, in nats per token, if it was asked: how sure it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedPrompt:
    """The prompt to use, and how it came about.

    `text` is the rewrite when `outcome` is "optimized"; for every other outcome it is the naive instruction, unchanged.
    """

    text: str
    request: OptimizationRequest
    outcome: Outcome
    candidates: tuple[Candidate, ...]
    """Everything the model proposed, accepted or not, in the order it was generated."""
    model: str
    template: str

    @property
    def is_rewritten(self) -> bool:
        """Whether `text` differs from the naive instruction."""
        return self.outcome == "optimized"

    @property
    def detail(self) -> str:
        """Why the naive instruction was kept, or what else than the rewriter made the rewrite; else empty."""
        return next((c.detail for c in self.candidates if c.outcome == self.outcome), "")

    @property
    def turned_down(self) -> str:
        """What was proposed and is not used, without the prompt before it; empty if there is nothing of the kind."""
        if self.outcome in ("optimized", "unchanged"):
            return ""
        text = next((c.text for c in self.candidates if c.outcome == self.outcome), "")
        return text.removeprefix(self.request.instruction).strip()

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What could not be checked in the prompt's language; empty if the prompt was kept."""
        return next((c.unchecked for c in self.candidates if self.is_rewritten and c.text == self.text), ())

    def __str__(self) -> str:
        return self.text
