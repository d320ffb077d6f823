"""A Generator and a Scorer behind an OpenAI-compatible server: vLLM, SGLang; llama.cpp and others for generating."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from fipo_model.backends.engine import Engine
from fipo_model.backends.served import CONCURRENT_REQUESTS, TIMEOUT_SECONDS, ServedModel
from fipo_model.errors import InputError, ServerError
from fipo_model.generation import Completion, Message, Sampling, check_samples

# Far enough apart that the samples of neighbouring seeds stay different ones.
_SEED_STRIDE = 1_000_003
_NOTHING = object()


class OpenAIGenerator(ServedModel):
    """A served model as a Generator. For the connection see `ServedModel`."""

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Continue each conversation. Raises `ServerError` with the address for anything the server does wrong."""
        check_samples(sampling, samples)
        if not conversations:
            return []
        # Equal conversations have equal samples, which not every server's seeds can be relied on for.
        keys = [repr(conversation) for conversation in conversations]
        firsts: dict[str, int] = {}
        for index, key in enumerate(keys):
            firsts.setdefault(key, index)
        completions = self._ask_all(
            [
                (index, partial(self._complete, conversations[index], sampling, number))
                for index in firsts.values()
                for number in range(samples)
            ]
        )
        places = {key: samples * place for place, key in enumerate(firsts)}
        return [completions[places[key] : places[key] + samples] for key in keys]

    def _complete(self, conversation: list[Message], sampling: Sampling, number: int) -> Completion:
        response = self._client.chat.completions.create(
            model=self.name,
            messages=cast(Any, conversation),  # the client has five message types for this one shape
            max_tokens=sampling.max_new_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            # A server given one seed would repeat one sample. Its own `n` is not served everywhere, and where it is,
            # the samples may depend on how many are asked for.
            seed=sampling.seed + _SEED_STRIDE * number,
        )
        choice = _first_choice(response)
        content = getattr(getattr(choice, "message", None), "content", _NOTHING)
        if not isinstance(content, str | None):
            raise ServerError(
                f"{self._where} answered without a completion. Is it OpenAI-compatible, and does its address end in "
                "/v1?"
            )
        return Completion(
            # JSON can hold half of a surrogate pair, which no file or terminal takes.
            text=(content or "").encode("utf-8", "replace").decode(),
            is_truncated=getattr(choice, "finish_reason", None) == "length",
            prompt_tokens=getattr(response.usage, "prompt_tokens", None) or 0,
            completion_tokens=getattr(response.usage, "completion_tokens", None) or 0,
        )


class OpenAIScorer(ServedModel):
    """A served model as a Scorer. For the connection see `ServedModel`.

    The server must be able to echo a prompt with the log-probabilities of its tokens, as the completions of vLLM and
    SGLang do. It is sent tokens, so that the border between prompt and response is where a model meets it: `tokenizer`
    is the directory or hub id of the model's tokenizer, by default the name by which the server knows the model. For
    `max_response_tokens` see `TransformersScorer`.
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
        self._encoding = Engine()  # a tokenizer is not for several threads at once

    def log_likelihoods(self, pairs: Sequence[tuple[list[Message], str]]) -> list[float]:
        """Nats per token for each (conversation, response), in order. Equal pairs are asked for once."""
        if not pairs:
            return []
        rows = self._encoding.run(partial(self._encode, pairs))
        distinct: dict[tuple[tuple[int, ...], int], int] = {}
        for index, row in enumerate(rows):
            distinct.setdefault(row, index)
        found = self._ask_all([(index, partial(self._score, *row)) for row, index in distinct.items()])
        values = dict(zip(distinct, found, strict=True))
        return [values[row] for row in rows]

    def _encode(self, pairs: Sequence[tuple[list[Message], str]]) -> list[tuple[tuple[int, ...], int]]:
        """The tokens of each prompt and response, and how many are the prompt's."""
        rows = []
        for index, (conversation, response) in enumerate(pairs):
            said = self._chat.encode_text(response)[: self.max_response_tokens]
            if not said or not response.strip():
                raise InputError(f"response {index} is empty: there is nothing whose likelihood could be measured")
            prompt = self._chat.encode(conversation)
            rows.append(((*prompt, *said), len(prompt)))
        return rows

    def _score(self, ids: tuple[int, ...], start: int) -> float:
        response = self._client.completions.create(
            model=self.name,
            prompt=list(ids),
            max_tokens=1,  # not every server accepts 0; what it adds is not looked at
            temperature=0,  # taken for 1 where probabilities are concerned
            echo=True,
            logprobs=1,
        )
        logprobs = getattr(_first_choice(response), "logprobs", None)
        found = getattr(logprobs, "token_logprobs", None)
        said = found[start : len(ids)] if isinstance(found, list) else []
        if len(said) < len(ids) - start or not all(isinstance(value, float | int) for value in said):
            raise ServerError(f"{self._where} answered without log-probabilities of the prompt.{self._hint}")
        return min(0.0, sum(said) / len(said))


def _first_choice(response: Any) -> Any:
    """The first choice of an answer, which may be anything: the client checks no types."""
    choices = getattr(response, "choices", None)
    return choices[0] if isinstance(choices, list) and choices else None
