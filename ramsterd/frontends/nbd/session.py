"""The session: the options that client and server agreed on in the handshake."""

from dataclasses import dataclass
from typing import Final

from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.failures import Failure
from ramsterd.frontends.nbd.protocol import Command, CommandFlag, Errno

NO_FRAGMENTS: Final = Failure(Errno.EINVAL, "DF without structured replies")
NO_CONTEXT: Final = Failure(Errno.EINVAL, "no metadata context was selected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One client's choices: an export, and what of the optional protocol is in use."""

    export: Export
    is_structured: bool = False
    # The context base:allocation was selected, for this export.
    has_allocation: bool = False

    def __post_init__(self) -> None:
        assert self.is_structured or not self.has_allocation

    def judge(self, command: int, flags: int, offset: int, length: int) -> Failure | None:
        """Return why a request fails before any page is touched, or None: it is to be served."""
        if command == Command.BLOCK_STATUS and not self.has_allocation:
            return NO_CONTEXT
        if command == Command.READ and flags & CommandFlag.DF and not self.is_structured:
            return NO_FRAGMENTS
        return self.export.judge(command, flags, offset, length)
