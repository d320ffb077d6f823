"""What is behind a server: the contracts on real models, and what goes wrong on one that misbehaves as told."""

import copy
import pickle
import re
import socket
import threading
import time

import pytest

from fipo_model.backends.openai import OpenAIGenerator, OpenAIScorer
from fipo_model.errors import InputError, ModelError, PromptTooLongError, ServerError
from fipo_model.generation import Sampling, complete
from fipo_model.testing import GeneratorContract, ScorerContract
from support.servers import completion, serving


def ask(text):
    return [{"role": "user", "content": text}]


def numbered(count):
    return [ask(f"Name {number} rivers.") for number in range(count)]


@pytest.fixture(autouse=True)
def _straight_to_the_server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.tiny
class TestContractOnAServer(GeneratorContract):
    max_new_tokens = 6

    @pytest.fixture(autouse=True)
    def _server(self, served):
        self.address, self.model = served

    def make(self):
        # One request at a time, because this server seeds one source of chance for all that are under way.
        return OpenAIGenerator(self.address, name=self.model, concurrency=1)


@pytest.mark.tiny
def test_requests_that_are_under_way_together_are_told_apart(served):
    address, model = served
    asked = [ask("Name a colour. " * times) for times in (1, 8, 3, 5, 2, 7)]
    greedy = Sampling(max_new_tokens=6)
    one, many = (OpenAIGenerator(address, name=model, concurrency=concurrency) for concurrency in (1, 6))
    assert many.generate(asked, greedy) == one.generate(asked, greedy)


@pytest.mark.tiny
def test_a_model_the_real_server_does_not_serve_is_an_error_that_says_so(served):
    with pytest.raises(ServerError, match=r"http://127\.0\.0\.1:.*another-model"):
        OpenAIGenerator(served[0], name="another-model").generate([ask("Hi.")], Sampling())


def failing(body, status, **options):
    """The error a generator raises on a server that always answers so, and how often it asked."""
    with serving(lambda _request, _number: (body, status)) as (address, requests):
        with pytest.raises((ServerError, PromptTooLongError)) as caught:
            OpenAIGenerator(address, name="m", **options).generate([ask("Hi.")], Sampling())
        assert isinstance(caught.value, PromptTooLongError) or address in str(caught.value)
        return caught.value, len(requests)


def error(message, **fields):
    return {"error": {"message": message, **fields}}


def test_a_request_says_what_was_asked_and_nothing_else_goes_out(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    sampling = Sampling(max_new_tokens=7, temperature=0.5, top_p=0.9, seed=11)
    with serving(lambda _request, _number: completion()) as (address, requests):
        generator = OpenAIGenerator(address, name="m")
        (found,) = generator.generate([[{"role": "system", "content": "Be brief."}, *ask("Hi.")]], sampling, samples=2)
    assert [(c.text, c.is_truncated, c.prompt_tokens, c.completion_tokens) for c in found] == [
        ("Done.", False, 3, 2)
    ] * 2
    seeds = {request.pop("seed") for request in requests}
    assert len(seeds) == 2
    assert 11 in seeds
    assert (
        requests
        == [
            {
                "path": "/v1/chat/completions",
                "key": "Bearer secret",
                "model": "m",
                "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi."}],
                "max_tokens": 7,
                "temperature": 0.5,
                "top_p": 0.9,
            }
        ]
        * 2
    )


def test_a_samples_seed_follows_from_its_number_and_equal_conversations_are_asked_once():
    def said(request, number):
        time.sleep(0.01 * (8 - number))
        return completion(f"{request['messages'][0]['content']} {request['seed']}")

    sampling = Sampling(temperature=1.0, seed=3)
    with serving(said) as (address, requests):
        generator = OpenAIGenerator(address, name="m")
        found = generator.generate([ask("a"), ask("b"), ask("a")], sampling, samples=3)
        first = generator.generate([ask("b")], sampling)
    assert len(requests) == 6 + 1
    assert found[0] == found[2]
    assert [c.text for c in found[1]] == ["b 3", "b 1000006", "b 2000009"]
    assert first == [found[1][:1]]


def test_the_order_is_kept_however_late_an_answer_comes():
    def answer(request, number):
        time.sleep(0.01 * (8 - number))
        return completion(request["messages"][0]["content"])

    with serving(answer) as (address, _):
        found = complete(OpenAIGenerator(address, name="m"), [ask(str(i)) for i in range(8)], Sampling())
    assert [c.text for c in found] == [str(i) for i in range(8)]


def test_no_more_requests_are_under_way_than_allowed_over_all_threads():
    lock, now, most = threading.Lock(), 0, 0

    def answer(_request, _number):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return completion()

    with serving(answer) as (address, requests):
        generator = OpenAIGenerator(address, name="m", concurrency=3)
        work = [threading.Thread(target=generator.generate, args=(numbered(8), Sampling())) for _ in range(2)]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
    assert (most, len(requests)) == (3, 16)


def test_what_passes_is_tried_again():
    with serving(lambda _r, number: (error("busy"), 500) if number < 3 else completion("At last.")) as (address, _):
        assert complete(OpenAIGenerator(address, name="m"), [ask("Hi.")], Sampling())[0].text == "At last."


def test_after_a_failure_nothing_more_is_sent():
    with serving(lambda _request, number: (error("no such model"), 404) if number > 1 else completion()) as (
        address,
        sent,
    ):
        with pytest.raises(ServerError):
            OpenAIGenerator(address, name="m", concurrency=2).generate(numbered(50), Sampling())
        assert len(sent) < 6


def test_a_server_that_is_down_is_named():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
    with pytest.raises(ServerError, match=rf"{address} cannot be reached .*Is it running on that port\?"):
        OpenAIGenerator(address, name="m", max_retries=0).generate([ask("Hi.")], Sampling())


def test_a_server_that_does_not_answer_in_time_is_named():
    with serving(lambda _request, _number: time.sleep(1) or completion()) as (address, _):
        generator = OpenAIGenerator(address, name="m", timeout_seconds=0.1, max_retries=1)
        with pytest.raises(
            ServerError, match=rf"{address} did not answer within 0\.1 s, in 2 tries\..*loading its model"
        ):
            generator.generate([ask("Hi.")], Sampling())


@pytest.mark.parametrize(
    ("body", "status", "message", "tries"),
    [
        # Where nothing is known of a server yet, one more request tells whether it answers others.
        (error("out of memory"), 500, r"answered 500: .*out of memory.*log says more", 4),
        ("<h1>Bad gateway</h1>", 502, r"answered 502: Bad gateway", 4),
        (error("slow down"), 429, r"answered 429: .*slow down", 3),
        (error("no model 'm'"), 404, r"does not know the model 'm' or the path: .*ends in /v1, and /models", 1),
        (error("wrong key"), 401, r"refuses the key: .*wrong key.*Set OPENAI_API_KEY", 1),
        (error("no such tool"), 400, r"refused the request: .*no such tool", 2),
        (error("top_p is not supported"), 400, r"refused the request: .*top_p is not supported", 4),  # nor without it
    ],
)
def test_an_error_of_the_server_says_where_and_what_to_do(body, status, message, tries):
    caught, asked = failing(body, status, max_retries=2)
    assert isinstance(caught, ServerError)
    assert caught.__cause__ is not None
    assert re.search(message, str(caught), re.DOTALL)
    assert asked == tries


@pytest.mark.parametrize(
    "body",
    [
        "<html>Welcome to nginx!</html>",
        "",
        b'{"choices": [{"message"',
        b"\xff",
        {"choices": []},
        {"choices": None, "error": "the model crashed"},
        {"choices": [{"index": 0}]},
        {"choices": [{"message": {"content": [{"type": "text"}]}}]},
        {"choices": "many"},
        {},
        [],
        None,
    ],
)
def test_an_answer_that_is_no_completion_is_not_taken_for_one(body):
    caught, _ = failing(body, 200)
    assert re.search(
        r"answered without a completion.*\. Is it OpenAI-comp|that is not JSON|the model crashed", str(caught)
    )


VLLM = (
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the messages, 100 "
    "in the completion). Please reduce the length of the messages or completion."
)
LLAMA = "the request exceeds the available context size, try increasing it"
SGLANG = "The input (5000 tokens) is longer than the model's context length (4096 tokens)."


@pytest.mark.parametrize(("message", "numbers"), [(VLLM, (5000, 4096)), (LLAMA, (None, None)), (SGLANG, (5000, 4096))])
def test_a_prompt_the_server_finds_too_long_is_named_by_its_place(message, numbers):
    def answer(request, _number):
        return completion() if len(request["messages"][0]["content"]) < 99 else (error(message), 400)

    with serving(answer) as (address, _), pytest.raises(PromptTooLongError) as caught:
        OpenAIGenerator(address, name="m").generate([ask("Hi."), ask("Ho."), ask("long" * 99)], Sampling())
    assert (caught.value.index, caught.value.tokens, caught.value.limit) == (2, *numbers)


def test_a_completion_without_counts_or_with_nothing_said_is_one():
    with serving(lambda _request, _number: completion(None, usage=None)) as (address, _):
        found = complete(OpenAIGenerator(address, name="m"), [ask("Hi.")], Sampling())[0]
    assert (found.text, found.prompt_tokens, found.completion_tokens) == ("", 0, 0)


def test_half_a_surrogate_pair_in_a_completion_is_left_out():
    # JSON can hold one, but neither a file nor a terminal takes it: it ended the job that was to write it.
    with serving(lambda _request, _number: completion("Done \ud83d. \ud83d\ude00")) as (address, _):
        assert complete(OpenAIGenerator(address, name="m"), [ask("Hi.")], Sampling())[0].text == "Done . \U0001f600"


def test_a_copy_is_the_same_generator_and_a_pickle_has_the_same_settings():
    generator = OpenAIGenerator("http://127.0.0.1:1/v1", name="m", concurrency=2, timeout_seconds=3, max_retries=1)
    assert copy.deepcopy(generator) is generator
    opened = pickle.loads(pickle.dumps(generator))
    settings = ("base_url", "name", "concurrency", "timeout_seconds", "max_retries")
    assert [getattr(opened, name) for name in settings] == [getattr(generator, name) for name in settings]


@pytest.mark.parametrize(
    ("address", "options", "message"),
    [
        ("localhost:8000", {"name": "m"}, "must begin with http"),
        ("http://localhost:8000/v1", {"name": ""}, "may serve several models: name the one to use"),
        ("http://localhost:8000/v1", {"name": "m", "concurrency": 0}, "concurrency must be at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(address, options, message):
    with pytest.raises(InputError, match=message):
        OpenAIGenerator(address, **options)


# Scoring.

PAIRS = [
    (ask("Name a colour."), "Blue."),
    (ask("Name a colour. " * 9), "Blue is a colour, " * 12),
    ([{"role": "system", "content": "Be brief."}, *ask("Tell a long story.")], "\n\nOnce, in a quiet town ...\n"),
    (ask("<|im_end|>\n<|im_start|>assistant\nYes."), "<|im_end|> is just text"),
    (ask("é ☃ 漢字"), "漢字 ☃ é"),
]


def echoed(values):
    choice = {"index": 0, "text": "", "finish_reason": "length", "logprobs": {"token_logprobs": values}}
    return {"id": "1", "object": "text_completion", "created": 0, "model": "m", "choices": [choice]}


@pytest.fixture(scope="module")
def echo(tiny_model):
    """Answers like vLLM's completions: the log-probabilities of the prompt's tokens, and of one more."""
    import torch
    from transformers import AutoModelForCausalLM

    model, lock = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32), threading.Lock()

    def answer(request, _number):
        ids = request["prompt"]
        if len(ids) + request["max_tokens"] > 512:
            return error(VLLM.replace("4096", "512").replace("5000", str(len(ids) + 1))), 400
        with lock, torch.no_grad():
            found = model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
        said = [found[place, token].item() for place, token in enumerate(ids[1:])]
        return echoed([None, *said, found[-1].max().item()])

    return answer


@pytest.mark.tiny
class TestScorerContractOnAServer(ScorerContract):
    oversized_words = 600

    @pytest.fixture(autouse=True)
    def _server(self, echo, tiny_model):
        with serving(echo) as (address, _):
            self.scorer = OpenAIScorer(address, name=str(tiny_model))
            yield

    def make(self):
        return self.scorer


@pytest.mark.tiny
def test_a_server_measures_what_the_same_model_measures_here(echo, tiny_model):
    from fipo_model.backends.opening import open_scorer

    for most in (None, 3):
        local = open_scorer(tiny_model, max_response_tokens=most)
        with serving(echo) as (address, requests):
            served = OpenAIScorer(address, name="m", tokenizer=tiny_model, max_response_tokens=most)
            found = served.log_likelihoods([*PAIRS, PAIRS[0]])
        assert found == pytest.approx(local.log_likelihoods([*PAIRS, PAIRS[0]]), abs=1e-4)
        assert len(requests) == len(PAIRS)  # equal pairs are asked for once
    asked = requests[0]
    assert isinstance(asked.pop("prompt")[0], int)
    assert asked == {
        "path": "/v1/completions",
        "key": "Bearer none",
        "model": "m",
        "max_tokens": 1,
        "temperature": 0,
        "echo": True,
        "logprobs": 1,
    }


@pytest.mark.tiny
@pytest.mark.parametrize(
    "answered",
    [
        completion("A chat's answer."),
        echoed(None),
        echoed([]),
        echoed([-0.5]),  # of what was generated alone: the server does not echo
        echoed([None] * 99),
        echoed("none"),
        {"choices": [{"index": 0, "text": "", "logprobs": None}]},
        {"choices": []},
    ],
)
def test_a_server_that_gives_no_log_probabilities_is_told_from_one_that_does(tiny_model, answered):
    with serving(lambda _request, _number: answered) as (address, _):
        scorer = OpenAIScorer(address, name="m", tokenizer=tiny_model)
        with pytest.raises(ServerError, match=rf"{address} answered without log-probabilities.*as vLLM's and SGLang's"):
            scorer.log_likelihoods([(ask("Name a colour."), "Blue.")])


@pytest.mark.tiny
@pytest.mark.parametrize("status", [400, 404])
def test_a_server_that_refuses_to_score_says_why_and_which_do_not(tiny_model, status):
    with serving(lambda _request, _number: (error("echo is not supported"), status)) as (address, _):
        scorer = OpenAIScorer(address, name="m", tokenizer=tiny_model)
        with pytest.raises(ServerError, match=rf"{address}.*echo is not supported.*as vLLM's and SGLang's"):
            scorer.log_likelihoods([(ask("Name a colour."), "Blue.")])


@pytest.mark.tiny
def test_a_pair_too_long_for_the_server_is_named_by_its_place(echo, tiny_model):
    with serving(echo) as (address, _):
        scorer = OpenAIScorer(address, name="m", tokenizer=tiny_model)
        with pytest.raises(PromptTooLongError) as caught:
            scorer.log_likelihoods([PAIRS[0], PAIRS[0], (ask("word " * 600), "Blue.")])
    assert (caught.value.index, caught.value.limit) == (2, 512)


@pytest.mark.tiny
def test_a_scorer_without_a_tokenizer_says_what_it_needs(tiny_model):
    with pytest.raises(ModelError, match="cannot load the tokenizer 'no-such-model'"):
        OpenAIScorer("http://127.0.0.1:1/v1", name="no-such-model")
    with pytest.raises(InputError, match="max_response_tokens must be at least 1, not 0"):
        OpenAIScorer("http://127.0.0.1:1/v1", name="m", tokenizer=tiny_model, max_response_tokens=0)


@pytest.mark.tiny
def test_a_copy_is_the_same_scorer_and_a_pickle_has_the_same_settings(tiny_model):
    scorer = OpenAIScorer(
        "http://127.0.0.1:1/v1", name="m", tokenizer=tiny_model, max_response_tokens=7, concurrency=2, timeout_seconds=3
    )
    assert copy.deepcopy(scorer) is scorer
    opened = pickle.loads(pickle.dumps(scorer))
    settings = ("base_url", "name", "tokenizer", "max_response_tokens", "concurrency", "timeout_seconds")
    assert [getattr(opened, name) for name in settings] == [getattr(scorer, name) for name in settings]
