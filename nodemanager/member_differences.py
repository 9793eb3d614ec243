"""How two memberships differ, in one line for people.  Pure."""

from dataclasses import fields
from typing import Final

from config.model import ClusterConfig, NodeConfig

# More make a line that nobody reads.
DIFFERENCES_SHOWN_MAX: Final = 16
# Keys of a member that say more of its drain: the log has what `draining` is, and jobs have these.
_ORDER_KEYS: Final = frozenset(
    each.name for each in fields(NodeConfig) if each.name.startswith("drain_")
)


def differences(old: ClusterConfig, new: ClusterConfig) -> str:
    """Return in one line how the members of `new` differ from those of `old`.

    Empty if they do not.
    """
    before = {node.number: node for node in old.node}
    after = {node.number: node for node in new.node}
    told = [
        f"{node.name} ({number}) is gone" for number, node in before.items() if number not in after
    ]
    for number, node in after.items():
        if number not in before:
            told.append(f"{node.name} ({number}) is new")
            continue
        told += [
            _describe(node, each.name, getattr(before[number], each.name))
            for each in fields(NodeConfig)
            if each.name not in _ORDER_KEYS
            and getattr(node, each.name) != getattr(before[number], each.name)
        ]
    shown = told[:DIFFERENCES_SHOWN_MAX]
    if len(told) > len(shown):
        shown.append(f"and {len(told) - len(shown)} more")
    return "; ".join(shown)


def _describe(node: NodeConfig, key: str, before: object) -> str:
    """Return in one sentence what a member is now, of which one key was different before."""
    value = getattr(node, key)
    who = f"{node.name} ({node.number})"
    if isinstance(value, bool):  # cordoned, draining
        return f"{who} is {key}" if value else f"{who} is no longer {key}"
    return f"{key} of {who} is {value!r}, was {before!r}"
