"""Parts of an input that nothing hints at, and that an addition points to."""

import pytest

from fipo_model import FIPO_2, FidelitySettings, OptimizationRequest, ShownExample
from fipo_model.fidelity import check


def outcome(naive: str, addition: str, *shown: tuple[str, str | None]) -> str:
    request = OptimizationRequest(naive, examples=tuple(ShownExample(*each) for each in shown))
    return check(f"{naive}\n\n{addition}", request, FidelitySettings(), FIPO_2).outcome


@pytest.mark.parametrize(
    ("naive", "addition", "shown", "expected"),
    [
        (
            "translate to {language}",
            "Translate the sentence into the language named in the question and give the translation alone.",
            (),
            "placeholder_invented",
        ),
        ("which city", "Name the city mentioned in the title.", (), "placeholder_invented"),
        ("city", "Name the city listed in the table.", (), "placeholder_invented"),
        ("city", "Name the city listed in the table.", (("a,b\nc,d", "d"),), "optimized"),
        ("city of the headline", "Name the city mentioned in the title.", (), "optimized"),
        # Any input may be a question.
        ("compare", "Compare the people named in the question and name the one who fits.", (), "optimized"),
        ("translate", "Translate the sentence into the language named in the question.", (), "optimized"),
        ("who painted the mona lisa", "Name the painter asked for in the question.", (), "optimized"),
        ("city", "Name the city mentioned in the text.", (), "optimized"),
        ("city", "Name the city mentioned in the message.", (), "optimized"),
        ("translate to {language}", "Translate the sentence into the language named above.", (), "optimized"),
    ],
)
def test_parts_that_need_not_be_there_are_not_pointed_to(naive, addition, shown, expected):
    assert outcome(naive, addition, *shown) == expected
