"""A TOML text as statements: lines with a header, with a key and its value, with a comment, or with nothing.  Pure.

The text is known to be TOML: a library has read it.
"""

import re
import tomllib
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

_PART: Final = r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
_PARTS: Final = re.compile(_PART)
_KEY: Final = re.compile(rf"(?:{_PART})(?:[ \t]*\.[ \t]*(?:{_PART}))*")
_SPACE: Final = re.compile(r"[ \t]*")
# Of a value that is known to be one: strings, which hide all else; comments; brackets; ends of lines.
_TOKEN: Final = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*\''''
    r"""|#[^\n]*|\r?\n|[\[\]{}]|[ \t]+|[^"'#\[\]{} \t\r\n]+""",
    re.DOTALL,
)


class Kind(Enum):
    """What a statement is: `ROW` is the header of a row, `[[table]]`."""

    BLANK = auto()
    COMMENT = auto()
    TABLE = auto()
    ROW = auto()
    KEY = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    """Whole lines of the text, from `begin` to `end`."""

    kind: Kind
    begin: int
    end: int
    # Of a header or a key.
    path: tuple[str, ...] = ()
    # Where the value of a key stands.
    value: tuple[int, int] = (0, 0)

    @property
    def is_header(self) -> bool:
        """Whether it begins a table or a row."""
        return self.kind in {Kind.TABLE, Kind.ROW}


def statements_of(text: str) -> list[Statement]:
    """Return all statements of a text, which are all of its lines."""
    found, begin = [], 0
    while begin < len(text):
        found.append(_statement(text, begin))
        begin = found[-1].end
    return found


def _statement(text: str, begin: int) -> Statement:
    start = _skip_space(text, begin)
    match text[start : start + 1]:
        case "" | "\r" | "\n":
            return Statement(Kind.BLANK, begin, _end_of_line(text, start))
        case "#":
            return Statement(Kind.COMMENT, begin, _end_of_line(text, start))
        case "[":
            is_row = text.startswith("[[", start)
            path, end = _key(text, start + (2 if is_row else 1))
            kind = Kind.ROW if is_row else Kind.TABLE
            return Statement(kind, begin, _end_of_line(text, end), path)
        case _:
            path, end = _key(text, start)
            value = _value(text, _skip_space(text, end) + 1)
            return Statement(Kind.KEY, begin, _end_of_line(text, value[1]), path, value)


def _skip_space(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    assert match is not None
    return match.end()


def _end_of_line(text: str, place: int) -> int:
    return text.find("\n", place) + 1 or len(text)


def _key(text: str, place: int) -> tuple[tuple[str, ...], int]:
    """Return the parts of a key, and where it ends."""
    match = _KEY.match(text, _skip_space(text, place))
    assert match is not None, "the text is TOML"
    return tuple(_part(each) for each in _PARTS.findall(match[0])), match.end()


def _part(raw: str) -> str:
    if raw.startswith('"'):
        return str(tomllib.loads(f"key = {raw}")["key"])
    return raw[1:-1] if raw.startswith("'") else raw


def _value(text: str, place: int) -> tuple[int, int]:
    """Return where the value begins and ends that stands at a place, or behind spaces there."""
    begin = end = _skip_space(text, place)
    depth = 0
    for match in _TOKEN.finditer(text, begin):
        token = match[0]
        is_comment_or_end = token[0] in "#\r\n"
        if is_comment_or_end and depth == 0:
            break
        if token in {"[", "{"}:
            depth += 1
        elif token in {"]", "}"}:
            depth -= 1
        if not is_comment_or_end and not token.isspace():
            end = match.end()
    return begin, end
