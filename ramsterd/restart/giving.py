"""Giving: what was collected goes to the service manager's store, or to the next program of this process.  Blocks."""

import logging
import os

from ramsterd.handover.arrival import Arrival
from ramsterd.host.fd_store import DescriptorStore
from ramsterd.host.successor import replace_process
from ramsterd.restart.departure import Departure

logger = logging.getLogger("ramster.daemon")


def give(
    departure: Departure,
    store: DescriptorStore,
    *,
    arguments: list[str],
    environ: dict[str, str],
) -> None:
    """Give everything.

    Returns only if a service manager starts the next process, or if there is none to be had.

    Raises:
        OSError: This process can't become the next one: all clients are disconnected by its end.
    """
    if departure.is_replacing:
        named = [*departure.parting.seal(is_stored=False), *departure.inherited]
        # Also writes what the log has queued: nothing runs at the end of a program that is
        # replaced.
        logging.shutdown()
        replace_process(named, arguments, environ)
    named = departure.parting.seal(is_stored=True)
    try:
        for name, descriptor in named:
            store.store(name, descriptor)
        store.wait_handled()
    except OSError as error:
        reason = error.strerror or error
        logger.warning(
            "systemd does not keep the connections of clients: %s; clients are disconnected", reason
        )
    finally:
        for _, descriptor in named:
            os.close(descriptor)


def give_up_stored(arrival: Arrival, store: DescriptorStore) -> None:
    """Have the service manager give up what this process took."""
    try:
        for name in arrival.names_to_give_up if store.has_manager else []:
            store.remove(name)
    except OSError as error:
        # Its copies are of sockets that this process serves or has shut down, and of a document
        # that is void.
        logger.warning(
            "systemd does not give up the connections of the last run: %s",
            error.strerror or error,
        )
