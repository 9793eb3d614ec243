"""The shell around a negotiation: what the client says goes in, and the answers go out, each whole and in order.

It may be stopped at any wait: what the client has said and not heard yet is known, so another
process can go on.
"""

import math
import socket
from typing import Final

import trio

from ramsterd.endpoints.connections import receive_some
from ramsterd.frontends.nbd.handed import HandedHandshake
from ramsterd.frontends.nbd.negotiation import Negotiation, State
from ramsterd.handover.document import UNSENT_BYTES_MAX

# Options are short; requests that follow them in the same receive are few.
RECEIVE_BYTES: Final = 4096


class Handshake:
    """See the module's text."""

    def __init__(
        self, sock: socket.socket, negotiation: Negotiation, handed: HandedHandshake | None
    ) -> None:
        """Wire it.

        Args:
            sock: Of the client.
            negotiation: Decides; nothing was said in it.
            handed: Where an earlier process stood; None: the client is new.
        """
        self.negotiation = negotiation
        self._sock = sock
        if handed is None:
            self._unsent = negotiation.greeting()
        else:
            negotiation.take_up(handed.position)
            self._unsent = handed.unsent
        self._receiving = trio.CancelScope()
        self._has_stopped = self._is_over = False
        self._edge = trio.lowlevel.ParkingLot()

    @property
    def unsent(self) -> bytes:
        """What the client has not heard yet, at an edge."""
        return self._unsent

    async def run(self) -> bool:
        """Return True when the negotiation is over, and False: the client has left before that.

        Raises:
            RemoteProtocolError: The client broke the protocol.
            OSError: The connection is broken.
        """
        try:
            with self._receiving:
                return await self._agree()
            if self.negotiation.state is State.ABORTED:
                return True
            self._has_stopped = True
            self._edge.unpark(count=math.inf)
            # Until the caller that stopped us cancels us.
            await trio.sleep_forever()
        finally:
            self._is_over = True
            self._edge.unpark(count=math.inf)

    async def _agree(self) -> bool:
        negotiation = self.negotiation
        await self._send(b"")
        data = b""  # also options that an earlier process left
        while True:
            for answer in negotiation.receive_data(data):
                await self._send(answer)
            if negotiation.is_over:
                return True
            data = await receive_some(self._sock, RECEIVE_BYTES)
            if not data:
                return False

    async def _send(self, data: bytes) -> None:
        self._unsent += data
        while self._unsent:
            try:
                count = self._sock.send(self._unsent)
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                self._unsent = self._unsent[count:]

    # From one process to the next.

    def stop_receiving(self) -> None:
        """Hear nothing more."""
        self._receiving.cancel()

    @property
    def is_at_edge(self) -> bool:
        """Whether another process may go on from here."""
        return self._has_stopped and not self._is_over and len(self._unsent) <= UNSENT_BYTES_MAX

    async def wait_at_edge(self) -> None:
        """Wait until it is at an edge, or over, after `stop_receiving`."""
        while not (self._is_over or self.is_at_edge):
            await self._edge.park()

    def leave(self) -> None:
        """Another process goes on, at an edge."""
        assert self.is_at_edge
        self._is_over = True
