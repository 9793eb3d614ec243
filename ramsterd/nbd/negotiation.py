"""The fixed newstyle handshake of the server: which export, and what the client is told about it.

Pure: bytes in, bytes to send out.  `receive_data` takes any chunking; what follows the handshake in the same
bytes is left in `rest`.  Refused options are answered and the haggling goes on; only what cannot be answered
(a wrong magic, an unknown name in EXPORT_NAME, something over a limit) raises RemoteProtocolError.
"""

import enum
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from config.limits import PAGE_BYTES
from net.errors import LocalProtocolError, RemoteProtocolError
from ramsterd.nbd.export import Export
from ramsterd.nbd.protocol import (
    CLIENT_FLAGS,
    EXPORT_NAME_PADDING,
    GREETING,
    INFO_BLOCK_SIZE,
    INFO_EXPORT,
    NAME_BYTES_MAX,
    NBD_MAGIC,
    OPTION,
    OPTION_BYTES_MAX,
    OPTION_MAGIC,
    OPTION_REPLY,
    OPTION_REPLY_MAGIC,
    OPTIONS_MAX,
    PAYLOAD_BYTES_MAX,
    TRANSMISSION_FLAGS,
    ClientFlag,
    HandshakeFlag,
    Info,
    Option,
    OptionReply,
)


class State(enum.Enum):
    """Where the handshake stands."""

    CLIENT_FLAGS = "waiting for the client's flags"
    OPTIONS = "haggling"
    TRANSMISSION = "an export was chosen"
    ABORTED = "the client wants no export"


TRANSITIONS: Final[dict[State, frozenset[State]]] = {
    State.CLIENT_FLAGS: frozenset({State.OPTIONS}),
    State.OPTIONS: frozenset({State.TRANSMISSION, State.ABORTED}),
    State.TRANSMISSION: frozenset(),
    State.ABORTED: frozenset(),
}
assert set(TRANSITIONS) == set(State)

# A plain number: the complement of an IntFlag has only the bits that have names.
_KNOWN_CLIENT_FLAGS: Final = int(ClientFlag.C_FIXED_NEWSTYLE | ClientFlag.C_NO_ZEROES)


class Negotiation:
    """One handshake, seen by the server.

    The empty name is the first export, so that clients that name none find a disk.
    """

    def __init__(self, exports: Sequence[Export]) -> None:
        self.state = State.CLIENT_FLAGS
        self.rest = b""
        self._exports = {export.name: export for export in exports}
        if exports:
            self._exports.setdefault("", exports[0])
        self._listed = list(exports)
        self._chosen: Export | None = None
        self._flags = 0
        self._options_count = 0

    @property
    def export(self) -> Export:
        """The chosen export.

        Raises:
            LocalProtocolError: None is chosen (yet).
        """
        if self._chosen is None:
            raise LocalProtocolError(f"no export: {self.state.value}")
        return self._chosen

    def greeting(self) -> bytes:
        """Return what the server says before the client says anything."""
        flags = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
        return GREETING.pack(NBD_MAGIC, OPTION_MAGIC, flags)

    def receive_data(self, data: bytes) -> bytes:
        """Take bytes of the client and return what to send it.

        Raises:
            RemoteProtocolError: The client broke the protocol or a limit.
        """
        self.rest += data
        return b"".join(self._answers())

    def _answers(self) -> Iterator[bytes]:
        if self.state is State.CLIENT_FLAGS and len(self.rest) >= CLIENT_FLAGS.size:
            (flags,) = CLIENT_FLAGS.unpack(self._take(CLIENT_FLAGS.size))
            self._on_client_flags(flags)
        while self.state is State.OPTIONS and len(self.rest) >= OPTION.size:
            magic, option, data_bytes = OPTION.unpack_from(self.rest)
            if magic != OPTION_MAGIC:
                raise RemoteProtocolError(f"option magic {magic:#x}")
            if data_bytes > OPTION_BYTES_MAX:
                raise RemoteProtocolError(
                    f"option of {data_bytes} bytes, at most {OPTION_BYTES_MAX}"
                )
            if len(self.rest) < OPTION.size + data_bytes:
                return
            self._take(OPTION.size)
            yield self._on_option(option, self._take(data_bytes))

    def _take(self, count: int) -> bytes:
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def _enter(self, state: State) -> None:
        assert state in TRANSITIONS[self.state]
        self.state = state

    def _on_client_flags(self, flags: int) -> None:
        if flags & ~_KNOWN_CLIENT_FLAGS:
            raise RemoteProtocolError(f"client flags {flags:#x}")
        self._flags = flags
        self._enter(State.OPTIONS)

    def _on_option(self, option: int, data: bytes) -> bytes:
        self._options_count += 1
        if self._options_count > OPTIONS_MAX:
            raise RemoteProtocolError(f"more than {OPTIONS_MAX} options")
        if option == Option.EXPORT_NAME:
            return self._on_export_name(data)
        if not self._flags & ClientFlag.C_FIXED_NEWSTYLE:
            raise RemoteProtocolError(f"option {option} without the fixed newstyle handshake")
        if option == Option.ABORT:
            self._enter(State.ABORTED)
            return _reply(option, OptionReply.ACK)
        if option == Option.LIST:
            return self._on_list(data)
        if option in {Option.INFO, Option.GO}:
            return self._on_info(option, data)
        return _reply(option, OptionReply.ERR_UNSUP, b"not supported")

    def _on_export_name(self, data: bytes) -> bytes:
        """Choose an export without an answer code: an unknown name can only close the connection."""
        export = self._exports.get(data.decode(errors="replace"))
        if export is None:
            raise RemoteProtocolError(f"no export is named {data[:64]!r}")
        self._choose(export)
        padding = b"" if self._flags & ClientFlag.C_NO_ZEROES else EXPORT_NAME_PADDING
        return struct.pack(">QH", export.size, TRANSMISSION_FLAGS) + padding

    def _choose(self, export: Export) -> None:
        self._chosen = export
        self._enter(State.TRANSMISSION)

    def _on_list(self, data: bytes) -> bytes:
        if data:
            return _reply(Option.LIST, OptionReply.ERR_INVALID, b"LIST has no data")
        answers = []
        for export in self._listed:
            name = export.name.encode()
            body = struct.pack(">I", len(name)) + name + export.description.encode()
            answers.append(_reply(Option.LIST, OptionReply.SERVER, body))
        return b"".join(answers) + _reply(Option.LIST, OptionReply.ACK)

    def _on_info(self, option: int, data: bytes) -> bytes:
        asked = _parse_info(data)
        if asked is None:
            return _reply(option, OptionReply.ERR_INVALID, b"malformed")
        name, kinds = asked
        export = self._exports.get(name)
        if export is None:
            return _reply(option, OptionReply.ERR_UNKNOWN, b"no such export")
        bodies = [
            INFO_EXPORT.pack(Info.EXPORT, export.size, TRANSMISSION_FLAGS),
            INFO_BLOCK_SIZE.pack(Info.BLOCK_SIZE, 1, PAGE_BYTES, PAYLOAD_BYTES_MAX),
        ]
        if Info.NAME in kinds:
            bodies.append(struct.pack(">H", Info.NAME) + export.name.encode())
        if Info.DESCRIPTION in kinds and export.description:
            bodies.append(struct.pack(">H", Info.DESCRIPTION) + export.description.encode())
        answers = [_reply(option, OptionReply.INFO, body) for body in bodies]
        if option == Option.GO:
            self._choose(export)
        return b"".join(answers) + _reply(option, OptionReply.ACK)


def _reply(option: int, reply: OptionReply, data: bytes = b"") -> bytes:
    return OPTION_REPLY.pack(OPTION_REPLY_MAGIC, option, reply, len(data)) + data


def _parse_info(data: bytes) -> tuple[str, frozenset[int]] | None:
    """Return the name and the kinds of information asked for, or None for malformed data."""
    if len(data) < 4 + 2:
        return None
    (name_bytes,) = struct.unpack_from(">I", data)
    if name_bytes > min(NAME_BYTES_MAX, len(data) - 6):
        return None
    (kinds_count,) = struct.unpack_from(">H", data, 4 + name_bytes)
    kinds = data[6 + name_bytes :]
    if len(kinds) != 2 * kinds_count:
        return None
    name = data[4 : 4 + name_bytes].decode(errors="replace")
    return name, frozenset(struct.unpack(f">{kinds_count}H", kinds))
