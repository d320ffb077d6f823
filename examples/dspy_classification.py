"""A DSPy program compiled with a metric: candidates within a budget, and a gain with its interval. Offline.

pip install '.[cpu,dspy]'
python examples/dspy_classification.py
"""

import logging
from typing import Any

import dspy

from fipo_integrations.dspy import FIPO, PlainAdapter, SearchSettings, local_lm

TICKETS = [
    ("I was charged twice in March.", "billing"),
    ("My parcel has not arrived yet.", "delivery"),
    ("I cannot log in since the update.", "account"),
    ("Please send the invoice to our new address.", "billing"),
    ("The courier left the box in the rain.", "delivery"),
    ("The reset link does not work.", "account"),
    ("Why is there a late fee on my bill?", "billing"),
    ("Can you deliver on Saturday instead?", "delivery"),
    ("Please delete my profile.", "account"),
    ("The discount is missing from my invoice.", "billing"),
    ("Half of my order is missing from the package.", "delivery"),
    ("How do I change my e-mail address?", "account"),
    ("I paid last week and you still ask me to pay.", "billing"),
    ("Tracking says delivered, but nothing is here.", "delivery"),
    ("Two-factor codes never reach my phone.", "account"),
]
TRAIN = 6
# These took no part in choosing.
OTHER_TICKETS = [
    ("Can I pay by bank transfer?", "billing"),
    ("Please leave the parcel with my neighbour.", "delivery"),
    ("Somebody else signed in as me.", "account"),
    ("My card was refused, but the money is gone.", "billing"),
    ("The wrong shoes came.", "delivery"),
    ("I forgot my user name.", "account"),
    ("You refunded too little.", "billing"),
    ("The box was open when it came.", "delivery"),
    ("My name is misspelt in my profile.", "account"),
]


class Ticket(dspy.Signature):
    """topic of the ticket"""

    ticket: str = dspy.InputField()
    topic: str = dspy.OutputField()


def is_the_topic(example: dspy.Example, prediction: Any, trace: Any = None) -> bool:
    """Whether the reply is the right topic and nothing else."""
    return prediction.topic.strip(" .").lower() == example.topic


def as_examples(tickets: list[tuple[str, str]]) -> list[dspy.Example]:
    """The tickets with their topics."""
    return [dspy.Example(ticket=text, topic=topic).with_inputs("ticket") for text, topic in tickets]


def main() -> None:
    """Compile the program, and measure it on tickets that took no part."""
    logging.getLogger("dspy.clients.lm").setLevel(logging.ERROR)  # it warns about every reply that is cut off
    trainset, valset = as_examples(TICKETS[:TRAIN]), as_examples(TICKETS[TRAIN:])
    program = dspy.Predict(Ticket)
    fipo = FIPO(metric=is_the_topic, search=SearchSettings(max_metric_calls=60), num_threads=10)
    print(f"at most {fipo.estimate(program, trainset, valset).program_runs} runs of the program")

    # A few tokens in plain text are quick. DSPy's own adapter also works with this model.
    with dspy.context(lm=local_lm(max_tokens=10), adapter=PlainAdapter()):
        compiled = fipo.compile(program, trainset=trainset, valset=valset)
        others = as_examples(OTHER_TICKETS)
        evaluate = dspy.Evaluate(devset=others, metric=is_the_topic, num_threads=10, display_progress=False)
        before, after = (evaluate(each).score for each in (program, compiled))

    report = compiled.fipo_report
    for row in report["predictors"]:
        print(f"{row['name']}: {row['outcome']} {row['detail']}\n  before: {row['naive']}\n  after:  {row['text']}")
    print(f"demonstrations: {report['demonstrations']}")
    scores, gain = report["scores"], report["gain"]
    print(
        f"{report['metric_calls']} runs; {scores['student']['score']} % before, {scores['compiled']['score']} % after"
    )
    if gain is not None:  # something was compared
        print(f"gain: {gain['value']} points, 95 % interval {gain['low']} to {gain['high']}")
    print(
        f"{len(valset)} tickets both chose the instruction and measured it, so expect less on others. "
        f"On {len(others)} others, which took no part: {before} % before, {after} % after"
    )


if __name__ == "__main__":
    main()
