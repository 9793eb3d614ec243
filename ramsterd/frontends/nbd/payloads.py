"""WRITEs whose payload is longer than what is here: put, or skipped, as it arrives.

Pure.  Only one of them is under way on a connection, since payloads come one after the other.  What
is left of it can be told to the next process (`handed`), between two parts.
"""

from dataclasses import dataclass, replace

from config.limits import PAGE_BYTES
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.failures import Failure
from ramsterd.frontends.nbd.parts import Parts
from ramsterd.frontends.pager import DiskClient


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfWrite:
    """A WRITE whose payload is still to come, in part; what came is put."""

    flags: int
    cookie: bytes
    offset: int
    length: int
    rest_bytes: int
    # Of a part that was put.
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartOfRefused:
    """A WRITE that is refused once the rest of its payload has come."""

    cookie: bytes
    rest_bytes: int
    failure: Failure


class Writing:
    """A WRITE that is longer than the buffer, served in parts as its payload arrives."""

    __slots__ = ("_export", "_pager", "_parts", "_write", "rest_bytes")

    def __init__(self, export: Export, pager: DiskClient, write: PartOfWrite, parts: Parts) -> None:
        self.rest_bytes = write.rest_bytes
        self._export = export
        self._pager = pager
        self._write = write
        self._parts = parts

    @property
    def is_settled(self) -> bool:
        """Whether all of it that came is put."""
        return self._parts.is_settled

    def what_is_left(self) -> PartOfWrite:
        """Return what is to be done yet, when it is settled."""
        return replace(self._write, rest_bytes=self.rest_bytes, failure=self._parts.failure)

    def take(self, payload: memoryview) -> int:
        """Write what is here, up to where the last whole page of it ends.

        Return how many bytes that is.
        """
        length = self.rest_bytes
        offset = self._write.offset + self._write.length - length
        if len(payload) < length:
            length = max(0, len(payload) - (offset + len(payload)) % PAGE_BYTES)
        if length:
            self._export.write(self._pager, offset, payload[:length], self._parts)
            self.rest_bytes -= length
        if not self.rest_bytes:
            self._parts.all_begun()
        return length


class Refused:
    """A WRITE that is refused as soon as the rest of its payload has come.

    Clients expect no answer to what they are still sending: libnbd takes one for a broken server.
    """

    __slots__ = ("cookie", "failure", "rest_bytes")

    is_settled = True

    def __init__(self, refused: PartOfRefused) -> None:
        self.cookie = refused.cookie
        self.failure = refused.failure
        self.rest_bytes = refused.rest_bytes

    def what_is_left(self) -> PartOfRefused:
        """Return what is to be skipped yet."""
        return PartOfRefused(cookie=self.cookie, rest_bytes=self.rest_bytes, failure=self.failure)

    def take(self, payload: memoryview) -> int:
        """Skip what is here; return how many bytes of it belong to this WRITE."""
        length = min(self.rest_bytes, len(payload))
        self.rest_bytes -= length
        return length
