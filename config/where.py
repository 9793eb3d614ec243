"""Where in a TOML file a key stands, as an operator is told.  Pure.

Errors carry the path of a key, such as `export[1].name`, which counts rows from 0.  People count
from 1 and know rows by their names and lines: `export 2 ("disk1"), line 14: name`.

tomllib tells no lines, so the text is scanned for the headers of tables and for plain `key = value`
lines.  TOML has other ways to write a row, and a text of several lines may look like a header: a
line is told only if there are as many headers as rows.
"""

import re
import tomllib
from typing import Final

# A key in a row of an array of tables, or an entry of an array: `node[1].port`, `tmem.users[0]`,
# `node[alpha].port`.
_IN_ROW: Final = re.compile(r"(?P<table>[a-z_.]+)\[(?P<row>[^\]]+)\](?:\.(?P<key>.+))?", re.DOTALL)
_NAME_CHARACTERS_MAX: Final = 64


def show_key(key: str) -> str:
    """Return the path of a key in words: `export 2: name`."""
    return _join(key, "")


def key_of(key: str) -> str:
    """Return the path of a key as a part of a sentence: `the name of export 2`."""
    match = _IN_ROW.fullmatch(key)
    if match is None:
        return key
    row = _row(match["table"], match["row"])
    return f"the {match['key']} of {row}" if match["key"] else row


def locate(key: str, text: str) -> str:
    """Return the path of a key in words, with the name and the line of its row in a TOML text, where these are known."""
    match = _IN_ROW.fullmatch(key)
    if match is None or not match["row"].isdecimal() or "." in match["table"]:
        return show_key(key)
    table, index = match["table"], int(match["row"])
    rows = _rows(text, table)
    if index >= len(rows):
        return show_key(key)
    name = rows[index].get("name")
    is_name = isinstance(name, str) and name.isprintable() and len(name) <= _NAME_CHARACTERS_MAX
    more = f' ("{name}")' if name and is_name else ""
    if line := _line(text.split("\n"), table, index, len(rows), match["key"] or ""):
        more += f", line {line}"
    return _join(key, more)


def _join(key: str, more: str) -> str:
    match = _IN_ROW.fullmatch(key)
    if match is None:
        return key
    row = _row(match["table"], match["row"])
    return f"{row}{more}: {match['key']}" if match["key"] else f"{row}{more}"


def _row(table: str, row: str) -> str:
    """Return a row, counted from 1, or by its name."""
    if not row.isdecimal():
        return f'{table} "{row}"'
    between = " entry " if "." in table else " "
    return f"{table}{between}{int(row) + 1}"


def _rows(text: str, table: str) -> list[dict[str, object]]:
    try:
        rows = tomllib.loads(text).get(table)
    except (ValueError, RecursionError):
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return []
    return rows


def _line(lines: list[str], table: str, index: int, rows_count: int, key: str) -> int:
    """Return the line of a key in a row, or of the header of the row; 0: not to be told."""
    header = re.compile(rf"\s*\[\[\s*{re.escape(table)}\s*\]\]\s*(#.*)?")
    headers = [number for number, line in enumerate(lines, 1) if header.fullmatch(line)]
    if len(headers) != rows_count:
        return 0
    begin = headers[index]
    assignment = re.compile(rf"\s*{re.escape(key)}\s*=")
    for number in range(begin + 1, len(lines) + 1):
        if lines[number - 1].lstrip().startswith("["):
            break
        if key and assignment.match(lines[number - 1]):
            return number
    return begin
