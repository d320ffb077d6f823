"""Everything FIPO raises on purpose: what happened, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial


class FipoError(Exception):
    """Base class of all errors FIPO raises on purpose. The message can be shown to users."""


class InputError(FipoError, ValueError):
    """A prompt, row, option or file that cannot be used as given."""


class PromptTooLongError(InputError):
    """A conversation does not fit into the model's context. Nothing was cut.

    `index` is its place in the batch; `tokens` counts its tokens including the room for the reply; `limit` is the
    number of tokens the model's context holds. A server may not report the numbers.
    """

    def __init__(self, *, index: int, tokens: int | None, limit: int | None) -> None:
        super().__init__(index, tokens, limit)
        self.index = index
        self.tokens = tokens
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"the request needs {self.tokens or 'too many'} tokens (prompt, context and responses in the template, and "
            f"the rewrite), but the model's context holds {self.limit or 'fewer'}. Shorten the prompt or its context; "
            "FIPO does not cut prompts silently."
        )

    def at(self, index: int) -> "PromptTooLongError":
        """The same error, with its place in another batch."""
        moved = type(self)(index=index, tokens=self.tokens, limit=self.limit)
        moved.__cause__ = self.__cause__
        return moved.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[object, ...]:
        return (partial(type(self), index=self.index, tokens=self.tokens, limit=self.limit), ())


class TemplateError(FipoError, ValueError):
    """A template file that cannot be used."""


class ModelError(FipoError):
    """A model or adapter that is not there, cannot be loaded, or does not fit its base."""


class NoLikelihoodsError(ModelError):
    """A model that cannot be asked how likely a given text is, for its engine or for want of its tokenizer."""


class WeightsError(FipoError):
    """Weights that FIPO knows by name cannot be fetched, verified or converted."""


class ServerError(FipoError):
    """An OpenAI-compatible server is unreachable, too slow, or answered with an error."""


class TrainingError(FipoError):
    """A training run that cannot start or had to stop."""


class MissingExtraError(FipoError, ImportError):
    """An optional dependency is not installed."""


def first_line(error: BaseException) -> str:
    """What other people's code says went wrong, on one line: its first, or the kind of error where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def kind_and_line(error: BaseException) -> str:
    """`first_line` after the kind of error, where the one is unclear without the other."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def installing(extra: str) -> str:
    """The command that installs an extra, as docs/install.md has it. Every message takes it from here."""
    return f"pip install '.[{extra}]', in a clone of FIPO"


@contextmanager
def explain_missing(extra: str, *modules: str) -> Iterator[None]:
    """For the imports of a leaf module: if one of `modules` is absent, name the extra that brings it.

    Only the absence of the named top-level modules is explained. Any other ImportError (a broken install, a name an
    upstream release removed) passes through untouched, because telling such a user to install the extra would be wrong.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in modules:
            raise
        raise MissingExtraError(
            f"this needs the package '{error.name}', which is not installed: {installing(extra)}",
            name=error.name,
        ) from error
