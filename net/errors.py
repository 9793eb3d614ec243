"""Errors, split by side: a bug of ours, a peer that breaks the protocol, a link that is lost."""


class LocalProtocolError(Exception):
    """We used the link wrongly.  A bug of ours: let it end the task."""


class RemoteProtocolError(Exception):
    """The peer broke the protocol.  Drop the link, count it."""


class PeerLost(Exception):
    """The link broke; the reason is the message or `__cause__`.  Retry or report loss."""
