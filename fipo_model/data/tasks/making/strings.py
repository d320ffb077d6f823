"""Tasks on words and sentences as strings of letters. Pure."""

import re
from collections import Counter
from collections.abc import Mapping
from random import Random

from fipo_model.data.tasks.making.drawing import (
    Make,
    answered,
    asked_whether,
    drawn_from,
    one,
    sentence,
    several,
    words,
)
from fipo_model.data.tasks.task import Example

_NOUN = drawn_from("nouns")
_VOWELS = "aeiou"


def _plain(random: Random) -> str:
    """A sentence without its full stop."""
    return sentence(random).removesuffix(".")


def _phrase(random: Random) -> str:
    return " ".join([*random.sample(words("adjectives"), 2), random.choice(words("nouns"))])


def _middle_letter(random: Random) -> Example:
    word = random.choice([word for word in words("nouns") if len(word) % 2])
    return one(word, word[len(word) // 2])


def _palindrome(random: Random, holds: bool) -> str:
    syllable = random.choice(words("nouns"))[: random.randint(2, 3)]
    mirrored = syllable + syllable[-2::-1]
    return mirrored if holds else mirrored[:-1] + random.choice([last for last in "tnrsk" if last != mirrored[0]])


def _given_letter(random: Random) -> Example:
    word = random.choice(words("nouns"))
    letter = random.choice(word if random.random() < 0.8 else "xyz")
    return one(f"{word}, {letter}", word.count(letter))


def _unlike_lengths(random: Random) -> list[str]:
    """Words of which only one is the longest and only one the shortest."""
    while True:
        drawn = random.sample(words("nouns"), 4)
        lengths = sorted(map(len, drawn))
        if lengths[0] < lengths[1] and lengths[-2] < lengths[-1]:
            return drawn


def _longest_word(random: Random) -> Example:
    drawn = _unlike_lengths(random)
    return one(" ".join(drawn), max(drawn, key=len))


def _shortest_word(random: Random) -> Example:
    drawn = _unlike_lengths(random)
    return one(" ".join(drawn), min(drawn, key=len))


def _code(random: Random) -> str:
    """A word with digits in it."""
    word = random.choice(words("nouns"))
    place = random.randint(1, len(word) - 1)
    return f"{word[:place]}{random.randint(1, 99)}{word[place:]}{random.randint(1, 9)}"


def _punctuated(random: Random) -> str:
    first, second, third = random.sample(words("nouns"), 3)
    form = random.choice(("{}, {}; {}!", "{}: {}, {}.", "{} - {} ({})?", '"{}", {}... {}', "{}! {}? {}."))
    return form.format(first, second, third)


def _with_repeats(random: Random) -> str:
    drawn = random.sample(words("nouns"), random.randint(3, 4))
    repeated = drawn + random.sample(drawn, 2)
    random.shuffle(repeated)
    return " ".join(repeated)


def _repeated_word(random: Random) -> Example:
    drawn = random.sample(words("nouns"), 4)
    repeated = [*drawn, drawn[0]]
    random.shuffle(repeated)
    return one(" ".join(repeated), drawn[0])


def _pig_latin(random: Random) -> Example:
    simple = [word for word in words("nouns") if re.match(r"[^aeiou][aeiou]", word) and not word.startswith("qu")]
    word = random.choice(simple)
    return one(word, word[1:] + word[0] + "ay")


def _shifted(word: str) -> str:
    return "".join(chr((ord(letter) - ord("a") + 1) % 26 + ord("a")) for letter in word)


def _shuffled(word: str, random: Random) -> str:
    while True:
        letters = random.sample(word, len(word))
        if "".join(letters) != word:
            return "".join(letters)


def _anagram(random: Random, holds: bool) -> str:
    word = random.choice(words("nouns"))
    if holds:
        return f"{word}, {_shuffled(word, random)}"
    changed = random.choice([letter for letter in "bkmptz" if letter not in word])
    return f"{word}, {_shuffled(word[:-1] + changed, random)}"


def _contained(random: Random, holds: bool) -> str:
    text = _plain(random)
    used = [word for word in text.lower().split() if word in words("nouns")]
    others = [word for word in words("nouns") if word not in text]
    return f"{random.choice(used if holds else others)} | {text}."


def _replaced(random: Random) -> Example:
    text = sentence(random)
    old = random.choice([word for word in text.rstrip(".").split() if word in words("nouns")])
    new = random.choice([word for word in words("nouns") if word not in text])
    return one(f"{text} ({old} -> {new})", re.sub(rf"\b{old}\b", new, text))


def _initials(text: str) -> str:
    return "".join(word[0].upper() for word in text.split())


def _camel_case(text: str) -> str:
    first, *rest = text.split()
    return first + "".join(word.capitalize() for word in rest)


def _heading(random: Random) -> str:
    return " ".join(word.capitalize() for word in _phrase(random).split())


def _mixed_case(random: Random) -> str:
    return " ".join(random.choice((str.upper, str.title, str.lower))(word) for word in _phrase(random).split())


def _starting_alike(random: Random, holds: bool) -> str:
    """Two words that begin with the same letter, or do not."""
    known = words("nouns") + words("jobs")
    first = random.choice([word for word in words("nouns") if sum(word[0] == other[0] for other in known) > 1])
    return f"{first} {random.choice([word for word in known if word != first and (word[0] == first[0]) == holds])}"


def _most_frequent(random: Random) -> Example:
    def winner(word: str) -> str | None:
        (letter, most), *rest = Counter(word).most_common()
        return letter if not rest or rest[0][1] < most else None

    word = random.choice([word for word in words("nouns") + words("jobs") if winner(word)])
    return one(word, winner(word))


MAKERS: Mapping[str, Make] = {
    "first_letter": answered(_NOUN, lambda word: word[0]),
    "last_letter": answered(_NOUN, lambda word: word[-1]),
    "first_and_last_letter": answered(_NOUN, lambda word: word[0] + word[-1]),
    "middle_letter": _middle_letter,
    "first_three_letters": answered(_NOUN, lambda word: word[:3]),
    "initials_of_name": answered(
        lambda random: f"{random.choice(words('first_names'))} {random.choice(words('surnames'))}",
        lambda name: ".".join(part[0] for part in name.split()) + ".",
    ),
    "same_first_letter": asked_whether(_starting_alike),
    "reverse_word": answered(_NOUN, lambda word: word[::-1]),
    "palindrome": asked_whether(_palindrome),
    "reverse_word_order": answered(_phrase, lambda text: " ".join(text.split()[::-1])),
    "swap_two_words": answered(several("nouns", 2, 2), lambda text: " ".join(text.split()[::-1])),
    "uppercase": answered(_phrase, str.upper),
    "lowercase": answered(_mixed_case, str.lower),
    "title_case": answered(_phrase, lambda text: " ".join(word.capitalize() for word in text.split())),
    "swap_case": answered(_mixed_case, str.swapcase),
    "count_vowels": answered(_NOUN, lambda word: sum(letter in _VOWELS for letter in word)),
    "count_letters": answered(_NOUN, len),
    "count_given_letter": _given_letter,
    "count_words": answered(sentence, lambda text: len(text.split())),
    "longest_word": _longest_word,
    "shortest_word": _shortest_word,
    "remove_vowels": answered(_NOUN, lambda word: re.sub("[aeiou]", "", word)),
    "remove_digits": answered(_code, lambda text: re.sub(r"\d", "", text)),
    "keep_only_digits": answered(_code, lambda text: re.sub(r"\D", "", text)),
    "remove_spaces": answered(_phrase, lambda text: text.replace(" ", "")),
    "remove_punctuation": answered(_punctuated, lambda text: " ".join(re.findall(r"\w+", text))),
    "remove_duplicate_words": answered(_with_repeats, lambda text: " ".join(dict.fromkeys(text.split()))),
    "repeated_word": _repeated_word,
    "sort_words": answered(several("nouns", 3, 5), lambda text: " ".join(sorted(text.split()))),
    "last_word_of_alphabet": answered(several("nouns", 3, 5), lambda text: max(text.split())),
    "snake_case": answered(_heading, lambda text: text.lower().replace(" ", "_")),
    "camel_case": answered(_phrase, _camel_case),
    "slug": answered(_heading, lambda text: text.lower().replace(" ", "-")),
    "acronym": answered(_heading, _initials),
    "spell_with_hyphens": answered(_NOUN, "-".join),
    "next_letter_cipher": answered(_NOUN, _shifted),
    "pig_latin": _pig_latin,
    "anagram": asked_whether(_anagram),
    "contains_word": asked_whether(_contained),
    "replace_word": _replaced,
    "first_word": answered(_phrase, lambda text: text.split()[0]),
    "last_word": answered(_plain, lambda text: text.split()[-1]),
    "most_frequent_letter": _most_frequent,
}
