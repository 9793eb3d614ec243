"""How findings name nodes and say what to type.  Pure."""

import shlex
from collections.abc import Sequence
from typing import Final

from config.model import DAEMON_FILE
from config.units import UNIT_BYTES, format_bytes
from nodemanager.states import LinkState

# What comes before the reason of a refusal: who refuses whom.
REFUSALS: Final = {
    LinkState.REFUSED_HERE: "this node refuses it: ",
    LinkState.REFUSED_THERE: "it refuses this node: ",
}
NAMES_MAX: Final = 8
_MIB: Final = UNIT_BYTES["MiB"]


def named(names: Sequence[str]) -> str:
    """Return names in a sentence; of many the first ones."""
    if len(names) > NAMES_MAX:
        return f"{', '.join(names[:NAMES_MAX])} and {len(names) - NAMES_MAX:,} more"
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def are(count: int) -> str:
    """Return the verb that goes with a number."""
    return "is" if count == 1 else "are"


def have(count: int) -> str:
    """Return the other one."""
    return "has" if count == 1 else "have"


def start_again(nodes: Sequence[str]) -> str:
    """Return how to start the daemons of nodes."""
    noun = "node" if len(nodes) == 1 else "nodes"
    return f"on {noun} {named(nodes)}: systemctl start ramsterd"


def ask_doctor(file: str, options: str = "") -> str:
    """Return how to have a machine checked, given the file of its daemon."""
    # The usual one is found without its name.
    name = "" if file == DAEMON_FILE else f"--config {shlex.quote(file)}"
    return " ".join(filter(None, ("ramsterctl doctor", options, name)))


def check_config(file: str) -> str:
    """Return how to see whether the file of a node is right."""
    return f"ramsterd check-config --config {shlex.quote(file)}"


def make_members_equal(node: str) -> str:
    """Return what makes the members of this node those of all others: a change that changes nothing."""
    return f"ramsterctl node cordon {node}, then: ramsterctl node uncordon {node}"


def more_memory_at(node: str, budget_bytes: int) -> str:
    """Return how to give another node more memory; without a size if its budget is not known."""
    line = larger_budget(budget_bytes) if budget_bytes else "ramsterctl memory show"
    return f"on node {node}: {line}"


def larger_budget(budget_bytes: int) -> str:
    """Return how to give a node a quarter more memory, in whole MiB."""
    mebibytes = -(-budget_bytes * 5 // (4 * _MIB))
    return f"ramsterctl memory set --budget {format_bytes(mebibytes * _MIB)}"
