"""What a server's answer to a chat says, in any of the shapes in which servers send it. Pure."""

from dataclasses import dataclass
from typing import Any

from fipo_model.generation import Completion
from fipo_model.json_values import parse_json
from fipo_model.replies import has_thoughts, spoken

# Why a reply ended, as OpenAI, TGI, Anthropic, Gemini, Mistral, Cohere, Ollama and gateways to them call it. A reason
# in none of these sets does not count as finished.
_FINISHED = frozenset(
    "stop eos eos_token end_turn end_of_turn stop_sequence stop_token complete completed finished".split()
)
_CUT = frozenset("length max_tokens max_length max_output_tokens max_new_tokens model_length token_limit".split())
_FILTERED = frozenset(
    "content_filter content_filtered filtered safety recitation blocklist prohibited_content spii refusal sensitive "
    "error_toxic guardrail_intervened".split()
)
_CALLS = frozenset("tool_calls tool_call tool_use function_call".split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A completion, and whether the model was seen to think; or what is wrong with an answer without one."""

    completion: Completion | None = None
    is_thinking: bool = False
    problem: str = ""


def read_answer(answer: Any) -> Answer:
    """The first choice of an answer, which may be anything."""
    if isinstance(answer, dict) and isinstance(answer.get("events"), str):
        answer = _assembled(answer["events"])
    if not isinstance(answer, dict) or "choices" not in answer:
        return Answer(problem="answered without a completion")
    choices = answer["choices"]
    if not choices:
        if answer.get("prompt_filter_results") is not None:
            note = "the server's content filter refused the prompt"
            return Answer(completion=nothing(note, is_refused=True))
        return Answer(problem="answered without a completion (it sent no choices)")
    choice = choices[0] if isinstance(choices, list) else None
    if not isinstance(choice, dict) or not isinstance(message := choice.get("message"), dict):
        return Answer(problem="answered without a completion")
    if (said := _content(message)) is None:
        return Answer(problem="answered without a completion")
    return _read(said, message, choice, answer.get("usage"))


def nothing(note: str, *, is_refused: bool = False) -> Completion:
    """Stands in for a missing reply."""
    return Completion(
        text="", is_truncated=False, prompt_tokens=0, completion_tokens=0, is_refused=is_refused, note=note
    )


def _read(said: str, message: dict[str, Any], choice: dict[str, Any], usage: Any) -> Answer:
    thoughts = next((message[key] for key in ("reasoning_content", "reasoning") if message.get(key)), None)
    prompt_tokens, completion_tokens, thought_tokens = _counts(usage)
    is_thinking = bool(thoughts or thought_tokens or has_thoughts(said))
    refusal = message.get("refusal")
    reason = choice.get("finish_reason")
    ended = reason.lower() if isinstance(reason, str) else None
    is_silent = not spoken(said)
    note, is_refused = "", False
    if isinstance(refusal, str) and refusal and is_silent:
        note, is_refused = f"the model refused: {refusal}", True
    elif ended in _FILTERED:
        note, is_refused = f"a filter of the server stopped the reply (finish reason {reason!r})", True
    elif ended in _CUT and is_thinking and is_silent:
        note = f"the model was still thinking after {completion_tokens or 'all its'} tokens"
    elif is_silent and (ended in _CALLS or message.get("tool_calls")):
        note = "the model called a tool instead of replying"
    elif is_silent and is_thinking:
        note = "the model thought, but did not reply"
    elif ended is None:
        note = "the server does not say whether the reply was finished"
    elif ended not in _FINISHED | _CUT:
        note = f"the reply ended for a reason that FIPO does not know: {reason!r}"
    is_known = ended in _FINISHED | _FILTERED or (is_silent and ended not in _CUT)
    completion = Completion(
        text=said,
        is_truncated=not is_known,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        is_refused=is_refused,
        note=note,
    )
    return Answer(completion=completion, is_thinking=is_thinking)


def _content(message: dict[str, Any]) -> str | None:
    """The text of a message; None where it has neither a text nor anything in its place."""
    content = message.get("content", "" if set(message) & {"refusal", "tool_calls", "reasoning_content"} else False)
    if isinstance(content, list):
        parts = [part if isinstance(part, str) else _part(part) for part in content]
        content = None if None in parts else "".join(filter(None, parts))
        if content is None:
            return None
    if not isinstance(content, str | None):
        return None
    # JSON can hold half of a surrogate pair, which means nothing, and which no file or terminal accepts.
    return (content or "").encode("utf-8", "ignore").decode()


def _part(part: Any) -> str | None:
    """The text in a part of a content list; empty for a part that is not text, such as thoughts."""
    if not isinstance(part, dict):
        return None
    if part.get("type") in (None, "text", "output_text"):
        return part["text"] if isinstance(part.get("text"), str) else None
    return ""


def _counts(usage: Any) -> tuple[int, int, int]:
    """The tokens of prompt, completion and thoughts, as far as a server counts them."""
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("completion_tokens_details")
    thoughts = details.get("reasoning_tokens") if isinstance(details, dict) else None
    found = (usage.get("prompt_tokens"), usage.get("completion_tokens"), thoughts)
    prompt, completion, thought = (count if isinstance(count, int) and count > 0 else 0 for count in found)
    return prompt, completion, thought


def _assembled(events: str) -> dict[str, Any]:
    """The answer that was sent in parts, as server-sent events; empty where one of them is no part of an answer."""
    message: dict[str, Any] = {"content": ""}
    choice: dict[str, Any] = {"message": message, "finish_reason": None}
    whole: dict[str, Any] = {"choices": [choice]}
    for line in events.splitlines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        part = _event(data)
        if part is None:
            return {}
        whole |= {"usage": part["usage"]} if part.get("usage") else {}
        for new in (part.get("choices") or [])[:1]:
            choice["finish_reason"] = new.get("finish_reason") or choice["finish_reason"]
            for key, value in (new.get("delta") or new.get("message") or {}).items():
                if isinstance(value, str):
                    message[key] = message.get(key, "") + value if key != "role" else value
    return whole


def _event(data: str) -> dict[str, Any] | None:
    """A part of an answer, whose choices and their words are of the usual kinds; None for anything else."""
    try:
        part = parse_json(data)
    except ValueError:
        return None
    if not isinstance(part, dict) or not isinstance(choices := part.get("choices") or [], list):
        return None
    are_usual = all(
        isinstance(one, dict) and isinstance(one.get("delta") or one.get("message") or {}, dict) for one in choices
    )
    return part if are_usual else None
