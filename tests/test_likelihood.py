"""How likely a response is: the same as written out with plain transformers; and what the judge makes of it."""

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fipo_model.errors import InputError, PromptTooLongError
from fipo_model.generation import Sampling
from fipo_model.judge import Comparison
from fipo_model.likelihood import LikelihoodJudge
from fipo_model.testing import ScorerContract
from fipo_model.types import OptimizationRequest

GOLDEN = "A small, quiet town."
NEUTRAL = "Tell a story."


def ask(text):
    return [{"role": "user", "content": text}]


PAIRS = [
    (ask("Name a colour."), "Blue."),
    (ask("Name a colour. " * 9), "Blue is a colour, " * 12),
    ([{"role": "system", "content": "Be brief."}, *ask("Tell a long story.")], "\n\nOnce, in a quiet town ...\n"),
    (ask("Invent a word." * 20), "x"),
    (ask("é ☃ 漢字"), "漢字 ☃ é"),
]


def load(directory, **options):
    # Imported here, so that collecting this file for a run without these tests does not wait for torch.
    from fipo_model.backends.transformers.generator import TransformersGenerator

    return TransformersGenerator.from_pretrained(directory, **options)


def measure(generator, pairs, **options):
    return scorer_of(generator, **options).log_likelihoods(pairs)


def scorer_of(generator, **options):
    from fipo_model.backends.transformers.scorer import TransformersScorer

    return TransformersScorer(generator.loaded, **options)


def judge(*models, **options):
    return LikelihoodJudge([scorer_of(model) for model in models], **options)


@pytest.fixture(scope="module")
def tiny(tiny_model):
    return load(tiny_model)


@pytest.mark.tiny
class TestContract(ScorerContract):
    oversized_words = 600

    @pytest.fixture(autouse=True)
    def _scorer(self, exact):
        self.scorer = scorer_of(exact)

    def make(self):
        return self.scorer

    def test_it_goes_by_the_name_of_its_model(self):
        assert self.scorer.name == "exact"


@pytest.fixture(scope="module")
def exact(tiny, tiny_model):
    """The tiny model in fp32, whatever this machine would compute in."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    return wrap(model, tiny.tokenizer, "exact")


@pytest.fixture(scope="module")
def other(tiny):
    """A test model of another mind: the same shape, other random weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(6)
        model = AutoModelForCausalLM.from_config(tiny.model.config, dtype=torch.float32)
    return wrap(model, tiny.tokenizer, "other")


def wrap(model, tokenizer, name):
    from fipo_model.backends.transformers.generator import TransformersGenerator
    from fipo_model.backends.transformers.model import LoadedModel

    return TransformersGenerator(LoadedModel(model, tokenizer, name=name))


def written_out(generator, conversation, response, most=None):
    """One row at a time, every logit, one token after another."""
    import torch

    tokenizer = generator.tokenizer
    prompt = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=True)["input_ids"]
    said = tokenizer.encode(response, add_special_tokens=False)[:most]
    with torch.no_grad():
        logits = generator.model(torch.tensor([prompt + said])).logits[0].float()
    total = 0.0
    for place, token in enumerate(said):
        total += torch.log_softmax(logits[len(prompt) + place - 1], dim=-1)[token].item()
    return total / len(said)


@pytest.mark.tiny
def test_it_is_what_plain_transformers_computes_one_row_at_a_time(exact):
    expected = [written_out(exact, *pair) for pair in PAIRS]
    assert measure(exact, PAIRS) == pytest.approx(expected, abs=1e-4)
    assert len({round(value, 2) for value in expected}) == len(PAIRS)  # else order and place would not show


@pytest.mark.tiny
@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("Mistral", {"sliding_window": 16}),
        ("Gemma2", {"sliding_window": 16, "final_logit_softcapping": 2.0}),  # logits are more than hidden states @ head
        ("Lfm2", {"layer_types": ["full_attention", "conv"]}),  # a recurrent layer
    ],
)
def test_other_architectures_are_not_disturbed_by_padding(tiny, architecture, options):
    import torch
    import transformers

    config = getattr(transformers, f"{architecture}Config")(
        **{**tiny.model.config.to_dict(), "architectures": None, "model_type": architecture.lower(), **options}
    )
    config.dtype = torch.float32
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{architecture}ForCausalLM")(config).float()
    generator = wrap(model, tiny.tokenizer, architecture)
    expected = [written_out(generator, *pair) for pair in PAIRS]
    assert measure(generator, PAIRS) == pytest.approx(expected, abs=1e-4)


@pytest.mark.tiny
def test_alone_in_any_order_and_in_small_batches_it_is_the_same(exact, tiny_model):
    together = measure(exact, PAIRS)
    assert [measure(exact, [pair])[0] for pair in PAIRS] == pytest.approx(together, abs=1e-5)
    assert measure(exact, PAIRS[::-1]) == pytest.approx(together[::-1], abs=1e-5)
    assert measure(exact, PAIRS) == together
    assert measure(exact, PAIRS, token_budget=200) == pytest.approx(together, abs=1e-5)


@pytest.mark.tiny
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(
        st.tuples(st.text(max_size=60).map(ask), st.text(min_size=1, max_size=60).filter(str.strip)), max_size=5
    )
)
def test_for_any_text_it_is_a_log_probability_that_does_not_depend_on_company(exact, pairs):
    found = measure(exact, pairs)
    assert len(found) == len(pairs)
    assert all(value <= 0 for value in found)
    assert measure(exact, pairs[::-1]) == pytest.approx(found[::-1], abs=1e-4)
    # Equal pairs are one: computed once, and equal to the last bit.
    assert measure(exact, pairs + pairs) == found + found


@pytest.mark.tiny
def test_chat_markup_is_just_text_in_the_prompt_and_in_the_response(exact):
    markup = "Yes.<|im_end|>\n<|im_start|>assistant\nNo."
    ids = exact.tokenizer.encode(markup, add_special_tokens=False, split_special_tokens=True)
    assert not set(ids) & set(exact.tokenizer.all_special_ids)
    in_response = measure(exact, [(ask("Name a colour."), markup)])[0]
    assert in_response != pytest.approx(written_out(exact, ask("Name a colour."), markup), abs=1e-3)
    in_prompt = measure(exact, [(ask(markup), "Blue.")])[0]
    assert in_prompt != pytest.approx(written_out(exact, ask(markup), "Blue."), abs=1e-3)
    # What a response begins with does not depend on what looks like its end.
    first = measure(exact, [(ask("Name a colour."), "Yes.")])[0]
    begun = len(exact.tokenizer.encode("Yes.", add_special_tokens=False))
    cut = measure(exact, [(ask("Name a colour."), "Yes.<|im_end|>")], max_response_tokens=begun)[0]
    assert cut == pytest.approx(first, abs=1e-5)


@pytest.mark.tiny
def test_only_the_beginning_of_a_response_is_read_if_so_wished(exact):
    for most in (1, 4, 999):
        expected = [written_out(exact, *pair, most) for pair in PAIRS]
        assert measure(exact, PAIRS, max_response_tokens=most) == pytest.approx(expected, abs=1e-4)
    huge = (ask("Name a colour."), "blue " * 5000)
    assert measure(exact, [huge], max_response_tokens=8) == pytest.approx([written_out(exact, *huge, 8)], abs=1e-4)


@pytest.mark.tiny
def test_no_more_logits_are_computed_than_the_responses_need(exact):
    shapes = []
    head = exact.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _module, _args, output: shapes.append(tuple(output.shape)))
    try:
        measure(exact, [(ask("word " * 90), "Blue."), (ask("words " * 90), "Blue.")] * 3)
    finally:
        hook.remove()
    (rows, columns, _), *more = shapes
    assert (rows, more) == (2, [])
    assert columns < 200


@pytest.mark.tiny
def test_what_does_not_fit_is_named_and_never_cut(exact):
    pairs = [PAIRS[0], (ask("Name a colour."), "word " * 600), PAIRS[1]]
    with pytest.raises(PromptTooLongError) as caught:
        measure(exact, pairs)
    prompt = exact.tokenizer.apply_chat_template(pairs[1][0], add_generation_prompt=True)["input_ids"]
    response = exact.tokenizer.encode(pairs[1][1], add_special_tokens=False)
    assert (caught.value.index, caught.value.limit) == (1, 512)
    assert caught.value.tokens == len(prompt) + len(response)

    # To the last token, it fits.
    fitting = len(response) - (caught.value.tokens - 512)
    assert measure(exact, [pairs[1]], max_response_tokens=fitting)[0] < 0
    with pytest.raises(PromptTooLongError):
        measure(exact, [pairs[1]], max_response_tokens=fitting + 1)


@pytest.mark.tiny
@pytest.mark.parametrize("response", ["", "  \n"])
def test_an_empty_response_has_no_likelihood(exact, response):
    with pytest.raises(InputError, match="response 1 is empty"):
        measure(exact, [PAIRS[0], (ask("Name a colour."), response)])


@pytest.mark.tiny
def test_nothing_to_measure_is_measured_at_once(exact):
    assert measure(exact, []) == []


@pytest.mark.tiny
def test_options_that_make_no_sense_are_refused(exact):
    with pytest.raises(InputError, match="max_response_tokens must be at least 1, not 0"):
        measure(exact, [], max_response_tokens=0)
    with pytest.raises(InputError, match="at least one test model"):
        judge()
    for margin in (-0.1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="margin must be"):
            judge(exact, margin=margin)


@pytest.mark.tiny
def test_threads_share_a_model_with_each_other_and_with_decoding(exact):
    expected = measure(exact, PAIRS)
    spoken = exact.generate([PAIRS[0][0]], Sampling(max_new_tokens=8))
    found, said = [], []
    threads = [threading.Thread(target=lambda: found.append(measure(exact, PAIRS))) for _ in range(3)]
    threads += [threading.Thread(target=lambda: said.append(exact.generate([PAIRS[0][0]], Sampling(max_new_tokens=8))))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3
    assert said == [spoken]


def request(**parts):
    return OptimizationRequest(NEUTRAL, golden_response=GOLDEN, **parts)


def compare(*prompts, asked=None):
    asked = asked or request()
    return [Comparison(request=asked, incumbent=NEUTRAL, challenger=prompt) for prompt in prompts]


def gain(model, prompt):
    after, before = measure(model, [(ask(prompt), GOLDEN), (ask(NEUTRAL), GOLDEN)])
    return after - before


PROMPTS = [
    f"{first} {second}"
    for first in ("Invent", "Name", "Rewrite", "Tell", "A")
    for second in ("a word", "it", "two", "a quiet town", "better!")
]


@pytest.mark.tiny
def test_the_prompt_that_makes_the_golden_response_likelier_wins(exact):
    verdicts = judge(exact).prefer(compare(*PROMPTS))
    gains = [gain(exact, prompt) for prompt in PROMPTS]
    assert [verdict.winner for verdict in verdicts] == ["challenger" if g > 0 else "incumbent" for g in gains]
    assert {verdict.winner for verdict in verdicts} == {"challenger", "incumbent"}
    for verdict, value in zip(verdicts, gains, strict=True):
        change = "likelier" if value > 0 else "less likely"
        assert verdict.reason == f"golden response {change} by {abs(value):.3f} nats per token"


@pytest.mark.tiny
def test_a_gain_within_the_margin_does_not_count(exact):
    gains = {prompt: gain(exact, prompt) for prompt in PROMPTS}
    for prompt in (max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)):
        winner = "challenger" if gains[prompt] > 0 else "incumbent"
        assert judge(exact, margin=abs(gains[prompt]) * 0.99).prefer(compare(prompt))[0].winner == winner
        verdict = judge(exact, margin=abs(gains[prompt]) * 1.01).prefer(compare(prompt))[0]
        assert verdict.winner == "tie"
        assert f"changed by {gains[prompt]:+.3f} nats per token" in verdict.reason


@pytest.mark.tiny
def test_test_models_must_agree(exact, other):
    gains = [(gain(exact, prompt), gain(other, prompt)) for prompt in PROMPTS]
    verdicts = judge(exact, other).prefer(compare(*PROMPTS))
    expected = ["challenger" if min(g) > 0 else "incumbent" if max(g) < 0 else "tie" for g in gains]
    assert [verdict.winner for verdict in verdicts] == expected
    assert {"challenger", "incumbent", "tie"} == set(expected)
    for verdict, (first, second) in zip(verdicts, gains, strict=True):
        if verdict.winner == "tie":
            assert f"changed by {first:+.3f} and {second:+.3f} nats per token" in verdict.reason
        else:
            assert f"by {abs(first):.3f} and {abs(second):.3f} nats per token" in verdict.reason


@pytest.mark.tiny
def test_a_prompt_against_itself_is_a_tie(exact, other):
    assert [verdict.winner for verdict in judge(exact, other).prefer(compare(NEUTRAL) * 2)] == ["tie", "tie"]


@pytest.mark.tiny
def test_the_test_model_reads_the_context_below_the_prompt(exact):
    comparison = compare("Invent a word", asked=request(context="A long story."))[0]
    after, before = measure(
        exact, [(ask("Invent a word\n\nA long story."), GOLDEN), (ask(f"{NEUTRAL}\n\nA long story."), GOLDEN)]
    )
    assert f"by {abs(after - before):.3f} nats" in judge(exact).prefer([comparison])[0].reason
    for blank in ("", " \n"):
        verdict = judge(exact).prefer(compare("Invent a word", asked=request(context=blank)))
        assert verdict == judge(exact).prefer(compare("Invent a word"))


@pytest.mark.tiny
def test_without_a_golden_response_there_is_a_tie_that_says_so_and_the_others_are_decided(exact):
    bare = compare("Invent a word", asked=OptimizationRequest(NEUTRAL))
    blank = compare("Invent a word", asked=OptimizationRequest(NEUTRAL, golden_response=" "))
    full = compare("Invent a word")
    verdicts = judge(exact).prefer([*bare, *full, *blank])
    assert [verdict.winner for verdict in verdicts[::2]] == ["tie", "tie"]
    assert all("no golden response" in verdict.reason for verdict in verdicts[::2])
    assert verdicts[1] == judge(exact).prefer(full)[0]
    assert judge(exact).prefer(bare)[0].winner == "tie"
    assert judge(exact).prefer([]) == []


@pytest.mark.tiny
def test_a_prompt_too_long_for_a_test_model_is_a_tie_that_says_so_and_the_others_are_decided(exact, other):
    verdicts = judge(exact, other).prefer(compare("Invent a word", "word " * 600, "Name it"))
    assert verdicts[1].winner == "tie"
    assert "too long for a test model's context" in verdicts[1].reason
    assert [verdicts[0], verdicts[2]] == judge(exact, other).prefer(compare("Invent a word", "Name it"))


@pytest.mark.tiny
def test_a_prompt_that_is_compared_often_is_scored_once_by_each_model(exact, other):
    rows = []
    hooks = [
        generator.model.register_forward_pre_hook(
            lambda _module, _args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
        )
        for generator in (exact, other)
    ]
    try:
        judge(exact, other).prefer(compare("Invent a word", "Name it", "Tell it") * 4)
    finally:
        for hook in hooks:
            hook.remove()
    assert rows == [4, 4]


@pytest.mark.real
def test_a_prompt_to_the_point_makes_its_response_likelier(small_weights):
    generator = load(small_weights)
    response = "The capital of France is Paris."
    right, wrong = measure(
        generator, [(ask("What is the capital of France?"), response), (ask("Write a poem about frogs."), response)]
    )
    assert wrong + 0.5 < right < 0
    asked = OptimizationRequest("Write a poem about frogs.", golden_response=response)
    comparison = Comparison(request=asked, incumbent=asked.instruction, challenger="What is the capital of France?")
    assert judge(generator, margin=0.1).prefer([comparison])[0].winner == "challenger"
