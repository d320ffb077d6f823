"""A model of this machine as upstream: chat completions and the list of models, as OpenAI-compatible servers have them.

A `Generator` replies in one piece, so a stream has its whole text in few chunks.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args

from fipo_model.callers import in_thread
from fipo_model.errors import FipoError, InputError
from fipo_model.generation import Completion, Generator, Message, Sampling
from fipo_model.serve.upstream import Call, Headers, Reply, UpstreamError

_DEFAULT_TOKENS, _MOST_TOKENS = 256, 4096
_MOST_SAMPLES = 8
_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}
# What is asked of a model that only chats, and would be passed over in silence.
_UNKNOWN_TO_IT = ("tools", "functions", "response_format", "logprobs", "audio")
_JSON: Headers = [(b"content-type", b"application/json")]
_EVENTS: Headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chat:
    """What a body asks for."""

    conversation: list[Message]
    sampling: Sampling
    samples: int
    stops: tuple[str, ...]
    is_streamed: bool
    has_usage: bool


class LocalUpstream:
    """Answers with a `Generator`; concurrent calls meet in its batches."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator
        self.name = generator.name

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Reply]:
        """The reply to a call. Raises `UpstreamError` for what this upstream does not have."""
        if call.path == b"/models" and call.method == "GET":
            listed = {"id": self.name, "object": "model", "created": 0, "owned_by": "fipo"}
            yield _reply(_JSON, _encoded({"object": "list", "data": [listed]}))
        elif call.path == b"/chat/completions" and call.method == "POST":
            yield await self._answer(call.body)
        else:
            raise UpstreamError("a local model has only /v1/chat/completions and /v1/models", status=404)

    async def close(self) -> None:
        """Nothing is open."""

    async def _answer(self, body: bytes) -> Reply:
        try:
            chat = _read(body)
            (completions,) = await in_thread(
                lambda: self._generator.generate([chat.conversation], chat.sampling, samples=chat.samples)
            )
            return self._replied(chat, completions)
        except InputError as error:
            raise UpstreamError(str(error), status=400) from error
        except FipoError as error:
            raise UpstreamError(f"the model {self.name} failed: {error}") from error
        except Exception as error:  # a stranger's model; what it says may have words of the prompt
            raise UpstreamError(f"the model {self.name} failed ({type(error).__name__})") from error

    def _replied(self, chat: _Chat, completions: list[Completion]) -> Reply:
        base = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        if chat.is_streamed:
            return _reply(_EVENTS, *_events(base, chat, completions))
        return _reply(_JSON, _encoded(_whole(base, chat, completions)))


def _reply(headers: Headers, *pieces: bytes) -> Reply:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return Reply(status=200, headers=headers, chunks=chunks())


def _whole(base: Mapping[str, Any], chat: _Chat, completions: list[Completion]) -> dict[str, Any]:
    choices = []
    for index, completion in enumerate(completions):
        text, reason = _ended(completion, chat.stops)
        message = {"role": "assistant", "content": text}
        choices.append({"index": index, "message": message, "finish_reason": reason, "logprobs": None})
    return {**base, "object": "chat.completion", "choices": choices, "usage": _usage(completions)}


def _events(base: Mapping[str, Any], chat: _Chat, completions: list[Completion]) -> list[bytes]:
    """Server-sent events: the role, the text and the end of each choice, the usage if asked for, and the end."""
    base = {**base, "object": "chat.completion.chunk"}
    events = []
    for index, completion in enumerate(completions):
        text, reason = _ended(completion, chat.stops)
        deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
        deltas += [({"content": text}, None)] if text else []
        for delta, ending in [*deltas, ({}, reason)]:
            events.append({**base, "choices": [{"index": index, "delta": delta, "finish_reason": ending}]})
    if chat.has_usage:
        events.append({**base, "choices": [], "usage": _usage(completions)})
    return [b"data: " + _encoded(event) + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


def _ended(completion: Completion, stops: tuple[str, ...]) -> tuple[str, str]:
    """The text up to the first stop, and why it ended."""
    places = [place for place in map(completion.text.find, stops) if place >= 0]
    if places:
        return completion.text[: min(places)], "stop"
    if completion.is_refused:
        return completion.text, "content_filter"
    return completion.text, "length" if completion.is_truncated else "stop"


def _usage(completions: list[Completion]) -> dict[str, int]:
    asked = completions[0].prompt_tokens
    replied = sum(completion.completion_tokens for completion in completions)
    return {"prompt_tokens": asked, "completion_tokens": replied, "total_tokens": asked + replied}


def _read(body: bytes) -> _Chat:
    """What a body asks for. Raises `InputError` for what a model of this machine cannot do."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("the body is not JSON") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("messages"), list) or not fields["messages"]:
        raise InputError("the body has no list of messages")
    if asked := [name for name in _UNKNOWN_TO_IT if fields.get(name) and fields[name] != {"type": "text"}]:
        raise InputError(f"a local model does not support {asked[0]}")
    stop = fields.get("stop") or []
    stops = tuple([stop] if isinstance(stop, str) else stop) if isinstance(stop, str | list) else ()
    options = fields.get("stream_options")
    return _Chat(
        conversation=[_message(each) for each in fields["messages"]],
        sampling=_sampling(fields),
        samples=int(_number(fields, "n", 1, least=1, most=_MOST_SAMPLES)),
        stops=tuple(each for each in stops if isinstance(each, str) and each),
        is_streamed=fields.get("stream") is True,
        has_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _sampling(fields: Mapping[str, Any]) -> Sampling:
    name = "max_completion_tokens" if fields.get("max_completion_tokens") is not None else "max_tokens"
    many = _number(fields, "n", 1, least=1, most=_MOST_SAMPLES) > 1
    return Sampling(
        max_new_tokens=int(min(_number(fields, name, _DEFAULT_TOKENS, least=1, most=2**31), _MOST_TOKENS)),
        # One sample is greedy unless somebody asks otherwise: the same question has the same answer.
        temperature=_number(fields, "temperature", 1.0 if many else 0.0, least=0, most=2),
        top_p=_number(fields, "top_p", 1.0, least=1e-6, most=1),
        seed=int(_number(fields, "seed", 0, least=-(2**63), most=2**63)) % 2**31,
    )


def _number(fields: Mapping[str, Any], name: str, default: float, *, least: float, most: float) -> float:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InputError(f"{name} must be a number from {least:g} to {most:g}, not {value!r:.40}")
    return value


def _message(given: object) -> Message:
    if not isinstance(given, dict) or not isinstance(given.get("role"), str) or given["role"] not in _ROLES:
        raise InputError(f"a message has one of the roles {', '.join(_ROLES)}, and a content")
    content = given.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "\n".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise InputError("a local model reads text only")
    role = next(role for role in get_args(Message.__annotations__["role"]) if role == _ROLES[given["role"]])
    return {"role": role, "content": content}


def _encoded(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
