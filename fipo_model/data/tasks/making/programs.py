"""Tasks on short pieces of code. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from fipo_model.data.tasks.making.drawing import YES_NO, Make, listed, one, words
from fipo_model.data.tasks.task import Example

_VERBS = ("load", "save", "count", "find", "merge", "parse", "print", "check", "build", "send")
_MODULES = "json math random datetime csv re shutil hashlib socket zipfile decimal uuid".split()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Function:
    """A function of Python with its parts."""

    name: str
    parameters: tuple[str, ...]
    result: str
    returns: bool
    comment: str
    text: str

    def __str__(self) -> str:
        first = self.parameters[0] if self.parameters else "42"
        last = f"return {self.result}" if self.returns else f"print({self.result})"
        return (
            f"def {self.name}({listed(self.parameters)}):\n    # {self.comment}\n    {self.result} = {first}\n"
            f'    log("{self.text}")\n    {last}'
        )


def _function(random: Random) -> _Function:
    nouns = random.sample(words("nouns"), 6)
    return _Function(
        name=f"{random.choice(_VERBS)}_{nouns[0]}",
        parameters=tuple(nouns[1 : random.randint(1, 5)]),
        result=nouns[5],
        returns=random.random() < 0.5,
        comment=f"{random.choice(words('adjectives'))} {random.choice(words('tools'))}",
        text=f"{random.choice(words('adjectives'))} {random.choice(words('birds'))}",
    )


def _of_function(solve: Callable[[_Function], object]) -> Make:
    def make(random: Random) -> Example:
        function = _function(random)
        return one(str(function), solve(function))

    return make


def _returns(random: Random) -> Example:
    function = _function(random)
    return one(str(function), YES_NO[not function.returns], choices=YES_NO)


def _parameters(random: Random) -> Example:
    while not (function := _function(random)).parameters:
        pass
    return one(str(function), listed(function.parameters))


_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "Python": (
        'def {0}():\n    return "{1}"',
        "for {0} in range({2}):\n    print({0})",
        "import os\n{0} = os.environ['{1}']",
        "{0} = [{1} for {1} in range({2}) if {1} % 2]",
    ),
    "JavaScript": (
        "const {0} = () => {{ return '{1}'; }};",
        "let {0} = {2};\nconsole.log({0} === {2});",
        "function {0}({1}) {{\n  document.write({1});\n}}",
        "export default async function {0}() {{ await {1}(); }}",
    ),
    "SQL": (
        "SELECT {0} FROM {1} WHERE id = {2};",
        "INSERT INTO {0} ({1}) VALUES ({2});",
        "UPDATE {0} SET {1} = {2};",
        "CREATE TABLE {0} ({1} INTEGER);",
    ),
    "HTML": (
        '<div class="{0}"><p>{1}</p></div>',
        "<ul><li>{0}</li><li>{1}</li></ul>",
        '<a href="/{0}">{1}</a>',
        "<table><tr><td>{0}</td><td>{2}</td></tr></table>",
    ),
    "Java": (
        'public class {0} {{\n    private String {1} = "{2}";\n}}',
        "public static void main(String[] {0}) {{\n    System.out.println({2});\n}}",
        "List<String> {0} = new ArrayList<>();",
        "private final int {0} = {2};\npublic int get() {{ return this.{0}; }}",
    ),
}


def _language(random: Random) -> Example:
    language = random.choice(list(_LANGUAGES))
    form = random.choice(_LANGUAGES[language])
    first, second = random.sample(words("nouns"), 2)
    return one(form.format(first, second, random.randint(1, 99)), language, choices=tuple(_LANGUAGES))


def _imported(random: Random) -> Example:
    module, call = random.choice(_MODULES), f"{random.choice(_VERBS)}({random.randint(1, 9)})"
    return one(f"import {module}\n\n\ndef {random.choice(words('nouns'))}():\n    return {module}.{call}", module)


def _assigned(random: Random) -> Example:
    name, value = random.choice(words("nouns")), random.randint(2, 99)
    form = random.choice(("{0} = {1}", "let {0} = {1};", "int {0} = {1};", "var {0} = {1};", "const {0} = {1};"))
    return one(form.format(name, value), name)


def _printed(random: Random) -> Example:
    first, second, name = random.randint(1, 20), random.randint(1, 20), random.choice(words("nouns"))
    if random.random() < 0.5:
        return one(f"{name} = {first}\n{name} = {name} + {second}\nprint({name})", first + second)
    return one(f"{name} = {first} * {second}\nprint({name})", first * second)


def _has_loop(random: Random) -> Example:
    name, function = random.sample(words("nouns"), 2)
    number, holds = random.randint(2, 50), random.random() < 0.5
    loops = (
        f"for {name} in range({number}):\n    {function}({name})",
        f"while {name} < {number}:\n    {name} += 1",
    )
    plain = (
        f"if {name} > {number}:\n    {function}({name})",
        f"{name} = {function}({number})\nprint({name})",
    )
    return one(random.choice(loops if holds else plain), YES_NO[not holds], choices=YES_NO)


def _count_lines(random: Random) -> Example:
    count = random.randint(2, 7)
    return one("\n".join(f"{word} = {random.randint(1, 9)}" for word in random.sample(words("nouns"), count)), count)


def _called(random: Random) -> Example:
    name, target = random.choice(_VERBS) + "_" + random.choice(words("nouns")), random.choice(words("nouns"))
    form = random.choice(("{1} = {0}({2})", "if {1} > {2}:\n    {0}({1})", "{1} = {2}\nresult = {0}({1}, {2})"))
    return one(form.format(name, target, random.randint(1, 99)), name)


MAKERS: Mapping[str, Make] = {
    "code_function_name": _of_function(lambda function: function.name),
    "code_count_parameters": _of_function(lambda function: len(function.parameters)),
    "code_parameters": _parameters,
    "code_comment": _of_function(lambda function: function.comment),
    "code_text": _of_function(lambda function: function.text),
    "code_result_name": _of_function(lambda function: function.result),
    "code_returns": _returns,
    "code_language": _language,
    "code_import": _imported,
    "code_assigned": _assigned,
    "code_called": _called,
    "code_printed": _printed,
    "code_has_loop": _has_loop,
    "code_count_lines": _count_lines,
}
