"""Addresses as people write them: IP literals, host names, and `ADDRESS:PORT` with brackets around IPv6.

What addresses a name has is not known here: `config.lookup` asks the system.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from config.errors import Mismatch

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# An address, or a host name as all of its spellings compare equal.
Host: TypeAlias = IpAddress | str

PORT_MAX: Final = 65535
# Of links and of the heartbeat, TCP and UDP alike.
DEFAULT_PORT: Final = 7700
# The port that IANA has given to NBD, and the one of ramster's metrics.
NBD_PORT: Final = 10809
METRICS_PORT: Final = 9750
# The longest IP literal with a scope stays well below; ipaddress puts the whole text into its
# errors.
ADDRESS_BYTES_MAX: Final = 64
# RFC 1035, of a whole name and of each of its parts.
HOST_NAME_BYTES_MAX: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What the last part of an IPv4 literal looks like, also to a lookup: `10.0.0.300` is no name.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
# The one name of which it is known everywhere what it means (RFC 6761).
LOCALHOST: Final = "localhost"
LOOPBACKS: Final = (ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1"))
# Linux, IFNAMSIZ; a number would be an index, which another boot may give to another interface.
_INTERFACE: Final = re.compile(r"(?![0-9]+$)[^\s/%]{1,15}")
_ENDPOINT: Final = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[^:\[\]]*)):(?P<port>[0-9]{1,5})")


def parse_address(text: str) -> IpAddress:
    """Return the address of an IP literal; names are not looked up.

    Raises:
        Mismatch: (a ValueError) It is not an IPv4 or IPv6 literal.
    """
    if len(text) > ADDRESS_BYTES_MAX:
        raise Mismatch("an IP address")
    try:
        return ipaddress.ip_address(text)
    except ValueError as error:
        raise Mismatch("an IP address such as '127.0.0.1' or '::1'") from error


def parse_host(text: str) -> Host:
    """Return the address of an IP literal, or a host name (RFC 1123) in lower case, without a final dot.

    Raises:
        Mismatch: (a ValueError) It is neither.
    """
    name = text.lower().removesuffix(".")
    if ":" not in text and "%" not in text and not _NUMBER.fullmatch(name.rpartition(".")[2]):
        labels = name.split(".")
        if len(name) <= HOST_NAME_BYTES_MAX and all(map(_LABEL.fullmatch, labels)):
            return name
        raise Mismatch("an IP address, or a host name of a-z, 0-9, '-' and '.'")
    return parse_address(text)


def is_loopback(host: Host) -> bool:
    """Whether nothing that is sent there leaves this machine; of a name only `localhost` is known to be so."""
    return host == LOCALHOST if isinstance(host, str) else host.is_loopback


def known_addresses(host: Host) -> tuple[IpAddress, ...]:
    """Return the addresses of a host as far as they are known without a lookup."""
    if isinstance(host, str):
        return LOOPBACKS if host == LOCALHOST else ()
    return (host,)


def check_zone(address: IpAddress) -> None:
    """Raise Mismatch unless an address has a zone exactly if it needs one (RFC 4007): if it is link-local."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    if address.is_link_local and address.scope_id is None:
        raise Mismatch(f"the interface behind a link-local address, such as '{address}%eth0'")
    if not address.is_link_local and address.scope_id is not None:
        raise Mismatch("no zone behind '%': only a link-local address (fe80::/10) has one")
    if address.scope_id is not None and _INTERFACE.fullmatch(address.scope_id) is None:
        raise Mismatch("the name of an interface behind '%', such as 'fe80::1%eth0'")


def alternate(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return addresses without repetitions, IPv6 and IPv4 in turn, beginning with the first (RFC 8305, section 4)."""
    found = list(dict.fromkeys(addresses))
    if not found:
        return ()
    is_v6 = ":" in found[0]
    firsts = [each for each in found if (":" in each) is is_v6]
    others = [each for each in found if (":" in each) is not is_v6]
    pairs = min(len(firsts), len(others))
    mixed = [each for pair in zip(firsts, others, strict=False) for each in pair]
    return tuple(mixed + firsts[pairs:] + others[pairs:])


def split_endpoint(text: str, *, example_port: int = NBD_PORT) -> tuple[str, int]:
    """Return address and port of `"127.0.0.1:10809"` or `"[::1]:10809"`.

    Raises:
        Mismatch: (a ValueError) It is neither, or the port is not 1 to 65535.
    """
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        examples = f"'127.0.0.1:{example_port}' or '[::1]:{example_port}'"
        raise Mismatch(f"ADDRESS:PORT such as {examples}")
    address, port = match["v6"] or match["v4"] or "", int(match["port"])
    version = 6 if match["v6"] is not None else 4
    if parse_address(address).version != version:
        raise Mismatch("ADDRESS:PORT with brackets around an IPv6 address only")
    if not 1 <= port <= PORT_MAX:
        raise Mismatch(f"a port from 1 to {PORT_MAX}")
    return address, port


def split_place(text: str, *, default_port: int) -> tuple[str, int]:
    """Return host and port of what an operator types: a host, or a host and a port.

    `alpha`, `alpha:7700`, `10.0.0.1`, `10.0.0.1:7700`, `::1`, `[::1]` and `[::1]:7700`.

    Raises:
        Mismatch: (a ValueError) It is neither.
    """
    match = _ENDPOINT.fullmatch(text)
    if match is not None and match["v4"] is not None:
        host, port = match["v4"], int(match["port"])
    elif match is not None or (text.startswith("[") and text.endswith("]")):
        return split_endpoint(text if match is not None else f"{text}:{default_port}")
    else:
        host, port = text, default_port
    parse_host(host)
    if not 1 <= port <= PORT_MAX:
        raise Mismatch(f"a port from 1 to {PORT_MAX}")
    return host, port


def join_endpoint(address: str, port: int) -> str:
    """Return what `split_endpoint` takes apart."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
