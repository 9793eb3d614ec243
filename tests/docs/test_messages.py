"""Every message that a table of the documents quotes is one that the code has.

Variable parts of a message are `…`.  Errors of the system, and of its libraries, are not in the code.
"""

import errno
import os
import re
from typing import Final

import pytest

from tests.docs.pages import BOOK, DOCS, messages, name_of, rows, strings_of_the_code

MESSAGES: Final = [
    pytest.param(message, id=f"{name_of(page)}-{message}")
    for page in BOOK
    for message in messages(page.read_text())
]
# A shorter piece between two variable parts proves nothing.
CHARACTERS_MIN: Final = 4
# `KEY: found …, expected …` is put together by ConfigError; metrics are named without what all of them begin with.
_BETWEEN: Final = re.compile(r"…|: warning: |: found |\bfound |, expected |\bramster_")
EVERY_MISTAKE: Final = "found …, expected …"
# OpenSSL says it.
_CERTIFICATE: Final = "certificate has expired"
SYSTEM: Final = {_CERTIFICATE, *(os.strerror(number).lower() for number in errno.errorcode)}


@pytest.mark.slow
@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_is_what_the_code_says(message: str) -> None:
    pieces = [piece.strip() for piece in _BETWEEN.split(message)]
    pieces = [piece for piece in pieces if len(piece) >= CHARACTERS_MIN]
    assert pieces or message == EVERY_MISTAKE, "nothing of it is fixed"
    code = strings_of_the_code()
    assert [each for each in pieces if each.strip("()") not in {*SYSTEM} and each not in code] == []


def test_the_pages_have_messages() -> None:
    assert {name_of(page) for page in BOOK if messages(page.read_text())} == {
        "docs/operations.md",
        "docs/troubleshooting.md",
    }


def test_every_row_says_what_to_look_at_and_what_to_type() -> None:
    for row in rows((DOCS / "troubleshooting.md").read_text()):
        assert len(row) == 3
        assert all(row), row
