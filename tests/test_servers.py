"""What becomes of a prompt behind every kind of server: each behaviour with the outcome that a user would want."""

import json
import logging
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import pytest

from fipo_model import PromptOptimizer
from fipo_model.backends.openai import OpenAIGenerator
from fipo_model.errors import FipoError, InputError, PromptTooLongError, ServerError
from fipo_model.generation import Sampling, complete, generate_each
from fipo_model.judge import Comparison, LLMJudge
from fipo_model.types import OptimizationRequest
from support.servers import completion, free_port, serving

NAIVE = "name three lakes"
GOOD = "Please name three lakes, and explain why each of them matters."
FINE = ("optimized", "")


@pytest.fixture(autouse=True)
def _no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def say(text: Any = GOOD, finish: str | None = "stop", *, usage: Any = None, **message: Any) -> dict[str, Any]:
    """An answer with this message, and only as much around it as a server must send."""
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    return {"choices": [choice]} | ({} if usage is None else {"usage": usage})


def fail(message: str, status: int = 400, **fields: Any) -> tuple[dict[str, Any], int]:
    return {"error": {"message": message, **fields}}, status


def events(*parts: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps({'choices': [part]})}\n\n" for part in parts]
    return "".join([": hello\n\n", *lines, *(["data: [DONE]\n\n"] if done else [])]).encode()


WORDS = [{"delta": {"content": f"{word} "}} for word in GOOD.split()]
THOUGHT = "The user wants lakes."

# What always comes back, and what becomes of the prompt: an outcome with words of its detail, or an error with its own.
ALWAYS = {
    # content in other shapes
    "a list of parts": (say([{"type": "text", "text": GOOD[:20]}, {"type": "text", "text": GOOD[20:]}]), FINE),
    "thoughts among the parts": (say([{"type": "thinking", "thinking": []}, {"type": "text", "text": GOOD}]), FINE),
    "events nobody asked for": (events(*WORDS, {"delta": {}, "finish_reason": "stop"}), FINE),
    "events that break off": (events(*WORDS[:3], done=False), ("truncated", "does not say")),
    "usage as words": (say(usage="none"), FINE),
    "usage as texts": (say(usage={"prompt_tokens": "5", "completion_tokens": None}), FINE),
    "half a surrogate pair": (say("Please name three lakes \ud83d."), FINE),
    "control characters": (say(f"\x1b[31m{GOOD}\x1b[0m\0"), FINE),
    # thoughts, tokens, manners
    "thoughts in the text": (say(f"<think>{THOUGHT}</think>\n\n{GOOD}"), FINE),
    "thoughts beside the text": (say(GOOD, reasoning_content=THOUGHT), FINE),
    "only thoughts": (say(None, reasoning_content=THOUGHT), ("empty", "thought, but did not reply")),
    "only thoughts, cut off": (say("", "length", reasoning=THOUGHT), ("truncated", "still thinking")),
    "unclosed thoughts": (say(f"<think>{THOUGHT}"), ("empty", "thought, but did not reply")),
    "unclosed thoughts, cut off": (say(f"<think>{THOUGHT}", "length"), ("truncated", "still thinking")),
    "an end token": (say(f"{GOOD}<|im_end|>"), FINE),
    "an announcement and a remark": (say(f"Sure! Here is the new prompt:\n\n{GOOD}\n\nI hope this helps!"), FINE),
    "an answer": (say("Sure! Lake Garda, Lake Como and Lake Iseo."), ("answered", "Sure!")),
    "nothing": (say(""), ("empty", "")),
    # finish reasons
    "cut off": (say(GOOD[:30], "length", usage={"completion_tokens": 9}), ("truncated", "cut off after 9 tokens")),
    "cut off, Anthropic's word": (say(GOOD[:30], "max_tokens"), ("truncated", "cut off")),
    "cut off, Mistral's word": (say(GOOD[:30], "model_length"), ("truncated", "cut off")),
    "finished, TGI's word": (say(finish="eos_token"), FINE),
    "finished, Gemini's word": (say(finish="STOP"), FINE),
    "no finish reason": (say(finish=None), ("truncated", "does not say")),
    "an unknown finish reason": (say(finish="whatever"), ("truncated", "'whatever'")),
    "a filter": (say("Please name", "content_filter"), ("refused", "content_filter")),
    "Gemini's filter": (say(None, "SAFETY"), ("refused", "SAFETY")),
    "a filter of prompts": ({"choices": [], "prompt_filter_results": []}, ("refused", "content filter")),
    "the model refuses": (say(None, refusal="I can't \x1b[1mhelp."), ("refused", "refused: I can't help.")),
    "a tool": (say(None, "tool_calls", tool_calls=[{"id": "1"}]), ("empty", "called a tool")),
    "a tool, and words": (say("I call it.", "tool_calls"), ("truncated", "'tool_calls'")),
    # refusals of the prompt
    "Azure's policy": (fail("Filtered by the content management policy", code="content_filter"), ("refused", "policy")),
    "moderation": (fail("Your input was flagged", 403), ("refused", "flagged")),
    # too long
    "vLLM, long": (fail("'max_tokens' is too large: 9. This model's maximum context length is 64 tokens"), "holds 64"),
    "llama.cpp, long": (fail("request (900 tokens) exceeds the available context size (512 tokens)"), "needs 900"),
    "TGI, long": (
        ({"error": "`inputs` tokens + `max_new_tokens` must be <= 99. Given: 120 `inputs` tokens and 9"}, 422),
        "needs 120 .* holds 99",
    ),
    "Gemini, long": (fail("The input token count (70) exceeds the maximum number of tokens allowed (60)."), "holds 60"),
    "Mistral, long": (
        ({"message": "Prompt contains 70 tokens, too large for model with 60 maximum context length"}, 400),
        "needs 70 .* holds 60",
    ),
    "Anthropic, long": (fail("prompt is too long: 210 tokens > 200 maximum"), "needs 210 .* holds 200"),
    "OpenAI, long": (fail("Your input exceeds it.", code="context_length_exceeded"), "too many tokens"),
    "LM Studio, long": (fail("The number of tokens to keep is greater than the context length"), "too many tokens"),
    "TensorRT, long": (fail("Prompt length (70) exceeds maximum input length (60)"), "too many tokens|needs 70"),
    "Bedrock, long": (fail("Input is too long for requested model."), "too many tokens"),
    "413": (fail("Payload too large", 413), "too many tokens"),
    "500, long": (fail("Context size has been exceeded.", 500), "too many tokens"),
    # not this prompt's fault
    "no choices": ({"choices": []}, "no choices.*OpenAI-compatible"),
    "an error in an answer": ({"error": {"message": "out of order", "code": 503}}, "answered 503: out of order"),
    "a page": ("<html><h1>Welcome</h1></html>", "not JSON: Welcome.*/v1"),
    "half of JSON": (b'{"choices', "that is not JSON"),
    "brackets": (b"[" * 2000, "that is not JSON"),
    "brackets that end": (b"[" * 300 + b"]" * 300, "that is not JSON"),
    "an error of brackets": ((b"[" * 2000 + b"]" * 2000, 500), "answered 500: "),
    "events of brackets": (b"data: " + b"[" * 2000 + b"\n\n", "without a completion"),
    "events that are not JSON": (b"data: hello\n\n", "without a completion"),
    "events without a choice": (events(None), "without a completion"),
    "events with a delta that is none": (events({"delta": 5}), "without a completion"),
    "events with a delta of words": (events({"delta": ["Please"]}), "without a completion"),
    "events with a number of choices": (b'data: {"choices": 5}\n\n', "without a completion"),
    "events with named choices": (b'data: {"choices": {"a": {}}}\n\n', "without a completion"),
    "events with an empty delta": (events(*WORDS, {"delta": None, "finish_reason": "stop"}), FINE),
    "a list": ([1, 2], "without a completion"),
    "a text": (b'"hello"', "without a completion"),
    "null": (b"null", "without a completion"),
    "an error": (fail("CUDA error", 500), "answered 500: CUDA error"),
    "a gateway's page": (("<html><b>502 Bad Gateway</b></html>", 502), "answered 502: 502 Bad Gateway"),
    "too busy": (fail("slow down", 429), "answered 429: slow down.*Try again later"),
    "no money": (fail("You exceeded your current quota", 429, code="insufficient_quota"), "answered 429: You exceeded"),
    "too long to wait": ((*fail("later", 429), {"retry-after": "86400"}), "answered 429: later"),
    "a wrong key": (fail("Incorrect API key", 401), "refuses the key.*OPENAI_API_KEY"),
    "no access": (fail("forbidden", 403), "refuses access: forbidden"),
    "no such model": (fail('model "m" not found', 404), "does not know the model 'm'"),
    "pydantic's list": (
        ({"detail": [{"loc": ["body", "stop"], "msg": "Field required"}]}, 422),
        "body.stop: Field requ",
    ),
    "elsewhere": ((b"", 307, {"location": "http://u:secret@example.com/v1"}), r"another host, http://example\.com/v1"),
}


@pytest.mark.parametrize("behaviour", ALWAYS)
def test_what_becomes_of_a_prompt_is_what_a_user_would_want(behaviour, monkeypatch):
    monkeypatch.setattr("fipo_model.backends.served._FIRST_WAIT", 0.001)  # where a server does not say how long
    answer, expected = ALWAYS[behaviour]
    with serving(lambda _request, _number: answer) as (address, _):
        optimizer = PromptOptimizer.from_server(address, name="m")
        if isinstance(expected, str):
            with pytest.raises(FipoError, match=expected) as caught:
                optimizer.optimize(NAIVE)
            assert isinstance(caught.value, PromptTooLongError) == (
                "long" in behaviour and "wait" not in behaviour
            ) or (behaviour == "413")
            assert "\n" not in str(caught.value)
            assert "secret" not in str(caught.value)
            return
        result = optimizer.optimize(NAIVE)
    outcome, detail = expected
    assert (result.outcome, result.text == NAIVE) == (outcome, outcome != "optimized")
    assert detail in result.detail
    assert (result.detail + result.text).isprintable()


# What a server refuses in a request, and in which words; it answers every other.
REFUSING = {
    "OpenAI's o-series": (
        "max_tokens",
        fail("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
    ),
    "an older server": ("max_completion_tokens", fail("Unrecognized request argument: max_completion_tokens")),
    "seed, by pydantic": ("seed", ({"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}, 422)),
    "seed, by its parameter": ("seed", fail("This is not for here", param="seed")),
    "top_p": ("top_p", fail("`top_p` must be > 0.0 and < 1.0", 422)),
    "temperature": ("temperature", fail("temperature is deprecated for this model")),
}


@pytest.mark.parametrize("server", REFUSING)
def test_a_parameter_that_a_server_refuses_is_left_out_from_then_on(server, caplog):
    what, refusal = REFUSING[server]
    caplog.set_level(logging.DEBUG, "fipo_model.server")

    def answer(request, _number):
        if what == "max_completion_tokens" and "max_tokens" in request:
            return REFUSING["OpenAI's o-series"][1]
        return refusal if what in request and what != "max_completion_tokens" else say()

    with serving(answer) as (address, requests):
        generator = OpenAIGenerator(address, name="m", concurrency=1)
        for _ in range(3):
            complete(generator, [[{"role": "user", "content": NAIVE}]], Sampling())
    assert len(requests) == 4
    left = {"max_tokens", "temperature", "top_p", "seed"} - {what}
    assert left - {"max_tokens"} <= set(requests[-1])
    assert "max_tokens" in requests[-1] or "max_completion_tokens" in requests[-1]
    assert len([record for record in caplog.records if "is now asked with" in record.message]) == 1


def test_a_server_that_takes_only_temperature_1_is_asked_with_it():
    words = "'temperature' does not support 0 with this model. Only the default (1) value is supported."
    with serving(lambda request, _number: say() if request["temperature"] == 1 else fail(words)) as (address, _):
        assert PromptOptimizer.from_server(address, name="m").optimize(NAIVE).outcome == "optimized"


def test_several_refusals_are_found_out_one_after_the_other_and_at_once_for_all_that_wait():
    def answer(request, _number):
        time.sleep(0.02)
        for name in ("seed", "top_p", "max_tokens"):
            if name in request:
                return fail(f"{name} is not supported")
        return say()

    with serving(answer) as (address, requests):
        generator = OpenAIGenerator(address, name="m", concurrency=4)
        asked = [[{"role": "user", "content": f"{NAIVE} {number}"}] for number in range(12)]
        assert all(each.text == GOOD for each in complete(generator, asked, Sampling()))
    assert len(requests) <= 12 + 4 + 3
    assert "max_completion_tokens" in requests[-1]


@pytest.mark.parametrize(
    "refusal",
    [
        fail("System role not supported"),
        fail("Conversation roles must alternate user/assistant/user/assistant/..."),
        fail("Jinja Exception: Only user and assistant roles are supported!", 500),
        fail("Developer instruction is not enabled for models/gemma-3"),
        ({"detail": [{"loc": ["messages", 0, "role"], "msg": "Input should be 'user' or 'assistant'"}]}, 422),
    ],
)
def test_without_a_system_role_its_text_begins_the_first_message(refusal):
    with serving(lambda request, _n: refusal if request["messages"][0]["role"] == "system" else say()) as (
        address,
        sent,
    ):
        assert PromptOptimizer.from_server(address, name="m").optimize(NAIVE).outcome == "optimized"
    (message,) = sent[-1]["messages"]
    assert message["content"].startswith("You rewrite prompts")
    assert NAIVE in message["content"]
    assert len(sent) == 2


def test_a_server_that_only_streams_is_asked_to():
    def answer(request, _number):
        if not request.get("stream"):
            return fail("This model only support stream mode, please enable the stream parameter.")
        return events(*WORDS, {"delta": {}, "finish_reason": "stop"})

    with serving(answer) as (address, _):
        assert PromptOptimizer.from_server(address, name="m").optimize(NAIVE).text == GOOD


# Rows that a server refuses while it answers others.


def poisoned(refusal):
    def answer(request, _number):
        asked = request["messages"][-1]["content"]
        return refusal if "POISON" in asked else say(f"Please say in detail: {asked.splitlines()[1]}")

    return answer


@pytest.mark.parametrize(
    ("refusal", "outcome", "detail"),
    [
        (fail("The prompt triggered the content policy", code="content_filter"), "refused", "content policy"),
        (fail("Conversation template error", 500), "refused", "template error"),
        (fail("Something in it is wrong", 422), "refused", "Something in it is wrong"),
        ({"choices": []}, "empty", "no choices"),
        (say("Please", "content_filter"), "refused", "content_filter"),
    ],
)
@pytest.mark.parametrize("place", [0, 3])
def test_one_prompt_that_a_server_refuses_has_its_outcome_and_the_others_have_theirs(refusal, outcome, detail, place):
    prompts = [f"name {number + 2} lakes" for number in range(6)]
    prompts[place] += " POISON"
    with serving(poisoned(refusal)) as (address, _):
        for optimizer in (PromptOptimizer.from_server(address, name="m") for _ in range(2)):
            alone = optimizer.optimize(prompts[place])
            results = optimizer.optimize_batch(prompts)
    assert (alone.outcome, alone.text) == (outcome, prompts[place])
    assert [each.outcome for each in results] == [outcome if i == place else "optimized" for i in range(6)]
    assert detail in results[place].detail


def test_a_server_that_breaks_down_is_not_taken_for_one_that_refuses_prompts(monkeypatch):
    monkeypatch.setattr("fipo_model.backends.served._FIRST_WAIT", 0.001)
    with serving(lambda _request, number: say() if number < 3 else fail("out of memory", 500)) as (address, _):
        optimizer = PromptOptimizer.from_server(address, name="m")
        with pytest.raises(ServerError, match="out of memory"):
            optimizer.optimize_each([f"name {number} lakes" for number in range(9)])


def test_what_is_too_long_costs_the_others_nothing():
    def answer(request, _number):
        asked = request["messages"][-1]["content"]
        return fail("prompt is too long: 9 tokens > 8 maximum") if "LONG" in asked else say(f"{asked} please.")

    prompts = [f"name {number} lakes{' LONG' if number in (0, 4, 5) else ''}" for number in range(9)]
    with serving(answer) as (address, requests):
        generator = OpenAIGenerator(address, name="m")
        conversations = [[{"role": "user", "content": prompt}] for prompt in (*prompts, prompts[1])]
        found = generate_each(generator, conversations, Sampling(temperature=1.0), samples=2)
        assert len(requests) == 2 * 9  # each sample was asked for once
        generate_each(generator, conversations[1:2], Sampling(temperature=1.0), samples=2)
        assert len(requests) == 2 * 10  # and nothing is remembered any longer
    assert [place for place, each in enumerate(found) if isinstance(each, PromptTooLongError)] == [0, 4, 5]
    assert [found[place].index for place in (0, 4, 5)] == [0, 4, 5]
    assert found[1] == found[9]
    assert found[8][0].text == "name 8 lakes please."


def test_after_a_failure_nobody_waits_any_longer():
    def answer(request, _number):
        if request["messages"][-1]["content"] == "wait":
            return (*fail("slow down", 429), {"retry-after": "60"})
        time.sleep(0.3)
        return fail("no such key", 401)

    with serving(answer) as (address, _):
        asked = [[{"role": "user", "content": text}] for text in ("wait", "fail")]
        with pytest.raises(ServerError, match="no such key"):
            complete(OpenAIGenerator(address, name="m"), asked, Sampling())
        time.sleep(0.3)
    assert not [thread for thread in threading.enumerate() if thread.name == "fipo-server"]


# Thinking.


def thinker(request, _number):
    """Thinks for a hundred tokens before it says a word."""
    room = request["max_tokens"] - 100
    if room <= 0:
        return say(f"<think>{THOUGHT}", "length", usage={"completion_tokens": request["max_tokens"]})
    is_judging = "Prompt A:" in request["messages"][-1]["content"]
    asked = request["messages"][-1]["content"]
    better = "B" if is_judging and asked.index(GOOD) > asked.index("Prompt B:") else "A"
    return say(f"<think>{THOUGHT}</think>\n\n{better if is_judging else GOOD}")


def test_a_model_that_thinks_is_given_room_for_it_once_it_is_seen_to():
    with serving(thinker) as (address, requests):
        judge = LLMJudge(OpenAIGenerator(address, name="m"))
        comparison = Comparison(request=OptimizationRequest(NAIVE), incumbent=NAIVE, challenger=GOOD)
        for _ in range(2):
            assert judge.prefer([comparison])[0].winner == "challenger"
    sent = [request["max_tokens"] for request in requests]
    assert sent[0] == 8
    assert 1 <= sent.count(8) <= 2  # of the first two, which go out together, the other may not know yet
    assert sent.count(8 + 4096) == len(sent) - sent.count(8) == 4


def test_a_model_that_does_not_think_gets_no_more_room():
    with serving(lambda _request, _number: say("Please name", "length")) as (address, requests):
        assert PromptOptimizer.from_server(address, name="m").optimize(NAIVE).outcome == "truncated"
    assert [request["max_tokens"] for request in requests] == [136]


def test_room_to_think_is_what_fits():
    def answer(request, number):
        too_much = request["max_tokens"] > 1500
        return fail("maximum context length is 2048 tokens") if too_much else thinker(request, number)

    with serving(answer) as (address, requests):
        generator = OpenAIGenerator(address, name="m")
        for _ in range(2):
            (found,) = complete(generator, [[{"role": "user", "content": "x"}]], Sampling(max_new_tokens=9))
            assert found.text.endswith(GOOD)
    assert [request["max_tokens"] for request in requests] == [9, 9 + 4096, 9 + 2048, 9 + 1024, 9 + 1024]


@pytest.mark.parametrize(("tokens", "sent"), [(0, [9]), (50, [59]), (200, [209])])
def test_room_to_think_can_be_set(tokens, sent):
    with serving(thinker) as (address, requests):
        generator = OpenAIGenerator(address, name="m", thinking_tokens=tokens)
        complete(generator, [[{"role": "user", "content": "x"}]], Sampling(max_new_tokens=9))
    assert [request["max_tokens"] for request in requests] == sent
    with pytest.raises(InputError, match="thinking_tokens must not be negative"):
        OpenAIGenerator(address, name="m", thinking_tokens=-1)


# Connections.


def test_a_wait_is_noted_once_and_as_long_as_the_server_asks(caplog):
    caplog.set_level(logging.INFO, "fipo_model.server")
    with serving(lambda _r, number: say() if number > 4 else (*fail("slow down", 429), {"retry-after": "0.2"})) as (
        address,
        _,
    ):
        started = time.monotonic()
        asked = [[{"role": "user", "content": f"{number}"}] for number in range(4)]
        complete(OpenAIGenerator(address, name="m"), asked, Sampling())
    assert time.monotonic() - started >= 0.2
    (record,) = caplog.records
    assert f"{address} answered 429 (slow down); trying again in 0.2 s" in record.message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.8.9.1", "a.localhost"])
def test_what_goes_to_this_machine_takes_no_proxy(monkeypatch, host):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(lambda _request, _number: say()) as (address, _):
        generator = OpenAIGenerator(address.replace("127.0.0.1", host), name="m", max_retries=0)
        client = generator._connection.client
        assert client._client._transport_for_url(client.base_url) is client._client._transport
        if host == "127.0.0.1":
            assert complete(generator, [[{"role": "user", "content": "x"}]], Sampling())[0].text == GOOD
    abroad = OpenAIGenerator("http://models.example/v1", name="m", max_retries=0)
    with pytest.raises(ServerError, match=r"models\.example/v1 cannot be reached"):  # as the proxy is not there
        complete(abroad, [[{"role": "user", "content": "x"}]], Sampling())


def test_a_redirect_on_the_same_host_is_followed():
    with serving(lambda r, n: (b"", 307, {"location": "/v1/chat/completions"}) if n < 2 else say()) as (address, _):
        generator = OpenAIGenerator(address, name="m")
        assert complete(generator, [[{"role": "user", "content": "x"}]], Sampling())[0].text == GOOD


@pytest.mark.parametrize(
    "address",
    [
        *("http://", "http:///v1", "http://[::1/v1", "http://host:port/v1", "http://host:99999/v1"),
        *("http://ho st/v1", "http://host\n/v1", "https://u:secret@/v1", "ftp://u:secret@host/v1", "u:secret@host/v1"),
        "http://" + "a" * 70 + ".example/v1",
    ],
)
def test_what_is_no_address_is_told_so_in_one_line_without_its_password(address):
    with pytest.raises(InputError, match="address") as caught:
        complete(OpenAIGenerator(address, name="m"), [[{"role": "user", "content": "x"}]], Sampling())
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["foo://u:secret@host:1", "http://[::1", "host:port:1"])
def test_a_proxy_that_cannot_be_used_is_told_so_without_its_password(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(FipoError, match="HTTPS_PROXY") as caught:
        complete(OpenAIGenerator("https://models.example/v1", name="m", max_retries=0), [[]], Sampling())
    assert "secret" not in str(caught.value)


def test_a_key_is_never_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " sk-12345678 \n")
    with (
        serving(lambda _r, _n: fail("Incorrect API key provided: sk-12345678", 401)) as (address, requests),
        pytest.raises(ServerError, match=r"provided: \*\*\*\.") as caught,
    ):
        PromptOptimizer.from_server(address, name="m").optimize(NAIVE)
    assert "12345" not in str(caught.value)
    assert requests[0]["key"] == "Bearer sk-12345678"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\nX: 2é")
    with pytest.raises(InputError, match="OPENAI_API_KEY has characters") as caught:
        OpenAIGenerator(address, name="m")
    assert "sk-1" not in str(caught.value)


def test_a_password_in_an_address_is_used_and_never_shown():
    with serving(lambda _r, number: say() if number == 1 else fail("no access for u:se%cret", 403)) as (address, sent):
        signed = address.replace("http://", "http://u:se%25cret@")
        generator = OpenAIGenerator(signed, name="m")
        complete(generator, [[{"role": "user", "content": "x"}]], Sampling())
        with pytest.raises(ServerError, match=address) as caught:
            complete(generator, [[{"role": "user", "content": "x"}]], Sampling())
    assert sent[0]["key"].startswith("Basic ")
    assert "cret" not in str(caught.value)


def test_trouble_with_tls_is_called_so():
    wanted = r"cannot make a TLS connection .*http:// instead of https://"
    with serving(lambda _request, _number: say()) as (address, _), pytest.raises(ServerError, match=wanted):
        PromptOptimizer.from_server(address.replace("http:", "https:"), name="m").optimize(NAIVE)


def test_certificates_that_are_not_there_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(InputError, match="SSL_CERT_FILE"):
        OpenAIGenerator("https://models.example/v1", name="m")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_a_certificate_that_proves_nothing_is_called_so(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*making, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    answering = serving(lambda _request, _number: say(), tls=context)
    with (
        answering as (address, requests),
        pytest.raises(ServerError, match=r"prove its identity over TLS .*self-signed"),
    ):
        PromptOptimizer.from_server(address, name="m").optimize(NAIVE)
    assert not requests


@pytest.mark.parametrize("answer", ["late", "429"])
def test_ctrl_c_ends_at_once(answer):
    def slow(_request, _number):
        if answer == "429":
            return (*fail("slow down", 429), {"retry-after": "60"})
        time.sleep(3)
        return say()

    with serving(slow) as (address, requests):
        command = [sys.executable, "-m", "fipo_model.cli", "optimize", NAIVE, "--server", address, "--name", "m"]
        # Where the tests run in the background of a shell, the signal is ignored, and children inherit that.
        listening = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, **pipes, preexec_fn=listening) as running:
            try:
                while not requests:
                    time.sleep(0.05)
                time.sleep(0.3)
                started = time.monotonic()
                running.send_signal(signal.SIGINT)
                out, told = running.communicate(timeout=20)
                seconds = time.monotonic() - started
            finally:
                running.kill()
    assert seconds < 2.5
    assert (running.returncode, out) == (130, b"")
    assert b"Traceback" not in told


def test_a_port_where_nobody_listens_is_told():
    address = f"http://u:secret@127.0.0.1:{free_port()}/v1"
    with pytest.raises(ServerError, match="cannot be reached") as caught:
        complete(OpenAIGenerator(address, name="m", max_retries=0), [[{"role": "user", "content": "x"}]], Sampling())
    assert "secret" not in str(caught.value)


def test_a_completion_of_the_usual_kind_is_one():
    with serving(lambda _request, _number: completion(GOOD)) as (address, _):
        assert PromptOptimizer.from_server(address, name="m").optimize(NAIVE).text == GOOD
