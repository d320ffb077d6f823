"""FIPO and DSPy's own optimizers on the same programs, data and models."""

from fipo_model.errors import explain_missing

with explain_missing("optimizers", "dspy", "dspy.lm15"):
    import dspy.lm15  # noqa: F401 - asked for first, so that its absence, and that of DSPy 3.4, is explained
