"""Read what this machine is like: small files below /proc, /sys and /etc, and what systemd says before a start.

A shell: what is in the files is judged elsewhere.  What can't be read tells nothing.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from config.host import ROOT, UNIT_FOLDERS, machine_memory, read_lock_limit
from config.model import ClusterConfig, DaemonConfig
from ramsterd.attach.devices import Devices
from ramsterd.attach.lock import FOLDER, helper_of
from ramsterd.attach.words import attached_to
from ramsterd.doctor import proc_texts, units
from ramsterd.doctor.daemon import NoAnswer, NotRunning, ask_status
from ramsterd.doctor.facts import (
    Device,
    Facts,
    Groups,
    Kernel,
    Process,
    Running,
    Start,
)
from ramsterd.doctor.files import below, names_in, read_text
from ramsterd.doctor.groups import groups_of_unit, read_groups
from ramsterd.doctor.servers import is_own_server
from ramsterd.doctor.statuses import running_of

SYSTEMCTL_SECONDS_MAX: Final = 10.0
# A child has the OOM score of its parent, which may be spared.
_NO_HEIR: Final = ("/bin/sh", "-c", 'echo 0 2>/dev/null >/proc/self/oom_score_adj; exec "$@"', "sh")
_NBD: Final = re.compile(r"nbd(\d+)")
_OUR_UNITS: Final = ("ramsterd.service", "ramster-nbd@.service", "ramster-swap@.service")

# `show(names)` returns the properties of units, as far as there is a systemd that tells.
Show = Callable[[Iterable[str]], list[dict[str, str]]]


def survey(
    daemon: DaemonConfig,
    cluster: ClusterConfig,
    *,
    file: str,
    is_file_of_running: bool = False,
    control: Path | None,
    wants_own_swap: bool,
    root: Path = ROOT,
    show: Show | None = None,
) -> Facts:
    """Look at everything that the checks ask for.

    Args:
        daemon: The file of a node.
        cluster: The cluster file.
        file: The name of its own file.
        is_file_of_running: Whether the daemon that runs has told it.
        control: Where its daemon answers, if it runs.
        wants_own_swap: Whether this machine is to swap to it.
        root: Where /proc, /sys and /etc are; a test has its own.
        show: How to ask systemd; a test has its own.
    """
    running, no_answer = _ask(control, root)
    if running is not None and running.process.is_seen:
        # What a start would have is no matter now, and systemctl is a process more on a machine
        # that may be short of memory.
        start, groups = _start_here(root), read_groups(root, str(running.process.pid))
    else:
        start, groups = _before_start(root, show_units if show is None else show)
    return Facts(
        file=file,
        is_file_of_running=is_file_of_running,
        daemon=daemon,
        cluster=cluster,
        start=start,
        running=running,
        no_answer=no_answer,
        groups=groups,
        kernel=read_kernel(root),
        devices=read_devices(daemon, root),
        unit_files=frozenset(name for name in _OUR_UNITS if _is_installed(name, root)),
        wants_own_swap=wants_own_swap,
    )


def read_process(pid: str, root: Path = ROOT) -> Process | None:
    """Return a process; None if it can't be seen."""
    folder = root / "proc" / pid
    status = read_text(folder / "status")
    if not status:
        return None
    return proc_texts.process_of(
        os.getpid() if pid == "self" else int(pid),
        limits=read_text(folder / "limits"),
        status=status,
        oom_score_adj=read_text(folder / "oom_score_adj"),
        stats=[read_text(folder / "task" / name / "stat") for name in names_in(folder / "task")],
    )


def read_kernel(root: Path = ROOT) -> Kernel:
    """Return what the kernel has and keeps free."""
    memory = machine_memory(root)
    return Kernel(
        memory_bytes=0 if memory is None else memory.limit_bytes,
        min_free_bytes=_read_variable(root, "min_free_kbytes") * 1024,
        watermark_boost=_read_variable(root, "watermark_boost_factor"),
        has_nbd=(root / "sys/module/nbd").is_dir(),
        stalled_percent=proc_texts.stalled_percent_of(read_text(root / "proc/pressure/memory")),
    )


def _read_variable(root: Path, name: str) -> int:
    text = read_text(root / "proc/sys/vm" / name).strip()
    return int(text) if text.isdigit() else 0


def _ask(control: Path | None, root: Path) -> tuple[Running | None, str]:
    """Return the running daemon, or why there is no answer of it; neither if it does not run."""
    if control is None:
        return None, ""
    try:
        status, pid = ask_status(control)
        return running_of(status, read_process(str(pid), root) if pid else None), ""
    except NotRunning:
        return None, ""
    except NoAnswer as error:
        return None, str(error)
    except (KeyError, TypeError, ValueError):
        return None, f"{control}: what answers does not tell how it is; is it of another version?"


def _before_start(root: Path, show: Show) -> tuple[Start, Groups]:
    """Return what the unit gives a start, and where it will be; without a unit what this shell does."""
    shown = show([units.UNIT])
    if not shown or not units.is_loaded(shown[0]):
        return _start_here(root), read_groups(root, "self")
    shown += show(units.slices_of(shown[0].get("Slice", "")))
    return units.start_of(shown[0]), groups_of_unit(root, shown)


def _start_here(root: Path) -> Start:
    here = read_process("self", root)
    return Start(
        unit="",
        lock_limit_bytes=read_lock_limit(root),
        descriptors_max=here.descriptors_max if here else None,
        oom_score_adj=here.oom_score_adj if here else 0,
        has_resource_right=bool(here and here.capabilities & proc_texts.CAP_SYS_RESOURCE),
    )


def show_units(names: Iterable[str]) -> list[dict[str, str]]:
    """Return what systemd says of units; nothing where it does not run."""
    if not (wanted := list(names)):
        return []
    command = [
        *_NO_HEIR,
        "systemctl",
        "show",
        "--no-pager",
        f"--property={','.join(units.PROPERTIES)}",
    ]
    try:
        done = subprocess.run(  # noqa: S603  our own words
            [*command, "--", *wanted],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SYSTEMCTL_SECONDS_MAX,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    return [units.properties_of(part) for part in done.stdout.split("\n\n") if part.strip()]


def read_devices(daemon: DaemonConfig, root: Path = ROOT) -> tuple[Device, ...]:
    """Return the devices of the kernel's nbd that are attached."""
    devices = Devices(sys=root / "sys", proc=root / "proc")
    found = []
    indices = [
        int(match[1]) for name in names_in(root / "sys/block") if (match := _NBD.fullmatch(name))
    ]
    for index in sorted(indices):
        if not devices.size(index):
            continue
        name = f"nbd{index}"
        export, server = attached_to(devices.identifier(index)) or ("", "")
        pid = helper_of(name, below(root, str(FOLDER)))
        found.append(
            Device(
                name=name,
                export=export,
                is_ours=bool(server) and is_own_server(server, daemon),
                is_swap=any(user.startswith("swap on ") for user in devices.users(index)),
                helper=None if pid is None else read_process(str(pid), root),
            )
        )
    return tuple(found)


def _is_installed(unit: str, root: Path) -> bool:
    return any((root / folder / unit).exists() for folder in UNIT_FOLDERS)
