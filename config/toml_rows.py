"""Change the rows of an array of tables in a TOML text, and nothing else.  Pure.

A change adds, removes or replaces whole statements (`toml_statements`), or one value, so all other
lines stay as they are, to the byte.  The result is read again and must say what is wanted: a layout
that this can't change (rows in an inline array, a part of a row elsewhere) is refused.

Comments that go on to a header without a blank line speak of what follows that header.  So a row
begins with those above its header.  It ends behind its last key, or behind the comments that follow
that key without a blank line and do not go on to the next header.
"""

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from config.toml_statements import Kind, Statement, statements_of

Value: TypeAlias = str | int | bool

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


class CannotEdit(ValueError):
    """The layout of the text does not allow the change; the message says what was found."""


@dataclass(frozen=True, slots=True)
class _Row:
    """Indexes of statements: the first of all, the header, the last key of the row itself, the last of all."""

    first: int
    head: int
    key: int
    last: int


class RowEdits:
    """Changes of one text, all of which `text` then makes.

    Rows have the indexes that they have in the text as it was.  Whether the result says what is
    wanted is for the caller to see: see `append_row` and the others.
    """

    def __init__(self, text: str, table: str) -> None:
        """Begin without a change.

        Raises:
            CannotEdit: The rows do not stand in `[[table]]` tables.
            ValueError: The text is no TOML.
        """
        self._newline = _newline_of(text)
        self._text = text
        self._table = table
        self._statements, self._rows = _find_rows(self._text, table)
        # What stands from here to there from now on, in the order in which it was said.
        self._edits: list[tuple[int, int, str]] = []
        self._appended: list[str] = []

    def append_row(self, values: Mapping[str, Value]) -> None:
        """Have one more row, behind the last one, or at the end.

        A blank line stands before it, unless the last row has none before it or behind it either,
        and does not end with a comment.
        """
        lines = [f"[[{self._table}]]", *(_assignment(key, each) for key, each in values.items())]
        self._appended.append("".join(f"{line}{self._newline}" for line in lines))

    def remove_row(self, index: int) -> None:
        """Have a row no more, nor its comments, nor one of two blank lines that would meet."""
        row, statements = self._rows[index], self._statements
        first, behind = row.first, row.last + 1
        is_blank_before = first > 0 and _is_blank(statements, first - 1)
        is_blank_behind = behind == len(statements) or _is_blank(statements, behind)
        if is_blank_before and is_blank_behind:
            first -= 1
        self._edits.append((statements[first].begin, statements[row.last].end, ""))

    def set_value(self, index: int, key: str, value: Value) -> None:
        """Have another value of a key in a row; a new key stands behind the others."""
        found = self._find_key(index, key)
        if found is not None:
            self._edits.append((*found.value, _written(value)))
        else:
            self._add_line(self._statements[self._rows[index].key].end, key, value)

    def remove_key(self, index: int, key: str) -> None:
        """Have a key in a row no more, nor the rest of its lines."""
        found = self._find_key(index, key)
        if found is not None:
            self._edits.append((found.begin, found.end, ""))

    def set_top_value(self, key: str, value: Value, *, behind: str) -> None:
        """Have another value of a key above all tables; a new one stands behind another key, or at the beginning."""
        top = {
            each.path: each
            for each in self._statements[: self._top_length()]
            if each.kind is Kind.KEY
        }
        if (found := top.get((key,))) is not None:
            self._edits.append((*found.value, _written(value)))
        else:
            before = top.get((behind,))
            self._add_line(0 if before is None else before.end, key, value)

    @property
    def text(self) -> str:
        """Return the text with all changes."""
        edits = list(self._edits)
        if self._appended:
            edits.append(self._edit_that_appends())
        length = len(self._text)
        is_open = bool(self._text) and not self._text.endswith("\n")
        if is_open and any(begin == length for begin, _, _ in edits):
            # What is added behind the last line begins on one of its own, unless that goes.
            goes = any(end == length and not new for _, end, new in edits)
            edits.insert(0, (length, length, "" if goes else self._newline))
        # Of one place: in the order in which they were said.
        edits.sort(key=lambda edit: edit[0])
        pieces, done = [], 0
        for begin, end, new in edits:
            pieces += [self._text[done:begin], new]
            done = end
        return "".join([*pieces, self._text[done:]])

    def has_key(self, index: int, key: str) -> bool:
        """Whether a row says anything of a key."""
        return self._find_key(index, key) is not None

    def _find_key(self, index: int, key: str) -> Statement | None:
        row = self._rows[index]
        own = self._statements[row.head : row.key + 1]
        return next((each for each in own if each.kind is Kind.KEY and each.path == (key,)), None)

    def _top_length(self) -> int:
        headers = (index for index, each in enumerate(self._statements) if each.is_header)
        return next(headers, len(self._statements))

    def _add_line(self, place: int, key: str, value: Value) -> None:
        self._edits.append((place, place, _assignment(key, value) + self._newline))

    def _edit_that_appends(self) -> tuple[int, int, str]:
        statements, rows = self._statements, self._rows
        place = statements[rows[-1].last].end if rows else len(self._text)
        is_apart = not rows and bool(statements) and _is_blank(statements, -1)
        between = "" if _is_dense(statements, rows) else self._newline
        before = between if place and not is_apart else ""
        return place, place, before + between.join(self._appended)


def append_row(text: str, table: str, values: Mapping[str, Value]) -> str:
    """Return the text with one more row (`RowEdits.append_row`).

    Raises:
        CannotEdit: The rows do not stand in `[[table]]` tables.
        ValueError: The text is no TOML.
    """
    edits = RowEdits(text, table)
    edits.append_row(values)

    def wanted(says: dict[str, Any]) -> None:
        says.setdefault(table, []).append(dict(values))

    return _verified(text, edits.text, wanted)


def remove_row(text: str, table: str, index: int) -> str:
    """Return the text without a row (`RowEdits.remove_row`).

    Raises:
        CannotEdit: The rows do not stand in `[[table]]` tables, or a part of this one elsewhere.
        ValueError: The text is no TOML.
    """
    edits = RowEdits(text, table)
    edits.remove_row(index)

    def wanted(says: dict[str, Any]) -> None:
        del says[table][index]
        if not says[table]:
            del says[table]

    return _verified(text, edits.text, wanted)


def set_value(text: str, table: str, index: int, key: str, value: Value) -> str:
    """Return the text with another value of a key in a row (`RowEdits.set_value`).

    Raises:
        CannotEdit: The rows do not stand in `[[table]]` tables, or the key has parts.
        ValueError: The text is no TOML.
    """
    edits = RowEdits(text, table)
    edits.set_value(index, key, value)

    def wanted(says: dict[str, Any]) -> None:
        says[table][index][key] = value

    return _verified(text, edits.text, wanted)


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


def _is_blank(statements: list[Statement], index: int) -> bool:
    return statements[index].kind is Kind.BLANK


def _is_dense(statements: list[Statement], rows: list[_Row]) -> bool:
    """Return whether the last row follows a key, or is followed by something, without a blank line.

    Not if it ends with a comment, which would speak of the next row.
    """
    if not rows or statements[rows[-1].last].kind is Kind.COMMENT:
        return False
    head, behind = rows[-1].head, rows[-1].last + 1
    is_behind_key = head > 0 and statements[head - 1].kind is Kind.KEY
    return is_behind_key or (behind < len(statements) and not _is_blank(statements, behind))


def _newline_of(text: str) -> str:
    """Return how the first line ends, and with it the others, as a rule."""
    first = text.find("\n")
    return "\r\n" if first > 0 and text[first - 1] == "\r" else "\n"


def _find_rows(text: str, table: str) -> tuple[list[Statement], list[_Row]]:
    assert _BARE.fullmatch(table)
    present = tomllib.loads(text).get(table)
    statements = statements_of(text)
    heads = [
        index
        for index, each in enumerate(statements)
        if each.kind is Kind.ROW and each.path == (table,)
    ]
    if present is not None and (not isinstance(present, list) or len(heads) != len(present)):
        raise CannotEdit(f"no [[{table}]] tables")
    if present == []:
        raise CannotEdit(f"an empty array instead of [[{table}]] tables")
    return statements, [_row(statements, head, table) for head in heads]


def _row(statements: list[Statement], head: int, table: str) -> _Row:
    key = last = head
    is_itself = True
    for index in range(head + 1, len(statements)):
        each = statements[index]
        if each.is_header:
            if len(each.path) == 1 or each.path[0] != table:
                break
            is_itself = False
        if each.is_header or each.kind is Kind.KEY:
            last = index
            key = index if is_itself else key
    return _Row(_with_comments_above(statements, head), head, key, _with_comments(statements, last))


def _with_comments_above(statements: list[Statement], head: int) -> int:
    """Return the first of the comments that go on to a header, or the header."""
    first = head
    while first > 0 and statements[first - 1].kind is Kind.COMMENT:
        first -= 1
    return first


def _with_comments(statements: list[Statement], last: int) -> int:
    """Return the last of the comments behind a statement that are of the same row."""
    end = last + 1
    while end < len(statements) and statements[end].kind is Kind.COMMENT:
        end += 1
    is_of_next = end < len(statements) and statements[end].is_header
    return last if is_of_next else end - 1
