"""A model of this machine as upstream: chat completions and the list of models, as OpenAI-compatible servers have them.

A single sample of a `StreamingGenerator` is streamed as it comes, and stops when the client leaves. Everything else is
computed first.
"""

import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args

from fipo_model.callers import in_thread, steps_in_thread
from fipo_model.errors import FipoError, InputError
from fipo_model.generation import Completion, Generator, Message, Sampling, StreamingGenerator
from fipo_model.serve.upstream import Call, Headers, Reply, UpstreamError

_DEFAULT_TOKENS, _MOST_TOKENS = 256, 4096
_MOST_SAMPLES = 8
# They are looked for after each token.
_MOST_STOPS, _LONGEST_STOP = 16, 1000
_ROLES = {"developer": "system", "system": "system", "user": "user", "assistant": "assistant"}
# Options that a plain chat model would silently ignore.
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
            with self._explained():
                chat = _read(call.body)
            async with aclosing(self._growing(chat)) as growing:
                yield await self._replied(chat, growing)
        else:
            raise UpstreamError("a local model has only /v1/chat/completions and /v1/models", status=404)

    async def close(self) -> None:
        """Nothing is open."""

    async def _growing(self, chat: _Chat) -> AsyncGenerator[list[Completion], None]:
        """The completions as they grow, up to a stop. Leaving ends the computation where the engine can stream."""
        with self._explained():
            if chat.samples > 1 or not isinstance(self._generator, StreamingGenerator):
                asked = partial(self._generator.generate, [chat.conversation], chat.sampling, samples=chat.samples)
                (completions,) = await in_thread(asked)
                yield completions
                return
            begin = partial(self._generator.stream, chat.conversation, chat.sampling)
            async with aclosing(steps_in_thread(begin)) as growing:
                async for completion in growing:
                    yield [completion]
                    if _stop_in(completion.text, chat.stops) is not None:
                        return

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise UpstreamError(str(error), status=400) from error
        except FipoError as error:
            raise UpstreamError(f"the model {self.name} failed: {error}") from error
        except Exception as error:  # any model may be here, and its errors may contain words of the prompt
            raise UpstreamError(f"the model {self.name} failed ({type(error).__name__})") from error

    async def _replied(self, chat: _Chat, growing: AsyncGenerator[list[Completion], None]) -> Reply:
        """The reply, as soon as something came, so that an earlier failure has a status of its own."""
        base = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        completions = await anext(growing, None)
        if completions is None:
            raise UpstreamError(f"the model {self.name} stopped without a reply")
        if chat.is_streamed:
            return Reply(status=200, headers=_EVENTS, chunks=_events(base, chat, completions, growing))
        async for later in growing:
            completions = later
        return _reply(_JSON, _encoded(_whole(base, chat, completions)))


def _reply(headers: Headers, body: bytes) -> Reply:
    async def chunks() -> AsyncIterator[bytes]:
        yield body

    return Reply(status=200, headers=headers, chunks=chunks())


def _whole(base: Mapping[str, Any], chat: _Chat, completions: list[Completion]) -> dict[str, Any]:
    choices = []
    for index, completion in enumerate(completions):
        text, reason = _ended(completion, chat.stops)
        message = {"role": "assistant", "content": text}
        choices.append({"index": index, "message": message, "finish_reason": reason, "logprobs": None})
    return {**base, "object": "chat.completion", "choices": choices, "usage": _usage(completions)}


async def _events(
    base: Mapping[str, Any], chat: _Chat, completions: list[Completion], later: AsyncIterator[list[Completion]]
) -> AsyncIterator[bytes]:
    """Server-sent events: roles, pieces of text and the end of each choice, the usage if asked for, and the end."""
    base = {**base, "object": "chat.completion.chunk"}
    said = [0] * chat.samples

    def event(index: int, delta: Mapping[str, str], reason: str | None = None) -> bytes:
        return _event({**base, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]})

    def more(texts: list[str]) -> Iterator[bytes]:
        for index, text in enumerate(texts):
            if len(text) > said[index]:
                yield event(index, {"content": text[said[index] :]})
                said[index] = len(text)

    yield b"".join(event(index, {"role": "assistant", "content": ""}) for index in range(chat.samples))
    yield b"".join(more([_sayable(each.text, chat.stops) for each in completions]))
    async for completions in later:
        yield b"".join(more([_sayable(each.text, chat.stops) for each in completions]))
    ended = [_ended(completion, chat.stops) for completion in completions]
    yield b"".join(more([text for text, _ in ended]))
    yield b"".join(event(index, {}, reason) for index, (_, reason) in enumerate(ended))
    if chat.has_usage:
        yield _event({**base, "choices": [], "usage": _usage(completions)})
    yield b"data: [DONE]\n\n"


def _event(fields: Mapping[str, Any]) -> bytes:
    return b"data: " + _encoded(fields) + b"\n\n"


def _stop_in(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the text ends because of a stop: at the beginning of the first one to be complete, read from the left."""
    found = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    return min(found)[1] if found else None


def _sayable(text: str, stops: tuple[str, ...]) -> str:
    """The text without anything that is a stop or may be the beginning of one."""
    place = _stop_in(text, stops)
    if place is None:
        sizes = (size for stop in stops for size in range(len(stop) - 1, 0, -1) if text.endswith(stop[:size]))
        place = len(text) - max(sizes, default=0)
    return text[:place]


def _ended(completion: Completion, stops: tuple[str, ...]) -> tuple[str, str]:
    """The text up to the first stop, and why it ended."""
    place = _stop_in(completion.text, stops)
    if place is not None:
        return completion.text[:place], "stop"
    if completion.is_refused:
        return completion.text, "content_filter"
    return completion.text, "length" if completion.is_truncated else "stop"


def _usage(completions: list[Completion]) -> dict[str, int]:
    asked = completions[0].prompt_tokens
    replied = sum(completion.completion_tokens for completion in completions)
    return {"prompt_tokens": asked, "completion_tokens": replied, "total_tokens": asked + replied}


def _read(body: bytes) -> _Chat:
    """What a body asks for. Raises `InputError` for anything that a model of this machine cannot do."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("the body is not JSON") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("messages"), list) or not fields["messages"]:
        raise InputError("the body has no list of messages")
    if asked := [name for name in _UNKNOWN_TO_IT if fields.get(name) and fields[name] != {"type": "text"}]:
        raise InputError(f"a local model does not support {asked[0]}")
    options = fields.get("stream_options")
    return _Chat(
        conversation=[_message(each) for each in fields["messages"]],
        sampling=_sampling(fields),
        samples=int(_number(fields, "n", 1, least=1, most=_MOST_SAMPLES)),
        stops=_stops(fields.get("stop")),
        is_streamed=fields.get("stream") is True,
        has_usage=isinstance(options, dict) and options.get("include_usage") is True,
    )


def _stops(given: object) -> tuple[str, ...]:
    listed = [given] if isinstance(given, str) else given
    stops = tuple(each for each in listed if isinstance(each, str) and each) if isinstance(listed, list) else ()
    if len(stops) > _MOST_STOPS or any(len(stop) > _LONGEST_STOP for stop in stops):
        raise InputError(f"stop takes at most {_MOST_STOPS} texts, each of at most {_LONGEST_STOP} characters")
    return stops


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
        raise InputError(f"a message needs content and one of the roles {', '.join(_ROLES)}")
    content = given.get("content")
    if isinstance(content, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in content):
        content = "\n".join(str(part.get("text", "")) for part in content)
    if not isinstance(content, str):
        raise InputError("a local model reads only text")
    role = next(role for role in get_args(Message.__annotations__["role"]) if role == _ROLES[given["role"]])
    return {"role": role, "content": content}


def _encoded(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "replace")
