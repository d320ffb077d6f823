"""Commitments of every kind, planted in real prompts and then deleted, changed, doubled or swapped.

A plant is a sentence with a place for a commitment. Its replacements are of the same class, in words that no lexicon
lists as equivalent.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

CHANGES = ("deleted", "changed", "doubled", "swapped")


@dataclass(frozen=True, slots=True)
class Plant:
    """A kind of commitment: sentences with places (`{}`) for it, and what can stand there."""

    kind: str
    frames: Sequence[str]
    values: Sequence[str]
    may_double: bool = True
    """Whether saying it twice changes nothing."""


PLANTS = (
    Plant(
        "variable",
        ("Mind the wishes of {}.", "It is meant for {}."),
        ("{reader}", "{{ guest }}", "${owner}", "%(who)s"),
        False,
    ),
    Plant("slot", ("Mention {} in it.",), ("[COMPANY]", "[insert place]", "<<product>>", "__CITY__")),
    Plant("tag", ("Put it between {} and the end.",), ("<summary>", "<reasoning>", "</draft>")),
    Plant("token", ("Stop at {} each time.",), ("<|endoftext|>", "<|assistant|>", "[INST]")),
    Plant("url", ("Look at {} first.",), ("https://example.org/a?b=1", "www.kiosk.net", "http://10.0.0.7:80/x")),
    Plant("e-mail", ("Send it to {} then.",), ("mia@lake.org", "post.office@hill.co.uk")),
    Plant("path", ("Read {} for it.",), ("/srv/data/list.csv", "notes/plan.md", "C:\\work\\a.docx")),
    Plant("handle", ("Thank {} in it.",), ("@harbour_news", "#spring2026x", "@mila")),
    Plant("code", ("Call `{}` there.",), ("sum(values)", "git pull", "x <- 3")),
    Plant("identifier", ("Keep {} as it is.",), ("order_total", "readLine", "v2.3.1")),
    Plant("quotation", ('Close with "{}" please.',), ("see you at noon", "all is well", "until the tide turns")),
    Plant("number", ("Name {} lakes.", "Take {} apples."), ("17", "260", "4.5", "3,400")),
    Plant("number word", ("Name {} lakes.", "Take {} apples."), ("three", "seven", "twelve", "forty")),
    Plant("unit", ("Walk 40 {} at most.",), ("km", "miles", "minutes", "yards")),
    Plant("date", ("Refer to {} there.",), ("2025-03-09", "April 2, 2024", "14.11.2023")),
    Plant("negation", ("Do {} mention dragons.", "It should {} rhyme with thunder."), ("not",)),
    Plant("only", ("Use {} wooden tools.", "Mention {} the harbour."), ("only",)),
    Plant("bound", ("Name {} 15 islands.", "Spend {} 90 euros."), ("at least", "at most", "exactly")),
    Plant("order in time", ("Wash the pears {} peeling them.",), ("before", "after")),
    Plant("name", ("Set it in {} again.", "Let {} speak in it."), ("Bergen", "Okonkwo", "Lisbon", "Matilda")),
    Plant("language", ("Give the title in {} too.",), ("Danish", "Greek", "Swahili", "Polish")),
    Plant("label", ("Classify each as {} or neutral.",), ("urgent", "spam", "faulty")),
    Plant("format", ("Give the result as {}.",), ("JSON", "a table", "bullet points", "CSV")),
    Plant("manner", ("Write it in a {} tone.",), ("formal", "sarcastic", "humorous")),
    Plant("capitals", ("End with the word {} then.",), ("TERMINATE", "FINISHED", "OVER_AND_OUT")),
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A prompt with a commitment, and a rewrite that does something to it."""

    kind: str
    change: str
    naive: str
    rewrite: str
    is_harmless: bool


def plant(prompt: str, rng: random.Random) -> Planted:
    """A prompt with a random commitment appended, and a rewrite that deletes, changes, doubles or swaps it."""
    chosen = rng.choice(PLANTS)
    frame, value = rng.choice(chosen.frames), rng.choice(chosen.values)
    before, sentence = prompt.rstrip(), frame.replace("{}", value)
    naive = f"{before} {sentence}"
    change = rng.choice(CHANGES)
    if change == "changed" and len(chosen.values) > 1:
        other = rng.choice([each for each in chosen.values if each != value])
        return Planted(chosen.kind, change, naive, f"{before} {frame.replace('{}', other)}", is_harmless=False)
    if change == "doubled":
        return Planted(chosen.kind, change, naive, f"{naive} {sentence}", is_harmless=chosen.may_double)
    if change == "swapped" and len(chosen.frames) > 1 and len(chosen.values) > 1:
        return _swapped(before, chosen, rng)
    return Planted(chosen.kind, "deleted", naive, f"{before} {_without(frame)}", is_harmless=False)


def _swapped(before: str, chosen: Plant, rng: random.Random) -> Planted:
    """Two commitments of one kind, swapped."""
    first, second = chosen.frames[:2]
    one, other = rng.sample(list(chosen.values), 2)
    naive = f"{before} {first.replace('{}', one)} {second.replace('{}', other)}"
    rewrite = f"{before} {first.replace('{}', other)} {second.replace('{}', one)}"
    return Planted(chosen.kind, "swapped", naive, rewrite, is_harmless=False)


def _without(frame: str) -> str:
    bare = frame.replace("`{}`", "").replace('"{}"', "").replace("{}", "")
    return " ".join(bare.split()).replace(" .", ".")
