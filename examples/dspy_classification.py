"""A DSPy program compiled with a metric: candidates within a budget, and a gain with its interval. Offline.

python examples/dspy_classification.py
"""

import logging
from typing import Any

import dspy
from downstream import PlainAdapter, base_model
from dspy_lm import dspy_model

from fipo_integrations.dspy import FIPO, SearchSettings

REVIEWS = [
    ("A warm and funny film that I will watch again.", "positive"),
    ("Two hours of my life that I will not get back.", "negative"),
    ("The actors are wonderful and the story moves you.", "positive"),
    ("Dull, loud and far too long.", "negative"),
    ("I left the cinema with a smile.", "positive"),
    ("The jokes are old and the ending makes no sense.", "negative"),
    ("One of the best surprises of this year.", "positive"),
    ("It bored me from the first minute.", "negative"),
    ("Beautiful pictures and a clever plot.", "positive"),
    ("A lazy sequel that nobody needed.", "negative"),
    ("My whole family loved it.", "positive"),
    ("The dialogue is painful to listen to.", "negative"),
    ("A charming little story, well told.", "positive"),
    ("What a waste of a good cast.", "negative"),
]
TRAIN = 4
# These took no part in choosing.
OTHER_REVIEWS = [
    ("I could watch these two actors for hours.", "positive"),
    ("The plot falls apart after ten minutes.", "negative"),
    ("Fresh, honest and very moving.", "positive"),
    ("Not one of the songs is any good.", "negative"),
    ("A joy from start to finish.", "positive"),
    ("I fell asleep twice.", "negative"),
    ("The best thing she has ever directed.", "positive"),
    ("It is as empty as it is expensive.", "negative"),
    ("Every scene is a pleasure to look at.", "positive"),
    ("A sad mess of borrowed ideas.", "negative"),
]


class Review(dspy.Signature):
    """Label the sentiment."""

    review: str = dspy.InputField()
    sentiment: str = dspy.OutputField(desc="positive or negative")


def names_the_sentiment(example: dspy.Example, prediction: Any, trace: Any = None) -> bool:
    """Whether the reply names the right one of the two words first."""
    places = {word: prediction.sentiment.lower().find(word) for word in ("positive", "negative")}
    named = [word for word, place in places.items() if place >= 0]
    return bool(named) and min(named, key=places.__getitem__) == example.sentiment


def as_examples(reviews: list[tuple[str, str]]) -> list[dspy.Example]:
    """The reviews with their labels."""
    return [dspy.Example(review=text, sentiment=label).with_inputs("review") for text, label in reviews]


def main() -> None:
    """Compile the program, and measure it on reviews that took no part."""
    logging.getLogger("dspy").setLevel(logging.ERROR)  # it warns about every reply that is cut off, as all of ours are
    trainset, valset = as_examples(REVIEWS[:TRAIN]), as_examples(REVIEWS[TRAIN:])
    program = dspy.Predict(Review)
    fipo = FIPO(metric=names_the_sentiment, search=SearchSettings(max_metric_calls=60), num_threads=10)
    print(f"at most {fipo.estimate(program, trainset, valset).program_runs} runs of the program")

    with dspy.context(lm=dspy_model(base_model(), max_tokens=10), adapter=PlainAdapter()):
        compiled = fipo.compile(program, trainset=trainset, valset=valset)
        others = as_examples(OTHER_REVIEWS)
        evaluate = dspy.Evaluate(devset=others, metric=names_the_sentiment, num_threads=10, display_progress=False)
        before, after = (evaluate(each).score for each in (program, compiled))

    report = compiled.fipo_report
    for row in report["predictors"]:
        print(f"{row['name']}: {row['outcome']} {row['detail']}\n  before: {row['naive']}\n  after:  {row['text']}")
    scores, gain = report["scores"], report["gain"]
    print(
        f"{report['metric_calls']} runs; {scores['student']['score']} % before, {scores['compiled']['score']} % after"
    )
    if gain is not None:  # something was compared
        print(f"gain: {gain['value']} points, 95 % interval {gain['low']} to {gain['high']}")
    print(
        f"{len(valset)} reviews both chose the instruction and measured it, so expect less on others. "
        f"On {len(others)} others, which took no part: {before} % before, {after} % after"
    )


if __name__ == "__main__":
    main()
