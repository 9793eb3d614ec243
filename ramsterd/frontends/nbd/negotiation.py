"""The fixed newstyle handshake of the server: which export, and what the client is told about it.

Pure: bytes in, answers to send out, one option at a time.  `receive_data` takes any chunking; what
follows the handshake in the same bytes is left in `rest`.  Refused options are answered and the
haggling goes on; only what can't be answered (a wrong magic, an unknown name in EXPORT_NAME,
something far over a limit) raises RemoteProtocolError.
"""

import enum
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from config.limits import PAGE_BYTES
from net.errors import LocalProtocolError, RemoteProtocolError
from ramsterd.frontends.nbd.export import Export
from ramsterd.frontends.nbd.protocol import (
    ALLOCATION_CONTEXT,
    ALLOCATION_CONTEXT_ID,
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
    REFUSED_OPTION_BYTES_MAX,
    ClientFlag,
    HandshakeFlag,
    Info,
    Option,
    OptionReply,
)
from ramsterd.frontends.nbd.session import Session


class State(enum.Enum):
    """The state of the handshake."""

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
KNOWN_CLIENT_FLAGS: Final = int(ClientFlag.C_FIXED_NEWSTYLE | ClientFlag.C_NO_ZEROES)
# In front of strings, and of lists of them.
_LENGTH: Final = struct.Struct(">I")
# Asks for every context of the namespace, in LIST_META_CONTEXT only.
_BASE_NAMESPACE: Final = "base:"


class Position(NamedTuple):
    """Where a handshake stands that is not over, between two options."""

    # What the client said first; None: nothing yet.
    client_flags: int | None
    is_structured: bool
    # The export for which base:allocation was selected; None: for none.
    allocation_of: str | None
    options_count: int
    # Of an option that is too long: its number, and how many bytes of it are still to be skipped.
    skipped: tuple[int, int] | None
    # What the client said beyond that, less than 16 KiB.
    rest: bytes


def grant(_: Export) -> str:
    """Let everybody open an export."""
    return ""


class Negotiation:
    """One handshake, seen by the server.

    The empty name is the first export, so that clients that name none find a disk.
    """

    def __init__(
        self, exports: Sequence[Export], open_export: Callable[[Export], str] = grant
    ) -> None:
        self.state = State.CLIENT_FLAGS
        self.rest = b""
        # Why the last export that was asked for was refused; empty: it was not.
        self.refusal = ""
        self._exports = {export.name: export for export in exports}
        if exports:
            self._exports.setdefault("", exports[0])
        self._listed = list(exports)
        # Called once, for the export that the client chose: why it is not open to one more client.
        self._open_export = open_export
        self._chosen: Export | None = None
        self._is_structured = False
        # The export for which the context base:allocation was selected last.
        self._allocation_of: Export | None = None
        self._flags = 0
        self._options_count = 0
        # An option that is too long: its number, and how much of it is still to be skipped.
        self._skipped: tuple[int, int] | None = None

    @property
    def session(self) -> Session:
        """The session that both sides agreed on.

        Raises:
            LocalProtocolError: No export is chosen (yet).
        """
        if self._chosen is None:
            raise LocalProtocolError(f"no export: {self.state.value}")
        return Session(
            export=self._chosen,
            is_structured=self._is_structured,
            has_allocation=self._allocation_of is self._chosen,
        )

    @property
    def is_over(self) -> bool:
        """Whether the client has its export, or wants none."""
        return self.state in {State.TRANSMISSION, State.ABORTED}

    @property
    def position(self) -> Position:
        """From where another process may go on, until it is over."""
        assert not self.is_over
        return Position(
            client_flags=None if self.state is State.CLIENT_FLAGS else self._flags,
            is_structured=self._is_structured,
            allocation_of=None if self._allocation_of is None else self._allocation_of.name,
            options_count=self._options_count,
            skipped=self._skipped,
            rest=self.rest,
        )

    def take_up(self, position: Position) -> None:
        """Go on where an earlier process stood; once, before anything is heard.

        Raises:
            RemoteProtocolError: No client said these flags.
        """
        assert self.state is State.CLIENT_FLAGS
        if position.client_flags is not None:
            self._on_client_flags(position.client_flags)
        self._is_structured = position.is_structured
        if position.allocation_of is not None:
            # None where it is gone: nobody can choose it any more.
            self._allocation_of = self._exports.get(position.allocation_of)
        self._options_count = position.options_count
        self._skipped = position.skipped
        self.rest = position.rest

    def greeting(self) -> bytes:
        """Return what the server says before the client says anything."""
        flags = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
        return GREETING.pack(NBD_MAGIC, OPTION_MAGIC, flags)

    def receive_data(self, data: bytes) -> Iterator[bytes]:
        """Take bytes of the client and yield what to send it.

        An option is looked at when its answer is asked for.  Clients wait for each answer; one that
        does not gets no more of our memory than they, however short the options are and however
        long their answers.

        Raises:
            RemoteProtocolError: (from the iterator) The client broke the protocol or a limit.
        """
        self.rest += data
        return self._answers()

    def _answers(self) -> Iterator[bytes]:
        if self.state is State.CLIENT_FLAGS and len(self.rest) >= CLIENT_FLAGS.size:
            (flags,) = CLIENT_FLAGS.unpack(self._take(CLIENT_FLAGS.size))
            self._on_client_flags(flags)
        while self.state is State.OPTIONS:
            if self._skipped is not None:
                option, rest_bytes = self._skipped
                rest_bytes -= len(self._take(rest_bytes))
                self._skipped = option, rest_bytes
                if rest_bytes:
                    return
                self._skipped = None
                yield _reply(option, OptionReply.ERR_TOO_BIG, b"too long")
            if len(self.rest) < OPTION.size:
                return
            magic, option, data_bytes = OPTION.unpack_from(self.rest)
            self._check_option(magic, option, data_bytes)
            if data_bytes > OPTION_BYTES_MAX:
                self._take(OPTION.size)
                self._skipped = option, data_bytes
                continue
            if len(self.rest) < OPTION.size + data_bytes:
                return
            self._take(OPTION.size)
            yield self._on_option(option, self._take(data_bytes))

    def _check_option(self, magic: int, option: int, data_bytes: int) -> None:
        if magic != OPTION_MAGIC:
            raise RemoteProtocolError(f"option magic {magic:#x}")
        # EXPORT_NAME has no answer that could refuse it.
        bytes_max = OPTION_BYTES_MAX if option == Option.EXPORT_NAME else REFUSED_OPTION_BYTES_MAX
        if data_bytes > bytes_max:
            raise RemoteProtocolError(f"option of {data_bytes} bytes, at most {bytes_max}")
        self._options_count += 1
        if self._options_count > OPTIONS_MAX:
            raise RemoteProtocolError(f"more than {OPTIONS_MAX} options")

    def _take(self, count: int) -> bytes:
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def _enter(self, state: State) -> None:
        assert state in TRANSITIONS[self.state]
        self.state = state

    def _on_client_flags(self, flags: int) -> None:
        if flags & ~KNOWN_CLIENT_FLAGS:
            raise RemoteProtocolError(f"client flags {flags:#x}")
        self._flags = flags
        self._enter(State.OPTIONS)

    def _on_option(self, option: int, data: bytes) -> bytes:
        if option == Option.EXPORT_NAME:
            return self._on_export_name(data)
        if not self._flags & ClientFlag.C_FIXED_NEWSTYLE:
            raise RemoteProtocolError(f"option {option} without the fixed newstyle handshake")
        match option:
            case Option.ABORT:
                self._enter(State.ABORTED)
                answer = _reply(option, OptionReply.ACK)
            case Option.LIST:
                answer = self._on_list(data)
            case Option.INFO | Option.GO:
                answer = self._on_info(option, data)
            case Option.STRUCTURED_REPLY:
                answer = self._on_structured_reply(data)
            case Option.LIST_META_CONTEXT | Option.SET_META_CONTEXT:
                answer = self._on_meta_context(option, data)
            case _:
                answer = _reply(option, OptionReply.ERR_UNSUP, b"not supported")
        return answer

    def _on_export_name(self, data: bytes) -> bytes:
        """Choose an export without an answer code: an unknown name can only close the connection."""
        export = self._exports.get(data.decode(errors="replace"))
        if export is None:
            raise RemoteProtocolError(f"no export is named {data[:64]!r}")
        self.refusal = export.lost_reason or self._open_export(export)
        if self.refusal:
            raise RemoteProtocolError(self.refusal)
        self._choose(export)
        padding = b"" if self._flags & ClientFlag.C_NO_ZEROES else EXPORT_NAME_PADDING
        flags = export.transmission_flags(is_structured=self._is_structured)
        return struct.pack(">QH", export.size, flags) + padding

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
        self.refusal = export.lost_reason
        if not self.refusal and option == Option.GO:
            self.refusal = self._open_export(export)
        if self.refusal:
            return _reply(option, OptionReply.ERR_POLICY, self.refusal.encode())
        flags = export.transmission_flags(is_structured=self._is_structured)
        bodies = [
            INFO_EXPORT.pack(Info.EXPORT, export.size, flags),
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

    def _on_structured_reply(self, data: bytes) -> bytes:
        if data:
            return _reply(Option.STRUCTURED_REPLY, OptionReply.ERR_INVALID, b"it has no data")
        self._is_structured = True
        return _reply(Option.STRUCTURED_REPLY, OptionReply.ACK)

    def _on_meta_context(self, option: int, data: bytes) -> bytes:
        """List or select contexts.  A selection that fails leaves none selected."""
        is_selection = option == Option.SET_META_CONTEXT
        if is_selection:
            self._allocation_of = None
        if not self._is_structured:
            return _reply(option, OptionReply.ERR_INVALID, b"structured replies come first")
        asked = _parse_meta_context(data)
        if asked is None:
            return _reply(option, OptionReply.ERR_INVALID, b"malformed")
        name, queries = asked
        export = self._exports.get(name)
        if export is None:
            return _reply(option, OptionReply.ERR_UNKNOWN, b"no such export")
        wildcard = not is_selection and (not queries or _BASE_NAMESPACE in queries)
        if not wildcard and ALLOCATION_CONTEXT not in queries:
            return _reply(option, OptionReply.ACK)
        if is_selection:
            self._allocation_of = export
        context_id = ALLOCATION_CONTEXT_ID if is_selection else 0
        body = struct.pack(">I", context_id) + ALLOCATION_CONTEXT.encode()
        return _reply(option, OptionReply.META_CONTEXT, body) + _reply(option, OptionReply.ACK)


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


def _parse_meta_context(data: bytes) -> tuple[str, list[str]] | None:
    """Return the name of the export and the queries, or None for malformed data."""
    taken = _take_string(data)
    if taken is None or len(taken[1]) < _LENGTH.size:
        return None
    name, rest = taken
    (count,), rest = _LENGTH.unpack_from(rest), rest[_LENGTH.size :]
    queries: list[str] = []
    # Each query takes four bytes at least, so a count that lies ends here soon.
    while len(queries) < count:
        taken = _take_string(rest)
        if taken is None:
            return None
        query, rest = taken
        queries.append(query)
    return None if rest else (name, queries)


def _take_string(data: bytes) -> tuple[str, bytes] | None:
    """Return a string with its length in front, and what follows it.

    None if it is too short or too long.
    """
    if len(data) < _LENGTH.size:
        return None
    (count,), data = _LENGTH.unpack_from(data), data[_LENGTH.size :]
    if count > min(NAME_BYTES_MAX, len(data)):
        return None
    return data[:count].decode(errors="replace"), data[count:]
