"""How the in-process generator spends its time: batches, chance, the shared beginning, the mirrored product."""

import copy
import math
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.tiny


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(1, 400), max_size=40),
    new_tokens=st.integers(1, 100),
    token_budget=st.integers(1, 3000),
)
def test_batches_hold_every_row_once_and_respect_the_budget(lengths, new_tokens, token_budget):
    from fipo_model.backends.transformers.decoding import plan_batches

    batches = plan_batches(lengths, new_tokens=new_tokens, token_budget=token_budget)
    order = [index for batch in batches for index in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[index] for index in order] == sorted(lengths)
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * (longest + new_tokens) <= token_budget
        own = [lengths[index] for index in batch]
        assert longest <= 2 * min(own) or len(own) * longest - sum(own) <= 64 * 17


def test_rows_of_one_length_share_batches_that_are_as_large_as_the_budget_allows():
    from fipo_model.backends.transformers.decoding import plan_batches

    batches = plan_batches([60] * 10, new_tokens=40, token_budget=400)
    assert [len(batch) for batch in batches] == [4, 4, 2]


def test_rows_of_unlike_length_share_a_batch_where_their_padding_costs_less_than_another():
    from fipo_model.backends.transformers.decoding import plan_batches

    def sizes(lengths, new_tokens):
        return [len(batch) for batch in plan_batches(lengths, new_tokens=new_tokens, token_budget=8192)]

    assert sizes([77] * 10 + [160], new_tokens=12) == [11]  # 830 tokens of padding, against twelve steps for one row
    assert sizes([77] * 10 + [160], new_tokens=1) == [10, 1]
    assert sizes([77] * 10 + [400], new_tokens=12) == [10, 1]
    assert sizes([77] * 10 + [150], new_tokens=1) == [11]  # not even twice as long


class Drawn(random.Random):
    """A source of chance that always draws the same."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def random(self):
        return self.value


def choose(scores, sources, **settings):
    import torch

    from fipo_model.backends.transformers.decoding import SeededChoice

    chosen = SeededChoice(sources, **settings)(torch.zeros(len(sources), 1, dtype=torch.long), torch.tensor(scores))
    assert torch.isfinite(chosen).sum(dim=-1).tolist() == [1] * len(sources)
    return chosen.argmax(dim=-1).tolist()


def test_choices_follow_the_probabilities():
    probabilities = {0: 0.5, 2: 0.3, 3: 0.15, 4: 0.05}
    scores = [math.log(probabilities[token]) if token in probabilities else -math.inf for token in range(5)]
    draws = 4000
    counts = Counter(choose([scores] * draws, [random.Random(f"{seed}") for seed in range(draws)]))
    assert set(counts) == set(probabilities)
    chi_square = sum((counts[token] - p * draws) ** 2 / (p * draws) for token, p in probabilities.items())
    assert chi_square < 16.3  # by chance in 999 of 1000 choices of the seeds, and these are fixed


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1 - 2**-53])
def test_an_impossible_token_is_not_chosen_whatever_is_drawn(drawn):
    no = -math.inf
    scores = [[no, 1.0, no, 2.0, no], [no, no, 0.3, no, no], [0.1, no, no, no, no], [no, no, no, no, 7.0]]
    chosen = choose(scores, [Drawn(drawn)] * len(scores))
    assert all(row[token] != no for row, token in zip(scores, chosen, strict=True))


def test_a_rows_choice_does_not_depend_on_its_neighbours():
    scores = [[0.1 * (row + token) % 1.7 for token in range(50)] for row in range(6)]
    together = choose(scores, [random.Random(row) for row in range(6)])
    assert together == [choose([scores[row]], [random.Random(row)])[0] for row in range(6)]


@pytest.mark.parametrize("spread", [0.1, 2.0, 8.0])  # nuclei larger than what is looked at first, about it, and small
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.95])
def test_the_nucleus_is_that_of_transformers(spread, top_p):
    import torch
    from transformers import TopPLogitsWarper

    scores = spread * torch.randn(3, 3000, generator=torch.Generator().manual_seed(0))
    inside = torch.isfinite(TopPLogitsWarper(top_p)(None, scores))
    for drawn in (0.0, 0.1, 0.37, 0.62, 0.9, 1 - 2**-53):
        weights = scores.double().softmax(-1).where(inside, 0).cumsum(-1)
        expected = torch.searchsorted(weights, drawn * weights[:, -1:], right=True).flatten().tolist()
        assert choose(scores.tolist(), [Drawn(drawn)] * 3, top_p=top_p) == expected


def test_tokens_as_likely_as_the_last_of_the_nucleus_are_in_it_whatever_the_neighbours():
    even = [0.0] * 3000
    assert choose([even, even], [Drawn(0.0), Drawn(1 - 2**-53)], top_p=0.1) == [0, 2999]
    peaked = [9.0, 5.0, 5.0] + [0.0] * 2997
    alone = choose([peaked], [Drawn(1 - 2**-53)], top_p=0.9)
    assert choose([peaked, even], [Drawn(1 - 2**-53), Drawn(0.5)], top_p=0.9)[:1] == alone


def test_decoding_is_interrupted_when_an_eighth_of_the_rows_has_ended():
    import torch

    from fipo_model.backends.transformers.decoding import EnoughAreDone

    criterion, tokens = EnoughAreDone([2]), torch.full((16, 1), 7)
    tokens[3] = 2
    assert not criterion(tokens, torch.tensor(0)).any()
    tokens[3], tokens[5] = 0, 2  # what ended stays ended, though padding follows
    assert criterion(tokens, torch.tensor(0)).all()


@pytest.fixture(scope="module")
def model(tiny_model):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_model).eval()


@pytest.fixture
def computed(model):
    """How many tokens each forward pass computed."""
    counts = []
    hook = model.register_forward_pre_hook(
        lambda _module, _args, kwargs: counts.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    yield counts
    hook.remove()


START = list(range(100, 140))


def test_a_shared_beginning_is_computed_once_and_then_reused(model, computed):
    import torch

    from fipo_model.backends.transformers.decoding import SharedPrefix

    prefix = SharedPrefix(model)
    with torch.inference_mode():
        for ending in range(3):
            shared, cache = prefix.cache_for([[*START, 5, ending], [*START, 6, 7, ending], [*START, 8]])
            assert (shared, cache.get_seq_length(), len(cache.layers[0].keys)) == (40, 40, 3)
    assert computed == [40]


def test_single_prompts_share_what_they_begin_with_from_the_second_on(model, computed):
    import torch

    from fipo_model.backends.transformers.decoding import SharedPrefix

    prefix = SharedPrefix(model)
    with torch.inference_mode():
        assert [prefix.cache_for([[*START, ending]])[0] for ending in range(4)] == [0, 40, 40, 40]
    assert computed == [40]


_ROW = st.builds(
    lambda start, ending: START[:start] + ending,
    st.integers(0, 40),
    st.lists(st.integers(3, 4), min_size=1, max_size=3),
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.lists(_ROW, min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_cache_always_holds_what_the_rows_begin_with_and_leaves_something_to_compute(model, calls):
    import torch

    from fipo_model.backends.transformers.decoding import SharedPrefix

    prefix = SharedPrefix(model)
    with torch.inference_mode():
        for rows in calls:
            shared, cache = prefix.cache_for(rows)
            assert shared < min(map(len, rows))
            assert all(row[:shared] == rows[0][:shared] for row in rows)
            if shared:
                fresh = model(input_ids=torch.tensor([rows[0][:shared]] * len(rows))).past_key_values
                for layer, expected in zip(cache.layers, fresh.layers, strict=True):
                    torch.testing.assert_close(layer.keys, expected.keys)
                    torch.testing.assert_close(layer.values, expected.values)
                # What a batch adds to its copy must not reach the next one.
                model(input_ids=torch.tensor([[9]] * len(rows)), past_key_values=cache)


@pytest.mark.parametrize("has_bias", [True, False])
def test_a_mirrored_layer_computes_what_it_did_before_for_any_number_of_rows(has_bias):
    import torch

    from fipo_model.backends.transformers.cpu import mirror_linear_layers

    torch.manual_seed(0)
    layer = torch.nn.Linear(24, 40, bias=has_bias)
    inputs = [torch.randn(rows, 24) for rows in range(1, 65)] + [torch.randn(4, 5, 24), torch.randn(24)]
    with torch.inference_mode():
        expected = [layer(x) for x in inputs]
        mirror_linear_layers(torch.nn.Sequential(layer))
        for x, before in zip(inputs, expected, strict=True):
            torch.testing.assert_close(layer(x), before)


def test_a_mirrored_model_can_be_copied_and_still_trains():
    import torch

    from fipo_model.backends.transformers.cpu import mirror_linear_layers

    model = torch.nn.Sequential(torch.nn.Linear(8, 8))
    mirror_linear_layers(model)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight.zero_()
        twin[0].bias.zero_()
        assert not twin(torch.ones(16, 8)).any()
        assert model(torch.ones(16, 8)).any()
    model(torch.ones(16, 8)).sum().backward()
    assert model[0].weight.grad.any()
