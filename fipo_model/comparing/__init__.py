"""Comparisons: a LangChain chain with its optimized twin (`chains`), FIPO with DSPy's own optimizers (`optimizers`).

Only the command line imports them, when `fipo compare` runs: they need both integrations and heavy libraries.
"""

from fipo_model.errors import explain_missing

with explain_missing("compare", "numpy", "pydantic", "scipy"):
    import numpy as np  # noqa: F401 - asked for first: later ones would name an extra that brings only a part
    import pydantic  # noqa: F401
    import scipy  # noqa: F401
