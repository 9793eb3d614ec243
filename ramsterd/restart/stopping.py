"""`ramsterctl stop`: an orderly stop, refused while it would end pages that nobody asked it to end.

Pages end with a stop if nobody keeps them over it, or if the operator has them forgotten.
"""

from collections.abc import Callable

from config.reader import show
from ramsterd.admin.socket import CommandRefused
from ramsterd.restart.ending import Ending
from ramsterd.restart.handover import Handover


def stop(
    handover: Handover,
    ending: Ending,
    begin: Callable[..., None],
    request: dict[str, object],
) -> object:
    """Begin to stop; with `forget` the pages of this node end, also where they are kept.

    Args:
        handover: Says whether pages end with a stop, and whether a restart has begun.
        ending: Says which pages end.
        begin: Begins; takes `forget`, whether the pages are to end.
        request: Of the client.

    Raises:
        CommandRefused: Pages would end, and that was not asked for; nothing has changed.
    """
    forget = request.get("forget", False)
    if not isinstance(forget, bool):
        raise CommandRefused(f"forget: found {show(forget)}, expected true or false")
    if handover.restart_id:
        raise CommandRefused("the daemon restarts: repeat the command when it serves again")
    ends = ending.describe_all() if forget or not handover.keeping.outlives_stop else []
    if ends and not forget:
        raise CommandRefused(
            f"nothing was stopped: {'; '.join(ends)}."
            " To keep them, type `ramsterctl restart`; to end them, type `ramsterctl stop --forget`"
        )
    begin(forget=forget)
    return {"state": "stopping", "warnings": ends}
