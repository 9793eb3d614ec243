"""NBD's numbers, limits and layouts (NetworkBlockDevice/nbd, doc/proto.md); decides nothing.

The enums are append-only and named as in the specification.  What is not spoken: TLS and extended
headers; the handshake refuses them and clients do without.
"""

import enum
import struct
from typing import Final

from config.limits import EXPORT_BYTES_MAX, PAGE_BYTES

NBD_MAGIC: Final = 0x4E42444D41474943  # "NBDMAGIC"
OPTION_MAGIC: Final = 0x49484156454F5054  # "IHAVEOPT"
OPTION_REPLY_MAGIC: Final = 0x0003E889045565A9
REQUEST_MAGIC: Final = 0x25609513
SIMPLE_REPLY_MAGIC: Final = 0x67446698
STRUCTURED_REPLY_MAGIC: Final = 0x668E33EF


class HandshakeFlag(enum.IntFlag):
    """Flags of the server's greeting."""

    FIXED_NEWSTYLE = 1 << 0
    NO_ZEROES = 1 << 1


class ClientFlag(enum.IntFlag):
    """Flags of the client's answer to the greeting."""

    C_FIXED_NEWSTYLE = 1 << 0
    C_NO_ZEROES = 1 << 1


class TransmissionFlag(enum.IntFlag):
    """Flags of an export: its optional features."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    ROTATIONAL = 1 << 4
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_RESIZE = 1 << 9
    SEND_CACHE = 1 << 10
    SEND_FAST_ZERO = 1 << 11


class Option(enum.IntEnum):
    """Options of a client in the handshake."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class OptionReply(enum.IntEnum):
    """Answers to options; errors have bit 31 set."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = (1 << 31) + 1
    ERR_POLICY = (1 << 31) + 2
    ERR_INVALID = (1 << 31) + 3
    ERR_UNKNOWN = (1 << 31) + 6
    ERR_TOO_BIG = (1 << 31) + 9


class Info(enum.IntEnum):
    """Kinds of information in an `OptionReply.INFO`."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class Command(enum.IntEnum):
    """Commands of a client after the handshake."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class CommandFlag(enum.IntFlag):
    """Flags of one request."""

    FUA = 1 << 0
    NO_HOLE = 1 << 1
    DF = 1 << 2
    REQ_ONE = 1 << 3
    FAST_ZERO = 1 << 4


class ReplyFlag(enum.IntFlag):
    """Flags of one chunk of a structured reply."""

    DONE = 1 << 0


class ReplyType(enum.IntEnum):
    """Types of the chunks of a structured reply; errors have bit 15 set."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = (1 << 15) + 1
    ERROR_OFFSET = (1 << 15) + 2


class State(enum.IntFlag):
    """Flags of an extent in the context `base:allocation`; neither is data."""

    HOLE = 1 << 0
    ZERO = 1 << 1


class Errno(enum.IntEnum):
    """The errors that may stand in a reply; 0 is success."""

    NONE = 0
    EPERM = 1
    EIO = 5
    ENOMEM = 12
    EINVAL = 22
    ENOSPC = 28
    EOVERFLOW = 75
    ENOTSUP = 95
    ESHUTDOWN = 108


# The largest READ, WRITE or CACHE, and the maximum block size that INFO tells; what qemu, libnbd
# and the kernel use at most.  TRIM, WRITE_ZEROES and BLOCK_STATUS carry nothing and may be longer:
# nbdcopy zeroes 128 MiB at a time, and mkfs trims whole disks.
PAYLOAD_BYTES_MAX: Final = 32 * 1024 * 1024
# The payload of a refused WRITE is skipped and the connection goes on.  A longer one ends the
# connection after its EINVAL ("Block size constraints"): nobody reads 4 GiB only to refuse it.
REFUSED_PAYLOAD_BYTES_MAX: Final = 2 * PAYLOAD_BYTES_MAX
# The specification's bound for every string.
NAME_BYTES_MAX: Final = 4096
# GO with the longest name and a list of more information kinds than exist.  A longer option is
# skipped and answered ERR_TOO_BIG; beyond the second bound the client means harm, and the
# connection ends.
OPTION_BYTES_MAX: Final = 8192
REFUSED_OPTION_BYTES_MAX: Final = 1024 * 1024
# Options in one handshake; `nbdinfo --list` asks a handful for each export.
OPTIONS_MAX: Final = 1024
# What one pass of a connection handles before others have their turn: pages read, dropped or
# zeroed.  About 3 ms when each of them is read; a WRITE is bounded by the receive buffer.
PASS_PAGES_MAX: Final = 1024
# A longer READ or CACHE is served in slices: half a millisecond each.
SLICE_PAGES: Final = 128
# Extents of one BLOCK_STATUS reply: 8 KiB.  The client asks again for the rest.
EXTENTS_MAX: Final = 1024
# Requests of one connection that wait for the pager; at the limit the connection is not read.
REQUESTS_IN_FLIGHT_MAX: Final = 1024
# Bytes of such requests; one more request may go over it, so a connection owes at most the sum of
# both.
IN_FLIGHT_BYTES_MAX: Final = 16 * 1024 * 1024
# Replies that the client has not taken yet; at the limit the connection is not read.
REPLY_BYTES_MAX: Final = 4 * 1024 * 1024
# From accept to the end of the handshake; and from a DISC to the last reply taken.
HANDSHAKE_SECONDS_MAX: Final = 30.0
DISCONNECT_SECONDS_MAX: Final = 30.0

assert PAYLOAD_BYTES_MAX % PAGE_BYTES == 0
assert 4 + NAME_BYTES_MAX + 2 + 2 * len(Info) <= OPTION_BYTES_MAX, "every sensible GO fits"
assert EXPORT_BYTES_MAX < 1 << 63, "sizes and offsets are unsigned 64-bit, signed in many clients"

GREETING: Final = struct.Struct(">QQH")  # magic, option magic, handshake flags
CLIENT_FLAGS: Final = struct.Struct(">I")
OPTION: Final = struct.Struct(">QII")  # option magic, option, bytes of data
OPTION_REPLY: Final = struct.Struct(">QIII")  # magic, option, reply type, bytes of data
INFO_EXPORT: Final = struct.Struct(">HQH")  # kind, export bytes, transmission flags
INFO_BLOCK_SIZE: Final = struct.Struct(">HIII")  # kind, minimum, preferred, maximum
# A request is magic u32, flags u16, command u16, cookie, offset u64, length u32.  Magic, flags and
# command are read as one word: one comparison tells an everyday request.  A cookie is opaque:
# bytes, never a number.
REQUEST: Final = struct.Struct(">Q8sQI")
SIMPLE_REPLY: Final = struct.Struct(">II8s")  # magic, errno, cookie
# A chunk of a structured reply: magic, flags, type, cookie, bytes of payload; and payloads of fixed
# layout.
CHUNK: Final = struct.Struct(">IHH8sI")
DATA_CHUNK: Final = struct.Struct(">IHH8sIQ")  # chunk, offset; the data follow
HOLE_CHUNK: Final = struct.Struct(">IHH8sIQI")  # chunk, offset, hole bytes
ERROR_CHUNK: Final = struct.Struct(">IHH8sIIH")  # chunk, errno, message bytes; the message follows
STATUS_CHUNK: Final = struct.Struct(">IHH8sII")  # chunk, context; the extents follow
EXTENT: Final = struct.Struct(">II")  # bytes, state
# What follows EXPORT_NAME's answer unless both sides said NO_ZEROES.
EXPORT_NAME_PADDING: Final = bytes(124)

REQUEST_BYTES: Final = REQUEST.size
REPLY_BYTES: Final = SIMPLE_REPLY.size

# The one metadata context we know, and the number we give it.
ALLOCATION_CONTEXT: Final = "base:allocation"
ALLOCATION_CONTEXT_ID: Final = 1


def request_word(command: int, flags: int = 0) -> int:
    """Return the first eight bytes of a request as a number."""
    return REQUEST_MAGIC << 32 | flags << 16 | command


def encode_reply(error: int, cookie: bytes) -> bytes:
    """Return the header of a simple reply; a READ's data follow it if `error` is 0."""
    return SIMPLE_REPLY.pack(SIMPLE_REPLY_MAGIC, error, cookie)
