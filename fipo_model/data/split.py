"""Which records are kept apart for evaluation: the same ones for everyone who names the same share and seed. Pure."""

import hashlib
import json


def is_held_out(record_id: str, share: float, seed: int) -> bool:
    """Whether a record is in the part kept apart; other records make no difference."""
    return draw(record_id, seed) < share


def draw(record_id: str, seed: int) -> float:
    """A number in [0, 1), evenly distributed over the ids and independent between seeds."""
    digest = hashlib.sha256(json.dumps([seed, record_id]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
