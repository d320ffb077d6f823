"""A model that FIPO runs as a LangChain chat model, and any LangChain chat model as one that FIPO asks for rewrites."""

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict, Field, SkipValidation, field_validator

from fipo_model import FIPO_2, Completion, Generator, Message, PromptOptimizer, Sampling, Template
from fipo_model.errors import FipoError, InputError, ModelError

_ROLES = ("system", "user", "assistant")
# Why a reply ended, as LangChain's chat models name it in a message's metadata.
_REASONS = ("finish_reason", "stop_reason", "done_reason", "finishReason")
_INCOMPLETE = "incomplete"  # the status of a reply of OpenAI's Responses API, which gives no reason
_FINISHED = frozenset("stop end_turn stop_sequence eos eos_token complete completed load".split())
_FILTERED = frozenset("content_filter refusal safety recitation blocklist prohibited_content spii".split())


class GeneratorChatModel(BaseChatModel):
    """Any FIPO `Generator` as a chat model, so that a whole chain runs on one machine.

    LangChain calls a chat model once for each input, from threads. A model in this process joins such calls into
    batches; `BatchingGenerator` does so for others. Text only: no tools, no images, and replies in one piece.
    """

    generator: SkipValidation[Generator] = Field(exclude=True)
    max_tokens: int = 256
    """The most tokens a reply may have; `response_metadata["finish_reason"]` is "length" if the reply was cut off."""
    temperature: float = 0.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    seed: int = 0
    stop: list[str] | None = None
    """Texts before which a reply ends, unless a call passes its own."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())

    @field_validator("generator")
    @classmethod
    def _check_generator(cls, generator: object) -> object:
        if not hasattr(generator, "generate"):
            raise InputError(f"generator must be a Generator, such as open_generator('default'), not {generator!r:.80}")
        return generator

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        """Raises `NotImplementedError`: this model reads and writes text alone."""
        raise NotImplementedError(f"{self.generator.name} reads and writes only text here, so it cannot call tools")

    @property
    def _llm_type(self) -> str:
        return "fipo-generator"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("max_tokens", "temperature", "top_p", "seed")
        settings = {name: getattr(self, name) for name in names}
        # Under another name, because LangChain's cache keys put a call's own `stop` in place of this one.
        return {"model_name": self.generator.name, **settings, "stop_words": self.stop}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = LangSmithParams(
            ls_provider="fipo",
            ls_model_name=kwargs.get("model", self.generator.name),
            ls_model_type="chat",
            ls_temperature=kwargs.get("temperature", self.temperature),
            ls_max_tokens=kwargs.get("max_tokens", self.max_tokens),
        )
        stop = stop or self.stop
        return {**params, "ls_stop": stop} if stop else params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        sampling = Sampling(
            max_new_tokens=kwargs.get("max_tokens", self.max_tokens),
            temperature=kwargs.get("temperature", self.temperature),
            top_p=self.top_p,
            seed=self.seed,
        )
        ((completion,),) = self.generator.generate([conversation_of(messages)], sampling)
        return ChatResult(generations=[ChatGeneration(message=self._message(completion, stop or self.stop or []))])

    def _message(self, completion: Completion, stop: list[str]) -> AIMessage:
        places = [completion.text.find(word) for word in stop]
        ends = [place for place in places if place >= 0]
        return AIMessage(
            completion.text[: min(ends)] if ends else completion.text,
            usage_metadata=UsageMetadata(
                input_tokens=completion.prompt_tokens,
                output_tokens=completion.completion_tokens,
                total_tokens=completion.prompt_tokens + completion.completion_tokens,
            ),
            response_metadata={"model_name": self.generator.name, "finish_reason": _reason(completion, bool(ends))},
        )


def _reason(completion: Completion, is_stopped: bool) -> str:
    """Why a reply ended, in OpenAI's words."""
    if completion.is_refused:
        return "content_filter"
    return "length" if completion.is_truncated and not is_stopped else "stop"


def conversation_of(messages: list[BaseMessage]) -> list[Message]:
    conversation: list[Message] = []
    for turn in convert_to_openai_messages(messages, text_format="string"):
        role, content = turn["role"], turn["content"]
        if role not in _ROLES or not isinstance(content, str) or "tool_calls" in turn:
            what = "a tool call" if "tool_calls" in turn else "content that is not text"
            what = what if role in _ROLES else f"a message with the role {role!r}"
            raise InputError(f"this model reads only text from system, user and assistant, not {what}")
        conversation.append({"role": role, "content": content})
    return conversation


class ChatModelGenerator:
    """Any LangChain chat model as a `Generator`: `PromptOptimizer(ChatModelGenerator(init_chat_model("...")))`.

    It is used as it was configured; samples only raise its temperature, where it has one. A reply counts as unfinished
    if it says that it was cut off, or ended for an unknown reason. One that gives no reason counts as finished.
    """

    def __init__(self, model: BaseChatModel) -> None:
        if not isinstance(model, BaseChatModel):
            raise InputError(f"a LangChain chat model is needed, not a {type(model).__name__}")
        self.model = model

    @property
    def name(self) -> str:
        """The model's name, or else its class's."""
        named = (getattr(self.model, field, None) for field in ("model_name", "model", "model_id"))
        return next((name for name in named if isinstance(name, str) and name), type(self.model).__name__)

    def generate(
        self, conversations: Sequence[list[Message]], sampling: Sampling, *, samples: int = 1
    ) -> list[list[Completion]]:
        """Ask the model about all conversations at once, in as many threads as its configuration allows.

        Raises `ModelError` with the model's own error as the cause.
        """
        if samples < 1 or (samples > 1 and sampling.is_greedy):
            raise InputError(f"{samples} samples are not possible{' with greedy decoding' if samples > 1 else ''}")
        asked: list[Any] = [conversation for conversation in conversations for _ in range(samples)]
        if not asked:
            return []
        try:
            replies = _configured(self.model, sampling).batch(asked)
        except FipoError:
            raise
        except Exception as error:  # a stranger's model may fail in any way
            raise ModelError(f"the chat model {self.name} failed: {type(error).__name__}: {error}") from error
        found = [_completion(reply) for reply in replies]
        return [found[start : start + samples] for start in range(0, len(found), samples)]


def optimizer_from(
    model: BaseChatModel, *, template: Template = FIPO_2, judge: bool = False, candidates: int = 1, seed: int = 0
) -> PromptOptimizer:
    """An optimizer on a LangChain chat model, as `PromptOptimizer.from_server` is for a server.

    It adds to prompts; with `template=FIPO_1` it rewrites them from scratch. With `judge=True`, or more than one
    candidate, the same model judges its rewrites. Prompts go to the model's provider.
    """
    return PromptOptimizer.from_pretrained(
        ChatModelGenerator(model), template=template, judge=judge, candidates=candidates, seed=seed
    )


def _configured(model: BaseChatModel, sampling: Sampling) -> BaseChatModel:
    if sampling.is_greedy:
        return model
    wished = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
    return model.model_copy(update={name: wish for name, wish in wished.items() if name in type(model).model_fields})


def _completion(reply: BaseMessage) -> Completion:
    metadata = reply.response_metadata
    reason = next((str(metadata[name]).lower() for name in _REASONS if metadata.get(name)), None)
    if reason is None and metadata.get("status") == _INCOMPLETE:
        reason = _INCOMPLETE
    usage = getattr(reply, "usage_metadata", None) or {}
    is_refused = reason in _FILTERED
    return Completion(
        text=str(reply.text),
        is_truncated=reason is not None and not is_refused and reason not in _FINISHED,
        prompt_tokens=usage.get("input_tokens", 0),
        completion_tokens=usage.get("output_tokens", 0),
        is_refused=is_refused,
        note=f"the reply ended with {reason!r}" if reason and reason not in _FINISHED else "",
    )
