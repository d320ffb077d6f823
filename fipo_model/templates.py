"""The modular template (paper, section 3.1): a request becomes messages, a completion becomes a rewrite. Pure.

Rendering is one pass of `string.Template` over the template's own text, so whatever a user's text contains (braces,
dollar signs, slot names, another template) arrives as it is.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template as _Slots

from fipo_model.contract.variables import variables
from fipo_model.errors import TemplateError
from fipo_model.generation import Message
from fipo_model.replies import spoken, unwrapped
from fipo_model.types import OptimizationRequest, ShownExample

_REPLY_HEADERS = frozenset(
    {"golden prompt", "optimized prompt", "rewritten prompt", "better prompt", "improved prompt", "new prompt"}
)
SHOWN = 4
"""As many examples make a task clear; more make a small model's request long."""
# The beginning of an input shows what it looks like; a whole document would push the prompt out of a small context.
_MOST_SHOWN = 400  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Texts with `$slots`. The optional parts are left out of a request that does not have them."""

    name: str
    optimizer: str
    """Slots: naive_prompt, optional_parts, max_words."""
    context_part: str
    """Slot: context."""
    silver_part: str
    """Slot: silver_response."""
    golden_part: str
    """Slot: golden_response."""
    discriminator: str
    """Slots: naive_prompt, optional_parts, prompt_a, prompt_b, golden_response."""
    variables_part: str = "Variables (filled in later): $variables\n\n"
    """Slot: variables, the prompt's own. Only an addition is told of them: a rewrite has to have them anyway."""
    examples_part: str = "It is used on inputs such as these:\n$examples\n\n"
    """Slot: examples."""
    feedback_part: str = "Feedback on what it got:\n$feedback\n\n"
    """Slot: feedback."""
    optimizer_system: str | None = None
    """Sent as the system message; the same for every request, so that its computation can be shared."""
    discriminator_system: str | None = None
    is_addition: bool = False
    """Whether a reply is not the whole rewrite but what follows the naive prompt in it, after an empty line."""

    @property
    def headers(self) -> frozenset[str]:
        """Lines by which the template announces its parts ("Naive prompt:"), in lower case and without the colon.

        A rewrite that contains one has repeated the template instead of filling it.
        """
        parts = (self.context_part, self.silver_part, self.golden_part, self.examples_part, self.feedback_part)
        texts = (self.optimizer, *parts, self.discriminator)
        found = re.findall(r"(?:^|\$\{optional_parts\})([^\n$`]{3,60}):\s*$", "\n".join(texts), re.MULTILINE)
        return frozenset(header.strip().lower() for header in found) | _REPLY_HEADERS

    def render(self, request: OptimizationRequest) -> list[Message]:
        """The conversation that asks for a rewrite of `request.instruction`."""
        text = _Slots(self.optimizer).substitute(
            naive_prompt=request.instruction,
            optional_parts=self._optional_parts(request),
            max_words=request.word_limit,
        )
        return _conversation(self.optimizer_system, text)

    def may_have_rendered(self, conversation: list[Message]) -> bool:
        """Whether a conversation begins like one that asks for a rewrite, up to the first slot."""
        beginning = self.optimizer.partition("$")[0]
        *before, last = _conversation(self.optimizer_system, beginning)
        return conversation[:-1] == before and conversation[-1]["content"].startswith(last["content"])

    def render_comparison(self, request: OptimizationRequest, prompt_a: str, prompt_b: str) -> list[Message]:
        """The conversation that asks which of two prompts serves `request` better, to be answered with A or B."""
        text = _Slots(self.discriminator).substitute(
            naive_prompt=request.instruction,
            optional_parts=self._optional_parts(request),
            prompt_a=prompt_a,
            prompt_b=prompt_b,
            golden_response=request.golden_response or "",
        )
        return _conversation(self.discriminator_system, text)

    def parse(self, reply: str, instruction: str = "") -> str:
        """The rewrite in a model's reply, without thoughts, control tokens and framing (`replies`).

        Anything that is also in the instruction does not count as a frame. Any other trace of the template, such as the
        heading of a part it was given ("Silver response:"), stays, for `fidelity` to reject.
        """
        return unwrapped(spoken(reply, instruction), instruction)

    def rewrite(self, reply: str, instruction: str) -> str:
        """The prompt that a model's reply makes from an instruction; the instruction itself if the reply adds
        nothing."""
        text = self.parse(reply, instruction)
        if not self.is_addition or not text:
            return text
        return instruction if text.rstrip(".").lower() == NOTHING.lower() else f"{instruction}\n\n{text}"

    def reply_for(self, rewrite: str, instruction: str) -> str:
        """The reply that gives `rewrite`: what training teaches.

        Where replies are additions, a rewrite that does not begin with the instruction is added to it as it is.
        """
        if not self.is_addition:
            return rewrite
        added = rewrite.removeprefix(instruction)
        if added and not added[0].isspace():  # the same word goes on: "rain" in "rainbows"
            added = rewrite
        return added.strip() or f"{NOTHING}."

    def _optional_parts(self, request: OptimizationRequest) -> str:
        parts = (
            (self.variables_part, "variables", _variables(request) if self.is_addition else ""),
            (self.context_part, "context", request.context),
            (self.silver_part, "silver_response", request.silver_response),
            (self.golden_part, "golden_response", request.golden_response),
            (self.examples_part, "examples", "\n".join(map(_shown, request.examples[:SHOWN]))),
            (self.feedback_part, "feedback", request.feedback),
        )
        return "".join(_Slots(text).substitute({slot: value}) for text, slot, value in parts if value)


def _variables(request: OptimizationRequest) -> str:
    return ", ".join(dict.fromkeys(variable.text for variable in variables(request.instruction)))


def _shown(example: ShownExample) -> str:
    parts = (("Input", example.input), ("Right output", example.output), ("Wrong output", example.response))
    return "\n".join(f"{name}: {_shortened(text)}" for name, text in parts if text is not None)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN].rstrip()} [...]"


def _conversation(system: str | None, user: str) -> list[Message]:
    conversation: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    return [*conversation, {"role": "user", "content": user}]


FIPO_1 = Template(
    name="fipo-1",
    optimizer_system=(
        "You rewrite prompts so that a language model answers them better. Make the task and its terms clear, add the "
        "guidance that helps and say what the response should look like. Keep every fact, name, number, quotation and "
        "placeholder as it is. Do not answer the prompt. Reply with the rewritten prompt and nothing else."
    ),
    optimizer=(
        "Naive prompt:\n$naive_prompt\n\n${optional_parts}Rewrite the naive prompt in at most $max_words words."
    ),
    context_part="Context (it will follow the prompt, do not repeat it):\n$context\n\n",
    silver_part="Silver response (what the naive prompt got):\n$silver_response\n\n",
    golden_part="Golden response (what it should get, do not give it away):\n$golden_response\n\n",
    discriminator_system=(
        "You compare two prompts for a language model. The better one is true to every fact in the naive prompt and "
        "is more likely to get a good response. Reply with the letter A or B and nothing else."
    ),
    discriminator=(
        "Naive prompt:\n$naive_prompt\n\n${optional_parts}Prompt A:\n$prompt_a\n\nPrompt B:\n$prompt_b\n\n"
        "Which prompt is better, A or B?"
    ),
)
"""FIPO's own template, used unless a checkpoint or the caller names another."""

NOTHING = "Nothing"
"""The reply of a template with additions that leaves a prompt as it is."""

FIPO_2 = replace(
    FIPO_1,
    name="fipo-2",
    optimizer_system=(
        "You add to prompts so that a language model answers them better: the task once more, clearly, with the "
        f"guidance that helps. Reply with the text to add and nothing else, or with {NOTHING} if the prompt is good."
    ),
    optimizer="Naive prompt:\n$naive_prompt\n\n${optional_parts}Text to add:",
    is_addition=True,
)
"""The naive prompt stays, word for word, and is added to. A reply is short, and nothing of the prompt can be lost."""

_TEMPLATES = {template.name: template for template in (FIPO_1, FIPO_2)}

# The layout of the original project's data/prompts.json (LuJunru/FIPO_Project): one JSON object whose texts mark
# their slots with these bare names.
_ORIGINAL_SLOTS = {
    "optimizer": {"S_P": "naive_prompt", "O_C": "optional_parts", "G_N": "max_words"},
    "s_r": {"S_R": "silver_response"},
    "g_r": {"G_R": "golden_response"},
    "discriminator": {"R_P": "naive_prompt", "P_A": "prompt_a", "P_B": "prompt_b", "G_R": "golden_response"},
}


def template_named(name: str) -> Template:
    """A built-in template by its name, as `fipo.json` in a checkpoint directory gives it."""
    if name not in _TEMPLATES:
        raise TemplateError(f"there is no template named {name!r}; this version knows {', '.join(_TEMPLATES)}")
    return _TEMPLATES[name]


def find_template(name_or_file: str | Path) -> Template:
    """One of FIPO's templates by its name, else the one in a file, see `load_template`."""
    return _TEMPLATES.get(str(name_or_file)) or load_template(name_or_file)


def load_template(path: str | Path) -> Template:
    """A template from a file in the layout of the `prompts.json` of the paper's own code.

    With it, models trained with that code are asked exactly what they were trained on. That layout has no
    place for a context; one that is given is added where the optional responses go.
    """
    path = Path(path)
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"cannot read the template file {path}: {error.strerror}") from error
    except ValueError as error:
        raise TemplateError(f"the template file {path} is not JSON in UTF-8: {error}") from error
    if not isinstance(texts, dict):
        raise TemplateError(f"the template file {path} must hold a JSON object with {', '.join(_ORIGINAL_SLOTS)}")
    problems = []
    for key, slots in _ORIGINAL_SLOTS.items():
        if not _has_slots(texts.get(key), slots):
            problems.append(f"'{key}' must be text that contains {' and '.join(slots)}")
    if problems:
        raise TemplateError(f"the template file {path} does not have the expected layout: {'; '.join(problems)}")
    return Template(
        name=path.stem,
        optimizer=_with_named_slots("optimizer", texts),
        context_part="\n\n```\nContext:\n$context\n```",
        silver_part=_with_named_slots("s_r", texts),
        golden_part=_with_named_slots("g_r", texts),
        discriminator=_with_named_slots("discriminator", texts),
    )


def _has_slots(text: object, slots: Iterable[str]) -> bool:
    return isinstance(text, str) and all(re.search(rf"\b{slot}\b", text) for slot in slots)


def _with_named_slots(key: str, texts: dict[str, str]) -> str:
    slots = _ORIGINAL_SLOTS[key]
    bare = re.compile(rf"\b({'|'.join(slots)})\b")
    return bare.sub(lambda match: f"${{{slots[match[1]]}}}", texts[key].replace("$", "$$"))
