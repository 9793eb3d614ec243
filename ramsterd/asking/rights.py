"""Rights: what an operator of another node may ask this one.  A fixed list.

Every peer with an open link may ask, so the list is about the link: a plain one proves no name.
"""

import enum
from typing import Final

from config.reader import show


class Right(enum.Enum):
    """What a command needs, if it comes from another node."""

    # It shows something: any link will do.
    LINK = enum.auto()
    # It changes something: both ends have proved who they are.
    TLS = enum.auto()
    # It ends pages, or what keeps them: the machine itself.
    MACHINE = enum.auto()


RIGHTS: Final = {
    **dict.fromkeys(
        (
            *(
                "config",
                "events",
                "export-change",
                "health",
                "job",
                "jobs",
                "log-level",
                "membership",
                "nodes",
            ),
            *("overview", "pools", "self-report", "status", "version"),
        ),
        Right.LINK,
    ),
    **dict.fromkeys(
        (
            *(
                "config-reload",
                "export-add",
                "health-mute",
                "health-unmute",
                "job-cancel",
                "log-level-reset",
                "log-level-set",
            ),
            *("memory-set", "node-add", "node-cordon", "node-drain", "node-set", "node-uncordon"),
            *("restart", "verify"),
        ),
        Right.TLS,
    ),
    **dict.fromkeys(
        ("export-remove", "export-reset", "export-resize", "node-remove", "pool-reset", "stop"),
        Right.MACHINE,
    ),
}


def why_not(command: str, *, has_tls: bool, node: str) -> str:
    """Return why the node of this name does not do a command for another one; empty: it does.

    One that is not in the list, because it is new or is none, is done for nobody.
    """
    if command not in RIGHTS:
        return f"node {node} has no command {show(command)} for other nodes: type it on the machine of {node}"
    match RIGHTS[command]:
        case Right.LINK:
            return ""
        case Right.TLS:
            if has_tls:
                return ""
            return (
                f"node {node} does {command} for no other node, because its links are plaintext and prove nobody's"
                f" name: set [tls], or type the command on the machine of {node}"
            )
        case Right.MACHINE:
            return (
                f"node {node} does {command} for no other node, because pages can end with it:"
                f" type the command on the machine of {node}"
            )
