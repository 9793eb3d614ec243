"""docs/walkthrough.md is typed as it stands, at four machines of their own, and each line prints what the page shows."""

from pathlib import Path

import pytest

from tests.helpers.requirements import require_namespaces, require_tool
from tests.walkthrough.likeness import difference, is_like
from tests.walkthrough.page import commands
from tests.walkthrough.replay import PAGE, TOOLS, replay

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.system,
    pytest.mark.root,
    pytest.mark.timeout(900),
]


def test_an_operator_sees_what_the_page_shows(tmp_path: Path) -> None:
    require_namespaces()
    require_tool(*TOOLS)
    with replay(tmp_path) as hands:
        for typed in commands(PAGE.read_text()):
            for host, printed in hands.type(typed).items():
                assert is_like(typed.printed, printed), (
                    f"{host}# {typed.command}\n{difference(typed.printed, printed)}\n"
                    "python -m tests.walkthrough --write corrects the page"
                )
