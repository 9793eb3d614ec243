"""The requests of one client, as an exchange serves them, whatever their protocol is."""

from typing import Protocol

from ramsterd.frontends.clients.replies import ReplyQueue


class Received(Protocol):
    """Bytes that a client sent, until they are served."""

    def space(self) -> memoryview:
        """Return where to receive, never empty."""
        ...

    def on_received(self, count: int, /) -> None:
        """Take note of `count` bytes received into `space()`."""
        ...

    def on_idle(self) -> None:
        """Nothing comes for now."""
        ...


class Requests(Protocol):
    """The requests of one client and their replies, as its protocol has them."""

    # The pass ended before all that was received was served.
    has_unserved: bool
    # The pass read what is here, and did nothing else: it leaves the pager nothing to do.
    has_only_read: bool

    @property
    def received(self) -> Received:
        """Received bytes that are not served yet."""
        ...

    @property
    def replies(self) -> ReplyQueue:
        """Replies that are not sent yet."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether to serve and receive nothing until replies have left or waits have ended."""
        ...

    @property
    def is_waiting(self) -> bool:
        """Whether a request waits: nobody is there for its answer when the client is gone."""
        ...

    @property
    def is_disconnecting(self) -> bool:
        """Whether the client said goodbye: nothing more is received."""
        ...

    @property
    def lacks_bytes(self) -> bool:
        """Whether all that is received is the beginning of one request: there is nothing to serve yet."""
        ...

    @property
    def pages_of_pass(self) -> int:
        """How much work the last pass was, in pages, apart from those that came over the socket."""
        ...

    @property
    def has_begun(self) -> bool:
        """Whether a request is begun that `go_on` goes on with."""
        ...

    @property
    def is_at_edge(self) -> bool:
        """Whether all that was begun is answered, or can be told to another process."""
        ...

    def go_on(self) -> None:
        """Do a slice of what is begun, and begin nothing."""
        ...

    def serve(self) -> None:
        """Serve what was received, until a limit is reached.

        Raises:
            RemoteProtocolError: The client broke the protocol.  Requests before that were served.
        """
        ...

    def close(self) -> None:
        """The connection is over: nothing of it has an effect any more.  May be called twice."""
        ...
