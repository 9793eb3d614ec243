"""What an operator ends by a command: may an export go, or shrink?  Pure.

Not while it has a client, which would go on with the size that it was told.  If pages would be
dropped, or if a client may still believe in them, only with `--force`.
"""

from dataclasses import dataclass

from config.limits import EXPORT_BYTES_MAX
from config.units import format_bytes, human_count
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import State
from ramsterd.frontends.pager import Pager
from ramsterd.reconfigure.errors import CannotApply


@dataclass(frozen=True, slots=True)
class Ends:
    """The export that an operator removes or resizes, and whether its pages may be dropped."""

    name: str
    is_forced: bool


def judge_end(
    pager: Pager,
    export: Export,
    size: int,
    ends: Ends,
    *,
    clients: int,
    nbd_socket: str = "",
) -> None:
    """Judge an export that is to have another size; 0: it is to go.

    Raises:
        CannotApply: A client has it open, or pages would be dropped without `--force`.
    """
    name = export.name
    if size < export.size and clients:
        raise CannotApply(
            f"export {name}: found {human_count(clients, 'client')} connected, expected none. Disconnect them first:"
            " `ramsterctl nbd list` shows devices of this machine, `ramsterctl nbd detach /dev/nbd0` detaches one"
            f"{_who_is_connected(nbd_socket)}"
        )
    if ends.is_forced:
        return
    if export.mark.is_lost and not size:
        raise CannotApply(
            f"export {name}: found it lost, expected a blank export: a client may still believe in its pages."
            f" To make it blank: `ramsterctl export reset {name}`. To remove it as it is: `ramsterctl export remove {name} --force`"
        )
    pages = pager.pages_of(export.pool)
    if pages and not size:
        raise CannotApply(
            f"export {name}: found {human_count(pages)}, expected none. To drop them:"
            f" `ramsterctl export remove {name} --force`"
        )
    if pages and has_pages_beyond(pager, export, size):
        raise CannotApply(
            f"export {name}: found pages beyond {format_bytes(size)}, expected none. To drop them:"
            f" `ramsterctl export resize {name} --size {format_bytes(size)} --force`"
        )


def _who_is_connected(nbd_socket: str) -> str:
    # Programs such as qemu have no device of the kernel.
    if not nbd_socket:
        return ""
    return (
        f". Other programs: in `ss -xp` a row of {nbd_socket} has the number of its peer, and the row of that"
        " number names the program"
    )


def has_pages_beyond(pager: Pager, export: Export, size: int) -> bool:
    """Return whether an export has a page beyond a size."""
    client, offset = pager.open_client(), size
    try:
        while offset < EXPORT_BYTES_MAX:
            rest = EXPORT_BYTES_MAX - offset
            ((length, state),) = export.extents(client, offset, rest, extents_max=1)
            if not state & State.HOLE:
                return True
            offset += length
        return False
    finally:
        client.close()
