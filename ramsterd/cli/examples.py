"""Examples: a line for each command, as an operator types it, for `--help` and manual pages.  Pure but for click's type."""

from typing import Final

import click

from ramsterd.cli.statuses import OF_COMMANDS

EXAMPLES: Final[dict[str, str]] = {
    "ramsterctl bench": "ramsterctl bench --path /var/lib",
    "ramsterctl cluster add-node": "ramsterctl cluster add-node delta=10.0.0.4 --from rack7",
    "ramsterctl cluster init": (
        "ramsterctl cluster init --name rack7 --nodes alpha=10.0.0.1,beta=10.0.0.2 --out rack7"
    ),
    "ramsterctl cluster renew": "ramsterctl cluster renew alpha --from rack7 --out renewed",
    "ramsterctl completion": 'eval "$(ramsterctl completion bash)"',
    "ramsterctl config reload": "ramsterctl config reload --node beta",
    "ramsterctl demo": "ramsterctl demo",
    "ramsterctl doctor": "ramsterctl doctor --swap",
    "ramsterctl events": "ramsterctl events --cluster --since 1h --follow",
    "ramsterctl export add": "ramsterctl export add scratch --size 16GiB",
    "ramsterctl export remove": "ramsterctl export remove scratch --force",
    "ramsterctl export reset": "ramsterctl export reset swap0",
    "ramsterctl export resize": "ramsterctl export resize scratch --size 32GiB",
    "ramsterctl exports": "ramsterctl exports --cluster -o wide",
    "ramsterctl health": "ramsterctl health --cluster",
    "ramsterctl health mute": "ramsterctl health mute NODE_DOWN --for 1h",
    "ramsterctl health unmute": "ramsterctl health unmute NODE_DOWN",
    "ramsterctl job cancel": "ramsterctl job cancel drain-4",
    "ramsterctl job watch": "ramsterctl job watch drain-4",
    "ramsterctl jobs": "ramsterctl jobs --cluster",
    "ramsterctl log-level": "ramsterctl log-level net debug --for 10m",
    "ramsterctl memory set": "ramsterctl memory set --budget 8GiB --node beta",
    "ramsterctl memory show": "ramsterctl memory show --cluster",
    "ramsterctl nbd attach": "ramsterctl nbd attach swap0 /dev/nbd0",
    "ramsterctl nbd detach": "ramsterctl nbd detach /dev/nbd0",
    "ramsterctl nbd list": "ramsterctl nbd list",
    "ramsterctl node add": (
        "ramsterctl node add --number 4 --name delta --address 10.0.0.4 --zone rack2"
    ),
    "ramsterctl node cordon": "ramsterctl node cordon gamma",
    "ramsterctl node drain": 'ramsterctl node drain gamma --deadline 2h -m "a new kernel"',
    "ramsterctl node remove": "ramsterctl node remove gamma",
    "ramsterctl node set": "ramsterctl node set gamma --address 10.0.1.3",
    "ramsterctl node uncordon": "ramsterctl node uncordon gamma",
    "ramsterctl nodes": "ramsterctl nodes -o wide",
    "ramsterctl pool reset": "ramsterctl pool reset 1000 cache",
    "ramsterctl pools": "ramsterctl pools --cluster",
    "ramsterctl restart": "ramsterctl restart --node beta",
    "ramsterctl status": "ramsterctl status --node beta",
    "ramsterctl stop": "ramsterctl stop",
    "ramsterctl top": "ramsterctl top --cluster",
    "ramsterctl verify": "ramsterctl verify --invariants",
    "ramsterctl version": "ramsterctl version",
}


def complete_help(command: click.Command, path: str) -> None:
    """Have `--help` of a command, and of those below it, show an example and what is special of their statuses."""
    parts = []
    if path in EXAMPLES:
        parts.append(f"Example: {EXAMPLES[path]}")
    if special := OF_COMMANDS.get(path):
        told = ", ".join(f"{status} {text}" for status, text in special.items())
        parts.append(f"Exit status: {told}.")
    command.epilog = "\n\n".join(parts) or None
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            complete_help(child, f"{path} {name}")
