"""Change the members in the text of a cluster file, and nothing else: comments, order and layout stay.  Pure."""

import dataclasses
from pathlib import Path
from typing import Final

from config.errors import ConfigError
from config.model import ClusterConfig, NodeConfig
from config.reader import read_toml
from config.toml_rows import CannotEdit, RowEdits

TABLE: Final = "node"
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
    says = read_toml(text.encode(), ClusterConfig, file=file, folder=Path())
    expected = f"a cluster file whose members stand in [[{TABLE}]] tables"
    try:
        edits = RowEdits(text, TABLE)
    except CannotEdit as error:
        raise ConfigError(file, TABLE, str(error), expected) from None
    for key in VERSION_KEYS:
        if getattr(says, key) != (value := getattr(wanted, key)):
            edits.set_top_value(key, value, behind="name")
    _change_members(edits, says.node, wanted.node)
    new = edits.text
    if new != text:
        says = read_toml(new.encode(), ClusterConfig, file=file, folder=Path())
    if says.in_order() != wanted.in_order():
        raise ConfigError(file, "", "a layout in which members can't be changed", expected)
    return new


def _change_members(
    edits: RowEdits, members: tuple[NodeConfig, ...], wanted: tuple[NodeConfig, ...]
) -> None:
    nodes = {node.number: node for node in wanted}
    for place, member in enumerate(members):
        node = nodes.get(member.number)
        if node is None:
            edits.remove_row(place)
        else:
            _change_member(edits, place, member, node)
    present = {member.number for member in members}
    for node in wanted:
        if node.number not in present:
            values = dataclasses.asdict(node).items()
            edits.append_row({key: each for key, each in values if each != _DEFAULTS.get(key)})


def _change_member(edits: RowEdits, place: int, member: NodeConfig, node: NodeConfig) -> None:
    for key, value in dataclasses.asdict(node).items():
        if key in ORDER_KEYS and value == _DEFAULTS[key]:
            edits.remove_key(place, key)
        elif value != getattr(member, key):
            edits.set_value(place, key, value)
