"""How a model reads what is said to it: its chat template and its tokens. Needs no torch."""

import re
from pathlib import Path
from typing import Any, cast

from fipo_model import places
from fipo_model.errors import ModelError, explain_missing
from fipo_model.generation import Message
from fipo_model.models.hub import check_reachable

with explain_missing("local", "transformers", "jinja2"):
    import jinja2  # noqa: F401 - for chat templates; transformers asks for it only when one is applied
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

# A plane of Unicode without assigned characters.
_PRIVATE_USE = range(0xF0000, 0xFFFFE)


class ChatTokenizer:
    """A tokenizer with a chat template, for conversations in which any text is just text.

    Not for several threads at once: tokenizers keep their settings between calls.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, name: str) -> None:
        if tokenizer.chat_template is None:
            raise ModelError(
                f"the tokenizer of {name} has no chat template, so it is unknown how to talk to it. Use an "
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
        except Exception as error:  # a stranger's files: the loaders raise whatever they stumble over
            first_line = next(iter(str(error).strip().splitlines()), "no details")
            raise ModelError(
                f"cannot load the tokenizer {str(source)!r}: it must be a model's directory, or a hub id that can be "
                f"reached or is in the hub's cache. ({type(error).__name__}: {first_line})"
            ) from error
        return cls(tokenizer, name=str(source))

    def encode(self, conversation: list[Message]) -> list[int]:
        """Token ids of the chat template around the messages; chat markup within a message is just text."""
        specials = sorted((token for token in self._tokenizer.get_added_vocab() if token), key=len, reverse=True)
        said = "".join(message["content"] for message in conversation)
        markup = re.compile("|".join(map(re.escape, specials)) or "(?!)")
        if markup.search(said) is None:
            return self.encode_text(self._chat(conversation), is_markup=True)
        # While the template is applied, letters of a private-use area that no message contains stand in for markup.
        letters = (letter for letter in map(chr, _PRIVATE_USE) if letter not in said)
        stand_ins = dict(zip(specials, letters, strict=False))
        neutral: list[Message] = [
            {"role": message["role"], "content": markup.sub(lambda match: stand_ins[match[0]], message["content"])}
            for message in conversation
        ]
        spelled = {letter: special for special, letter in stand_ins.items()}
        ids: list[int] = []
        pieces: list[str] = re.split(f"([{''.join(spelled)}])", self._chat(neutral))
        for piece in pieces:
            ids += self.encode_text(spelled.get(piece, piece), is_markup=piece not in spelled)
        return ids

    def encode_text(self, text: str, *, is_markup: bool = False) -> list[int]:
        """Token ids of a text, in which the tokenizer's special tokens are just text unless it `is_markup`."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not is_markup)
        return ids

    def _chat(self, conversation: list[Message]) -> str:
        return str(
            self._tokenizer.apply_chat_template(cast(Any, conversation), tokenize=False, add_generation_prompt=True)
        )
