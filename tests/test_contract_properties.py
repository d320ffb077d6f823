"""Commitments of every kind, planted in prompts and deleted, changed, doubled or swapped: the stated rates hold."""

import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fipo_model import FIPO_1, FidelitySettings, OptimizationRequest
from fipo_model.fidelity import check

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # it is a folder of programs, not a package

from planting import PLANTS, Planted, plant

PROMPTS = (
    "Write a story about a fisherman who finds a bottle.",
    "Explain how tides work. Start with the moon.",
    "You are a patient teacher. I will send you sums, and you say where I went wrong.",
    "Describe a walk through an old orchard in autumn.",
    "Plan a birthday party for my grandmother.",
)


def is_accepted(made: Planted) -> bool:
    request = OptimizationRequest(made.naive, max_words=1000)
    return check(made.rewrite, request, FidelitySettings(), FIPO_1).outcome in ("optimized", "unchanged")


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PROMPTS), st.integers(0, 10**6))
def test_what_was_done_to_a_planted_commitment_is_noticed(prompt: str, seed: int) -> None:
    made = plant(prompt, random.Random(seed))
    assert is_accepted(made) == made.is_harmless, made


def test_every_kind_and_every_change_is_planted() -> None:
    rng = random.Random(0)
    made = Counter((each.kind, each.change) for each in (plant(rng.choice(PROMPTS), rng) for _ in range(3000)))
    assert {kind for kind, _ in made} == {each.kind for each in PLANTS}
    assert {change for _, change in made} == {"deleted", "changed", "doubled", "swapped"}


@pytest.mark.parametrize("made", [plant(PROMPTS[0], random.Random(seed)) for seed in range(5)])
def test_a_prompt_with_a_plant_is_no_rewrite_of_itself(made: Planted) -> None:
    request = OptimizationRequest(made.naive)
    assert check(made.naive, request, FidelitySettings(), FIPO_1).outcome == "unchanged"
