"""One rewrite as the rules see it: the prompt, the rewrite, what it adds, and everything that was given. Pure."""

from dataclasses import dataclass
from functools import cached_property

from fipo_model.contract.reading import Reading, read
from fipo_model.types import OptimizationRequest


@dataclass(frozen=True)
class Case:
    """A rewrite and its request, read once for all rules."""

    rewrite_text: str
    request: OptimizationRequest

    @cached_property
    def naive(self) -> Reading:
        """The prompt."""
        return read(self.request.instruction)

    @cached_property
    def rewrite(self) -> Reading:
        """The whole rewrite."""
        return read(self.rewrite_text, self.naive.language.likely)

    @cached_property
    def is_addition(self) -> bool:
        """Whether the rewrite has the whole prompt word for word, so that nothing of it can be lost."""
        return self.request.instruction.strip() in self.rewrite_text

    @cached_property
    def around(self) -> tuple[str, str]:
        """What an addition has before the prompt, and after it."""
        before, _, after = self.rewrite_text.partition(self.request.instruction.strip())
        return before, after

    @cached_property
    def added(self) -> Reading:
        """What an addition adds before and after the prompt; of a full rewrite, all of it."""
        if not self.is_addition:
            return self.rewrite
        before, after = self.around
        return read(f"{before.strip()}\n{after.strip()}".strip(), self.naive.language.likely)

    @cached_property
    def given(self) -> Reading:
        """Everything that the rewrite may draw on: prompt, context, responses, examples and feedback."""
        request = self.request
        parts = (
            *(request.instruction, request.context, request.silver_response, request.golden_response),
            *(part for example in request.examples for part in (example.input, example.output)),
            request.feedback,
        )
        return read("\n".join(part for part in parts if part))

    @cached_property
    def material(self) -> str:
        """The prompt and its context, without responses."""
        return f"{self.request.instruction}\n{self.request.context or ''}"
