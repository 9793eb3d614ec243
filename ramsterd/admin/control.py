"""The control socket of a node: its commands here, and the way to those of other nodes."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ramsterd.admin.ask_command import ask_node
from ramsterd.admin.socket import Command, ControlServer, answer
from ramsterd.handover.arrival import Arrival
from ramsterd.pagepath.peers import Peers


def new_control(
    path: Path | None, commands: Mapping[str, Command], peers: Peers, arrival: Arrival
) -> ControlServer | None:
    """Return the server of the control socket, None without a path; other nodes are answered in any case."""
    reply = partial(answer, commands=commands)
    peers.asking.answer = reply
    if path is None:
        return None
    ask = partial(ask_node, peers.members, peers.asking, reply)
    return ControlServer(path, commands, waiting={"ask": ask}, arrival=arrival)
