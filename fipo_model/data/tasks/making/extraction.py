"""Tasks that copy a part of a small text: names, numbers, addresses, parts of orders. Pure."""

from collections.abc import Mapping
from random import Random

from fipo_model.data.tasks.making.drawing import Make, full_name, listed, one, sentence, with_articles, words
from fipo_model.data.tasks.task import Example


def _filled(random: Random, forms: tuple[str, ...], **parts: object) -> str:
    return with_articles(random.choice(forms).format(**parts))


def _person(random: Random) -> Example:
    name = full_name(random)
    forms = (
        "The {adjective} {noun} was found by {name} in {city}.",
        "Yesterday {name} opened a {noun} shop in {city}.",
        "In {city}, the {noun} prize went to {name}.",
        "{name} moved to {city} because of a {noun}.",
    )
    return one(_about(random, forms, name=name), name)


def _city(random: Random) -> Example:
    city = random.choice(words("cities"))
    forms = (
        "{name} flew to {city} with a {adjective} {noun}.",
        "The {noun} factory in {city} closes.",
        "From {city} comes the {adjective} {noun} that {name} likes.",
        "They met {name} in {city} near the {noun}.",
    )
    return one(_about(random, forms, city=city), city)


def _country(random: Random) -> Example:
    country = random.choice(words("countries"))
    forms = (
        "The {noun} was shipped from {country} last {adjective} winter.",
        "{name} studied {noun} making in {country}.",
        "In {country} every {noun} is {adjective}.",
    )
    return one(_about(random, forms, country=country), country)


def _company(random: Random) -> Example:
    company = random.choice(words("companies"))
    forms = (
        "{name} has been hired by {company} to sell the {noun}.",
        "{company} will build a {adjective} {noun} in {city}.",
        "Shares of {company} rose after the {noun} was shown in {city}.",
    )
    return one(_about(random, forms, company=company), company)


def _job(random: Random) -> Example:
    job = random.choice(words("jobs"))
    forms = (
        "{name} works as a {job} in {city}.",
        "The {job} from {city} bought a {adjective} {noun}.",
        "After the {noun} broke, {name} called the {job}.",
    )
    return one(_about(random, forms, job=job), job)


def _about(random: Random, forms: tuple[str, ...], **parts: str) -> str:
    """A sentence with these parts, the others drawn."""
    drawn = {
        "name": full_name(random),
        "city": random.choice(words("cities")),
        "noun": random.choice(words("nouns")),
        "adjective": random.choice(words("adjectives")),
    }
    return _filled(random, forms, **(drawn | parts))


def _address(random: Random) -> Example:
    user = (
        f"{random.choice(words('first_names')).lower()}{random.choice(('.', '_', ''))}{random.choice(words('nouns'))}"
    )
    address = f"{user}@{random.choice(words('companies')).lower()}.example"
    forms = (
        "Write to {address} if the {noun} is late.",
        "Questions about the {noun}? {address} will help, also on the phone.",
        "My new address is {address}, the {noun} one no longer works.",
    )
    return one(_about(random, forms, address=address), address)


def _link(random: Random) -> Example:
    start = random.choice(("https://", "http://", "https://www."))
    link = f"{start}{random.choice(words('companies')).lower()}.example/{random.choice(words('nouns'))}"
    forms = (
        "You find the {noun} at {link} from Monday on.",
        "See {link} for the {adjective} {noun}, please.",
        "{name} posted {link} about the {noun}.",
    )
    return one(_about(random, forms, link=link), link)


def _phone(random: Random) -> Example:
    phone = f"0{random.randint(10, 99)} {random.randint(100000, 999999)}"
    forms = (
        "Call {name} on {phone} about the {noun}.",
        "The {noun} is ready, ring {phone} before noon.",
        "For a {adjective} {noun} dial {phone}.",
    )
    return one(_about(random, forms, phone=phone), phone)


def _price(random: Random) -> Example:
    price = f"${random.randint(1, 999)}.{random.choice(('00', '50', '95', '99'))}"
    forms = (
        "The {adjective} {noun} costs {price} including 2 spare parts.",
        "{name} paid {price} for a {noun} and sold it after 3 days.",
        "For {price} you get the {noun} in 4 colours.",
    )
    return one(_about(random, forms, price=price), price)


def _all_numbers(random: Random) -> Example:
    first, second, third = random.sample(range(2, 99), 3)
    forms = (
        "{name} bought {first} apples, {second} pears and {third} eggs.",
        "Bus {first} leaves at platform {second} and takes {third} minutes.",
        "In room {first} there are {second} chairs and {third} lamps.",
    )
    return one(
        _about(random, forms, first=str(first), second=str(second), third=str(third)), listed([first, second, third])
    )


def _quantity(random: Random) -> Example:
    count, product = random.randint(2, 60), random.choice(words("fruits"))
    forms = (
        "Please send {count} boxes of {product} to {name}, {city}.",
        "I would like to order {count} crates of {product} for {city}.",
        "We need {count} bags of {product} by tomorrow, says {name}.",
    )
    return one(_about(random, forms, count=str(count), product=product), count)


def _ordered_product(random: Random) -> Example:
    product = random.choice(words("products"))
    forms = (
        "Hello, I ordered a {product} three weeks ago and {city} is not that far. {name}",
        "My {product} has not arrived yet, can you check? Regards, {name}",
        "I want to send back the {product} that came to {city} today.",
        "Is the {product} still in stock at your shop in {city}?",
    )
    return one(_about(random, forms, product=product), product)


def _order_number(random: Random) -> Example:
    number = f"{random.choice('ABCDEF')}{random.choice('XYZ')}-{random.randint(10000, 99999)}"
    forms = (
        "My order {number} of 3 lamps has not come.",
        "Where is {number}? I paid 40 euros for it.",
        "Order no. {number}, customer {name}, {city}: wrong colour.",
    )
    return one(_about(random, forms, number=number), number)


def _hashtags(random: Random) -> Example:
    first, second = random.sample(words("nouns"), 2)
    forms = (
        "What a {adjective} day in {city}! #{first} #{second}",
        "#{first} and me in {city}, so {adjective} #{second}",
    )
    return one(_about(random, forms, first=first, second=second), f"#{first}, #{second}")


def _mention(random: Random) -> Example:
    handle = f"@{random.choice(words('first_names')).lower()}_{random.choice(words('nouns'))}"
    forms = (
        "Thanks {handle} for the {noun}!",
        "Has {handle} seen the {adjective} {noun}?",
        "In {city} with {handle} today.",
    )
    return one(_about(random, forms, handle=handle), handle)


def _quotation(random: Random) -> Example:
    said = f"The {random.choice(words('nouns'))} is {random.choice(words('adjectives'))}"
    forms = ('{name} said, "{said}", and left {city}.', '"{said}", wrote {name} from {city}.')
    return one(_about(random, forms, said=said), said)


def _in_parentheses(random: Random) -> Example:
    aside = f"{random.choice(words('adjectives'))} {random.choice(words('products'))}"
    forms = ("The {noun} ({aside}) belongs to {name}.", "{name} sold everything ({aside}) in {city}.")
    return one(_about(random, forms, aside=aside), aside)


def _animal(random: Random) -> Example:
    animal = random.choice(words("land_animals"))
    forms = (
        "A {animal} was seen near the {noun} in {city}.",
        "{name} drew a {adjective} {animal} on the {noun}.",
        "On the {noun} stands a {animal} made of wood.",
    )
    return one(_about(random, forms, animal=animal), animal)


def _postcode(random: Random) -> Example:
    code, city = random.randint(10000, 99999), random.choice(words("cities"))
    street = f"{random.choice(words('nouns')).capitalize()} Street {random.randint(1, 99)}"
    return one(f"{full_name(random)}, {street}, {code} {city}", code)


def _street(random: Random) -> Example:
    code, city = random.randint(10000, 99999), random.choice(words("cities"))
    street = f"{random.choice(words('nouns')).capitalize()} Street {random.randint(1, 99)}"
    return one(f"{full_name(random)}, {street}, {code} {city}", street)


def _second_sentence(random: Random) -> Example:
    sentences = [sentence(random) for _ in range(3)]
    return one(" ".join(sentences), sentences[1])


def _first_of_sentences(random: Random) -> Example:
    sentences = [sentence(random) for _ in range(3)]
    return one(" ".join(sentences), sentences[0])


MAKERS: Mapping[str, Make] = {
    "extract_person": _person,
    "extract_city": _city,
    "extract_country": _country,
    "extract_company": _company,
    "extract_job": _job,
    "extract_animal": _animal,
    "extract_email": _address,
    "extract_link": _link,
    "extract_phone": _phone,
    "extract_price": _price,
    "extract_numbers": _all_numbers,
    "extract_quantity": _quantity,
    "extract_product": _ordered_product,
    "extract_order_number": _order_number,
    "extract_hashtags": _hashtags,
    "extract_mention": _mention,
    "extract_quotation": _quotation,
    "extract_parentheses": _in_parentheses,
    "extract_postcode": _postcode,
    "extract_street": _street,
    "second_sentence": _second_sentence,
    "first_sentence": _first_of_sentences,
}
