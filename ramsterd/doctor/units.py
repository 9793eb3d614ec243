"""What systemd says of the daemon's unit and its slices (`systemctl show`).  Pure: texts in, values out."""

from typing import Final

from config.memory import MemoryBound
from ramsterd.doctor.facts import Level, Start

UNIT: Final = "ramsterd.service"
# What the shell asks for.
PROPERTIES: Final = (
    "Id", "LoadState", "Slice", "User", "LimitMEMLOCK", "LimitNOFILE", "OOMScoreAdjust",
    "AmbientCapabilities", "CapabilityBoundingSet", "FileDescriptorStoreMax", "MemoryMin",
    "MemoryHigh", "MemoryMax", "MemorySwapMax", "NeedDaemonReload",
)  # fmt: skip
# How it writes that there is no limit, beside "infinity".
_NO_LIMIT: Final = (1 << 64) - 1
_ROOT_SLICE: Final = "-.slice"


def properties_of(text: str) -> dict[str, str]:
    """Return the properties of a unit by name."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def is_loaded(unit: dict[str, str]) -> bool:
    """Whether there is such a unit."""
    return unit.get("LoadState") == "loaded"


def start_of(unit: dict[str, str]) -> Start:
    """Return what a start by a unit would have."""
    return Start(
        unit=unit.get("Id", UNIT),
        lock_limit_bytes=None if _may(unit, "cap_ipc_lock") else limit_of(unit, "LimitMEMLOCK"),
        descriptors_max=limit_of(unit, "LimitNOFILE"),
        oom_score_adj=int(unit.get("OOMScoreAdjust") or 0),
        has_resource_right=_may(unit, "cap_sys_resource"),
        kept_descriptors=limit_of(unit, "FileDescriptorStoreMax") or 0,
    )


def _may(unit: dict[str, str], capability: str) -> bool:
    """Whether processes of a unit have a capability: root has each that is not taken away."""
    is_root = unit.get("User", "") in {"", "root", "0"}
    given = unit.get("CapabilityBoundingSet" if is_root else "AmbientCapabilities", "")
    return capability in given.lower().split()


def slices_of(slice_name: str) -> list[str]:
    """Return a slice and those above it: `a-b.slice` is in `a.slice`.  The root is none of them."""
    if not slice_name.endswith(".slice") or slice_name == _ROOT_SLICE:
        return []
    words = slice_name.removesuffix(".slice").split("-")
    return ["-".join(words[:count]) + ".slice" for count in range(len(words), 0, -1)]


def levels_of(units: list[dict[str, str]], mount_point: str) -> tuple[Level, ...]:
    """Return the cgroups that a unit will have, from its own up.

    Args:
        units: The unit, then its slices from its own up.
        mount_point: Where the tree of cgroups is mounted.
    """
    names = [unit.get("Id", "") for unit in units]
    found = []
    for i, unit in enumerate(units):
        name = "/" + "/".join(reversed(names[i:]))
        found.append(
            Level(
                name=name,
                folder=f"{mount_point}{name}",
                protected_bytes=_protected(unit),
                swap_bytes_max=limit_of(unit, "MemorySwapMax"),
            )
        )
    return tuple(found)


def _protected(unit: dict[str, str]) -> int:
    """Return MemoryMin=: `infinity` is all that it has."""
    text = unit.get("MemoryMin", "0")
    if text == "infinity":
        return _NO_LIMIT
    return int(text) if text.isdigit() else 0


def bounds_of(units: list[dict[str, str]]) -> list[MemoryBound]:
    """Return what a unit and its slices bound."""
    return [
        MemoryBound(
            limit_bytes=limit,
            name=f"{key}= of {unit.get('Id', UNIT)}",
            is_fatal=key == "MemoryMax",
        )
        for unit in units
        for key in ("MemoryMax", "MemoryHigh")
        if (limit := limit_of(unit, key)) is not None
    ]


def limit_of(unit: dict[str, str], name: str) -> int | None:
    """Return a limit; None: there is none, or this systemd does not know it."""
    text = unit.get(name, "")
    if not text.isdigit() or int(text) >= _NO_LIMIT:
        return None
    return int(text)
