"""The one Jinja environment of all pages: it escapes every text that is not Markup, and a missing name is an error."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

from fipo_model.pages.changes import differences, outcome_in_words
from fipo_model.pages.numbers import is_measured, keep_units, say_interval, say_value


def render(template: str, content: Mapping[str, object]) -> str:
    """The text of a template such as "fipo_model.pages/document.html.j2", with the names in `content` filled in."""
    return environment().get_template(template).render(content)


@cache
def environment() -> Environment:
    """Finds templates as "package/file" in any importable package, those of the integrations included."""
    made = Environment(
        loader=FunctionLoader(_read),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["json.dumps_kwargs"] = {"ensure_ascii": True, "allow_nan": False, "separators": (",", ":")}
    made.filters |= {
        "interval": say_interval,
        "keep_units": keep_units,
        "outcome": outcome_in_words,
        "value": say_value,
    }
    made.tests["measured"] = is_measured
    made.globals["differences"] = differences
    return made


def _read(name: str) -> tuple[str, str, None]:
    package, _, file = name.rpartition("/")
    path = files(package).joinpath(file)
    return path.read_text(encoding="utf-8"), str(path), None
