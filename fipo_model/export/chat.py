"""Messages of a chat, as JSON."""

import json
from collections.abc import Sequence

from fipo_model.export.rewrite import Rewrite, by_prompt


def chat(rewrites: Sequence[Rewrite], speaker: str) -> str:
    """A list of messages; for several rewrites, one list for each prompt."""
    made = {naive: [{"role": speaker, "content": text}] for naive, text in by_prompt(rewrites).items()}
    (first, *others) = made.values()
    return json.dumps(made if others else first, indent=2, ensure_ascii=False)
