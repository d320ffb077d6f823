"""The names of languages are those of CLDR, as babel has them, which takes 33 MB and is needed for these tests only.

python tests/test_contract_language_names.py      writes the file anew, after NAMED or the lexicons have changed
"""

import json
import sys
from pathlib import Path

from babel import Locale

from fipo_model.contract import names
from fipo_model.contract.lexicon import lexicon_of

LEXICONS = sorted(path.stem for path in (Path(names.__file__).parent / "lexicons").glob("*.toml"))
# Languages that people name in prompts; CLDR has their names in every language with a lexicon.
NAMED = (
    "en de fr es pt it nl ru ar hi zh ja ko sv da no fi is pl cs sk hu ro bg el tr he fa ur bn ta te mr gu pa th vi id "
    "ms tl uk hr sr sl et lv lt ga cy eu ca gl la sw af hy ka az kk uz mn ne si km lo my am zu"
).split()


def from_babel() -> dict[str, dict[str, str]]:
    words = {locale: Locale.parse(locale).languages for locale in LEXICONS}
    return {locale: {code: known[code].lower() for code in NAMED if code in known} for locale, known in words.items()}


def test_they_are_those_of_babel():
    assert json.loads(names._FILE.read_text(encoding="utf-8")) == from_babel()


def test_each_lexicon_has_some_and_english_ones_are_known_everywhere():
    for locale in LEXICONS:
        known = names._language_names(lexicon_of(locale).code)
        assert (known["german"], len(known) > 100) == ("de", True), locale


if __name__ == "__main__":
    content = json.dumps(from_babel(), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    names._FILE.write_text(content, encoding="utf-8")
    sys.stdout.write(f"{names._FILE.name}: {len(content)} characters\n")
