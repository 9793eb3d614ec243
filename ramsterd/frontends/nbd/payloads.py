"""WRITEs whose payload is longer than what is here: put, or skipped, as it arrives.

Pure.  Only one of them is under way on a connection, since payloads come one after the other.
"""

from config.limits import PAGE_BYTES
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.failures import Failure
from ramsterd.frontends.nbd.parts import Parts
from ramsterd.frontends.pager import DiskClient


class Writing:
    """A WRITE that is longer than the buffer, served in parts as its payload arrives."""

    __slots__ = ("_export", "_offset", "_pager", "_parts", "rest_bytes")

    def __init__(
        self, export: Export, pager: DiskClient, offset: int, length: int, parts: Parts
    ) -> None:
        self.rest_bytes = length
        self._export = export
        self._pager = pager
        self._offset = offset
        self._parts = parts

    def take(self, payload: memoryview) -> int:
        """Write what is here, up to where the last whole page of it ends; return how many bytes that is."""
        length = self.rest_bytes
        if len(payload) < length:
            length = max(0, len(payload) - (self._offset + len(payload)) % PAGE_BYTES)
        if length:
            self._export.write(self._pager, self._offset, payload[:length], self._parts)
            self._offset += length
            self.rest_bytes -= length
        if not self.rest_bytes:
            self._parts.all_begun()
        return length


class Refused:
    """A WRITE that is refused as soon as the rest of its payload has come.

    Clients expect no answer to what they are still sending: libnbd takes one for a broken server.
    """

    __slots__ = ("cookie", "failure", "rest_bytes")

    def __init__(self, cookie: bytes, length: int, failure: Failure) -> None:
        self.cookie = cookie
        self.failure = failure
        self.rest_bytes = length

    def take(self, payload: memoryview) -> int:
        """Skip what is here; return how many bytes of it belong to this WRITE."""
        length = min(self.rest_bytes, len(payload))
        self.rest_bytes -= length
        return length
