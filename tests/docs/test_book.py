"""The documents are one book: each page is reachable, says what it is for, and names only what exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ramsterd.observe.metrics import RamsterCollector
from tests.docs.pages import (
    BOOK,
    CONTENTS,
    DOCUMENTS,
    PACKAGES,
    ROOT,
    name_of,
    prose,
    quoted,
)
from tests.docs.words import private_words
from tests.helpers.made_statistics import made_statistics

# A table, a list of links or a command can't be wrapped.
LINE_CHARACTERS_MAX: Final = 100
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
each_page = pytest.mark.parametrize("document", BOOK, ids=name_of)


def links(document: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of each link that stays in the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document.read_text())):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            yield (document.parent / path).resolve() if path else document, anchor


def anchors(document: Path) -> set[str]:
    """Return the anchors of its headings, as the forges make them."""
    headings = re.findall(r"^#+ (.*)$", prose(document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def names_of_metrics() -> set[str]:
    """Return the names of all metrics, and of what a scrape has of each."""
    names: set[str] = set()
    for family in RamsterCollector(made_statistics).collect():
        names |= {family.name, *(sample.name for sample in family.samples)}
    return names


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    for path, anchor in links(document):
        assert path.exists(), path
        assert not anchor or anchor in anchors(path), f"{path.name}#{anchor}"


def test_every_page_is_reachable_from_the_table_of_contents() -> None:
    found, waiting = {CONTENTS}, [CONTENTS]
    while waiting:
        for path, _ in links(waiting.pop()):
            if path.suffix == ".md" and path not in found:
                found.add(path)
                waiting.append(path)
    assert set(BOOK) - found == {ROOT / "README.md"}, "only the README leads into the book"
    assert CONTENTS in {path for path, _ in links(ROOT / "README.md")}


def test_the_table_of_contents_names_every_page_itself() -> None:
    named = {path for path, _ in links(CONTENTS)}
    assert set(BOOK) - named <= {ROOT / "README.md", CONTENTS}


@each_page
def test_a_page_begins_with_what_it_is_for(document: Path) -> None:
    title, blank, first, *_ = document.read_text().splitlines()
    assert title.startswith("# ")
    assert blank == ""
    if document != ROOT / "README.md":
        kind = "note decides" if document.parent.name == "design" else "page"
        assert first.startswith(f"This {kind} "), first


@each_document
def test_lines_are_short_enough_to_read(document: Path) -> None:
    def is_breakable(line: str) -> bool:
        """Return whether a line could be shorter; code, links and the mark of a list stay whole."""
        words = re.sub(r"`[^`]*`|\[[^\]]*\]\([^)]*\)", "x", line)
        return " " in re.sub(r"^ *([-*]|\d+\.) ", "", words).strip()

    long = [
        line
        for line in prose(document.read_text()).splitlines()
        if len(line) > LINE_CHARACTERS_MAX
        and not line.startswith(("|", "!["))
        and is_breakable(line)
    ]
    assert long == []


@each_document
def test_a_page_uses_the_words_of_the_field(document: Path) -> None:
    assert private_words(re.sub(r"`[^`]*`", "", prose(document.read_text()))) == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 250


@each_page
def test_every_path_that_a_page_names_exists(document: Path) -> None:
    made = {"build", "dist"}  # in some trees they are there, and hold what somebody made
    tops = {path.name for base in (ROOT, ROOT / "ramsterd") for path in base.iterdir()} - made
    names = [
        name
        for name in quoted(prose(document.read_text()))
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?", name) and name.split("/")[0] in tops
    ]
    bases = (ROOT, ROOT / "ramsterd")
    assert [each for each in names if not any((base / each).exists() for base in bases)] == []


@each_page
def test_every_module_that_a_page_names_without_its_folder_exists(document: Path) -> None:
    names = re.findall(r"`(\w+\.py)`", document.read_text())
    modules = {
        path.name
        for top in ("tests", "benchmarks", *PACKAGES)
        for path in (ROOT / top).rglob("*.py")
    }
    assert set(names) <= modules


@each_page
def test_every_metric_that_a_page_names_exists(document: Path) -> None:
    """A name that ends in `_…` stands for all that begin so."""
    found = re.findall(r"\b(ramster_[a-z_]+)(…?)", document.read_text())
    known = names_of_metrics()
    assert [
        name
        for name, more in found
        if not (any(each.startswith(name) for each in known) if more else name in known)
    ] == []
