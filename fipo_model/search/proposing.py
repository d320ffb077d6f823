"""What a rewriter is shown of a prompt or chain, so that its rewrites differ: examples, mistakes, and what was said."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fipo_model.rewriter import Rewriter
from fipo_model.search.asking import Part, Question, ask, requests_needed
from fipo_model.search.proposals import Proposals, Seen
from fipo_model.search.subject import Measured, Measurement
from fipo_model.templates import SHOWN
from fipo_model.types import OptimizationRequest, ShownExample

# No two turns share a seed.
_TURN = 1000
_MOST_FEEDBACK, _LONGEST_FEEDBACK = 3, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriterProposer:
    """Asks a rewriter for each part: alone, with several examples, and with the metric's feedback.

    `shown` gives, by the number of an example, what the rewriter may see of it. `outputs` are right outputs which, if
    they are labels, a rule names.
    """

    rewriter: Rewriter
    parts: Sequence[Part]
    candidates: int
    seed: int
    shown: Mapping[int, ShownExample] = field(default_factory=dict)
    outputs: Sequence[str | None] = ()

    def propose(self, seen: Seen) -> Proposals:
        """The usable rewrites for each part, up to the limit, and the refused ones, from two batches in all."""
        questions = [self._question(part, seen) for part in self.parts]
        by_text = ask(
            self.rewriter,
            questions,
            candidates=self.candidates,
            seed=self.seed + _TURN * seen.turn,
            seconds=seen.seconds_left,
        )
        return Proposals(model=self.rewriter.name, by_text=by_text)

    def _question(self, part: Part, seen: Seen) -> Question:
        text = part.taken(seen.texts[part.name])
        same = part.request.instruction == text
        alone = part.request if same else replace(part.request, instruction=text)
        return Question(
            part=part,
            alone=alone,
            varied=self._varied(alone, seen, tried=seen.tried.get(part.name, ())),
            outputs=self.outputs if len(self.parts) == 1 else (),  # of several, another one may put them out
            solved=tuple(self.shown.values()),
            tried=seen.tried.get(part.name, ()),
        )

    def _varied(self, alone: OptimizationRequest, seen: Seen, *, tried: Sequence[str]) -> list[OptimizationRequest]:
        """Requests that differ by what they show: examples (wrong ones first) with comments on them, or nothing."""
        feedback = _joined(said_of(seen.measurements), _lost(tried, alone.instruction))
        shown = _shown_in_turns(self.shown, seen.measurements, seed=self.seed)
        varied = [replace(alone, examples=some, feedback=feedback) for some in shown]
        if feedback and not shown:
            varied.append(replace(alone, feedback=feedback))
        needed = requests_needed(self.candidates)
        return [*varied[: max(1, needed - 1)], alone][:needed]


def _shown_in_turns(
    shown: Mapping[int, ShownExample], measurements: Mapping[int, Measurement], *, seed: int
) -> list[tuple[ShownExample, ...]]:
    """Groups of examples, wrong ones first, with the metric's comments on them."""
    numbers = random.Random(seed).sample(sorted(shown), len(shown))
    numbers.sort(key=lambda number: _score(measurements.get(number)))
    highest = max(map(_score, measurements.values()), default=0.0)
    seen = [_with_response(shown[number], measurements.get(number), highest) for number in numbers]
    return [tuple(seen[start : start + SHOWN]) for start in range(0, len(seen), SHOWN)]


def _with_response(example: ShownExample, found: Measurement | None, highest: float) -> ShownExample:
    """The example with the response it got, if that was wrong; a score no lower than any other counts as right."""
    if not isinstance(found, Measured) or not (found.response or "").strip():
        return example
    is_right = _score(found) >= (highest if found.best is None else found.best)
    return example if is_right else replace(example, response=found.response)


def _score(measurement: Measurement | None) -> float:
    return min(measurement.scores) if isinstance(measurement, Measured) else 0.0


def said_of(measurements: Mapping[int, Measurement]) -> str | None:
    """What the metric said where the score was lowest, as one text."""
    said = sorted((m for m in measurements.values() if isinstance(m, Measured) and m.feedback), key=_score)
    texts = dict.fromkeys(" ".join((one.feedback or "").split())[:_LONGEST_FEEDBACK] for one in said)
    return "\n".join(list(texts)[:_MOST_FEEDBACK]) or None


def _lost(tried: Sequence[str], text: str) -> str | None:
    """What was tried last for a text and did not win, in words for a rewriter."""
    lost = [" ".join(one.split())[:_LONGEST_FEEDBACK] for one in tried if one != text][-_MOST_FEEDBACK:]
    return None if not lost else "These did no better:\n" + "\n".join(lost)


def _joined(*parts: str | None) -> str | None:
    return "\n".join(part for part in parts if part) or None
