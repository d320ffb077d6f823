"""A Generator and a Scorer behind an OpenAI-compatible server: vLLM, SGLang, and for generating others, too."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from fipo_model.backends.answers import Answer, nothing, read_answer
from fipo_model.backends.crew import Work
from fipo_model.backends.dialect import Dialect
from fipo_model.backends.engine import Engine
from fipo_model.backends.failures import Failure
from fipo_model.backends.served import CONCURRENT_REQUESTS, RETRIES, TIMEOUT_SECONDS, ServedModel
from fipo_model.errors import InputError, PromptTooLongError, ServerError, explain_missing
from fipo_model.forking import PerProcess
from fipo_model.generation import Completion, Message, Sampling, check_samples
from fipo_model.templates import FIPO_1
from fipo_model.types import OptimizationRequest

with explain_missing("server", "openai"):
    import openai

# Far enough apart that the samples of neighbouring seeds stay different ones.
_SEED_STRIDE = 1_000_003
# Models that think take some hundreds to some thousands of tokens for it. Where that much does not fit, half of it may.
THINKING_TOKENS = 4096
_LEAST_THINKING_TOKENS = 512
# A request like others of FIPO's, to which no filter can object.
_PROBE = FIPO_1.render(OptimizationRequest("Name three colours."))

# A conversation as text, how it is sampled, and which sample of it.
_Wanted = tuple[str, Sampling, int]
_MOST_ASIDE = 1024

_log = logging.getLogger("fipo_model.server")
_aside_lock = PerProcess(threading.Lock)  # of all generators: it is held for microseconds


class OpenAIGenerator(ServedModel):
    """A served model as a Generator. For the connection see `ServedModel`.

    What a server refuses (a parameter, the system role) is left out from then on. If it refuses a request for its
    content, while it answers others, the completion `is_refused` and has the server's words.

    `thinking_tokens` is the room for a model's thoughts, in addition to that for the reply. By default FIPO finds out:
    once a reply was cut off in the middle of thoughts, it leaves room for 4,096 tokens of them, or as many of these as
    fit.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        concurrency: int = CONCURRENT_REQUESTS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        max_retries: int = RETRIES,
        thinking_tokens: int | None = None,
    ) -> None:
        super().__init__(
            base_url, name=name, concurrency=concurrency, timeout_seconds=timeout_seconds, max_retries=max_retries
        )
        if thinking_tokens is not None and thinking_tokens < 0:
            raise InputError(f"thinking_tokens must not be negative, but is {thinking_tokens}")
        self.thinking_tokens = thinking_tokens
        self._room_to_think = thinking_tokens or 0
        self._dialect = Dialect()
        self._set_aside = _Aside()
        self._answers = 0  # how often there was a completion

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation. Raises `ServerError` with the address for anything the server does wrong."""
        check_samples(sampling, samples)
        if not conversations:
            return []
        # Equal conversations get equal samples. Not every server's seeds can be relied on for that.
        keys = [repr(conversation) for conversation in conversations]
        firsts: dict[str, int] = {}
        for index, key in enumerate(keys):
            firsts.setdefault(key, index)
        wanted = [(key, sampling, number) for key in firsts for number in range(samples)]
        found = self._set_aside.taken(wanted)
        missing = [each for each in wanted if each not in found]
        requests: list[tuple[int, Work[Completion]]] = []
        for key, _, number in missing:
            requests.append((firsts[key], partial(self._complete, conversations[firsts[key]], sampling, number)))
        found.update(zip(missing, self._ask_all(requests), strict=True))
        for each in wanted:
            if isinstance(error := found[each], PromptTooLongError):
                others = {other: what for other, what in found.items() if other[0] != each[0]}
                self._set_aside.keep(others)
                raise error.at(firsts[each[0]])
        done = {each: completion for each, completion in found.items() if isinstance(completion, Completion)}
        return [[done[key, sampling, number] for number in range(samples)] for key in keys]

    def _complete(
        self, conversation: list[Message], sampling: Sampling, number: int, is_over: threading.Event
    ) -> Completion:
        """One sample, or what stands in for it where the server refuses only this conversation."""
        answers_before = self._answers
        try:
            found = self._reply(conversation, sampling, number, is_over)
        except Failure as failure:
            if failure.meaning not in ("request", "filtered"):
                raise
            is_proved = failure.meaning == "filtered" or (failure.status < 500 and self._answers > answers_before)
            if not is_proved and not self._answers_others(sampling, is_over):
                raise
            return nothing(f"the server refused the request: {self._said(failure)}", is_refused=True)
        if isinstance(found, Completion):
            return found
        if self._answers == answers_before and not self._answers_others(sampling, is_over):
            raise ServerError(f"{self._where} {found}. Is it OpenAI-compatible, and does its address end in /v1?")
        return nothing(f"the server {found}")

    def _answers_others(self, sampling: Sampling, is_over: threading.Event) -> bool:
        """Whether the server refuses only this conversation, found out by asking it something harmless."""
        try:
            return isinstance(self._reply(_PROBE, sampling, 0, is_over, tries=1), Completion)
        except (Failure, openai.OpenAIError, ValueError):
            return False

    def _reply(
        self,
        conversation: list[Message],
        sampling: Sampling,
        number: int,
        is_over: threading.Event,
        *,
        tries: int | None = None,
    ) -> Completion | str:
        """One sample, with room for thoughts where the model has some; or what is wrong with the answer."""
        room = self._room_to_think
        ask = partial(self._ask, conversation, sampling, number, is_over, tries=tries)
        found, _ = self._with_less_room(ask, room)
        is_new = self.thinking_tokens is None and not room
        if is_new and found.is_thinking and found.completion is not None and found.completion.is_truncated:
            try:
                found, self._room_to_think = self._with_less_room(ask, THINKING_TOKENS)
            except Failure as failure:  # the server has no room; then the reply stays as it was
                if not failure.is_of_room:
                    raise
            _log.debug(
                "%s thinks before it replies; it gets room for %d tokens of thought", self._where, self._room_to_think
            )
        if found.completion is None:
            return found.problem
        self._answers += 1
        return replace(found.completion, note=self._public(found.completion.note))

    def _with_less_room(self, ask: Callable[[int], Answer], room: int) -> tuple[Answer, int]:
        """The answer with room for thoughts, or with half of it where that much does not fit; and the room it had."""
        while True:
            try:
                return ask(room), room
            except Failure as failure:
                if not room or not failure.is_of_room:
                    raise
                room = room // 2 if room >= 2 * _LEAST_THINKING_TOKENS else 0

    def _ask(
        self,
        conversation: list[Message],
        sampling: Sampling,
        number: int,
        is_over: threading.Event,
        room: int,
        *,
        tries: int | None,
    ) -> Answer:
        parameters = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            # A server given one seed would repeat one sample. Its own `n` is not served everywhere, and where it is,
            # the samples may depend on their number.
            "seed": sampling.seed + _SEED_STRIDE * number,
        }

        def ask(dialect: Dialect) -> Answer:
            body = {"model": self.name, **dialect.request(conversation, parameters, sampling.max_new_tokens + room)}

            def is_settled(failure: Failure) -> bool:
                return dialect.after(failure) is not None

            return read_answer(self._send("/chat/completions", body, is_over, tries=tries, is_settled=is_settled))

        return self._negotiated(ask)

    def _negotiated(self, ask: Callable[[Dialect], Answer]) -> Answer:
        """The server's answer to a request in its own dialect, which is found out once."""
        asked = self._dialect
        try:
            return ask(asked)
        except Failure as failure:
            other = asked.after(failure)
            if other is None:
                raise
        with self._connection.negotiating:  # others that were refused meanwhile wait for the result
            dialect = self._dialect if self._dialect != asked else other
            while True:
                try:
                    answer = ask(dialect)
                except Failure as failure:
                    other = dialect.after(failure)
                    if other is None:
                        raise
                    dialect = other
                else:
                    if dialect != self._dialect:
                        _log.debug("%s is now asked with %s", self._where, dialect)
                        self._dialect = dialect  # only now, so that what did not help is not remembered
                    return answer


class _Aside:
    """Answers from calls that failed because one conversation was too long, kept for repeats of the others."""

    def __init__(self) -> None:
        self._found: dict[_Wanted, Completion | PromptTooLongError] = {}

    def keep(self, found: dict[_Wanted, Completion | PromptTooLongError]) -> None:
        with _aside_lock.value:
            self._found = found if len(self._found) > _MOST_ASIDE else self._found | found

    def taken(self, wanted: Sequence[_Wanted]) -> dict[_Wanted, Completion | PromptTooLongError]:
        """The answer for a request, if there is one, which is then dropped."""
        with _aside_lock.value:
            return {each: self._found.pop(each) for each in wanted if each in self._found}


class OpenAIScorer(ServedModel):
    """A served model as a Scorer. For the connection see `ServedModel`.

    The server must be able to echo a prompt with the log-probabilities of its tokens, as the completions of vLLM and
    SGLang do. It is sent tokens, so that the border between prompt and response falls where a model meets it:
    `tokenizer` is the directory or hub id of the model's tokenizer, by default the name by which the server knows the
    model. For `max_response_tokens` see `TransformersScorer`.
    """

    _hint = " (Scoring needs completions that echo the prompt with its log-probabilities, as vLLM's and SGLang's do.)"

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        tokenizer: str | Path | None = None,
        max_response_tokens: int | None = None,
        concurrency: int = CONCURRENT_REQUESTS,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        super().__init__(base_url, name=name, concurrency=concurrency, timeout_seconds=timeout_seconds)
        if max_response_tokens is not None and max_response_tokens < 1:
            raise InputError(f"max_response_tokens must be at least 1, not {max_response_tokens}")
        # Imported here, because generating needs no tokenizer.
        from fipo_model.backends.transformers.chat import ChatTokenizer

        self.tokenizer = tokenizer
        self.max_response_tokens = max_response_tokens
        self._chat = ChatTokenizer.from_pretrained(name if tokenizer is None else tokenizer)
        self._encoding = Engine()  # tokenizers are not thread-safe

    def log_likelihoods(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Nats per token for each (conversation, response), in order. Equal pairs are asked for once."""
        if not pairs:
            return []
        rows = self._encoding.run(partial(self._encode, pairs))
        distinct: dict[tuple[tuple[int, ...], int], int] = {}
        for index, row in enumerate(rows):
            distinct.setdefault(row, index)
        found = self._ask_all([(index, partial(self._score, row)) for row, index in distinct.items()])
        values: dict[tuple[tuple[int, ...], int], float] = {}
        for row, value in zip(distinct, found, strict=True):
            if isinstance(value, PromptTooLongError):
                raise value
            values[row] = value
        return [values[row] for row in rows]

    def _encode(self, pairs: Sequence[tuple[list[Message], str]]) -> list[tuple[tuple[int, ...], int]]:
        """The tokens of each prompt and response, and how many are the prompt's."""
        rows = []
        for index, (conversation, response) in enumerate(pairs):
            said = self._chat.encode_text(response)[: self.max_response_tokens]
            if not said or not response.strip():
                raise InputError(f"response {index} is empty, so it has no likelihood to measure")
            prompt = self._chat.encode(conversation)
            rows.append(((*prompt, *said), len(prompt)))
        return rows

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "max_retries"}

    def _score(self, row: tuple[tuple[int, ...], int], is_over: threading.Event) -> float:
        ids, start = row
        body = {
            "model": self.name,
            "prompt": list(ids),
            "max_tokens": 1,  # not every server accepts 0; what it adds is not looked at
            "temperature": 0,  # taken for 1 where probabilities are concerned
            "echo": True,
            "logprobs": 1,
        }
        found = _token_logprobs(self._send("/completions", body, is_over))
        said = found[start : len(ids)] if isinstance(found, list) else []
        if len(said) < len(ids) - start or not all(isinstance(value, float | int) for value in said):
            raise ServerError(f"{self._where} answered without log-probabilities of the prompt.{self._hint}")
        return min(0.0, sum(said) / len(said))


def _token_logprobs(answer: Any) -> Any:
    """The log-probabilities in an answer, which may be anything."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    logprobs = choice.get("logprobs") if isinstance(choice, dict) else None
    return logprobs.get("token_logprobs") if isinstance(logprobs, dict) else None
