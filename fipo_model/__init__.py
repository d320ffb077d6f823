"""FIPO: rewrite naive prompts with a local model.

Importing this package is cheap: every name below lives in a module that imports only the standard library. The heavy
libraries come in with `PromptOptimizer.from_pretrained` and with the modules under `fipo_model.backends`.
"""

from fipo_model.errors import FipoError
from fipo_model.fidelity import FidelitySettings
from fipo_model.generation import Completion, Generator, Message, Sampling, Scorer
from fipo_model.judge import Comparison, Judge, LLMJudge, Verdict
from fipo_model.optimizer import PromptOptimizer
from fipo_model.rewriter import Proposal, Rewriter
from fipo_model.structured import form_of_settings
from fipo_model.templates import FIPO_1, FIPO_2, Template, load_template
from fipo_model.types import Candidate, FixedForm, OptimizationRequest, OptimizedPrompt, Outcome, ShownExample

__version__ = "0.2.0"

__all__ = [
    "FIPO_1",
    "FIPO_2",
    "Candidate",
    "Comparison",
    "Completion",
    "FidelitySettings",
    "FipoError",
    "FixedForm",
    "Generator",
    "Judge",
    "LLMJudge",
    "Message",
    "OptimizationRequest",
    "OptimizedPrompt",
    "Outcome",
    "PromptOptimizer",
    "Proposal",
    "Rewriter",
    "Sampling",
    "Scorer",
    "ShownExample",
    "Template",
    "Verdict",
    "form_of_settings",
    "load_template",
]
