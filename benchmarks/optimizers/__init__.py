"""The parts of `compare_optimizers.py`: FIPO and DSPy's own optimizers on the same programs, data and models."""
