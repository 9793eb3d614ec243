"""What a node says of itself when another one asks: to be compared.  Pure.

The other side may be of any version, or lie: what it says is taken in only within these limits.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Final

from config.model import ClusterConfig

REPORT: Final = "self-report"
REPORT_BYTES_MAX: Final = 4096
TEXT_CHARACTERS_MAX: Final = 256
# The year 9999, and as long as a node may run.
SECONDS_MAX: Final = 253_402_300_799.0
DIGEST_CHARACTERS: Final = 32
COUNT_MAX: Final = (1 << 64) - 1


class BadReport(ValueError):
    """It is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How one node sees another."""

    state: str
    is_linked: bool
    # Why there is no link.
    link_reason: str
    # Since its last heartbeat by UDP; None: none came yet.
    heartbeat_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfReport:
    """What one node says of itself, and of the node that asks."""

    version: str
    build: str
    # Its clock, in seconds since 1970.
    clock_seconds: float
    uptime_seconds: float
    membership_version: int
    # Equal where the members and the settings of the cluster are.
    cluster_digest: str
    # None: it does not know the node that asks.
    sees: Sight | None


def request_of(asker: str) -> dict[str, str]:
    """Return the command that a node of this name passes on."""
    return {"command": REPORT, "for": asker}


def parse_answer(answer: bytes | str) -> SelfReport:
    """Return what the control socket of another node answered to `request_of`.

    Raises:
        BadReport: It refuses, or answers something else.
    """
    if len(answer) > REPORT_BYTES_MAX:
        raise BadReport(f"{len(answer)} bytes, not {REPORT_BYTES_MAX} at most")
    try:
        plain = json.loads(answer)
    except (ValueError, RecursionError):
        raise BadReport("no JSON") from None
    if not isinstance(plain, dict) or plain.get("ok") is not True:
        raise BadReport("a refusal")
    return parse_report(plain.get("result"))


def parse_report(plain: object) -> SelfReport:
    """Return a report that came as JSON.

    Raises:
        BadReport: It is none.
    """
    if not isinstance(plain, dict):
        raise BadReport("no object")
    return SelfReport(
        version=_text(plain, "version"),
        build=_text(plain, "build"),
        clock_seconds=_seconds(plain, "clock_seconds"),
        uptime_seconds=_seconds(plain, "uptime_seconds"),
        membership_version=_count(plain, "membership_version"),
        cluster_digest=_text(plain, "cluster_digest"),
        sees=_sight(plain.get("sees")),
    )


def _sight(plain: object) -> Sight | None:
    if plain is None:
        return None
    if not isinstance(plain, dict):
        raise BadReport("sees: no object")
    if type(is_linked := plain.get("is_linked")) is not bool:
        raise BadReport("is_linked: no truth value")
    silent = plain.get("heartbeat_seconds")
    return Sight(
        state=_text(plain, "state"),
        is_linked=is_linked,
        link_reason=_text(plain, "link_reason"),
        heartbeat_seconds=None if silent is None else _seconds(plain, "heartbeat_seconds"),
    )


def _text(plain: dict[str, Any], key: str) -> str:
    found = plain.get(key)
    if not isinstance(found, str) or not (found.isprintable() or not found):
        raise BadReport(f"{key}: no printable text")
    return found[:TEXT_CHARACTERS_MAX]


def _seconds(plain: dict[str, Any], key: str) -> float:
    found = plain.get(key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise BadReport(f"{key}: no number")
    # NaN compares as false, and a whole number may be too large for a float.
    if not (-SECONDS_MAX <= found <= SECONDS_MAX) or not math.isfinite(found):
        raise BadReport(f"{key}: out of range")
    return float(found)


def _count(plain: dict[str, Any], key: str) -> int:
    found = plain.get(key)
    if type(found) is not int or not 0 <= found <= COUNT_MAX:
        raise BadReport(f"{key}: no count")
    return found


def cluster_digest(cluster: ClusterConfig) -> str:
    """Return what is equal where all that cluster files say is: members, timers, settings.

    Nodes of one version only: another may know more keys.
    """
    return hashlib.sha256(repr(cluster.in_order()).encode()).hexdigest()[:DIGEST_CHARACTERS]
