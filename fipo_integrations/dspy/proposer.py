"""FIPO as the proposer of instructions for GEPA, which then needs no reflection model."""

import json
import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dspy

from fipo_integrations.dspy.checking import check_optimizer
from fipo_integrations.dspy.instructions import Target, as_slots, has_unknown_protocol, targets
from fipo_integrations.dspy.responses import Responses, as_text
from fipo_integrations.dspy.rewriting import LazyOptimizer, propose
from fipo_model import PromptOptimizer, ShownExample
from fipo_model.errors import InputError
from fipo_model.forking import PerProcess
from fipo_model.search import Proposed

_COUNTING = PerProcess(threading.Lock)  # one for all, because what holds a lock could not be copied
_CANDIDATES = 3  # one rewrite of the text alone, and two samples
# "The correct answer is 'Paris'.", as GEPA's own evaluator puts it; without the quotation marks there is no telling
# where the answer ends and the next sentence begins.
_QUOTED_ANSWER = re.compile(
    r"(?i)\b(?:correct|right|expected|golden) (?:answer|output|response|label)(?: (?:is|was):?|:) ?"
    r"(?:'((?:[^'\n]|(?<=\w)'(?=\w))+)'(?!\w)|\"([^\"\n]+)\"|`([^`\n]+)`)"
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n")
# What the records of mlflow.genai's GepaPromptOptimizer have instead (mlflow 3.17, genai/optimize/optimizers), whose
# components are whole prompts.
_OTHER_NAMES = {"Inputs": "inputs", "Generated Outputs": "outputs", "Feedback": "rationales"}
_LONGEST_FEEDBACK = 400  # characters

Record = Mapping[str, Any]


def quoted_answer(record: Record) -> str | None:
    """The right answer where a record's feedback quotes exactly one and calls it right; else None."""
    found = {match[match.lastindex or 0] for match in _QUOTED_ANSWER.finditer(str(_part(record, "Feedback") or ""))}
    return found.pop() if len(found) == 1 else None


class FIPOProposer:
    """For `dspy.GEPA(instruction_proposer=...)` and for `custom_candidate_proposer` of the package gepa.

    For each component, the rewriter sees its own trace: an input, its output (the silver response) and the feedback,
    without sentences that quote the right answer. That answer belongs to the whole program. It is shown, as golden
    response, only if the component certainly gives it: in a `program` of one predictor, or if `golden` finds the
    component's own answer in a record. Every call sees other records and samples with another seed, so GEPA does not
    get the same proposal again and again. Proposers with the same `seed` give the same proposals in the same order.

    A component whose rewrites all fail the checks keeps its current text, and so does a protected one. For a dspy.ReAct
    only the task is rewritten. Pass the `program` that GEPA compiles. Then the rewriter sees the fields of its
    predictors, and other agents' protocols are recognized and left alone.
    """

    def __init__(
        self,
        *,
        optimizer: PromptOptimizer | None = None,
        program: dspy.Module | None = None,
        golden: Callable[[Record], str | None] | None = None,
        seed: int = 0,
    ) -> None:
        """Without `optimizer`, the first call loads FIPO's own weights for proposing (`fipo_model/adapters`)."""
        check_optimizer(optimizer)
        if program is not None and not isinstance(program, dspy.Module):
            raise InputError(f"program must be a program, an instance of dspy.Module, not {program!r:.80}")
        if golden is not None and not callable(golden):
            raise InputError(f"golden must be a function of a record, not {golden!r:.80}")
        self._optimizer = LazyOptimizer(optimizer, is_proposing=True)
        self._known = {} if program is None else {target.name: target for target in targets(program)}
        self._has_program = program is not None
        self._golden = golden or (quoted_answer if len(self._known) == 1 else _unknown)
        self._seed = seed
        self._calls = 0

    def __call__(
        self,
        candidate: Mapping[str, str],
        reflective_dataset: Mapping[str, Sequence[Record]],
        components_to_update: Sequence[str],
    ) -> dict[str, str]:
        """A text for each component to update."""
        with _COUNTING.value:
            number, self._calls = self._calls, self._calls + 1
        texts = {name: candidate[name] for name in components_to_update}
        opened = {name: _opened(text) for name, text in texts.items()}
        seen, usable = {}, []
        for name, (text, _) in opened.items():
            records = reflective_dataset.get(name) or [{}]
            record = random.Random(f"{self._seed} {number} {name}").choice(records)
            if (target := self._target(name, text, record)) is not None:
                usable.append(target)
                seen[name] = self._seen(record)
        if usable:
            seed = random.Random(f"{self._seed} {number}").getrandbits(31)
            found = propose(self._optimizer.ready().rewriter, usable, [seen], candidates=_CANDIDATES, seed=seed)
            best = {target.name: _best(target, found[target.name]) for target in usable}
            texts |= {name: opened[name][1](text) for name, text in best.items() if text != opened[name][0]}
        return texts

    def _seen(self, record: Record) -> Responses:
        """What the rewriter may see of a record."""
        said, given = _text(_part(record, "Generated Outputs")), _text(_part(record, "Inputs"))
        feedback = _without_answers(_as_one(_part(record, "Feedback")))
        shown = () if given is None else (ShownExample(given),)
        return Responses(silver=said, golden=self._golden(record), examples=shown, feedback=feedback)

    def _target(self, name: str, text: str, record: Record) -> Target | None:
        """What may be rewritten of a component, if anything."""
        if not self._has_program:
            given, said = (_fields(_part(record, key)) for key in ("Inputs", "Generated Outputs"))
            target = Target.of(name, text, context="\n".join(as_slots(given)) or None, known={*given, *said})
            return None if has_unknown_protocol(text) else target
        own = self._known.get(name)
        return own.with_text(text) if isinstance(own, Target) else None


def _opened(component: str) -> tuple[str, Callable[[str], str]]:
    """The text of a component, and a function that makes a component of another text.

    mlflow.genai passes its chat prompts as messages in JSON, and wants the same back. Their text is that of the first
    system or user message.
    """
    try:
        messages = json.loads(component)
        place = next(place for place, one in enumerate(messages) if one["role"] in ("system", "user"))
        text = messages[place]["content"]
    except (ValueError, TypeError, KeyError, StopIteration, RecursionError):
        return component, str
    if not isinstance(messages, list) or not isinstance(text, str):
        return component, str

    def closed(text: str) -> str:
        changed = {**messages[place], "content": text}
        return json.dumps([*messages[:place], changed, *messages[place + 1 :]])

    return text, closed


def _best(target: Target, rows: Sequence[Proposed]) -> str:
    """The first sample that passed the checks; else the rewrite of the text alone, which is the same at every call."""
    return next((row.text for row in (*rows[1:], rows[0]) if row.is_usable), target.naive)


def _unknown(_: Record) -> None:
    """The default for `golden`: it is unknown which component an answer belongs to."""


def _part(record: Record, name: str) -> Any:
    return record.get(name, record.get(_OTHER_NAMES[name]))


def _as_one(feedback: object) -> str:
    """Feedback from one or several sources, as one text."""
    if isinstance(feedback, Mapping):
        feedback = list(feedback.values())
    said = feedback if isinstance(feedback, list | tuple) else [feedback]
    return "\n".join(str(one) for one in said if one)  # mlflow has None for a scorer without a rationale


def _without_answers(feedback: str) -> str | None:
    """The feedback without the sentences that quote the right answer; None where there is nothing else in it."""
    marked = _QUOTED_ANSWER.sub("\0", feedback)
    kept = [sentence for sentence in _SENTENCE_END.split(marked) if "\0" not in sentence]
    return " ".join(" ".join(kept).split())[:_LONGEST_FEEDBACK].strip() or None


def _fields(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(outputs: object) -> str | None:
    """A predictor's output as text: one field's value, or several with their names; None if there is nothing."""
    if isinstance(outputs, Mapping):
        return as_text({str(name): str(value) for name, value in outputs.items()}) or None
    return str(outputs) if outputs else None
