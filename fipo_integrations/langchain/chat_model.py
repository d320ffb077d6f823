"""A model that FIPO runs, as a chat model of LangChain's."""

from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import ConfigDict, Field, SkipValidation

from fipo_model import Completion, Generator, Message, Sampling
from fipo_model.errors import InputError

_ROLES = ("system", "user", "assistant")


class GeneratorChatModel(BaseChatModel):
    """Any FIPO `Generator` as the model at the end of a chain, so that a chain runs on one machine alone.

    LangChain calls a chat model once for each input, from threads; a generator on transformers makes batches of such
    calls again, and `BatchingGenerator` does for others. Text only: no tools, no images, and a reply comes as a whole.
    """

    generator: SkipValidation[Generator] = Field(exclude=True)
    max_tokens: int = 256
    """Most tokens of a reply; `response_metadata["finish_reason"]` is "length" where they did not suffice."""
    temperature: float = 0.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    seed: int = 0
    stop: list[str] | None = None
    """Words before which a reply ends, unless a call brings its own."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())

    @property
    def _llm_type(self) -> str:
        return "fipo-generator"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = ("max_tokens", "temperature", "top_p", "seed")
        settings = {name: getattr(self, name) for name in names}
        # Under another name: LangChain puts a call's own `stop` in the place of this one in its caches' keys.
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
        ((completion,),) = self.generator.generate([_conversation(messages)], sampling)
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


def _conversation(messages: list[BaseMessage]) -> list[Message]:
    conversation: list[Message] = []
    for turn in convert_to_openai_messages(messages, text_format="string"):
        role, content = turn["role"], turn["content"]
        if role not in _ROLES or not isinstance(content, str) or "tool_calls" in turn:
            what = "a call of a tool" if "tool_calls" in turn else "content that is not text"
            what = what if role in _ROLES else f"a message of the role {role!r}"
            raise InputError(f"this model reads only text of system, user and assistant, not {what}")
        conversation.append({"role": role, "content": content})
    return conversation
