"""The lines to type; none of them ends pages that nobody keeps.  Pure.

Limits of memory are set by `systemctl set-property`: it writes the drop-in and applies it at once.
"""

import shlex
from collections.abc import Iterable
from typing import Final

from config.units import UNIT_BYTES
from ramsterd.doctor.facts import Facts, Level, Neighbour, unit_of

_MIB: Final = UNIT_BYTES["MiB"]
_UNITS: Final = (".slice", ".service", ".scope")
_UNITS_FOLDER: Final = "/etc/systemd/system"
# Where the files of `systemd/` are.
_IN_CLONE: Final = "in a clone of this version: "
_UNIT: Final = "ramsterd.service"
# FileDescriptorStoreMax= of the unit of this version.
KEPT_DESCRIPTORS: Final = 4111


def mebibytes(count: int) -> str:
    """Return a size as systemd reads it, rounded up."""
    return f"{-(-count // _MIB)}M" if count else "0"


def restart(facts: Facts) -> str:
    """Return how to start the daemon, again or for the first time; its pages stay."""
    if facts.running is None:
        return f"systemctl start {facts.unit}" if facts.unit else _run(facts)
    is_kept = facts.unit and facts.running.keeper
    return f"systemctl restart {facts.unit}" if is_kept else "ramsterctl restart"


def _restart_unit(facts: Facts) -> str:
    """Return how the daemon gets what its unit says now.

    `ramsterctl restart` stays in the process; `ramsterctl stop` is refused while pages would end.
    """
    if facts.running is None or facts.running.keeper:
        return restart(facts)
    return f"ramsterctl stop && systemctl start {facts.unit}"


def reload(facts: Facts) -> str:
    """Return how to have files read again, or for the first time."""
    return restart(facts) if facts.running is None else "ramsterctl config reload"


def let_in(protocol: str, source: str, port: int) -> str:
    """Return how a machine lets packets in, with nftables as Debian sets it up, or with ufw."""
    family = "ip6" if ":" in source else "ip"
    nft = (
        f"nft insert rule inet filter input {family} saddr {source} {protocol} dport {port} accept"
    )
    return f"{nft} (with ufw: ufw allow from {source} to any port {port} proto {protocol})"


def start_by_hand(facts: Facts, before: str = "") -> str:
    """Return how to start a daemon without a unit: in a shell of root, after the one that runs."""
    stop = "" if facts.running is None else "ramsterctl stop; "
    return f"{stop}{before}{_run(facts)}"


def _run(facts: Facts) -> str:
    return f"ramsterd run --config {shlex.quote(facts.file)}"


def in_unit(facts: Facts, name: str, *settings: str) -> str:
    """Return how to add settings of [Service] to the unit of the daemon, in a drop-in of its own."""
    return _drop_in(facts, name, settings, _restart_unit(facts))


def _drop_in(facts: Facts, name: str, settings: Iterable[str], again: str) -> str:
    folder = f"{_UNITS_FOLDER}/{facts.unit}.d"
    lines = r"\n".join(["[Service]", *settings, ""])
    return (
        f"mkdir -p {folder} && printf '{lines}' >{folder}/{name}.conf"
        f" && systemctl daemon-reload && {again}"
    )


def set_in_group(group: Level | Neighbour, prop: str, file: str, count: int) -> str:
    """Return how to set a property of a cgroup: by systemd where it is a unit, else in its file.

    The kernel takes only whole pages, so it is rounded up either way.
    """
    unit = unit_of(group.name)
    if unit.endswith(_UNITS):
        return f"systemctl set-property {unit} {prop}={mebibytes(count)}"
    return f"echo {mebibytes(count)} >{group.folder}/{file}"


def set_sysctls(**values: int) -> str:
    """Return how to set variables of the kernel's memory, for now and for each boot."""
    file = "/etc/sysctl.d/60-ramster.conf"
    lines = "".join(rf"vm.{name} = {value}\n" for name, value in values.items())
    return f"printf '{lines}' >{file} && sysctl -p {file}"


def begin_keeping(facts: Facts) -> str:
    """Return how systemd begins to keep the pages of the daemon.

    `ramsterctl restart` stays in the process, so the next program finds the pages, and hands them
    to systemd.  A daemon without a unit can't hand them over: its stop is refused while pages would
    end.
    """
    start = facts.start
    if facts.unit:
        again = restart(facts)
        if start.kept_descriptors:
            return again
        settings = [f"FileDescriptorStoreMax={KEPT_DESCRIPTORS}"]
        return _drop_in(facts, "keep", settings, again)
    again = f"systemctl start {start.unit or _UNIT}"
    if facts.running is not None:
        again = f"ramsterctl stop && {again} (the stop is refused while pages would end)"
    return again if start.kept_descriptors else f"{install_unit(_UNIT)} && {again}"


def install_unit(name: str) -> str:
    """Return how to install a unit of this release."""
    return f"{_IN_CLONE}cp systemd/{name} {_UNITS_FOLDER}/ && systemctl daemon-reload"


def own_slice(facts: Facts) -> str:
    """Return how the daemon gets a slice of its own: the units of this release say so."""
    if not facts.unit:
        return (
            f"{install_unit('ramster.slice systemd/ramsterd.service')} && systemctl start ramsterd"
        )
    in_slice = in_unit(facts, "slice", "Slice=ramster.slice")
    return f"{_IN_CLONE}cp systemd/ramster.slice {_UNITS_FOLDER}/ && {in_slice}"
