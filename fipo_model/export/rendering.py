"""The Jinja environment of exported texts. They are not HTML; a filter of their own quotes what needs quoting."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

# Characters that JSON allows unescaped in a text, and YAML or an editor does not.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff]")


def render(template: str, content: Mapping[str, object]) -> str:
    """The text of a template in this folder, with the names in `content` filled in."""
    return _environment().get_template(template).render(content)


def quoted(text: object) -> str:
    """A value as JSON, which is YAML, too."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(lambda name: files(__package__).joinpath(name).read_text(encoding="utf-8")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"quoted": quoted, "literal": repr}
    return made
