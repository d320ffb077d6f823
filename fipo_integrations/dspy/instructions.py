"""Which part of a program's instructions may be rewritten, what else the rewriter sees, and what it may not say."""

import inspect
import itertools
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import dspy
from dspy.adapters.types.tool import ToolCalls
from dspy.adapters.utils import get_annotation_name

from fipo_integrations.dspy.asking import wants_inputs
from fipo_integrations.dspy.programs import left_alone, named_predictors
from fipo_integrations.dspy.values import (
    TRUTH,
    Choice,
    choices_of,
    favoured,
    fields_of,
    has_fields,
    labels_of,
    named_in,
    unwrapped,
    written,
)
from fipo_model import Candidate, FixedForm, OptimizationRequest
from fipo_model.errors import InputError
from fipo_model.search import Proposed

# Predictors whose instructions are a protocol between DSPy's own code and the model (tools, code fences, SUBMIT), by
# the class that owns them. Losing a word of it breaks the program. The predictor with which an agent extracts its
# answer is not among them.
_PROTOCOLS = {
    "ReAct": ("react",),
    "ReActV2": ("react",),
    "CodeAct": ("codeact",),
    "ProgramOfThought": ("code_generate", "code_regenerate", "generate_output"),
    "RLM": ("generate_action",),
}
_PROTOCOL_OUTPUTS = frozenset({"next_tool_name", "next_tool_args", "tool_calls"})  # whatever the owner is called
# dspy.ReAct writes the user's instructions, an empty line, and then this.
_REACT_OPENING = re.compile(
    r"\n\nYou are an Agent\. In each episode, you will be given the fields .* as input\. "
    r"And you can see your past trajectory so far\.\n"
)
_NAME_IN_BACKTICKS = re.compile(r"(?<!`)`([A-Za-z_]\w*)`(?!`)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A predictor's instruction as the rewriter gets it: the task, which it may rewrite, and what surrounds it."""

    name: str
    task: str
    protocol: str = ""
    """What follows the task in the instruction and stays as it is, byte for byte."""
    context: str | None = None
    known: frozenset[str] = frozenset()
    """The names a rewrite may put in backticks."""
    choices: tuple[Choice, ...] = ()
    """What there is to choose from in its output fields, by their types, descriptions and labels."""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    """The names of its fields."""
    fixed_form: FixedForm | None = None
    """Whether DSPy gives the output its form: it has a type that is not plain text, or several parts with names."""

    @classmethod
    def of(cls, name: str, text: str, *, context: str | None = None, known: Collection[str] = ()) -> "Target":
        """The part of an instruction to rewrite: of a dspy.ReAct's, only the task.

        Names in the instruction are known, too.
        """
        return cls(name=name, task=text, context=context, known=frozenset(known)).with_text(text)

    def with_text(self, text: str) -> "Target":
        """The same predictor with another instruction."""
        task, protocol = split_protocol(text) or (text, "")
        known = self.known | {*_NAME_IN_BACKTICKS.findall(text)}
        return replace(self, task=task, protocol=protocol, known=known)

    @property
    def naive(self) -> str:
        """The whole instruction as it was."""
        return self.task + self.protocol

    def request(self, *, silver: str | None = None, golden: str | None = None) -> OptimizationRequest:
        """The request to the rewriter. Raises `InputError` for a task that is empty or is not valid text."""
        return OptimizationRequest(
            self.task,
            context=self.context,
            silver_response=silver,
            golden_response=golden,
            fixed_form=self.fixed_form,
        )

    def instruction(self, rewrite: str) -> str:
        """The whole instruction with the task rewritten, as DSPy will show it."""
        return inspect.cleandoc(rewrite) + self.protocol

    def checked(self, candidate: Candidate) -> Proposed:
        """A rewriter's candidate, as what is proposed for the task.

        Its outcome is "field_invented" where it names something that is not a field, "input_requested" where it asks
        for what the program fills in, "golden_leaked" where it names only some of the values that an output may take,
        which favours these.
        """
        outcome: str = candidate.outcome
        detail = candidate.detail
        invented = [name for name in _NAME_IN_BACKTICKS.findall(candidate.text) if name not in self.known]
        if outcome == "optimized" and invented:
            outcome, detail = "field_invented", f"names {invented[0]!r}, which is not a field"
        elif outcome == "optimized" and (wanted := wants_inputs(candidate.text, self.task, self.inputs, self.outputs)):
            outcome, detail = "input_requested", f"asks for what the program fills in: {wanted!r}"
        elif outcome == "optimized" and (value := self._favoured(candidate.text)) is not None:
            outcome, detail = "golden_leaked", f"names {value!r}, but not the other values"
        return Proposed(text=candidate.text, outcome=outcome, detail=detail, log_likelihood=candidate.log_likelihood)

    def _favoured(self, rewrite: str) -> str | None:
        found = (favoured(rewrite, self.task, choice) for choice in self.choices)
        return next((value for value in found if value is not None), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """A predictor whose instruction stays: an agent's protocol, from which no task can safely be separated."""

    name: str
    naive: str


def targets(
    program: dspy.Module, names: Collection[str] | None = None, examples: Sequence[dspy.Example] = ()
) -> list[Target | Protected]:
    """The program's predictors, or the named ones, in its order. Raises `InputError` for an unknown name.

    The labels of `examples` are values of the fields with the same names.
    """
    named = named_predictors(program)
    if missing := [name for name in names or () if name not in named]:
        known = ", ".join(map(repr, named)) or "none"
        why = left_alone(program).get(missing[0])
        reason = "" if why is None else f" ({why})"
        raise InputError(f"the program has no predictor {missing[0]!r} that may be rewritten{reason}; it has {known}")
    agents = _protocol_predictors(program)
    return [_target(name, one, agents, examples) for name, one in named.items() if names is None or name in names]


def _target(name: str, predictor: Any, agents: dict[int, Any], examples: Sequence[dspy.Example]) -> Target | Protected:
    signature, text = predictor.signature, predictor.signature.instructions
    if id(predictor) not in agents:
        return _described(name, text, signature, examples)
    if split_protocol(text) is None:
        return Protected(name=name, naive=text)
    return _described(name, text, agents[id(predictor)], examples)


def _described(name: str, text: str, signature: type[dspy.Signature], examples: Sequence[dspy.Example]) -> Target:
    """An instruction about the fields of `signature`."""
    choices = {
        field: choices_of(info.annotation, _description(field, info)) for field, info in signature.fields.items()
    }
    for field in signature.output_fields:
        labels = labels_of([one.get(field) for one in examples])
        choices[field] += [labels] if labels is not None and not choices[field] else []
    values = itertools.chain.from_iterable(itertools.chain.from_iterable(itertools.chain(*choices.values())))
    return replace(
        Target.of(name, text, context=_describe_fields(signature, choices), known={*signature.fields, *values}),
        choices=tuple(itertools.chain.from_iterable(choices[field] for field in signature.output_fields)),
        inputs=tuple(signature.input_fields),
        outputs=tuple(signature.output_fields),
        fixed_form=_fixed_form(signature),
    )


def _fixed_form(signature: type[dspy.Signature]) -> FixedForm | None:
    types = [field.annotation for name, field in signature.output_fields.items() if name != "reasoning"]
    if len(types) > 1 or any(map(has_fields, types)):
        return "fields"
    return None if all(map(_is_text, types)) else "value"


def _is_text(annotation: Any) -> bool:
    """Whether a value is written as it is: a text, or one of several."""
    is_enum = inspect.isclass(annotation) and issubclass(annotation, Enum)
    return annotation is str or get_origin(annotation) is Literal or is_enum


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


def _calls_tools(signature: type[dspy.Signature]) -> bool:
    """Whether it is about tools, by the names of its outputs or by the types of its fields."""
    return (
        not _PROTOCOL_OUTPUTS.isdisjoint(signature.output_fields)
        or any(_mentions(field.annotation, ToolCalls) for field in signature.output_fields.values())
        or any(_mentions(field.annotation, dspy.Tool) for field in signature.input_fields.values())
    )


def has_unknown_protocol(text: str) -> bool:
    """Whether a text describes a way of calling tools that is not dspy.ReAct's."""
    return split_protocol(text) is None and any(name in text for name in _PROTOCOL_OUTPUTS)


def split_protocol(text: str) -> tuple[str, str] | None:
    """The task and the protocol of a dspy.ReAct's instruction; None if the text may not be one."""
    found = list(_REACT_OPENING.finditer(text))
    if len(found) != 1 or not text[: found[0].start()].strip():
        return None
    return text[: found[0].start()], text[found[0].start() :]


def as_slots(names: Iterable[str]) -> list[str]:
    """Input fields as the rewriter sees them: like the variables of a prompt, which it knows from its training."""
    return [f"{name}: {{{name}}}" for name in names]


def _describe_fields(signature: type[dspy.Signature], choices: Mapping[str, Sequence[Choice]]) -> str:
    """What follows the instruction, and what the signature says about outputs that are more than any text.

    Where fields were listed as DSPy does ("Input fields: - `message` (str)"), small rewriters wrote about the fields.
    """
    slots = dict(zip(signature.input_fields, as_slots(signature.input_fields), strict=True))
    lines = [_described_by(slots[name], _notes(name, field)) for name, field in signature.input_fields.items()]
    for name, field in signature.output_fields.items():
        if described := _description_of_output(field.annotation, _notes(name, field), choices[name]):
            lines.append(": ".join([name, *described]))
    return "\n".join(lines)


def _description_of_output(annotation: Any, notes: Sequence[str], choices: Sequence[Choice]) -> list[str]:
    """Its type, what the signature says of it, and what there is to choose from, as far as it says more than "text"."""
    kind = get_annotation_name(unwrapped(annotation))
    if has_fields(annotation):
        parts = fields_of(annotation)
        return [f"{kind} with {', '.join(parts)}" if parts else kind, *notes]
    said = " ".join(notes)
    hidden = [choice for choice in choices if choice != TRUTH and len(named_in(said, choice)) < len(choice)]
    several = "each " if get_origin(annotation) in (list, set, tuple) else ""
    values = [f"{several}one of {written(choice)}" for choice in hidden]
    return [*notes, *values] if values or annotation is str else [kind, *notes]


def _described_by(slot: str, notes: Sequence[str]) -> str:
    return f"{slot} ({'; '.join(notes)})" if notes else slot


def _notes(name: str, field: Any) -> list[str]:
    """What a signature says of a field beside its type."""
    return [str(note) for note in (_description(name, field), field.json_schema_extra.get("constraints")) if note]


def _description(name: str, field: Any) -> str | None:
    """The user's description of a field; where there is none, DSPy writes `${name}`."""
    description = field.json_schema_extra.get("desc")
    return None if description in (None, "", f"${{{name}}}") else str(description)


def _protocol_predictors(program: dspy.Module) -> dict[int, Any]:
    """The predictors whose instructions are an agent's protocol, by id: each with the signature of its task."""
    own = program.predictors()
    agents = {id(p): p.signature for p in own if _calls_tools(p.signature)}
    modules: Any = program.named_sub_modules(type_=dspy.Module)
    for _, module in modules:
        parts = {part for owner in type(module).__mro__ for part in _PROTOCOLS.get(owner.__name__, ())}
        for name, predictor in module.named_predictors():
            if name.split(".")[0] in parts:
                agents[id(predictor)] = module.signature if isinstance(module, dspy.ReAct) else predictor.signature
    return agents
