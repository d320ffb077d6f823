"""Tasks made by rule: distinct examples, outputs that another way of computing confirms, wordings of their own."""

import ast
import calendar
import csv
import email
import email.utils
import io
import json
import re
import tomllib
from collections import Counter
from datetime import date, datetime, timedelta
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from random import Random

import pytest

from fipo_model.data.tasks import Task, check_disjoint, is_right, leak, making, part_of
from fipo_model.data.tasks.making import make_tasks
from fipo_model.data.tasks.making.collecting import ROOMS, wordings
from fipo_model.data.tasks.making.drawing import words
from fipo_model.data.tasks.task import normalized
from fipo_model.errors import InputError

COLLECTED = tomllib.loads(Path(making.__file__).with_name("collected.toml").read_text(encoding="utf-8"))
CAPITALS, AGENTS = (
    {line.split(" = ")[1] for line in COLLECTED[name]["pairs"].strip().splitlines()}
    for name in ("capital_of_country", "agent_of_verb")
)
MAKERS = {name: make for room in ROOMS for name, make in room.MAKERS.items()}
TASKS = {task.name: task for task in make_tasks(examples=40, seed=3)}
# Words that are labels of some task and said by the wordings of others with another meaning, or of their subject.
SAID_BY_ALL = set(
    "a an it no they number order city time > < country array html animal noun length string adjective even odd weight"
    " python past job high low question negative german statement positive".split()
) | {"first name"}


def of(name):
    """What a generator draws, often enough for the rare cases, too."""
    random = Random(name)
    examples = [MAKERS[name](random) for _ in range(400)]
    return [(example.input, example.outputs[0]) for example in examples]


def numbers_in(text):
    return [int(number) for number in re.findall(r"-?\d+", text)]


def as_list(values):
    return ", ".join(str(value) for value in values)


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text.split("\n\n")[0])))


def below(text):
    return text.rpartition("\n")[2]


def object_of(text):
    return json.loads(text.split("\n")[0])


def function_of(text):
    return next(node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef))


def has_node(text, *kinds):
    return "yes" if any(isinstance(node, kinds) for node in ast.walk(ast.parse(text))) else "no"


def printed(text):
    lines = []
    exec(text, {"print": lines.append})
    return lines[0]


def parses(text):
    try:
        json.loads(text)
    except ValueError:
        return "no"
    return "yes"


def mail(text):
    return email.message_from_string(text)


def long_date(text):
    return datetime.strptime(text, "%d %B %Y").date()


def minutes(text):
    hours, rest = text.split(":")
    return 60 * int(hours) + int(rest)


def roman_value(text):
    values = [dict(zip("IVXLC", (1, 5, 10, 50, 100), strict=True))[sign] for sign in text]
    assert re.fullmatch("C?(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})", text)
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))


def ordinal(text):
    """With the ending that most of them have, unless the last two digits say otherwise."""
    endings = dict.fromkeys(range(100), "th")
    for first, ending in ((1, "st"), (2, "nd"), (3, "rd")):
        endings |= {number: ending for number in range(first, 100, 10) if number != first + 10}
    return text + endings[int(text) % 100]


def word_value(text):
    small = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    values = {word: n for n, word in enumerate(f"{small} seventeen eighteen nineteen".split())}
    values |= {
        word: 10 * n for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), 2)
    }
    total = 0
    for word in re.findall(r"[a-z]+", text):
        total = 100 * total if word == "hundred" else total + values.get(word, 0)
    return total


def nearest(number, step):
    return min(range(0, number + 2 * step, step), key=lambda candidate: abs(candidate - number))


def converted(text, factor, unit, digits=1):
    tenths = Fraction(numbers_in(text)[0]) * Fraction(factor) * 10**digits
    return f"{int(tenths + Fraction(1, 2)) / 10**digits:.{digits}f} {unit}"


def doubled(text):
    return [word for word, count in Counter(text.split()).items() if count == 2]


def items(text):
    return re.split(r", ", text)


def halves(text):
    return [part.split(": ")[1].split(", ") for part in text.split("\n")]


# What is right, found in another way than the one in which the task is made: by a parser, by search, by the calendar.
RIGHT = {
    "first_letter": lambda text: re.match(".", text)[0],
    "last_letter": lambda text: re.search(".$", text)[0],
    "first_and_last_letter": lambda text: re.sub(r"^(.).*(.)$", r"\1\2", text),
    "middle_letter": lambda text: re.fullmatch(rf".{{{(len(text) - 1) // 2}}}(.).{{{(len(text) - 1) // 2}}}", text)[1],
    "first_three_letters": lambda text: re.match("...", text)[0],
    "initials_of_name": lambda text: re.sub(r"(\w)\w* ?", r"\1.", text),
    "same_first_letter": lambda text: "yes" if re.match(r"(\w)\w* \1", text) else "no",
    "reverse_word": lambda text: "".join(reversed(text)),
    "palindrome": lambda text: "yes" if all(text[n] == text[-1 - n] for n in range(len(text))) else "no",
    "reverse_word_order": lambda text: re.sub(r"(\w+) (\w+) (\w+)", r"\3 \2 \1", text),
    "swap_two_words": lambda text: re.sub(r"(\w+) (\w+)", r"\2 \1", text),
    "title_case": lambda text: text.title(),
    "swap_case": lambda text: "".join(c.lower() if c.isupper() else c.upper() for c in text),
    "count_vowels": lambda text: len(re.findall("[aeiou]", text)),
    "count_letters": lambda text: len(re.findall(r"\w", text)),
    "count_given_letter": lambda text: Counter(text[:-3])[text[-1]],
    "most_frequent_letter": lambda text: Counter(text).most_common(1)[0][0],
    "count_words": lambda text: len(re.findall(r"\w+", text)),
    "longest_word": lambda text: sorted(text.split(), key=len)[-1],
    "shortest_word": lambda text: sorted(text.split(), key=len)[0],
    "remove_vowels": lambda text: "".join(c for c in text if c not in "aeiou"),
    "remove_digits": lambda text: "".join(filter(str.isalpha, text)),
    "keep_only_digits": lambda text: "".join(filter(str.isdigit, text)),
    "remove_spaces": lambda text: "".join(text.split()),
    "remove_duplicate_words": lambda text: " ".join(sorted(set(text.split()), key=text.split().index)),
    "repeated_word": lambda text: doubled(text)[0],
    "sort_words": lambda text: " ".join(sorted(text.split())),
    "acronym": lambda text: re.sub("[^A-Z]", "", text),
    "spell_with_hyphens": lambda text: re.sub(r"(?<=.)(?=.)", "-", text),
    "next_letter_cipher": lambda text: text.translate(
        str.maketrans("abcdefghijklmnopqrstuvwxyz", "bcdefghijklmnopqrstuvwxyza")
    ),
    "pig_latin": lambda text: re.sub(r"(.)(.*)", r"\2\1ay", text, count=1),
    "anagram": lambda text: "yes" if Counter(items(text)[0]) == Counter(items(text)[1]) else "no",
    "contains_word": lambda text: "yes" if re.search(rf"\| .*\b{text.split()[0]}\b", text) else "no",
    "camel_case": lambda text: re.sub(r" (.)", lambda found: found[1].upper(), text),
    "snake_case": lambda text: re.sub(" ", "_", text).casefold(),
    "sort_numbers": lambda text: as_list(sorted(numbers_in(text))),
    "sort_numbers_down": lambda text: as_list(sorted(numbers_in(text))[::-1]),
    "largest_number": lambda text: sorted(numbers_in(text))[-1],
    "smallest_number": lambda text: sorted(numbers_in(text))[0],
    "second_largest": lambda text: sorted(set(numbers_in(text)) - {max(numbers_in(text))})[-1],
    "range_of_numbers": lambda text: max(a - b for a in numbers_in(text) for b in numbers_in(text)),
    "sum_of_numbers": lambda text: eval(text.replace(",", "+")),
    "average_of_numbers": lambda text: Fraction(sum(numbers_in(text)), 4),
    "count_items": lambda text: text.count(",") + 1,
    "third_item": lambda text: re.match(r"\w+, \w+, (\w+)", text)[1],
    "even_numbers": lambda text: as_list(n for n in numbers_in(text) if str(n)[-1] in "02468"),
    "odd_numbers": lambda text: as_list(n for n in numbers_in(text) if str(n)[-1] in "13579"),
    "two_digit_numbers": lambda text: as_list(n for n in numbers_in(text) if len(str(n)) == 2),
    "numbers_above": lambda text: as_list(n for n in numbers_in(text)[:-1] if n > numbers_in(text)[-1]),
    "common_items": lambda text: as_list(word for word in halves(text)[0] if word in halves(text)[1]),
    "only_in_first": lambda text: as_list(word for word in halves(text)[0] if word not in halves(text)[1]),
    "next_number": lambda text: 2 * numbers_in(text)[-1] - numbers_in(text)[-2],
    "nth_item": lambda text: items(text.split(" (")[0])[numbers_in(text)[0] - 1],
    "parity": lambda text: "even" if text[-1] in "02468" else "odd",
    "multiple_of_three": lambda text: "yes" if sum(map(int, text)) % 3 == 0 else "no",
    "prime": lambda text: "no" if re.fullmatch(r"1?|(11+?)\1+", "1" * int(text)) else "yes",
    "from_roman": roman_value,
    "number_from_words": word_value,
    "ordinal": ordinal,
    "round_to_ten": lambda text: nearest(int(text), 10),
    "round_to_hundred": lambda text: nearest(int(text), 100),
    "round_to_cents": lambda text: f"{int(Fraction(text) * 100 + Fraction(1, 2)) / 100:.2f}",
    "percent_of": lambda text: Fraction(numbers_in(text)[0], 100) * numbers_in(text)[1],
    "discounted_price": lambda text: numbers_in(text)[0] * Fraction(100 - numbers_in(text)[1], 100),
    "share_in_percent": lambda text: f"{Fraction(*numbers_in(text)) * 100} %",
    "remainder": lambda text: divmod(*numbers_in(text))[1],
    "to_binary": lambda text: bin(int(text))[2:],
    "from_binary": lambda text: sum(2**place for place, digit in enumerate(reversed(text)) if digit == "1"),
    "thousands_commas": lambda text: re.sub(r"(?<=\d)(?=(\d{3})+$)", ",", text),
    "km_to_miles": lambda text: converted(text, "0.621371", "miles"),
    "miles_to_km": lambda text: converted(text, "1.609344", "km"),
    "inches_to_cm": lambda text: converted(text, "2.54", "cm"),
    "kg_to_pounds": lambda text: converted(text, "2.204623", "lb"),
    "celsius_to_fahrenheit": lambda text: f"{Fraction(numbers_in(text)[0] * 9, 5) + 32} °F",
    "fahrenheit_to_celsius": lambda text: f"{Fraction((numbers_in(text)[0] - 32) * 5, 9)} °C",
    "seconds_to_clock": lambda text: re.sub("^0?0:0?", "", str(timedelta(seconds=numbers_in(text)[0]))),
    "hours_to_minutes": lambda text: minutes(":".join(map(str, numbers_in(text)))),
    "weekday_of_date": lambda text: long_date(text).strftime("%A"),
    "weekend": lambda text: "yes" if text.startswith("S") else "no",
    "next_day": lambda text: str(date.fromordinal(date.fromisoformat(text).toordinal() + 1)),
    "days_between": lambda text: date.fromisoformat(text[14:]).toordinal() - date.fromisoformat(text[:10]).toordinal(),
    "earlier_date": lambda text: sorted(text.split(" or "), key=long_date)[0],
    "leap_year": lambda text: "yes" if calendar.monthrange(int(text), 2)[1] == 29 else "no",
    "iso_date": lambda text: str(long_date(text)),
    "us_date": lambda text: "{1:02d}/{0:02d}/{2}".format(
        *(lambda day: (day.day, day.month, day.year))(long_date(text))
    ),
    "german_date": lambda text: ".".join(reversed(text.split("-"))),
    "to_24_hours": lambda text: f"{(int(text.split(':')[0]) % 12 + 12 * ('pm' in text)):02d}:{text[-5:-3]}",
    "meeting_length": lambda text: minutes(text[8:]) - minutes(text[:5]),
    "table_cell": lambda text: next(
        row[below(text).split(" of ")[0]] for row in rows_of(text) if row["article"] == below(text).split(" of ")[1]
    ),
    "table_has_article": lambda text: "yes" if below(text) in [row["article"] for row in rows_of(text)] else "no",
    "table_largest_stock": lambda text: sorted(rows_of(text), key=lambda row: int(row["stock"]))[-1]["article"],
    "table_most_expensive": lambda text: sorted(rows_of(text), key=lambda row: int(row["price"]))[-1]["article"],
    "table_rows_in_city": lambda text: as_list(r["article"] for r in rows_of(text) if r["city"] == below(text)),
    "table_sum_of_stock": lambda text: sum(int(row["stock"]) for row in rows_of(text)),
    "table_value_of_stock": lambda text: sum(int(row["stock"]) * int(row["price"]) for row in rows_of(text)),
    "table_count_rows": lambda text: text.count("\n"),
    "table_with_semicolons": lambda text: text.replace(",", ";"),
    "table_drop_last_column": lambda text: re.sub(",[^,\n]*$", "", text, flags=re.MULTILINE),
    "json_keys": lambda text: as_list(object_of(text)),
    "json_field": lambda text: re.sub('^"|"$', "", json.dumps(object_of(text)[below(text)])),
    "json_count_fields": lambda text: len(object_of(text)),
    "json_has_field": lambda text: "yes" if f'"{below(text)}":' in text else "no",
    "json_valid": parses,
    "json_names": lambda text: as_list(re.findall(r'"name": "(\w+)"', text)),
    "mail_subject": lambda text: mail(text)["Subject"],
    "mail_sender": lambda text: email.utils.parseaddr(mail(text)["From"])[0],
    "mail_address": lambda text: email.utils.parseaddr(mail(text)["From"])[1],
    "mail_receiver": lambda text: mail(text)["To"],
    "mail_domain": lambda text: re.search(r"@([\w.]+)", text)[1],
    "mail_meeting_time": lambda text: re.search(r"\d+:\d\d", text)[0],
    "mail_meeting_place": lambda text: re.search(r"room \d+", text)[0],
    "mail_is_request": lambda text: "yes" if "?" in text or "Please" in text else "no",
    "code_function_name": lambda text: function_of(text).name,
    "code_count_parameters": lambda text: len(function_of(text).args.args),
    "code_parameters": lambda text: as_list(argument.arg for argument in function_of(text).args.args),
    "code_returns": lambda text: has_node(text, ast.Return),
    "code_has_loop": lambda text: has_node(text, ast.For, ast.While),
    "code_printed": printed,
    "code_count_lines": lambda text: len(text.splitlines()),
    "code_import": lambda text: ast.parse(text).body[0].names[0].name,
    "markdown_link": lambda text: re.sub(r"(.*), (.*)", r"[\1](\2)", text),
    "surname_first": lambda text: re.sub(r"(\w+) (\w+)", r"\2, \1", text),
    "phone_format": lambda text: re.sub(r"(...)(...)(....)", r"(\1) \2-\3", text),
    "extract_email": lambda text: re.search(r"\S+@[\w.]+\w", text)[0],
    "extract_link": lambda text: re.search(r"http\S+", text)[0],
    "extract_price": lambda text: re.search(r"\$[\d.]+\d", text)[0],
    "extract_numbers": lambda text: as_list(numbers_in(text)),
    "extract_quantity": lambda text: numbers_in(text)[0],
    "extract_order_number": lambda text: re.search(r"[A-Z]{2}-\d{5}", text)[0],
    "extract_hashtags": lambda text: as_list(re.findall(r"#\w+", text)),
    "extract_mention": lambda text: re.search(r"@\w+", text)[0],
    "extract_quotation": lambda text: text.split('"')[1],
    "extract_parentheses": lambda text: re.search(r"\((.*)\)", text)[1],
    "extract_postcode": lambda text: re.search(r"\b\d{5}\b", text)[0],
    "second_sentence": lambda text: text.split(". ")[1] + ".",
    "question_or_statement": lambda text: "question" if re.match("where|have|how|why|who|is ", text) else "statement",
    "true_sum": lambda text: str(eval(text.replace("=", "=="))).lower(),
    "article": lambda text: "a" if text == "ukulele" or text[0] not in "aeiou" else "an",
}
# These are confirmed by undoing them.
UNDONE = {
    "uppercase": str.lower,
    "number_in_words": word_value,
    "to_roman": roman_value,
    "long_date": long_date,
    "to_12_hours": lambda text: datetime.strptime(text, "%I:%M %p").strftime("%H:%M"),
    "json_array": lambda text: as_list(json.loads(text)),
    "python_tuple": lambda text: as_list(ast.literal_eval(text)),
    "quoted_items": lambda text: as_list(ast.literal_eval(f"[{text}]")),
    "bullet_list": lambda text: as_list(line.removeprefix("- ") for line in text.split("\n")),
    "numbered_list": lambda text: as_list(re.findall(r"^\d\. (\w+)$", text, re.MULTILINE)),
    "html_list": lambda text: as_list(re.findall(r"<li>(\w+)</li>", text)),
    "slug": lambda text: text.replace("-", " ").title(),
    "table_to_markdown": lambda text: re.sub(
        r"^\| | \|$", "", text.replace("| --- | --- | --- | --- |\n", ""), flags=re.MULTILINE
    ).replace(" | ", ","),
    "minutes_to_hours": lambda text: f"{minutes(':'.join(map(str, numbers_in(text))))} minutes",
    "json_to_lines": lambda text: json.dumps(dict(line.split(": ") for line in text.split("\n"))),
    "reverse_list": lambda text: as_list(reversed(text.split(", "))),
}


def test_there_are_many_tasks_in_many_families_as_the_docs_say():
    told = sum(len(task.wordings) for task in TASKS.values())
    families = len({task.family for task in TASKS.values()})
    assert len(TASKS) >= 250
    assert families >= 100
    docs = (Path(__file__).parents[1] / "docs" / "tasks.md").read_text(encoding="utf-8")
    assert f"has {len(TASKS)} of them in {families} families, with {told:,} wordings" in docs
    assert all(2 <= len(task.hasty) <= 4 and 2 <= len(task.good) <= 3 for task in TASKS.values())
    assert sum(task.check is not None for task in TASKS.values()) >= 0.95 * len(TASKS)


def test_each_generator_has_wordings_and_each_wording_a_generator():
    for room in ROOMS:
        assert set(room.MAKERS) == set(wordings(room)), room.__name__


@pytest.mark.parametrize("name", TASKS)
def test_examples_are_distinct_and_their_own_outputs_right(name):
    task = TASKS[name]
    assert len({example.input for example in task.examples}) == 40
    # Not one answer for everything. A choice between two that is drawn forty times has both.
    assert len({example.outputs for example in task.examples}) >= min(3, len(task.labels or "123"))
    if task.check is not None:
        assert all(is_right(task, example, output) for example in task.examples for output in example.outputs)
        first = task.examples[0].outputs
        wrong = next(example for example in task.examples if example.outputs != first)
        assert not is_right(task, wrong, first[0])


@pytest.mark.parametrize("name", RIGHT)
def test_outputs_are_what_another_computation_finds(name):
    assert [str(RIGHT[name](text)) for text, _ in of(name)] == [output for _, output in of(name)]


@pytest.mark.parametrize("name", UNDONE)
def test_outputs_can_be_turned_back_into_the_input(name):
    inputs = [str(date.fromisoformat(text)) if name == "long_date" else text for text, _ in of(name)]
    assert [str(UNDONE[name](output)) for _, output in of(name)] == inputs


def test_what_is_extracted_stands_in_the_input():
    for task in TASKS.values():
        if task.name.startswith("extract_") and task.name not in ("extract_numbers", "extract_hashtags"):
            assert all(example.outputs[0] in example.input for example in task.examples), task.name


def test_words_that_are_filled_in_have_the_right_article():
    article = re.compile(r"(?:^|[ \n])(?:[Aa] [aeiou]\w+|[Aa]n [bcdfgjklmnpqrstvwxyz]\w+)")
    made = [text for name in MAKERS if not name.startswith("code_") for text, _ in of(name)]
    assert {found for text in made for found in article.findall(text)} == set()


def test_members_of_two_kinds_are_told_apart_by_nobody():
    kinds = [task for task in TASKS.values() if task.family in ("kinds_of_things", "kinds_of_places")]
    known = {}
    for task in kinds:
        for example in task.examples:
            assert known.setdefault((task.name, example.input), example.outputs) == example.outputs


def test_no_word_is_of_two_kinds_that_some_task_tells_apart():
    persons = {*words("jobs"), *words("first_names"), *words("surnames"), *AGENTS}
    assert {word for word in words("nouns") if word in persons or word.capitalize() in persons} == set()
    assert set(words("first_names")) & ({*words("cities"), *CAPITALS, *words("countries")}) == set()
    # A wording says "in the singular".
    assert [word for word in words("products") if word.endswith("s")] == ["mattress"]
    for first, second in combinations(("fruits", "birds", "instruments", "jobs", "cities", "insects"), 2):
        assert set(words(first)) & set(words(second)) == set()


@pytest.mark.parametrize(
    ("kind", "also"),
    [
        ("nouns", "singer wizard nurse witch guard model"),  # persons
        ("fruits", "kiwi"),  # a bird
        ("birds", "kiwi crane"),  # a fruit, a machine
        ("first_names", "Sofia Petra Florence Paris Sydney Milan Santiago Chelsea Austin"),  # cities
        ("cities", "Florence Sydney Milan Santiago Charlotte Austin Victoria Alexandria"),  # first names
        ("products", "earphones headphones scissors glasses"),  # of more than one
    ],
)
def test_words_that_readers_take_for_two_kinds_are_not_drawn(kind, also):
    assert set(words(kind)) & set(also.split()) == set()


def test_a_seed_gives_the_same_examples_and_another_one_others():
    again = {task.name: task for task in make_tasks(examples=5, seed=3)}
    other = {task.name: task for task in make_tasks(examples=5, seed=4)}
    assert all(again[name].examples == task.examples[:5] for name, task in TASKS.items())
    assert sum(other[name].examples != again[name].examples for name in TASKS) > 0.99 * len(TASKS)


def test_every_draw_of_every_task_makes_an_example():
    failed = {}
    for name, make in MAKERS.items():
        random = Random(f"any {name}")
        for _ in range(500):
            try:
                make(random)
            except (LookupError, ValueError) as error:
                failed[name] = repr(error)
    assert failed == {}


@pytest.mark.parametrize("count", [0, 500])
def test_more_examples_than_a_task_has_are_refused_with_its_name(count):
    with pytest.raises(InputError, match="at least one example" if not count else "has only .* different examples"):
        list(make_tasks(examples=count))


def test_no_two_tasks_share_a_wording():
    told = Counter(normalized(wording) for task in TASKS.values() for wording in task.wordings)
    assert [wording for wording, count in told.items() if count > 1] == []


@pytest.mark.parametrize("name", TASKS)
def test_no_good_wording_gives_away_an_output_or_an_input(name):
    task = TASKS[name]
    assert [leak(wording, "", task.examples) for wording in task.good] == [None] * len(task.good)


def test_no_wording_names_the_label_of_another_task():
    labels = {label.lower() for task in TASKS.values() for label in task.labels or ()} - SAID_BY_ALL
    assert len(labels) > 50
    named = [
        (task.name, label)
        for task in TASKS.values()
        for label in labels - {own.lower() for own in task.labels or ()}
        for wording in task.wordings
        if re.search(rf"(?<!\w){re.escape(label)}(?!\w)", wording.lower())
    ]
    assert named == []


def test_the_parts_share_no_family_and_do_not_overlap():
    parts: dict[str, list[Task]] = {}
    for task in TASKS.values():
        parts.setdefault(part_of(task), []).append(task)
    assert {part: len(tasks) > 20 for part, tasks in parts.items()} == {
        "train": True,
        "development": True,
        "held-out": True,
    }
    check_disjoint(parts["train"], parts["held-out"])
    check_disjoint(parts["train"], parts["development"])
    check_disjoint(parts["development"], parts["held-out"])


def test_hasty_wordings_are_hasty_in_several_ways():
    told = [wording for task in TASKS.values() for wording in task.hasty]
    assert sum(" " not in wording for wording in told) > 100  # one word
    assert sum(wording.endswith("?") for wording in told) > 50  # a question
    assert sum("{" in wording for wording in told) >= 5  # a template
    assert sum(wording.startswith("You ") for wording in told) >= 3  # a system prompt
