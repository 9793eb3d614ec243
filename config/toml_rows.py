"""Change the rows of an array of tables in a TOML text, and nothing else.  Pure.

The text is cut into statements: lines with a header, with a key and its value, with a comment, or
with nothing.  A change adds, removes or replaces whole statements, or one value, so all other lines
stay as they are, to the byte.  The result is read again and must say what is wanted: a layout that
this can't change (rows in an inline array, a part of a row elsewhere) is refused.

Comments that go on to a header without a blank line speak of what follows that header.  So a row
begins with those above its header.  It ends behind its last key, or behind the comments that follow
that key without a blank line and do not go on to the next header.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final, TypeAlias

Value: TypeAlias = str | int | bool

_PART: Final = r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'"""
_PARTS: Final = re.compile(_PART)
_KEY: Final = re.compile(rf"(?:{_PART})(?:[ \t]*\.[ \t]*(?:{_PART}))*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SPACE: Final = re.compile(r"[ \t]*")
# Of a value that is known to be one: strings, which hide all else; comments; brackets; ends of lines.
_TOKEN: Final = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*\''''
    r"""|#[^\n]*|\r?\n|[\[\]{}]|[ \t]+|[^"'#\[\]{} \t\r\n]+""",
    re.DOTALL,
)


class CannotEdit(ValueError):
    """The layout of the text does not allow the change; the message says what was found."""


class _Kind(Enum):
    BLANK = auto()
    COMMENT = auto()
    TABLE = auto()
    ROW = auto()
    KEY = auto()


@dataclass(frozen=True, slots=True)
class _Statement:
    """Whole lines of the text, from `begin` to `end`."""

    kind: _Kind
    begin: int
    end: int
    # Of a header or a key.
    path: tuple[str, ...] = ()
    # Where the value of a key stands.
    value: tuple[int, int] = (0, 0)

    @property
    def is_header(self) -> bool:
        return self.kind in {_Kind.TABLE, _Kind.ROW}


@dataclass(frozen=True, slots=True)
class _Row:
    """Indexes of statements: the first of all, the header, the last key of the row itself, the last of all."""

    first: int
    head: int
    key: int
    last: int


def append_row(text: str, table: str, values: Mapping[str, Value]) -> str:
    """Return the text with one more row, behind the last one, or at the end.

    A blank line stands before it, unless the last row has none before it or behind it either, and
    does not end with a comment.

    Raises:
        CannotEdit: The rows do not stand in `[[table]]` tables.
        ValueError: The text is no TOML.
    """
    statements, rows = _find_rows(text, table)
    newline = _newline_of(text)
    lines = [f"[[{table}]]", *(_assignment(key, value) for key, value in values.items())]
    block = "".join(f"{line}{newline}" for line in lines)
    place = statements[rows[-1].last].end if rows else len(text)
    before = _ended(text[:place], newline)
    is_apart = not rows and bool(statements) and _is_blank(statements, -1)
    if before and not is_apart and not _is_dense(statements, rows):
        before += newline

    def wanted(says: dict[str, Any]) -> None:
        says.setdefault(table, []).append(dict(values))

    return _verified(text, before + block + text[place:], wanted)


def remove_row(text: str, table: str, index: int) -> str:
    """Return the text without a row and its comments, and without one of two blank lines that would meet.

    Raises:
        CannotEdit: The rows do not stand in `[[table]]` tables, or a part of this one elsewhere.
        ValueError: The text is no TOML.
    """
    statements, rows = _find_rows(text, table)
    row = rows[index]
    first, behind = row.first, row.last + 1
    is_blank_before = first > 0 and _is_blank(statements, first - 1)
    is_blank_behind = behind == len(statements) or _is_blank(statements, behind)
    if is_blank_before and is_blank_behind:
        first -= 1

    def wanted(says: dict[str, Any]) -> None:
        del says[table][index]
        if not says[table]:
            del says[table]

    return _verified(
        text, text[: statements[first].begin] + text[statements[row.last].end :], wanted
    )


def set_value(text: str, table: str, index: int, key: str, value: Value) -> str:
    """Return the text with another value of a key in a row; a new key stands behind the others.

    Raises:
        CannotEdit: The rows do not stand in `[[table]]` tables, or the key has parts.
        ValueError: The text is no TOML.
    """
    statements, rows = _find_rows(text, table)
    row = rows[index]
    own = statements[row.head : row.key + 1]
    found = next((each for each in own if each.kind is _Kind.KEY and each.path == (key,)), None)
    if found is not None:
        start, stop = found.value
        new = text[:start] + _written(value) + text[stop:]
    else:
        place, newline = statements[row.key].end, _newline_of(text)
        before = _ended(text[:place], newline)
        new = before + _assignment(key, value) + newline + text[place:]

    def wanted(says: dict[str, Any]) -> None:
        says[table][index][key] = value

    return _verified(text, new, wanted)


def _verified(text: str, new: str, change: Callable[[dict[str, Any]], None]) -> str:
    """Return the new text, if it says what the old one did, but for the change."""
    wanted = tomllib.loads(text)
    change(wanted)
    try:
        says = tomllib.loads(new)
    except tomllib.TOMLDecodeError:
        says = {}
    if not _is_same(says, wanted):
        raise CannotEdit("a row of which a part stands elsewhere")
    return new


def _is_same(one: object, other: object) -> bool:
    match one, other:
        case dict(), dict():
            return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
        case list(), list():
            return len(one) == len(other) and all(map(_is_same, one, other))
        case _:
            # As texts: there a nan is like another one, and 1 is neither 1.0 nor true.
            return repr(one) == repr(other)


def _written(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            # What JSON escapes, TOML reads; and TOML wants one character more escaped.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _assignment(key: str, value: Value) -> str:
    assert _BARE.fullmatch(key)
    return f"{key} = {_written(value)}"


def _is_blank(statements: list[_Statement], index: int) -> bool:
    return statements[index].kind is _Kind.BLANK


def _is_dense(statements: list[_Statement], rows: list[_Row]) -> bool:
    """Return whether the last row follows a key, or is followed by something, without a blank line.

    Not if it ends with a comment, which would speak of the next row.
    """
    if not rows or statements[rows[-1].last].kind is _Kind.COMMENT:
        return False
    head, behind = rows[-1].head, rows[-1].last + 1
    is_behind_key = head > 0 and statements[head - 1].kind is _Kind.KEY
    return is_behind_key or (behind < len(statements) and not _is_blank(statements, behind))


def _newline_of(text: str) -> str:
    """Return how the first line ends, and with it the others, as a rule."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _ended(text: str, newline: str) -> str:
    """Return a text whose last line has an end."""
    return text if not text or text.endswith("\n") else text + newline


def _find_rows(text: str, table: str) -> tuple[list[_Statement], list[_Row]]:
    assert _BARE.fullmatch(table)
    present = tomllib.loads(text).get(table)
    statements = _statements(text)
    heads = [
        index
        for index, each in enumerate(statements)
        if each.kind is _Kind.ROW and each.path == (table,)
    ]
    if present is not None and (not isinstance(present, list) or len(heads) != len(present)):
        raise CannotEdit(f"no [[{table}]] tables")
    if present == []:
        raise CannotEdit(f"an empty array instead of [[{table}]] tables")
    return statements, [_row(statements, head, table) for head in heads]


def _row(statements: list[_Statement], head: int, table: str) -> _Row:
    key = last = head
    is_itself = True
    for index in range(head + 1, len(statements)):
        each = statements[index]
        if each.is_header:
            if len(each.path) == 1 or each.path[0] != table:
                break
            is_itself = False
        if each.is_header or each.kind is _Kind.KEY:
            last = index
            key = index if is_itself else key
    return _Row(_with_comments_above(statements, head), head, key, _with_comments(statements, last))


def _with_comments_above(statements: list[_Statement], head: int) -> int:
    """Return the first of the comments that go on to a header, or the header."""
    first = head
    while first > 0 and statements[first - 1].kind is _Kind.COMMENT:
        first -= 1
    return first


def _with_comments(statements: list[_Statement], last: int) -> int:
    """Return the last of the comments behind a statement that are of the same row."""
    end = last + 1
    while end < len(statements) and statements[end].kind is _Kind.COMMENT:
        end += 1
    is_of_next = end < len(statements) and statements[end].is_header
    return last if is_of_next else end - 1


# The statements of a text that is known to be TOML.


def _statements(text: str) -> list[_Statement]:
    found, begin = [], 0
    while begin < len(text):
        found.append(_statement(text, begin))
        begin = found[-1].end
    return found


def _statement(text: str, begin: int) -> _Statement:
    start = _skip_space(text, begin)
    match text[start : start + 1]:
        case "" | "\r" | "\n":
            return _Statement(_Kind.BLANK, begin, _end_of_line(text, start))
        case "#":
            return _Statement(_Kind.COMMENT, begin, _end_of_line(text, start))
        case "[":
            is_row = text.startswith("[[", start)
            path, end = _key(text, start + (2 if is_row else 1))
            kind = _Kind.ROW if is_row else _Kind.TABLE
            return _Statement(kind, begin, _end_of_line(text, end), path)
        case _:
            path, end = _key(text, start)
            value = _value(text, _skip_space(text, end) + 1)
            return _Statement(_Kind.KEY, begin, _end_of_line(text, value[1]), path, value)


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
