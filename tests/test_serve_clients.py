"""The clients that people have, against the gateway: nothing but their address changes."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from pydantic import SecretStr

from fipo_model import PromptOptimizer
from fipo_model.backends.opening import open_generator
from fipo_model.serve.local import LocalUpstream
from fipo_model.serve.settings import ServeSettings
from fipo_model.testing import ScriptedGenerator
from support.conversations import echo
from support.gateways import Running, gateway

MESSAGES: Any = [{"role": "system", "content": "Explain tides."}, {"role": "user", "content": "How high?"}]
CLIENTS = Path(__file__).parent / "clients"
FORECAST = {"type": "function", "function": {"name": "forecast", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def door() -> Any:
    with gateway() as running:
        yield running


def system_sent(running: Running) -> str:
    return str(json.loads(running.upstream.requests[-1]["body"])["messages"][0]["content"])


def test_openai_python(door: Running):
    with openai.OpenAI(base_url=door.base_url, api_key="python-key") as client:
        raw = client.chat.completions.with_raw_response.create(model="echo", messages=MESSAGES, tools=[FORECAST])
        assert raw.headers["x-fipo-outcome"] == "optimized"
        assert raw.parse().choices[0].message.content == "Re: How high?"
        assert system_sent(door) == "Explain tides. Be brief."
        assert json.loads(door.upstream.requests[-1]["body"])["tools"] == [FORECAST]
        assert door.upstream.requests[-1]["headers"]["authorization"] == "Bearer python-key"
        with client.chat.completions.create(model="echo", messages=MESSAGES, stream=True) as chunks:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "01234"
        off = client.with_options(default_headers={"x-fipo": "off"})
        off.chat.completions.create(model="echo", messages=MESSAGES)
        assert system_sent(door) == "Explain tides."
        with pytest.raises(openai.InternalServerError, match="out of order"):
            client.with_options(max_retries=0).chat.completions.create(model="error", messages=MESSAGES)


async def test_openai_python_asynchronously(door: Running):
    async with openai.AsyncOpenAI(base_url=door.base_url, api_key="k") as client:
        stream = await client.chat.completions.create(model="echo", messages=MESSAGES, stream=True)
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == "01234"


def test_dspy(no_dspy_cache: None):
    import dspy

    with gateway(ServeSettings(log="nothing", roles=("user",))) as running:
        lm = dspy.LM("openai/echo", api_base=running.base_url, api_key="k", cache=False)
        assert lm("Explain tides.") == ["Re: Explain tides. Be brief."]
        assert running.upstream.requests[-1]["path"] == "/v1/chat/completions"
    assert running.upstream.requests[-1]["headers"]["authorization"] == "Bearer k"


def test_langchains_chat_openai(door: Running):
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model="echo", base_url=door.base_url, api_key=SecretStr("k"))
    assert model.invoke(MESSAGES).content == "Re: How high?"
    assert system_sent(door) == "Explain tides. Be brief."
    assert "".join(str(chunk.content) for chunk in model.stream(MESSAGES)) == "01234"


def test_openai_node(door: Running):
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", "import('openai')"], cwd=CLIENTS, capture_output=True).returncode:
        pytest.skip("needs node, and `npm install openai` in tests/clients")
    command = [node, "openai_node.mjs", door.base_url]
    said = json.loads(subprocess.run(command, cwd=CLIENTS, capture_output=True, check=True).stdout)
    assert said == {"said": "Re: How high?", "outcome": "optimized", "streamed": "01234"}
    assert system_sent(door) == "Explain tides. Be brief."


@pytest.fixture
def own_model() -> Any:
    """A gateway to a model of this machine, which repeats what it is told."""
    with gateway(upstream=LocalUpstream(ScriptedGenerator(echo, name="echo"))) as running:
        yield running


def test_a_model_of_this_machine_answers_as_a_server_does(own_model: Running):
    with openai.OpenAI(base_url=own_model.base_url, api_key="k", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["echo"]
        whole = client.chat.completions.create(model="echo", messages=MESSAGES)
        assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("Re: How high?", "stop")
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        options: Any = {"include_usage": True}
        *chunks, last = client.chat.completions.create(
            model="echo", messages=MESSAGES, stream=True, stream_options=options
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "Re: How high?"
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert last.usage == whole.usage
        cut = client.chat.completions.create(model="echo", messages=MESSAGES, max_tokens=1)
        assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("Re:", "length")
        stopped = client.chat.completions.create(model="echo", messages=MESSAGES, stop=["high"])
        assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("Re: How ", "stop")
        several = client.chat.completions.create(model="echo", messages=MESSAGES, n=3, seed=1)
        assert len({choice.message.content for choice in several.choices}) == 3
        parts: Any = [
            {"role": "developer", "content": "Hi."},
            {"role": "user", "content": [{"type": "text", "text": "A"}]},
        ]
        assert client.chat.completions.create(model="echo", messages=parts).choices[0].message.content == "Re: A"


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [FORECAST]},
        {"response_format": {"type": "json_object"}},
        {"messages": []},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
        {"messages": [{"role": "tool", "tool_call_id": "1", "content": "x"}]},
        {"messages": [{"role": [], "content": "x"}]},
        {"messages": [{"role": {}, "content": "x"}]},
        {"n": 100},
        {"temperature": "hot"},
        {"max_tokens": 0},
    ],
)
def test_what_a_model_of_this_machine_cannot_do_is_refused_in_words(own_model: Running, fields: dict[str, Any]):
    with openai.OpenAI(base_url=own_model.base_url, api_key="k", max_retries=0) as client:
        asked: Any = {"model": "echo", "messages": MESSAGES, **fields}
        with pytest.raises(openai.BadRequestError) as told:
            client.chat.completions.create(**asked)
        assert told.value.type == "fipo_gateway"
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="echo", input="x")


@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_model_of_this_machine_that_breaks_down_is_told_without_its_words(is_streamed: bool):
    def fail(_: Any) -> str:
        raise ZeroDivisionError("How high?")

    with gateway(upstream=LocalUpstream(ScriptedGenerator(fail, name="broken"))) as running:
        body = {"model": "broken", "messages": MESSAGES, "stream": is_streamed}
        reply = httpx.post(f"{running.base_url}/chat/completions", json=body)
    assert reply.status_code == 502
    assert reply.json()["error"]["message"] == "the model broken failed (ZeroDivisionError)"


@pytest.mark.tiny
def test_a_real_model_behind_and_in_the_gateway(tiny_model: Path):
    generator = open_generator(str(tiny_model), role=None)
    settings = ServeSettings(log="nothing", roles=("user",), deadline=None)
    with gateway(settings, upstream=LocalUpstream(generator)) as running:
        running.rewriting.optimizer = PromptOptimizer(generator)
        with openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=0) as client:
            raw = client.chat.completions.with_raw_response.create(model="tiny", messages=MESSAGES, max_tokens=8)
            assert raw.headers["x-fipo-outcome"]
            assert raw.parse().usage is not None
            chunks = list(client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=8, stream=True))
            streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            assert streamed == raw.parse().choices[0].message.content


@pytest.mark.real
def test_real_weights_behind_and_in_the_gateway(small_weights: Path):
    upstream = LocalUpstream(open_generator("smollm2-135m", role=None))
    with gateway(ServeSettings(log="nothing", deadline=None), upstream=upstream) as running:
        running.rewriting.optimizer = PromptOptimizer.from_pretrained("smollm2-135m")
        with openai.OpenAI(base_url=running.base_url, api_key="k", max_retries=0) as client:
            asked: Any = [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "2 + 2?"}]
            raw = client.chat.completions.with_raw_response.create(model="any", messages=asked, max_tokens=8)
            assert raw.headers["x-fipo-outcome"] in ("optimized", "unchanged")
            assert raw.parse().choices[0].message.content
