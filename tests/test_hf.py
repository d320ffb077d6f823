"""The in-process generator: it keeps the contract, and its short cuts change nothing but the time."""

import asyncio
import copy
import gc
import itertools
import pickle
import subprocess
import sys
import threading
import weakref
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fipo_model.callers import in_thread
from fipo_model.errors import PromptTooLongError
from fipo_model.generation import Sampling, complete
from fipo_model.testing import GeneratorContract

SYSTEM = "You rewrite prompts so that a language model answers them better. Keep every name and number."


def ask(text, system=SYSTEM):
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


MIXED = [ask("Name a colour. " * times) for times in (1, 12, 3, 5, 2, 9)]
# Some of the replies to these end early, some late, some not at all.
MANY = [ask(f"{text} {number}") for number in (0, 2) for text in ("Rewrite", "Name", "long", "story", "better")]


def load(directory, **options):
    # Imported here, so that collecting this file for a run without these tests does not wait for torch.
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_pretrained(directory, **options)


def wrap(model, tokenizer, name):
    from fipo_model.backends.transformers.generator import TransformersGenerator
    from fipo_model.backends.transformers.model import LoadedModel

    return TransformersGenerator(LoadedModel(model, tokenizer, name=name))


@pytest.fixture(scope="module")
def tiny(tiny_model):
    return load(tiny_model)


@pytest.fixture(scope="module")
def real(small_weights):
    return load(small_weights)


@pytest.mark.tiny
class TestContractOnTheTinyModel(GeneratorContract):
    oversized_words = 600

    @pytest.fixture(autouse=True)
    def _generator(self, tiny):
        self.generator = tiny

    def make(self):
        return self.generator


@pytest.mark.real
class TestContractOnTheDefaultWeights(GeneratorContract):
    max_new_tokens = 4
    oversized_words = 9000

    @pytest.fixture(autouse=True)
    def _generator(self, real):
        self.generator = real

    def make(self):
        return self.generator


def plain_replies(model, tokenizer, conversations, max_new_tokens):
    """The token ids of what transformers itself says, greedily, to each conversation alone."""
    replies = []
    for conversation in conversations:
        inputs = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        replies.append(output[0, inputs["input_ids"].shape[1] :].tolist())
    return replies


def decoded(tokenizer, replies, ends=()):
    """The texts of replies, up to the first of the tokens that end one."""
    cut = [list(itertools.takewhile(lambda token: token not in ends, reply)) for reply in replies]
    return [tokenizer.decode(reply, skip_special_tokens=True) for reply in cut]


def texts(completions):
    return [completion.text for completion in completions]


@contextmanager
def forward_passes(generator):
    """The (rows, tokens) of every forward pass made inside."""
    shapes = []
    hook = generator.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        yield shapes
    finally:
        hook.remove()


@pytest.mark.tiny
def test_batches_say_what_transformers_says_to_each_conversation_alone(tiny_model, tiny):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    greedy = Sampling(max_new_tokens=24)
    expected = decoded(tiny.tokenizer, plain_replies(model, tiny.tokenizer, [*MIXED, *MANY], 24))
    assert texts(complete(tiny, [*MIXED, *MANY], greedy)) == expected
    # In pieces, after another prompt and alone, a different prefix is reused each time.
    assert texts(complete(tiny, MIXED, greedy)) == expected[: len(MIXED)]
    tiny.generate([ask("Hello there.", system="Another beginning altogether, and a long one too.")] * 2, greedy)
    assert [complete(tiny, [c], greedy)[0].text for c in MIXED] == expected[: len(MIXED)]


@pytest.mark.real
def test_batches_of_real_weights_say_what_transformers_says_alone(small_weights, real):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(small_weights, dtype=real.model.dtype)
    conversations = [ask("Tell me about dogs."), ask("Write a poem on the sea, please."), ask("What is 2 + 2?")]
    expected = decoded(real.tokenizer, plain_replies(model, real.tokenizer, conversations, 8))
    assert texts(complete(real, conversations, Sampling(max_new_tokens=8))) == expected


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("architecture", "settings"),
    [
        ("Mistral", {"sliding_window": 16}),
        ("Gemma2", {"sliding_window": 16}),
        ("Lfm2", {"layer_types": ["full_attention", "conv"]}),  # a recurrent layer: rows cannot be taken out
    ],
)
def test_models_with_other_kinds_of_cache_say_the_same_in_a_batch(tiny, architecture, settings):
    import torch
    import transformers

    config = getattr(transformers, f"{architecture}Config")(
        **{**tiny.model.config.to_dict(), "architectures": None, "model_type": architecture.lower(), **settings}
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{architecture}ForCausalLM")(config).eval()
    model.generation_config.eos_token_id = None
    replies = plain_replies(model, tiny.tokenizer, MANY, 16)
    ends = [replies[0][4], replies[1][9]]  # tokens that come early in some of the replies and late in others
    model.generation_config.eos_token_id = ends
    generator = wrap(model, tiny.tokenizer, architecture)
    completions = complete(generator, MANY, Sampling(max_new_tokens=16))
    assert len({completion.completion_tokens for completion in completions}) > 1
    assert texts(completions) == decoded(tiny.tokenizer, replies, ends)


@pytest.mark.tiny
def test_rows_that_are_done_are_not_computed_any_more(tiny):
    with forward_passes(tiny) as shapes:
        completions = complete(tiny, MANY, Sampling(max_new_tokens=60))
    lengths = [completion.completion_tokens for completion in completions]
    assert sum(lengths) < 0.6 * len(lengths) * max(lengths)  # else there was nothing to save
    assert sum(rows for rows, tokens in shapes if tokens == 1) < 1.1 * sum(lengths)


@pytest.mark.tiny
def test_the_head_is_one_product_for_the_whole_batch_where_its_weights_are_frozen(tiny_model):
    """torch (2.13) copied them for every row: the slice of last tokens is not contiguous."""
    from torch.profiler import ProfilerActivity, profile
    from transformers import AutoModelForCausalLM

    from fipo_model.backends.engine import engine_of

    tokenizer = load(tiny_model).tokenizer
    generator = wrap(AutoModelForCausalLM.from_pretrained(tiny_model).requires_grad_(False), tokenizer, "frozen")

    def profiled():
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
            generator.generate(MIXED, Sampling(max_new_tokens=1))
        return found.events()

    events = engine_of("cpu").run(profiled)  # a profiler sees its own thread
    vocabulary, width = generator.model.get_output_embeddings().weight.shape
    products = {tuple(event.input_shapes[1]) for event in events if event.name in ("aten::mm", "aten::bmm")}
    heads = {shape for shape in products if vocabulary in shape}
    assert (width, vocabulary) in heads
    assert not [copies for copies, *rest in heads if rest == [width, vocabulary] and copies > 1]


@pytest.mark.real
def test_a_completion_is_as_likely_as_the_scorer_says_however_the_batch_was_cut(real):
    """Rows end at different steps and leave the batch; each keeps the figures of its own tokens."""
    from fipo_model.backends.transformers.scorer import TransformersScorer

    asked = MANY + MIXED
    told = complete(real, asked, Sampling(max_new_tokens=24, with_likelihood=True))
    scored = TransformersScorer(real.loaded).log_likelihoods(
        [(conversation, each.text) for conversation, each in zip(asked, told, strict=True)]
    )
    assert len({each.completion_tokens for each in told}) > 1
    for each, figure in zip(told, scored, strict=True):
        assert each.log_likelihood == pytest.approx(figure, abs=0.02)


@pytest.mark.tiny
def test_a_small_token_budget_changes_the_batches_and_nothing_else(tiny_model, tiny):
    small = load(tiny_model, token_budget=200)
    for sampling in (Sampling(max_new_tokens=12), Sampling(max_new_tokens=12, temperature=0.9, seed=5)):
        with forward_passes(small) as shapes:
            found = texts(complete(small, MIXED, sampling))
        assert max(rows for rows, _ in shapes) == 2
        assert found == texts(complete(tiny, MIXED, sampling))


@pytest.mark.tiny
def test_a_prompt_that_is_too_long_is_refused_before_anything_is_computed(tiny):
    conversations = [ask("Hi."), ask("word " * 600), ask("Hi.")]
    with forward_passes(tiny) as shapes, pytest.raises(PromptTooLongError) as caught:
        tiny.generate(conversations, Sampling(max_new_tokens=30))
    assert shapes == []
    assert (caught.value.index, caught.value.limit) == (1, 512)
    ids = tiny.tokenizer.apply_chat_template(conversations[1], add_generation_prompt=True)["input_ids"]
    assert caught.value.tokens == len(ids) + 30


@pytest.mark.tiny
def test_a_prompt_that_just_fits_is_answered(tiny):
    long = [ask("word " * 400)]
    tokens = complete(tiny, long, Sampling(max_new_tokens=1))[0].prompt_tokens
    assert tokens > 400
    tiny.generate(long, Sampling(max_new_tokens=512 - tokens))
    with pytest.raises(PromptTooLongError):
        tiny.generate(long, Sampling(max_new_tokens=513 - tokens))


@contextmanager
def renderings(tokenizer, monkeypatch):
    """Every conversation that the chat template was applied to inside."""
    rendered, apply = [], tokenizer.apply_chat_template
    with monkeypatch.context() as patch:
        patch.setattr(
            tokenizer, "apply_chat_template", lambda *args, **kw: (rendered.append(args), apply(*args, **kw))[1]
        )
        yield rendered


@pytest.mark.tiny
def test_samples_of_a_prompt_share_its_encoding_and_its_tokens(tiny_model, monkeypatch):
    generator, asked = load(tiny_model, token_budget=5000), [ask("Invent a word for a very small, quiet town.")]
    with renderings(generator.tokenizer, monkeypatch) as rendered, forward_passes(generator) as shapes:
        (samples,) = generator.generate(asked, Sampling(max_new_tokens=5, temperature=1.0), samples=12)
    assert (len(samples), len(rendered)) == (12, 1)
    length = samples[0].prompt_tokens
    assert shapes[:2] == [(1, length - 1), (12, 1)]  # all but the last token once, then a row for each sample


@pytest.mark.tiny
def test_samples_come_with_their_prompt_however_the_batches_are_cut(tiny_model, tiny):
    small, sampling = load(tiny_model, token_budget=200), Sampling(max_new_tokens=12, temperature=0.9, seed=5)
    expected = [tiny.generate([conversation], sampling, samples=3)[0] for conversation in MIXED]
    assert tiny.generate(MIXED, sampling, samples=3) == expected
    assert small.generate(MIXED, sampling, samples=3) == expected
    assert [samples[:1] for samples in expected] == tiny.generate(MIXED, sampling)


@pytest.mark.tiny
def test_equal_conversations_are_computed_once(tiny):
    sampling = Sampling(max_new_tokens=6, temperature=1.0)
    with forward_passes(tiny) as shapes:
        found = tiny.generate([MIXED[0], MIXED[1], MIXED[0]], sampling, samples=2)
    assert found[0] == found[2] != found[1]
    assert max(rows for rows, _ in shapes) == 4


_PIECES = ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|im_", "end|>", "\U000f0000", "\U000f0001", "\n", "é"]


@pytest.mark.tiny
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.sampled_from(_PIECES), max_size=8).map("".join))
def test_markup_in_a_message_never_becomes_a_special_token_nor_gets_lost(tiny, content):
    ids, harmless = tiny.loaded.chat.encode(ask(content)), tiny.loaded.chat.encode(ask("x"))
    specials = set(tiny.tokenizer.all_special_ids)
    assert [token for token in ids if token in specials] == [token for token in harmless if token in specials]
    rendered = tiny.tokenizer.apply_chat_template(ask(content), add_generation_prompt=True, tokenize=False)
    assert tiny.tokenizer.decode(ids, clean_up_tokenization_spaces=False) == rendered


@pytest.mark.tiny
def test_generation_defaults_of_the_model_neither_disturb_nor_make_noise(tiny, altered, capfd):
    sampling = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "repetition_penalty": 1.5}
    limits = {"max_length": 30, "min_new_tokens": 11, "use_cache": False, "max_time": 0.001}
    generator = load(altered(generation_config=sampling | limits))
    capfd.readouterr()
    greedy = Sampling(max_new_tokens=30)
    assert generator.generate(MANY, greedy) == tiny.generate(MANY, greedy)
    assert capfd.readouterr().err == ""


@pytest.mark.tiny
def test_every_end_token_of_the_model_ends_a_reply(tiny, altered):
    said = complete(tiny, [MANY[0]], Sampling(max_new_tokens=20))[0]
    ids = tiny.tokenizer.encode(said.text, add_special_tokens=False)
    generator = load(altered(generation_config={"eos_token_id": [2, ids[3]]}))
    cut = complete(generator, [MANY[0]], Sampling(max_new_tokens=20))[0]
    assert said.text.startswith(cut.text)
    assert (cut.is_truncated, cut.completion_tokens) == (False, ids.index(ids[3]) + 1)


@pytest.mark.tiny
def test_a_model_without_an_end_token_goes_on_to_the_limit(tiny, altered):
    generator = load(altered(generation_config={"eos_token_id": None}, tokenizer_config={"eos_token": None}))
    completions = complete(generator, MANY, Sampling(max_new_tokens=30))
    assert all(completion.is_truncated and completion.completion_tokens == 30 for completion in completions)


@pytest.mark.tiny
def test_a_copy_and_a_pickle_are_an_equal_generator_of_the_same_weights(tiny_model, tiny):
    small = load(str(tiny_model), token_budget=99)
    for generator in (tiny, small):
        for twin in (copy.deepcopy({"module": generator})["module"], pickle.loads(pickle.dumps(generator))):
            assert twin == generator
            assert twin.loaded is tiny.loaded
    assert load(str(tiny_model)) == tiny != small


@pytest.mark.tiny
def test_threads_that_load_one_model_get_one_model(altered):
    directory, found = altered(), []
    threads = [threading.Thread(target=lambda: found.append(load(directory))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(generator.loaded) for generator in found}) == 1


@pytest.mark.tiny
def test_a_pickle_opens_in_another_process(tiny, tmp_path):
    (tmp_path / "generator.pickle").write_bytes(pickle.dumps((tiny, MIXED[:1], Sampling(max_new_tokens=8))))
    script = (
        "import pickle, sys\n"
        "generator, conversations, sampling = pickle.load(open(sys.argv[1], 'rb'))\n"
        "sys.stdout.buffer.write(generator.generate(conversations, sampling)[0][0].text.encode())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "generator.pickle")]
    said = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    assert said == complete(tiny, MIXED[:1], Sampling(max_new_tokens=8))[0].text


@pytest.mark.tiny
def test_a_generator_around_a_model_object_says_why_it_cannot_be_pickled(tiny):
    generator = wrap(tiny.model, tiny.tokenizer, "mine")
    with pytest.raises(TypeError, match=r"mine was built from a model object.*from_pretrained"):
        pickle.dumps(generator)


@pytest.mark.tiny
def test_the_weights_of_a_generator_nobody_holds_are_freed_at_once(altered):
    generator = load(altered())
    generator.generate(MIXED[:2], Sampling(max_new_tokens=2))
    weight = weakref.ref(generator.model.model.layers[0].mlp.gate_proj)
    gc.disable()
    try:
        del generator
        assert weight() is None
    finally:
        gc.enable()


@pytest.mark.tiny
def test_nobody_waits_for_a_long_prompt_to_be_read_whose_caller_has_gone(tiny):
    """Reading a prompt of 6000 characters took half a minute, and everybody else waited."""
    layers = tiny.loaded.model.get_decoder().layers
    begun, may_go_on, second = threading.Event(), threading.Event(), threading.Event()

    def hold(*_):
        begun.set()
        may_go_on.wait(10)

    hooks = [layers[0].register_forward_hook(hold), layers[1].register_forward_hook(lambda *_: second.set())]

    async def leave():
        asking = asyncio.create_task(in_thread(lambda: complete(tiny, [ask("Name a colour.")], Sampling())))
        await asyncio.to_thread(begun.wait, 10)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0.3)  # until its thread has noticed
        may_go_on.set()

    try:
        asyncio.run(leave())
        assert not second.wait(1)
    finally:
        for hook in hooks:
            hook.remove()
    assert complete(tiny, [ask("Name a colour.")], Sampling(max_new_tokens=2))
