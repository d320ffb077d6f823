"""Opens the models of a comparison: the one that answers the tasks, and FIPO's rewriters."""

import logging
from hashlib import sha256

import dspy
from dspy.utils.logging_utils import disable_logging

from fipo_model import Generator, PromptOptimizer, Rewriter
from fipo_model.comparing.optimizers.job import Settings
from fipo_model.comparing.optimizers.running import Runner
from fipo_model.models.registry import DEFAULT


def describe_own_weights() -> str:
    """Name FIPO's own weights with a digest of each adapter: a new training makes new records."""
    described = []
    for adapter in dict.fromkeys(DEFAULT.adapters.values()):
        digest = sha256((adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
        described.append(f"{adapter.name} ({digest[:12]})")
    return ", ".join(described)


def open_runner(settings: Settings, generator: Generator, optimizer_model: str | None) -> Runner:
    """Open what rewrites, and turn off DSPy's caches, and its log but for errors, in this whole process."""
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
    disable_logging()
    logging.getLogger("dspy").setLevel(logging.ERROR)  # every reply that is cut off at max_tokens is a warning
    return Runner(
        generator,
        rewriter=PromptOptimizer.from_pretrained(optimizer_model),
        sampler=PromptOptimizer.from_rewriter(Rewriter.from_pretrained(optimizer_model, role="proposing")),
        max_tokens=settings.max_tokens,
        proposal_tokens=settings.proposal_tokens,
        num_threads=settings.num_threads,
        effort=settings.effort,
    )
