"""Facts of a machine on which all is right for swap to its own daemon; tests change one thing at a time."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from config.memory import MemoryBound
from config.model import ControlConfig, DaemonConfig, ExportConfig, MemoryConfig, NbdConfig
from config.units import UNIT_BYTES
from ramsterd.doctor.facts import (
    Device,
    Facts,
    Groups,
    Kernel,
    Level,
    Neighbour,
    Process,
    Running,
    Start,
)
from ramsterd.doctor.findings import Finding
from tests.helpers.clusters import cluster_of

MIB = UNIT_BYTES["MiB"]
GIB = UNIT_BYTES["GiB"]

PROCESS = Process(
    pid=4711,
    descriptors_max=65536,
    is_locked=True,
    locked_bytes=3 * GIB,
    oom_score_adj=-1000,
    is_io_flusher=True,
)
BARE_PROCESS = replace(
    PROCESS, is_locked=False, locked_bytes=0, oom_score_adj=0, is_io_flusher=False
)
START = Start(
    unit="ramsterd.service",
    lock_limit_bytes=None,
    descriptors_max=65536,
    oom_score_adj=-1000,
    has_resource_right=True,
    kept_descriptors=4111,
)
BARE_START = Start(
    unit="",
    lock_limit_bytes=8 * MIB,
    descriptors_max=1024,
    oom_score_adj=0,
    has_resource_right=False,
)
RUNNING = Running(
    version="0.1.0",
    budget_bytes=512 * MIB,
    keeper="systemd",
    reserve_bytes=32 * MIB,
    ready_bytes=32 * MIB,
    is_reserve_short=False,
    process=PROCESS,
)
SLICE = Level(
    name="/ramster.slice",
    folder="/sys/fs/cgroup/ramster.slice",
    protected_bytes=GIB,
    swap_bytes_max=0,
)
SERVICE = replace(
    SLICE,
    name="/ramster.slice/ramsterd.service",
    folder="/sys/fs/cgroup/ramster.slice/ramsterd.service",
)


def neighbour(name: str, used: int = 0, limit: int | None = None) -> Neighbour:
    """Return a cgroup beside ours, in bytes."""
    return Neighbour(name=name, folder=f"/sys/fs/cgroup{name}", used_bytes=used, bytes_max=limit)


NEIGHBOURS = (
    neighbour("/init.scope", 12 * MIB),
    neighbour("/system.slice", GIB, 4 * GIB),
    neighbour("/user.slice", 100 * MIB, 2 * GIB),
)
GROUPS = Groups(
    version=2,
    levels=(SERVICE, SLICE),
    neighbours=NEIGHBOURS,
    bounds=(MemoryBound(limit_bytes=8 * GIB, name="the memory of this machine"),),
)
KERNEL = Kernel(
    memory_bytes=8 * GIB, min_free_bytes=128 * MIB, watermark_boost=0, has_nbd=True,
    stalled_percent=0.0,
)  # fmt: skip
DEVICE = Device(
    name="nbd0",
    export="swap0",
    is_ours=True,
    is_swap=True,
    helper=replace(PROCESS, pid=42),
)


def daemon_config(*, memory: MemoryConfig | None = None, **export: object) -> DaemonConfig:
    """Return a node with one export, which is for swap unless its keys say otherwise."""
    disk = ExportConfig(name="swap0", size=GIB, swap=True)
    return DaemonConfig(
        node="node0",
        cluster=Path("/etc/ramster/cluster.toml"),
        memory=memory or MemoryConfig(budget=512 * MIB),
        nbd=NbdConfig(socket=Path("/run/ramster/nbd.sock")),
        control=ControlConfig(socket=Path("/run/ramster/control.sock")),
        # mypy can't know which key has which type.
        export=(replace(disk, **export),),  # type: ignore[arg-type]
    )


FACTS = Facts(
    file="/etc/ramster/ramsterd.toml",
    daemon=daemon_config(),
    cluster=cluster_of(3),
    start=START,
    running=RUNNING,
    groups=GROUPS,
    kernel=KERNEL,
    devices=(DEVICE,),
    unit_files=frozenset({"ramster-nbd@.service", "ramster-swap@.service"}),
)
# The same before the first start: nothing is attached, and the operator asks for it.
BEFORE = replace(FACTS, running=None, devices=(), wants_own_swap=True)
# A node whose guests swap, and which does not itself.
HOST_OF_GUESTS = replace(FACTS, devices=())


def found(findings: Iterable[Finding], check: str) -> Finding:
    """Return the only finding of a check."""
    (finding,) = [each for each in findings if each.check == check]
    return finding
