"""`ramsterctl --node` and `--cluster`: a command for another node, passed on by the one at hand."""

import json
from collections.abc import Callable

from config.reader import show
from nodemanager.changes import ChangeRefused
from nodemanager.ids import NodeId
from ramsterd.admin.socket import CommandRefused
from ramsterd.asking.exchange import Exchange, NoAnswer
from ramsterd.membership.members import Members


async def ask_node(
    members: Members,
    exchange: Exchange,
    reply: Callable[[bytes], bytes],
    request: dict[str, object],
) -> object:
    """Have the member `node` answer `request`, as its own control socket would: `answer` is that line.

    Nobody here looks into it: what another node says may be made to cost much.

    Raises:
        CommandRefused: There is no such member, or no answer.
    """
    asked = request.get("request")
    if not isinstance(asked, dict):
        raise CommandRefused(f"request: found {show(asked)}, expected a command for that node")
    line = json.dumps(asked).encode()
    try:
        node = members.find(str(request.get("node", "")))
    except ChangeRefused as refused:
        raise CommandRefused(str(refused)) from None
    try:
        answer = (
            reply(line)
            if node.number == members.local
            else await exchange.ask(NodeId(node.number), line)
        )
    except NoAnswer as why:
        raise CommandRefused(str(why)) from None
    return {"node": node.name, "answer": answer.decode(errors="replace")}
