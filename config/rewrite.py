"""Change the members in the text of a cluster file, and nothing else: comments, order and layout stay.  Pure."""

import dataclasses
import itertools
import re
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from config.errors import ConfigError
from config.model import ClusterConfig, NodeConfig
from config.reader import read_toml, show

VERSION_KEYS: Final = ("membership_version", "membership_origin")
# Keys of a member that only a command writes, and that say nothing at their defaults.
ORDER_KEYS: Final = tuple(
    each.name for each in dataclasses.fields(NodeConfig) if each.name.startswith("drain_")
)
# Keys of a member that a file need not have.
_DEFAULTS: Final = {
    each.name: each.default
    for each in dataclasses.fields(NodeConfig)
    if each.default is not dataclasses.MISSING
}


def rewrite_members(text: str, wanted: ClusterConfig, *, file: str) -> str:
    """Return the text with the members and the version of `wanted`.

    The result is read again and must say exactly what is wanted, so a layout that this can't change
    ends in an error and not in another cluster.

    Raises:
        ConfigError: The text is no cluster file, or differs from `wanted` in more than its members.
    """
    expected = "a cluster file whose members stand in [[node]] tables"
    # What it says now is judged first: tomlkit is more lenient, and its complaints are not meant
    # for operators.
    read_toml(text.encode(), ClusterConfig, file=file, folder=Path())
    try:
        document = tomlkit.parse(_with_version_keys(text))
        rows = document.get("node")
        if not isinstance(rows, AoT):
            raise ConfigError(file, "node", "no [[node]] tables", expected)
        for key in VERSION_KEYS:
            if document.get(key, 0) != (value := getattr(wanted, key)):
                document[key] = value
        _rewrite_rows(rows, wanted.node)
        new = tomlkit.dumps(document)
    except TOMLKitError as error:
        found = f"text that can't be changed ({show(str(error))})"
        raise ConfigError(file, "", found, expected) from None
    says = read_toml(new.encode(), ClusterConfig, file=file, folder=Path())
    if says.in_order() != wanted.in_order():
        raise ConfigError(file, "", "a layout in which members can't be changed", expected)
    return new


def _with_version_keys(text: str) -> str:
    """Put the keys of the version below the name, where no comment on the next table comes before them."""
    lines = text.splitlines(keepends=True)
    top = list(itertools.takewhile(lambda line: not line.lstrip().startswith("["), lines))
    missing = [key for key in VERSION_KEYS if not any(_is_key(line, key) for line in top)]
    place = next((i for i, line in enumerate(top) if _is_key(line, "name")), None)
    if place is not None and missing:
        lines[place] = lines[place].rstrip("\r\n") + "\n"
        lines[place + 1 : place + 1] = [f"{key} = 0\n" for key in missing]
    return "".join(lines)


def _is_key(line: str, key: str) -> bool:
    return re.match(rf"\s*{key}\s*=", line) is not None


def _rewrite_rows(rows: AoT, wanted: tuple[NodeConfig, ...]) -> None:
    nodes = {node.number: node for node in wanted}
    for place in reversed(range(len(rows))):
        row = rows[place]
        node = nodes.get(row["number"])
        if node is None:
            _remove(rows, place)
        else:
            _rewrite_row(row, node)
    present = {row["number"] for row in rows}
    for node in wanted:
        if node.number not in present:
            _append(rows, node)


def _rewrite_row(row: Table, node: NodeConfig) -> None:
    for key, value in dataclasses.asdict(node).items():
        if key not in row and value == _DEFAULTS.get(key):
            continue
        if key in ORDER_KEYS and value == _DEFAULTS[key]:
            del row[key]
        elif key not in row:
            _insert(row, key, value)
        elif row[key] != value:
            row[key] = value


def _insert(row: Table, key: str, value: object) -> None:
    """Add a key behind the last one: what follows that may be a comment on the next table."""
    last = max(i for i, (each, _) in enumerate(row.value.body) if each is not None)
    tail = _cut_tail(row, last)
    if not row.as_string().endswith("\n"):
        row.add(tomlkit.nl())
    row.add(key, tomlkit.item(value))
    _extend(row, tail)


def _remove(rows: AoT, place: int) -> None:
    """Take a member out; comments behind its last key may speak of the next one, so they stay."""
    row = rows[place]
    last = max(i for i, (each, _) in enumerate(row.value.body) if each is not None)
    tail = _cut_tail(row, last)
    del rows[place]
    if not any(item.as_string().strip() for item in tail):
        return
    if place:
        _extend(rows[place - 1], tail)
    elif len(rows):
        # No row comes before: it stands in front of the next one's head.
        trivia = rows[0].trivia
        trivia.indent = "".join(item.as_string() for item in tail) + trivia.indent


def _append(rows: AoT, node: NodeConfig) -> None:
    table = tomlkit.table()
    for key, value in dataclasses.asdict(node).items():
        if value != _DEFAULTS.get(key):
            table.add(key, value)
    before = rows[len(rows) - 1].as_string() if len(rows) else "\n\n"
    if len(rows) and not before.endswith("\n\n"):
        last = rows[len(rows) - 1]
        if not before.endswith("\n"):
            last.add(tomlkit.nl())
        last.add(tomlkit.nl())
    rows.append(table)


def _cut_tail(row: Table, last: int) -> list[Any]:
    body = row.value.body
    tail = [item for _, item in body[last + 1 :]]
    del body[last + 1 :]
    return tail


def _extend(row: Table, tail: list[Any]) -> None:
    row.value.body.extend((None, item) for item in tail)
