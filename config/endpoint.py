"""Addresses as people write them: IP literals, and `ADDRESS:PORT` with brackets around IPv6."""

import ipaddress
import re
from typing import Final

from config.errors import Mismatch

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

PORT_MAX: Final = 65535
# Of links and of the heartbeat, TCP and UDP alike.
DEFAULT_PORT: Final = 7700
# The port that IANA has given to NBD, and the one of ramster's metrics.
NBD_PORT: Final = 10809
METRICS_PORT: Final = 9750
# The longest IP literal with a scope stays well below; ipaddress puts the whole text into its
# errors.
ADDRESS_BYTES_MAX: Final = 64
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


def needs_zone(address: IpAddress) -> bool:
    """Whether an address means something only together with an interface (RFC 4007), or names one."""
    if isinstance(address, ipaddress.IPv4Address):
        return False
    return address.is_link_local or address.scope_id is not None


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


def join_endpoint(address: str, port: int) -> str:
    """Return what `split_endpoint` takes apart."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
