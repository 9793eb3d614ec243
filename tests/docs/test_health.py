"""docs/health.md has a heading for each code, which says what it means and what to type."""

import re
from typing import Final

import pytest

from ramsterd.health.codes import RULES, Code
from tests.docs.pages import DOCS, quoted, section

TEXT: Final = (DOCS / "health.md").read_text()
PARTS: Final = ["What it means", "What gets worse", "What to type", "When it clears"]
each_code = pytest.mark.parametrize("code", list(Code), ids=lambda code: code.value)


def test_the_headings_are_the_codes_in_their_order() -> None:
    headings = re.findall(r"^## ([A-Z_]+)$", TEXT, re.MULTILINE)
    assert headings == [code.value for code in Code]


@each_code
def test_each_code_has_all_parts_and_a_command(code: Code) -> None:
    text = section(TEXT, code.value)
    assert re.findall(r"^- (What [a-z ]+|When it clears)[,:]", text, re.MULTILINE) == PARTS
    _, typed = text.split("- What to type: ")
    assert any(
        each.startswith(("ramsterctl ", "systemctl ", "timedatectl ", "top"))
        for each in quoted(typed)
    )


@each_code
def test_each_code_names_its_severities(code: Code) -> None:
    means, _ = section(TEXT, code.value).split("- What gets worse")
    named = set(re.findall(r"`(WARN|ERR)`", means))
    severities = {severity.name for severity in RULES[code].severities}
    # Of two the worse one is named, and the other may be.
    assert named <= severities
    assert max(RULES[code].severities, key=lambda severity: severity.value).name in named
