"""Conversations as tokens, where chat markup within a message is just text. Pure."""

import re
from collections.abc import Callable, Iterable

from fipo_model.generation import Message

# A plane of Unicode without assigned characters.
_PRIVATE_USE = range(0xF0000, 0xFFFFE)


def encode_conversation(
    conversation: list[Message],
    *,
    markup: Iterable[str],
    chat: Callable[[list[Message]], str],
    encode: Callable[[str, bool], list[int]],
) -> list[int]:
    """Token ids of the chat template around the messages.

    `markup` are the special tokens' texts, `chat` applies the template, and `encode` gives the ids of a text; its
    second argument says whether special tokens count as such.
    """
    specials = sorted((token for token in markup if token), key=len, reverse=True)
    said = "".join(message["content"] for message in conversation)
    pattern = re.compile("|".join(map(re.escape, specials)) or "(?!)")
    if pattern.search(said) is None:
        return encode(chat(conversation), True)
    # While the template is applied, letters of a private-use area that no message contains stand in for markup.
    letters = (letter for letter in map(chr, _PRIVATE_USE) if letter not in said)
    stand_ins = dict(zip(specials, letters, strict=False))
    neutral: list[Message] = [
        {"role": message["role"], "content": pattern.sub(lambda match: stand_ins[match[0]], message["content"])}
        for message in conversation
    ]
    spelled = {letter: special for special, letter in stand_ins.items()}
    ids: list[int] = []
    pieces: list[str] = re.split(f"([{''.join(spelled)}])", chat(neutral))
    for piece in pieces:
        ids += encode(spelled.get(piece, piece), piece not in spelled)
    return ids
