"""A text with everything but prose blanked out, positions kept: code, addresses, identifiers, variables. Pure."""

from functools import lru_cache

from fipo_model.contract.literals import without_literals
from fipo_model.contract.reading import Reading
from fipo_model.contract.variables import without_variables


@lru_cache(maxsize=64)
def blanked(reading: Reading) -> str:
    """The text with blanks in place of code, addresses, identifiers and variables."""
    return without_variables(without_literals(reading.text))
