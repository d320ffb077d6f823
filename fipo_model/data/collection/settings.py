"""How a preference data set is built. Pure data."""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from fipo_model.data.collection.prompts import COLLECTION_1
from fipo_model.data.records import Format
from fipo_model.errors import InputError
from fipo_model.fidelity import FidelitySettings
from fipo_model.generation import Sampling
from fipo_model.templates import Template

# Paper, appendix: sampling, where it is wanted, is with top-p 0.95.
_TOP_P = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """What to ask for, how to check it, and what it may cost.

    Everything up to `format` decides what the records become; a job that is resumed must be given the same. The rest
    (`max_calls`, `batch_size`, `keep_failed`) may change from run to run.
    """

    template: Template = COLLECTION_1
    fidelity: FidelitySettings = field(default_factory=FidelitySettings)
    max_words: int | None = None
    """The most words a rewrite may have; by default `OptimizationRequest.word_limit`, for each instruction."""
    response_tokens: int = 512
    """The most tokens a silver or golden response may have."""
    temperature: float = 0.0
    seed: int = 0
    similarity: float | None = 0.8
    """Prompts that are at least so similar (Jaccard index, 0 to 1) count as the same; None keeps them all."""
    format: Format | None = None
    """Of the input; recognised by default."""
    max_calls: int | None = None
    """Most conversations that are sent to the two models, over all runs of the job."""
    batch_size: int = 32
    keep_failed: bool = False
    """Write records that failed too, marked, and without what made them fail."""

    def __post_init__(self) -> None:
        self.sampling(self.response_tokens)
        if self.max_words is not None and self.max_words < 1:
            raise InputError(f"max_words must be at least 1, not {self.max_words}")
        if self.similarity is not None and not 0 < self.similarity <= 1:
            raise InputError(f"similarity must be above 0 and at most 1, not {self.similarity}")
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, not {self.batch_size}")
        if self.max_calls is not None and self.max_calls < 0:
            raise InputError(f"max_calls must not be negative, but is {self.max_calls}")

    def sampling(self, max_new_tokens: int) -> Sampling:
        """How the models are asked for replies of that length."""
        return Sampling(
            max_new_tokens=max_new_tokens,
            temperature=self.temperature,
            top_p=_TOP_P if self.temperature > 0 else 1.0,
            seed=self.seed,
        )

    def deciding(self) -> dict[str, Any]:
        """What must not change when a job is resumed, as it is recorded."""
        texts = repr(sorted(asdict(self.template).items()))
        return {
            "template": self.template.name,
            "template_sha256": hashlib.sha256(texts.encode("utf-8", "surrogatepass")).hexdigest(),
            "fidelity": sorted(self.fidelity.enforced),
            "most_added_words": self.fidelity.most_added_words,
            "strict_wording": self.fidelity.strict_wording or None,
            "may_repeat": self.fidelity.may_repeat or None,
            "max_words": self.max_words,
            "response_tokens": self.response_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
            "similarity": self.similarity,
            "format": self.format,
        }
