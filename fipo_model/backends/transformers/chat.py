"""How a model reads its input: its chat template and its tokens. Needs no torch."""

from pathlib import Path
from typing import Any, cast

from fipo_model import places
from fipo_model.backends.markup import encode_conversation
from fipo_model.errors import ModelError, explain_missing, kind_and_line
from fipo_model.generation import Message
from fipo_model.models.hub import check_reachable

with explain_missing("local", "transformers", "jinja2"):
    import jinja2  # noqa: F401 - for chat templates; transformers asks for it only when one is applied
    from transformers import AutoTokenizer, PreTrainedTokenizerBase


class ChatTokenizer:
    """A tokenizer with a chat template, for conversations in which any text is just text.

    Not for several threads at once: tokenizers keep their settings between calls.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, name: str) -> None:
        if tokenizer.chat_template is None:
            raise ModelError(
                f"the tokenizer of {name} has no chat template, so FIPO cannot talk to it. Use an "
                "instruction-tuned model, or set tokenizer.chat_template."
            )
        self._tokenizer = tokenizer

    @classmethod
    def from_pretrained(cls, source: str | Path) -> "ChatTokenizer":
        """The tokenizer of a directory or a hub id. Raises `ModelError` where there is none."""
        if not places.is_directory(source):
            check_reachable(str(source))
        try:
            # Said outright, because transformers would ask on the terminal whether to run a repository's code.
            tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
        except Exception as error:  # anybody's files, so the loaders may raise anything
            raise ModelError(
                f"cannot load the tokenizer {str(source)!r}: it must be a model's directory, or a hub id that can be "
                f"reached or is in the hub's cache. ({kind_and_line(error)})"
            ) from error
        return cls(tokenizer, name=str(source))

    def encode(self, conversation: list[Message]) -> list[int]:
        """Token ids of the chat template around the messages; chat markup within a message is just text."""
        return encode_conversation(
            conversation,
            markup=self._tokenizer.get_added_vocab(),
            chat=self._chat,
            encode=lambda text, is_markup: self.encode_text(text, is_markup=is_markup),
        )

    def encode_text(self, text: str, *, is_markup: bool = False) -> list[int]:
        """Token ids of a text, in which the tokenizer's special tokens are just text unless it `is_markup`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not is_markup)
        return ids

    def _chat(self, conversation: list[Message]) -> str:
        return str(
            self._tokenizer.apply_chat_template(cast(Any, conversation), tokenize=False, add_generation_prompt=True)
        )
