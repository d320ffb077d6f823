"""Tasks that give a text another form: lists, markup, quotation. Pure."""

import json
from collections.abc import Callable, Mapping
from random import Random

from fipo_model.data.tasks.making.drawing import Make, answered, full_name, one, several, words
from fipo_model.data.tasks.task import Example

_ITEMS = several("nouns", 3, 5, joined=", ")


def _items(text: str) -> list[str]:
    return text.split(", ")


def _of_items(write: Callable[[list[str]], str]) -> Make:
    return answered(_ITEMS, lambda text: write(_items(text)))


def _title(random: Random) -> str:
    return f"The {random.choice(words('adjectives')).capitalize()} {random.choice(words('nouns')).capitalize()}"


def _link(random: Random) -> Example:
    title, noun = _title(random), random.choice(words("nouns"))
    address = f"https://{noun}.example/{random.randint(1, 99)}"
    return one(f"{title}, {address}", f"[{title}]({address})")


def _surname_first(name: str) -> str:
    first, surname = name.split()
    return f"{surname}, {first}"


def _phone(random: Random) -> str:
    return "".join(str(random.randint(0, 9)) for _ in range(10))


def _spaced_phone(text: str) -> str:
    return f"({text[:3]}) {text[3:6]}-{text[6:]}"


def _form_sentence(random: Random) -> Example:
    name, city, job = random.choice(words("first_names")), random.choice(words("cities")), random.choice(words("jobs"))
    article = "an" if job[0] in "aeo" else "a"
    return one(f"name={name}; city={city}; job={job}", f"{name} is {article} {job} from {city}.")


def _bold_word(random: Random) -> Example:
    drawn = random.sample(words("nouns"), 4)
    chosen = random.choice(drawn)
    marked = " ".join(f"**{word}**" if word == chosen else word for word in drawn)
    return one(f"{' '.join(drawn)} | {chosen}", marked)


MAKERS: Mapping[str, Make] = {
    "bullet_list": _of_items(lambda items: "\n".join(f"- {item}" for item in items)),
    "numbered_list": _of_items(lambda items: "\n".join(f"{n}. {item}" for n, item in enumerate(items, start=1))),
    "one_a_line": _of_items("\n".join),
    "checkboxes": _of_items(lambda items: "\n".join(f"[ ] {item}" for item in items)),
    "slashes": _of_items(" / ".join),
    "json_array": _of_items(json.dumps),
    "python_tuple": _of_items(lambda items: f"({', '.join(map(repr, items))})"),
    "html_list": _of_items(lambda items: f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"),
    "quoted_items": _of_items(lambda items: ", ".join(f'"{item}"' for item in items)),
    "hashtags": _of_items(lambda items: " ".join(f"#{item}" for item in items)),
    "markdown_heading": answered(_title, lambda text: f"# {text}"),
    "html_heading": answered(_title, lambda text: f"<h1>{text}</h1>"),
    "html_bold": answered(_title, lambda text: f"<b>{text}</b>"),
    "in_brackets": answered(_title, lambda text: f"[{text}]"),
    "markdown_link": _link,
    "bold_word": _bold_word,
    "surname_first": answered(full_name, _surname_first),
    "phone_format": answered(_phone, _spaced_phone),
    "sentence_from_form": _form_sentence,
}
