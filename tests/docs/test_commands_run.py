"""Each command line that the documents, `--help` and the manual pages show is run, and does what they say."""

import ast
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.docs.lines import WHOLE
from tests.docs.pages import ROOT
from tests.docs.story import RUN_ELSEWHERE, STORY
from tests.docs.typed import Typed
from tests.helpers.command_lines import command_of
from tests.helpers.kept_folders import kept_folder
from tests.system.rack import Rack

RUN: Final = {step.line for step in STORY if isinstance(step, Typed)}
WHAT_TO_ADD: Final = """\
The documents show these lines, and no test runs them.  Write into a chapter of tests/docs/story.py, for each,
    Typed(LINE, WHAT IT PRINTS, EXIT STATUS IF NOT 0)
where the cluster is such that the line means what the page says:"""


def test_each_line_is_run_here_or_elsewhere() -> None:
    missing = [line for line in WHOLE if line not in RUN | RUN_ELSEWHERE.keys()]
    assert not missing, "\n".join([WHAT_TO_ADD, *missing])


def test_only_lines_of_the_documents_are_run_and_each_in_one_place() -> None:
    assert (RUN | RUN_ELSEWHERE.keys()) - set(WHOLE) == set()
    assert RUN & RUN_ELSEWHERE.keys() == set()


@pytest.mark.parametrize("line", RUN_ELSEWHERE)
def test_what_is_run_elsewhere_is_a_test_that_types_it(line: str) -> None:
    elsewhere = RUN_ELSEWHERE[line]
    file, _, name = elsewhere.test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
    text = (ROOT / (elsewhere.typed_in or file)).read_text()
    # Names of nodes and devices are its own.
    _, names, rest = command_of(line)
    options = [word.removeprefix("--") for word in rest if word.startswith("--")]
    assert [word for word in (*names, *options) if not re.search(rf"\b{word}\b", text)] == []


@pytest.fixture
def rack() -> Iterator[Rack]:
    with tempfile.TemporaryDirectory(prefix="rack-", dir="/tmp") as folder, kept_folder() as kept:
        made = Rack(Path(folder), kept)
        yield made
        try:
            made.close()
        finally:
            made.print_logs()


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(300)
def test_each_line_does_what_the_documents_say(rack: Rack) -> None:
    for step in STORY:
        step(rack)
