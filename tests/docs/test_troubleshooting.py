"""Every message that docs/troubleshooting.md quotes as a symptom is one that the code has."""

import re
from typing import Final

import pytest

from tests.docs.pages import DOCS, quoted, rows, strings_of_the_code

SYMPTOMS: Final = [
    symptom for row in rows((DOCS / "troubleshooting.md").read_text()) for symptom in quoted(row[0])
]
# A shorter piece between two variable parts proves nothing.
CHARACTERS_MIN: Final = 4


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_a_symptom_is_what_the_code_says(symptom: str) -> None:
    pieces = [piece for piece in re.split(r"…", symptom) if len(piece.strip()) >= CHARACTERS_MIN]
    assert pieces, "nothing of it is fixed"
    code = strings_of_the_code()
    assert [piece for piece in pieces if piece.strip() not in code] == []


def test_every_row_says_what_to_look_at_and_what_to_type() -> None:
    for row in rows((DOCS / "troubleshooting.md").read_text()):
        assert len(row) == 3
        assert all(row), row
