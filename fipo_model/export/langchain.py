"""ChatPromptTemplates, as LangChain's own `dumps` writes and its `loads` reads them."""

from collections.abc import Sequence
from typing import Literal

from fipo_model.contract.variables import Variable, pieces
from fipo_model.errors import explain_missing
from fipo_model.export.rewrite import Rewrite, by_prompt

with explain_missing("langchain", "langchain_core"):
    from langchain_core.load import dumps
    from langchain_core.prompts import ChatPromptTemplate


def prompts(rewrites: Sequence[Rewrite], speaker: Literal["system", "user"]) -> str:
    """A template whose variables are the text's; for several rewrites, one template for each prompt."""
    made = {naive: _template(text, speaker) for naive, text in by_prompt(rewrites).items()}
    (first, *others) = made.values()
    return dumps(made if others else first, pretty=True, ensure_ascii=False)


def _template(text: str, speaker: Literal["system", "user"]) -> ChatPromptTemplate:
    parts = [
        f"{{{piece.name}}}" if isinstance(piece, Variable) else piece.replace("{", "{{").replace("}", "}}")
        for piece in pieces(text)
    ]
    return ChatPromptTemplate.from_messages([("human" if speaker == "user" else "system", "".join(parts))])
