"""`--help` at every width: a docstring's paragraphs without the line breaks of the source, which Typer would keep."""

import inspect

import typer


def with_joined_lines(app: typer.Typer) -> typer.Typer:
    """The same app, whose commands, and those of its groups, have one line of help for each paragraph."""
    for command in app.registered_commands:
        if command.help is None and command.callback is not None and command.callback.__doc__:
            command.help = _joined(command.callback.__doc__)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            with_joined_lines(group.typer_instance)
    return app


def _joined(docstring: str) -> str:
    paragraphs = inspect.cleandoc(docstring).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
