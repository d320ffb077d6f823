"""Prompts that say nearly the same. MinHash finds what may be alike, the exact Jaccard index decides."""

from collections.abc import Sequence

from fipo_model.errors import explain_missing

with explain_missing("train", "datasketch"):
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

_SHINGLE_CHARACTERS = 5
_PERMUTATIONS = 128
_SEED = 1
# The weights of false and of missed finds: a false one costs a comparison, a missed duplicate stays.
_WEIGHTS = (0.1, 0.9)


def find_near_duplicates(texts: Sequence[str], similarity: float) -> dict[int, tuple[int, float]]:
    """For each text that resembles an earlier one: its place, the earlier one's place, and their similarity, 0 to 1.

    Texts are compared by the runs of five characters they contain, whatever their case and spacing. The first of a
    kind is no duplicate, and later ones are compared with such firsts only. The same texts give the same answer in
    every process.
    """
    # The threshold is a little lower here: the index estimates, and would miss some texts just above it.
    index = MinHashLSH(threshold=max(0.05, similarity - 0.1), num_perm=_PERMUTATIONS, weights=_WEIGHTS)
    found: dict[int, tuple[int, float]] = {}
    for place, text in enumerate(texts):
        shingles = _shingles(text)
        sketch = MinHash(num_perm=_PERMUTATIONS, seed=_SEED)
        sketch.update_batch([shingle.encode("utf-8") for shingle in shingles])
        alike = [(first, _jaccard(shingles, _shingles(texts[first]))) for first in sorted(index.query(sketch))]
        closest = max(alike, key=lambda pair: pair[1], default=(0, 0.0))
        if closest[1] >= similarity:
            found[place] = closest
        else:
            index.insert(place, sketch)
    return found


def _shingles(text: str) -> frozenset[str]:
    plain = " ".join(text.lower().split())
    last = max(1, len(plain) - _SHINGLE_CHARACTERS + 1)
    return frozenset(plain[start : start + _SHINGLE_CHARACTERS] for start in range(last))


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)
