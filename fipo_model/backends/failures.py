"""What a server says when it does not answer: its words, and what they mean. Pure."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from fipo_model.json_values import parse_json
from fipo_model.replies import without_controls

Meaning = Literal["too long", "filtered", "busy", "request", "other"]

_LONGEST = 300

# As vLLM, SGLang, llama.cpp, Ollama, TGI, TensorRT-LLM, LM Studio, OpenAI, Anthropic, Gemini, Mistral, Cohere, Bedrock
# and LiteLLM put it.
_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|ContextWindowExceeded|maximum context"
    r"|context (?:length|size|window|limit)"
    r"|\b(?:prompt|inputs?|input tokens?|token count|sequence|messages?|conversation|tokens?)\b[^.]{0,80}?"
    r"(?:too (?:long|large|many)|exceed|longer than|overflow|(?:greater|more|larger) than)"
    r"|exceeds? (?:the )?(?:maximum|max|model|allowed)[^.]{0,40}(?:length|tokens|context)"
    r"|too many (?:input |prompt )?tokens|longer than the model"
    r"|`?inputs`?[^.]{0,60}\bmust (?:be|have) (?:<|less|at most|fewer)"
    r"|reduce the (?:length|size) of (?:the|your)|range of input length"
    r"|max(?:imum)?[_ ](?:seq(?:uence)?|model|input)[_ ]len",
    re.IGNORECASE,
)
# The room for the reply alone is too much for the model.
_TOO_MUCH_ROOM = re.compile(
    r"max_(?:completion_|new_)?tokens\b[^.]{0,60}(?:too large|at most|less than or equal|exceed)", re.I
)
_FILTERED = re.compile(
    r"content[_ -]?(?:filter|policy|management|moderat)|\bfiltered\b|\bflagged\b|moderation|\bsafety\b|responsible.?ai"
    r"|inappropriate|prohibited|data_inspection|\bblocked\b",
    re.IGNORECASE,
)
_NO_MONEY = re.compile(r"insufficient_quota|exceeded your (?:current )?quota|billing|credit|payment", re.IGNORECASE)
_LIMIT = re.compile(
    r"(?:context (?:length|size|window)(?: of| is|:)?(?: only)?\s*\(?|length is |<=?\s*|less than |allowed \("
    r"|limit(?: of| is|:)?\s*|> )(\d{2,})|(\d{2,})(?: tokens)? max(?:imum)?\b",
    re.IGNORECASE,
)


@dataclass(eq=False, kw_only=True)
class Failure(Exception):
    """A server's answer that is an error."""

    status: int
    words: str
    """What it says, fit to be shown."""
    named: frozenset[str] = frozenset()
    """The parameters of the request that it names as the cause, where its answer has a place for that."""
    retry_after: float | None = None
    """Seconds that it asks to wait."""

    @property
    def meaning(self) -> Meaning:
        """What the failure is about."""
        if self.status == 413:
            return "too long"
        if self.status in (400, 422) or self.status >= 500:
            # A filter's message may mention anything; one about a prompt that is too long mentions only lengths.
            if _FILTERED.search(self.words) and not re.search(r"token|length", self.words, re.IGNORECASE):
                return "filtered"
            if _TOO_LONG.search(self.words):
                return "too long"
            return "request"
        if self.status in (403, 451) and _FILTERED.search(self.words):
            return "filtered"
        return "busy" if self.status in (408, 409, 429) else "other"

    @property
    def passes(self) -> bool:
        """Whether the failure may be gone in a moment."""
        if self.status == 429 and _NO_MONEY.search(self.words):
            return False
        return self.meaning == "busy" or (self.status >= 500 and self.meaning == "request")

    @property
    def is_of_room(self) -> bool:
        """Whether less room for the reply may be accepted."""
        return self.meaning == "too long" or bool(_TOO_MUCH_ROOM.search(self.words))

    @property
    def lengths(self) -> tuple[int | None, int | None]:
        """How many tokens a too long prompt has, and how many are allowed, where the server says so."""
        found = _LIMIT.search(self.words)
        if found is None:
            return None, None
        limit = int(found[1] or found[2])
        most = max(map(int, re.findall(r"\d+", self.words)))
        return (most if most > limit else None), limit


def read_failure(status: int, body: str, retry_after: float | None = None) -> Failure:
    """The failure in the body of an answer."""
    try:
        content = parse_json(body)
    except ValueError:
        content = re.sub(r"<[^>]*>", " ", body)
    named = frozenset(_named(content))
    return Failure(status=status, words=tidy(_words(content)), named=named, retry_after=retry_after)


def tidy(words: str) -> str:
    """A server's words on one line, and not too many of them."""
    line = " ".join(without_controls(words).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _words(content: Any) -> str:
    """What a body says, in whichever of the usual places."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "; ".join(filter(None, map(_words, content)))
    if not isinstance(content, dict):
        return ""
    if isinstance(content.get("loc"), list):  # pydantic's
        return f"{'.'.join(map(str, content['loc']))}: {content.get('msg', '')}"
    for place in ("error", "message", "detail", "msg", "error_description", "errors"):
        if words := _words(content.get(place)):
            kinds = [content[key] for key in ("code", "type") if isinstance(content.get(key), str)]
            said = [kind for kind in kinds if "_" in kind and kind not in words]
            return f"{words} ({', '.join(said)})" if said else words
    return ""


def _named(content: Any) -> list[str]:
    if isinstance(content, list):
        return [name for each in content for name in _named(each)]
    if not isinstance(content, dict):
        return []
    own = [content["param"]] if isinstance(content.get("param"), str) else []
    place = content.get("loc")
    own += [place[-1]] if isinstance(place, list) and place and isinstance(place[-1], str) else []
    return own + _named(content.get("error")) + _named(content.get("detail"))
