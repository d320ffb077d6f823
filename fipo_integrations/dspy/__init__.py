"""FIPO in DSPy: `FIPO().compile(program)` rewrites the instructions of a program; `FIPOProposer` does it for GEPA."""

from fipo_model.errors import explain_missing

with explain_missing("dspy", "dspy"):
    import dspy as dspy

from fipo_integrations.dspy.estimate import Estimate
from fipo_integrations.dspy.local import local_lm
from fipo_integrations.dspy.optimizer import FIPO
from fipo_integrations.dspy.page import render_page
from fipo_integrations.dspy.plain import PlainAdapter
from fipo_integrations.dspy.proposer import FIPOProposer
from fipo_integrations.dspy.search import SearchSettings
from fipo_integrations.dspy.telling import show_messages

show_messages()

__all__ = ["FIPO", "Estimate", "FIPOProposer", "PlainAdapter", "SearchSettings", "local_lm", "render_page"]
