"""The documents as data, and what the code says: shared by the tests that hold one against the other."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
DOCS: Final = ROOT / "docs"
CONTENTS: Final = DOCS / "README.md"
# What is installed: the code whose words the documents repeat.
PACKAGES: Final = ("config", "nodemanager", "net", "heartbeat", "ramsterd")

BOOK: Final = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("design/*.md"))]
DOCUMENTS: Final = [*BOOK, ROOT / "CHANGELOG.md"]

# What the first column of a table of messages is called.
MESSAGE_HEADS: Final = {"symptom", "what it says", "reason"}

# The info string of blocks with prompts, and with what is printed below them.
TRANSCRIPT: Final = "console"

_FENCE: Final = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def name_of(document: Path) -> str:
    """Return how a test's id calls it."""
    return str(document.relative_to(ROOT))


def prose(text: str) -> str:
    """Return a text without its code blocks, fenced or indented; what is between backticks stays."""
    kept: list[str] = []
    is_code, before = False, ""
    for line in _FENCE.sub("\n", text).splitlines():
        is_code = line.startswith("    ") and (is_code or not before.strip())
        if not is_code:
            kept.append(line)
        before = line
    return "\n".join(kept)


def blocks(text: str, info: str) -> list[str]:
    """Return the fenced blocks with an info string, which is what follows the three backticks."""
    return [body for _, found, body in _FENCE.findall(text) if found == info]


def without_blocks(text: str, info: str) -> str:
    """Return a text without the fenced blocks that have an info string."""
    return _FENCE.sub(lambda match: "" if match[2] == info else match[0], text)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading of the second level."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all tables, without their heads."""
    found: list[list[str]] = []
    for table in re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE):
        found += [
            [cell.strip() for cell in line.strip().strip("|").split(" | ")]
            for line in table.splitlines()[2:]
        ]
    return found


def messages(text: str) -> list[str]:
    """Return what stands between backticks in the first column of each table of messages."""
    found: list[str] = []
    for table in re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE):
        head = table.partition(" | ")[0].strip("| ")
        if head in MESSAGE_HEADS:
            found += [each for row in rows(table) for each in quoted(row[0])]
    return found


def quoted(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`\n]+)`", text)


@functools.cache
def strings_of_the_code() -> str:
    """Return all string constants of the packages; parts of f-strings and of % formats stand apart."""
    found: list[str] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            found += _strings(path)
    return "\0".join(found)


def _strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"%[.\d]*[sdgfr]", "\0", node.value)
