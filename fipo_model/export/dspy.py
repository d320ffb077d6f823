"""The state of a DSPy program with one predictor, as its `save` writes and its `load` reads it."""

import tempfile
from pathlib import Path
from typing import Literal

from fipo_model.errors import InputError, explain_missing

with explain_missing("dspy", "dspy"):
    import dspy


def state(text: str, signature: str, module: Literal["Predict", "ChainOfThought"]) -> str:
    """The state of a module whose instruction is the text. Raises `InputError` for an invalid signature."""
    try:
        made = dspy.make_signature(signature, text)
    except (ValueError, SyntaxError) as error:
        raise InputError(f"{signature!r} is not a DSPy signature, such as 'question -> answer': {error}") from error
    program = dspy.ChainOfThought(made) if module == "ChainOfThought" else dspy.Predict(made)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "state.json")
        program.save(file)  # type: ignore[no-untyped-call]
        return file.read_text(encoding="utf-8").rstrip("\n")
