"""Tasks on short e-mails: their headers, what they want, when and where. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from fipo_model.data.tasks.making.drawing import YES_NO, Make, full_name, one, with_articles, words
from fipo_model.data.tasks.task import Example

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_MONTHS = ("March", "April", "June", "July", "September", "October")
_REQUESTS = (
    "Could you send me the {thing} by {day}?",
    "Please check the {thing} before {day}.",
    "Can you book a {thing} for {day}?",
    "Would you mind moving the {thing} to {day}?",
)
_NEWS = (
    "The {thing} arrived on {day} without any damage.",
    "We finished the {thing} on {day}, a day early.",
    "I enjoyed the visit to the {thing} on {day} very much.",
    "The {thing} was repaired on {day} and works again.",
)
_KINDS = {
    "complaint": (
        "The {thing} I ordered is broken and nobody answers my calls.",
        "I have waited three weeks for the {thing}. This is not acceptable.",
        "Your {thing} stopped working after two days, and I am very disappointed.",
        "I was charged twice for the {thing} and want to know why.",
    ),
    "thanks": (
        "I just wanted to say how grateful we are for the {thing}.",
        "The {thing} you sent is wonderful, it was so kind of you.",
        "Your help with the {thing} made all the difference, we appreciate it.",
        "What a lovely {thing}! You really made my day.",
    ),
    "invitation": (
        "We are celebrating the new {thing} on {day} and would love to see you there.",
        "Come and join us for a party around the {thing} on {day}.",
        "You are welcome to the opening of our {thing} this {day} at six.",
        "We would be happy if you could be our guest at the {thing} dinner on {day}.",
    ),
    "application": (
        "I read that you are looking for somebody for the {thing} team; my curriculum vitae is attached.",
        "I would like to work as a {thing} designer for you and have five years of experience.",
        "With this letter I apply for the position in your {thing} department.",
        "I saw your advertisement for a {thing} expert and believe that I am the right person.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    sender: str
    address: str
    receiver: str
    company: str
    subject: str
    day: str
    date: str
    time: str
    place: str
    phone: str

    def written(self, body: str) -> str:
        return (
            f"From: {self.sender} <{self.address}>\nTo: {self.receiver}\nSubject: {self.subject}\n\n"
            f"Dear {self.receiver.split()[0]},\n{body}\nBest wishes,\n{self.sender}\n{self.company}, {self.phone}"
        )


def _mail(random: Random) -> _Mail:
    sender, receiver = full_name(random), full_name(random)
    company = random.choice(words("companies"))
    first, surname = sender.lower().split()
    return _Mail(
        sender=sender,
        address=f"{first}.{surname}@{company.lower()}.example",
        receiver=receiver,
        company=company,
        subject=f"{random.choice(words('adjectives')).capitalize()} {random.choice(words('nouns'))}",
        day=random.choice(_DAYS),
        date=f"{random.randint(1, 28)} {random.choice(_MONTHS)}",
        time=f"{random.randint(8, 17)}:{random.choice(('00', '15', '30', '45'))}",
        place=f"room {random.randint(100, 499)}",
        phone=f"555-{random.randint(1000, 9999)}",
    )


def _meeting(mail: _Mail, random: Random) -> str:
    form = random.choice(
        (
            "The meeting takes place on {0.date} at {0.time} in {0.place}.",
            "Let us meet in {0.place} on {0.date}, at {0.time}.",
            "Our next talk is planned for {0.date}, {0.time}, {0.place}.",
        )
    )
    return form.format(mail)


def _filled(sentence: str, mail: _Mail, random: Random) -> str:
    return with_articles(sentence.format(thing=random.choice(words("nouns")), day=mail.day))


def _of_mail(solve: Callable[[_Mail], object]) -> Make:
    """Makes examples of mails about a meeting."""

    def make(random: Random) -> Example:
        mail = _mail(random)
        return one(mail.written(_meeting(mail, random)), solve(mail))

    return make


def _is_request(random: Random) -> Example:
    mail, holds = _mail(random), random.random() < 0.5
    sentence = random.choice(_REQUESTS if holds else _NEWS)
    return one(mail.written(_filled(sentence, mail, random)), YES_NO[not holds], choices=YES_NO)


def _deadline(random: Random) -> Example:
    mail = _mail(random)
    return one(mail.written(_filled(random.choice(_REQUESTS), mail, random)), mail.day)


def _kind(random: Random) -> Example:
    kind = random.choice(list(_KINDS))
    return one(_filled(random.choice(_KINDS[kind]), _mail(random), random), kind, choices=tuple(_KINDS))


def _has_attachment(random: Random) -> Example:
    mail, holds = _mail(random), random.random() < 0.5
    thing = random.choice(words("nouns"))
    there = (f"Attached you find the {thing} plan.", f"The file with the {thing} list is enclosed.")
    absent = (f"The {thing} plan is on my desk.", f"I will bring the {thing} list tomorrow.")
    return one(mail.written(random.choice(there if holds else absent)), YES_NO[not holds], choices=YES_NO)


def _greeted(random: Random) -> Example:
    mail = _mail(random)
    greeting = random.choice(("Dear {},", "Hello {},", "Hi {}!", "Good morning {},"))
    first = mail.receiver.split()[0]
    return one(f"{greeting.format(first)}\n{_meeting(mail, random)}\nYours, {mail.sender}", first)


MAKERS: Mapping[str, Make] = {
    "mail_subject": _of_mail(lambda mail: mail.subject),
    "mail_sender": _of_mail(lambda mail: mail.sender),
    "mail_address": _of_mail(lambda mail: mail.address),
    "mail_receiver": _of_mail(lambda mail: mail.receiver),
    "mail_domain": _of_mail(lambda mail: mail.address.split("@")[1]),
    "mail_company": _of_mail(lambda mail: mail.company),
    "mail_phone": _of_mail(lambda mail: mail.phone),
    "mail_meeting_date": _of_mail(lambda mail: mail.date),
    "mail_meeting_time": _of_mail(lambda mail: mail.time),
    "mail_meeting_place": _of_mail(lambda mail: mail.place),
    "mail_is_request": _is_request,
    "mail_deadline": _deadline,
    "mail_kind": _kind,
    "mail_has_attachment": _has_attachment,
    "mail_greeted": _greeted,
}
