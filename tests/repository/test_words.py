"""Code uses the words of the field too: identifiers, docstrings, comments and strings, of product and tests."""

from pathlib import Path

import pytest

from tests.docs.pages import PACKAGES, ROOT
from tests.docs.words import private_words

# They quote the words that nobody is to use.
LISTS = {ROOT / "tests/docs/words.py", Path(__file__)}


@pytest.mark.parametrize("top", [*PACKAGES, "tests", "benchmarks"])
def test_code_uses_the_words_of_the_field(top: str) -> None:
    found = {
        str(path.relative_to(ROOT)): words
        for path in sorted((ROOT / top).rglob("*.py"))
        if path not in LISTS and (words := private_words(path.read_text()))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def open_doors(): ...", ["doors"]),
        ("class PutPace: ...", ["Pace"]),
        ("LAST_LIFE", ["LIFE"]),
        ("no sign of life, except OverflowError", []),
        ("outstanding lifetime spaces", []),
    ],
)
def test_words_are_found_inside_identifiers(text: str, words: list[str]) -> None:
    assert private_words(text) == words
