"""How one server wants to be asked: which parameters it accepts, learned from what it refuses. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fipo_model.backends.failures import Failure
from fipo_model.generation import Message

_LIMITS = ("max_tokens", "max_completion_tokens")
# The least important first: some servers refuse two of them together.
_OPTIONAL = ("seed", "top_p", "temperature")
_OBJECTS = re.compile(
    r"support|unknown|unrecogni[sz]ed|unexpected|extra|permitted|allowed|forbidden|invalid|deprecated|cannot|can't"
    r"|must be|should be|only|no longer|instead|reserved|disabled",
    re.IGNORECASE,
)
_NO_SYSTEM = re.compile(
    r"system['\"]?[ _](?:role|message|prompt|instruction)s?\b|role['\"]?:? ?['\"]?system|developer instruction"
    r"|roles must alternate|only ['\"]?user['\"]? and ['\"]?(?:assistant|model)|should be ['\"]user"
    r"|(?:unexpected|invalid) role",
    re.IGNORECASE,
)
_ONLY_ONE = re.compile(r"\(1(?:\.0)?\)|\b(?:must be|only) (?:set to |equal to |supports? )?1(?:\.0)?\b", re.IGNORECASE)
_STREAM_ONLY = re.compile(
    r"only support(?:s)? (?:the )?stream|stream[ \w]* (?:must|should) be (?:true|set|enabled)", re.I
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What is sent to a server."""

    limit: str = _LIMITS[0]
    """What it calls the most tokens of a reply."""
    refused: frozenset[str] = frozenset()
    """Parameters that it does not take."""
    has_system: bool = True
    """Whether it takes a system message; where not, its text begins the first message."""
    streams: bool = False
    """Whether it answers only in parts."""
    has_fixed_temperature: bool = False
    """Whether the only temperature that it takes is 1."""

    def request(self, conversation: Sequence[Message], parameters: Mapping[str, Any], room: int) -> dict[str, Any]:
        """The request for a reply of at most `room` tokens."""
        messages = list(conversation) if self.has_system else _merged(conversation)
        taken = {name: value for name, value in parameters.items() if name not in self.refused}
        if self.has_fixed_temperature and "temperature" in taken:
            taken["temperature"] = 1
        streaming = {"stream": True} if self.streams else {}
        return {"messages": messages, self.limit: room, **taken, **streaming}

    def after(self, failure: Failure) -> "Dialect | None":
        """The dialect without what a server has just refused; None where the refusal was about something else."""
        if failure.status not in (400, 422) and failure.status < 500:
            return None
        words = failure.words
        if not self.streams and _STREAM_ONLY.search(words):
            return replace(self, streams=True)
        # An error about a prompt that is too long is never about parameter names.
        if failure.meaning in ("too long", "filtered"):
            return None
        if self.has_system and _NO_SYSTEM.search(words):
            return replace(self, has_system=False)
        named = set(failure.named)
        if _OBJECTS.search(words):
            named |= set(re.findall(r"\b(?:seed|top_p|temperature|max_completion_tokens|max_tokens)\b", words))
        (other,) = (name for name in _LIMITS if name != self.limit)
        if self.limit in named and other not in self.refused:
            return replace(self, limit=other, refused=self.refused | {self.limit})
        if "temperature" in named and not self.has_fixed_temperature and _ONLY_ONE.search(words):
            return replace(self, has_fixed_temperature=True)
        unwanted = next((name for name in _OPTIONAL if name in named and name not in self.refused), None)
        return None if unwanted is None else replace(self, refused=self.refused | {unwanted})

    def __str__(self) -> str:
        parts = [
            f"the limit as {self.limit}",
            f"without {', '.join(sorted(self.refused))}" if self.refused else "nothing left out",
        ]
        parts += ["temperature 1"] if self.has_fixed_temperature else []
        parts += [] if self.has_system else ["the system message within the first one"]
        return ", ".join(parts + (["streamed"] if self.streams else []))


def _merged(conversation: Sequence[Message]) -> list[Message]:
    """A conversation with the system message put at the beginning of the message after it."""
    if len(conversation) < 2 or conversation[0]["role"] != "system":
        return list(conversation)
    system, first, *others = conversation
    return [{"role": first["role"], "content": f"{system['content']}\n\n{first['content']}"}, *others]
