"""The files from which Ollama builds a model: https://docs.ollama.com/modelfile."""

from typing import NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fipo_model.export.rendering import render
from fipo_model.models.gguf import Header, Texts

_SYSTEM, _PROMPT = "{{ .System }}", "{{ .Prompt }}"


def modelfile(header: Header, *, base: str, adapter: str, licence: str | None) -> str:
    """The Modelfile for a base's file with an adapter's file beside it."""
    metadata = header.metadata
    tokens, end = metadata.get("tokenizer.ggml.tokens"), metadata.get("tokenizer.ggml.eos_token_id")
    stop = tokens[end] if isinstance(tokens, Texts) and isinstance(end, int) and end < len(tokens) else None
    chat = metadata.get("tokenizer.chat_template")
    content = {
        "base": base,
        "adapter": adapter,
        "licence": licence,
        "stop": stop,
        "context": header.number("context_length"),
        "template": go_template(chat) if isinstance(chat, str) else None,
    }
    return render("Modelfile.j2", content)


def go_template(chat: str) -> str | None:
    """A chat template for a question with or without a system message, in Ollama's form: a Go template.

    A model's own default for the system message is kept. None for a template that cannot be rendered here, which is
    then left to Ollama.
    """
    try:
        said = _rendered(chat, [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _PROMPT}])
        asked = _rendered(chat, [{"role": "user", "content": _PROMPT}])
    except TemplateError:
        return None
    if _SYSTEM not in said or said.count(_PROMPT) != 1 or asked.count(_PROMPT) != 1:
        return None
    return f"{{{{ if .System }}}}{said}{{{{ else }}}}{asked}{{{{ end }}}}"


def _rendered(chat: str, messages: list[dict[str, str]]) -> str:
    # Rendered as in transformers: the template came with a model, and may do nothing else.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    return environment.from_string(chat).render(messages=messages, add_generation_prompt=True, tools=None)


def _refuse(why: str) -> NoReturn:
    raise TemplateError(why)
