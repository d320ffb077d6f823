"""The modular template (paper, section 3.1): a request becomes messages, a completion becomes a rewrite. Pure.

Rendering is one pass of `string.Template` over the template's own text, so whatever a user's text contains (braces,
dollar signs, slot names, another template) arrives as it is.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template as _Slots

from fipo_model.errors import TemplateError
from fipo_model.generation import Message
from fipo_model.types import OptimizationRequest


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
    optimizer_system: str | None = None
    """Sent as the system message; the same for every request, so that its computation can be shared."""
    discriminator_system: str | None = None

    @property
    def headers(self) -> frozenset[str]:
        """Lines by which the template announces its parts ("Naive prompt:"), in lower case and without the colon.

        A rewrite that contains one has repeated the template instead of filling it.
        """
        texts = (self.optimizer, self.context_part, self.silver_part, self.golden_part, self.discriminator)
        found = re.findall(r"^([^\n$`]{3,60}):\s*$", "\n".join(texts), re.MULTILINE)
        return frozenset(header.strip().lower() for header in found) | _REPLY_HEADERS

    def render(self, request: OptimizationRequest) -> list[Message]:
        """The conversation that asks for a rewrite of `request.instruction`."""
        text = _Slots(self.optimizer).substitute(
            naive_prompt=request.instruction,
            optional_parts=self._optional_parts(request),
            max_words=request.word_limit,
        )
        return _conversation(self.optimizer_system, text)

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

    def parse(self, reply: str) -> str:
        """The rewrite in a model's reply: without a heading, a code fence or quotation marks around the whole.

        Only what wraps the entire reply is removed. Any other trace of the template stays, for `fidelity` to reject.
        """
        text = reply.strip()
        for header in sorted(_REPLY_HEADERS | self.headers, key=len, reverse=True):
            if (match := re.match(rf"(?i)(?:[#*]+\s*)?{re.escape(header)}\s*:\s*(?:\*+)?", text)) is not None:
                text = text[match.end() :].strip()
                break
        if (match := re.fullmatch(r"```[\w-]*\n((?:(?!```).)*)\n```", text, re.DOTALL)) is not None:
            text = match[1].strip()
        if (match := re.fullmatch(r'"([^"]+)"|“([^“”]+)”', text)) is not None:
            text = (match[1] or match[2]).strip()
        return text

    def _optional_parts(self, request: OptimizationRequest) -> str:
        parts = (
            (self.context_part, "context", request.context),
            (self.silver_part, "silver_response", request.silver_response),
            (self.golden_part, "golden_response", request.golden_response),
        )
        return "".join(_Slots(text).substitute({slot: value}) for text, slot, value in parts if value)


_REPLY_HEADERS = frozenset(
    {"golden prompt", "optimized prompt", "rewritten prompt", "better prompt", "improved prompt", "new prompt"}
)


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

_TEMPLATES = {FIPO_1.name: FIPO_1}

# The layout of the original project's data/prompts.json (LuJunru/FIPO_Project): one JSON object whose texts mark
# their slots with these bare names.
_ORIGINAL_SLOTS = {
    "S_P": "naive_prompt",
    "O_C": "optional_parts",
    "G_N": "max_words",
    "S_R": "silver_response",
    "G_R": "golden_response",
    "R_P": "naive_prompt",
    "P_A": "prompt_a",
    "P_B": "prompt_b",
}
_ORIGINAL_KEYS = {
    "optimizer": ("S_P", "O_C", "G_N"),
    "s_r": ("S_R",),
    "g_r": ("G_R",),
    "discriminator": ("R_P", "P_A", "P_B"),
}


def template_named(name: str) -> Template:
    """A built-in template by its name, as `fipo.json` in a checkpoint directory gives it."""
    if name not in _TEMPLATES:
        raise TemplateError(f"there is no template named {name!r}; this version knows {', '.join(_TEMPLATES)}")
    return _TEMPLATES[name]


def load_template(path: Path) -> Template:
    """A template from a file in the layout of the original project's `prompts.json`.

    With it, models trained by the original project are asked exactly what they were trained on. That layout has no
    place for a context; one that is given is added where the optional responses go.
    """
    try:
        texts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateError(f"cannot read the template file {path}: {error.strerror}") from error
    except ValueError as error:
        raise TemplateError(f"the template file {path} is not JSON in UTF-8: {error}") from error
    if not isinstance(texts, dict):
        raise TemplateError(f"the template file {path} must hold a JSON object with {', '.join(_ORIGINAL_KEYS)}")
    problems = [
        f"'{key}' must be a text that contains {' and '.join(slots)}"
        for key, slots in _ORIGINAL_KEYS.items()
        if not isinstance(text := texts.get(key), str) or not all(re.search(rf"\b{s}\b", text) for s in slots)
    ]
    if problems:
        raise TemplateError(f"the template file {path} does not have the expected layout: {'; '.join(problems)}")
    return Template(
        name=path.stem,
        optimizer=_with_named_slots(texts["optimizer"]),
        context_part="\n\n```\nContext:\n$context\n```",
        silver_part=_with_named_slots(texts["s_r"]),
        golden_part=_with_named_slots(texts["g_r"]),
        discriminator=_with_named_slots(texts["discriminator"]),
    )


def _with_named_slots(text: str) -> str:
    bare = re.compile(r"\b(" + "|".join(_ORIGINAL_SLOTS) + r")\b")
    return bare.sub(lambda match: f"${{{_ORIGINAL_SLOTS[match[1]]}}}", text.replace("$", "$$"))
