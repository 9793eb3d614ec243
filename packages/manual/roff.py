"""Text as man(7) wants it: macros, and everything else escaped.  Pure."""

import re
from collections.abc import Iterable
from typing import Final

# Words with their own font, in the texts of click and of the samples.
_CODE: Final = re.compile(r"`([^`]+)`")


def page(name: str, section: int, title: str, *, date: str, source: str, manual: str) -> str:
    """Return the beginning of a page, up to and with its section NAME.

    Args:
        name: What the page is called.
        section: 5 for files, 8 for programs of the administrator.
        title: What `whatis` shows: one line without a full stop.
        date: As YYYY-MM-DD.
        source: The release.
        manual: What stands at the top in the middle.
    """
    head = " ".join(f'"{escape(word)}"' for word in (date, source, manual))
    return (
        f".TH {escape(name.upper())} {section} {head}\n.SH NAME\n{code(name)} \\- {prose(title)}\n"
    )


def heading(text: str) -> str:
    """Return the beginning of a section."""
    return f".SH {escape(text.upper())}\n"


def subheading(text: str) -> str:
    """Return the beginning of a subsection, which is a command or a table of a file."""
    return f'.SS "{code(text)}"\n'


def paragraph(text: str) -> str:
    """Return a paragraph; its lines don't matter."""
    return f".PP\n{prose(text)}\n"


def paragraphs(text: str) -> str:
    """Return the paragraphs of a text, which blank lines divide."""
    return "".join(paragraph(each) for each in re.split(r"\n\s*\n", text) if each.strip())


def item(terms: Iterable[str], text: str) -> str:
    """Return terms with what is said of them, indented."""
    first, *more = terms
    tags = f".TP\n{code(first)}\n" + "".join(f".TQ\n{code(each)}\n" for each in more)
    return f"{tags}{prose(text)}\n"


def prose(text: str) -> str:
    """Return running text; what stands between backticks is bold."""
    words = _CODE.split(" ".join(text.split()))
    # Odd ones stood between backticks.
    pieces = [code(each) if place % 2 else escape(each) for place, each in enumerate(words)]
    return _guard("".join(pieces))


def code(text: str) -> str:
    """Return what is typed or read as it stands: bold, and with minus signs that can be copied."""
    return f"\\fB{escape(text).replace('-', chr(92) + '-')}\\fR"


def escape(text: str) -> str:
    """Return text in which no character means something to roff."""
    return text.replace("\\", "\\e").replace('"', "\\(dq").replace("'", "\\(aq")


def join(parts: Iterable[str]) -> str:
    """Return a page: a section begins with text by itself, and man(7) warns of a paragraph there."""
    return re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", "".join(parts), flags=re.MULTILINE)


def _guard(line: str) -> str:
    """Return a line that is none of roff's own."""
    return f"\\&{line}" if line.startswith((".", "'")) else line
