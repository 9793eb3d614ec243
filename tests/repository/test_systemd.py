"""The units as systemd itself reads them, with programs that exist here in the place of ours."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from ramsterd.cli.output import EX_CONFIG
from ramsterd.handover.document import CONNECTIONS_MAX, Endpoint
from ramsterd.kept.layout import MAPPINGS, SUPER
from ramsterd.kept.super_page import ATTEMPTS_MAX
from tests.helpers.requirements import require_tool

UNITS = Path(__file__).parents[2] / "systemd"
# systemd-analyze rates an unrestricted service 9.6; 2.0 is "OK".  Its threshold is in tenths.
EXPOSURE_TENTHS_MAX = {
    "./ramsterd.service": 20,
    # The kernel's nbd asks for CAP_SYS_ADMIN, and setting limits of cgroups does, which alone is most of what is left.
    "./ramster-nbd@nbd0.service": 25,
    "./ramster-own-swap.service": 25,
    "./ramster-swap@nbd0.service": 20,
}


# What the units start stands in for by these, which exist where tests run.
PROGRAMS = {
    "ramsterd.service": ("/opt/ramster/bin/ramsterd", "run --config /etc/ramster/ramsterd.toml"),
    "ramster-nbd@.service": (
        "/opt/ramster/bin/ramsterctl",
        "nbd attach ${EXPORT} /dev/%i $OPTIONS",
    ),
}
SERVICES = (
    "./ramsterd.service",
    "./ramster-nbd@nbd0.service",
    "./ramster-swap@nbd0.service",
    "./ramster-own-swap.service",
    "./ramster.slice",
    "./system.slice",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the units, as an administrator copies them."""
    require_tool("systemd-analyze")
    for unit, (program, arguments) in PROGRAMS.items():
        text = (UNITS / unit).read_text()
        assert text.count(f"ExecStart={program} {arguments}\n") == 1
        (tmp_path / unit).write_text(text.replace(program, "/bin/true"))
    swap = (UNITS / "ramster-swap@.service").read_text()
    assert swap.count("/opt/ramster/bin/ramsterctl") == 1
    (tmp_path / "ramster-swap@.service").write_text(
        swap.replace("/opt/ramster/bin/ramsterctl", "/bin/true")
    )
    limits = (UNITS / "ramster-own-swap.service").read_text()
    (tmp_path / "ramster-own-swap.service").write_text(
        limits.replace("/opt/ramster/bin/ramsterctl", "/bin/true")
    )
    shutil.copy(UNITS / "ramster.slice", tmp_path)
    (tmp_path / "system.slice").write_text("[Unit]\nDescription=everything else\n")
    (tmp_path / "system.slice.d").mkdir()
    shutil.copy(UNITS / "ramster-others.conf", tmp_path / "system.slice.d")
    (tmp_path / "ramsterd.service.d").mkdir()
    shutil.copy(UNITS / "ramsterd-nbd.conf", tmp_path / "ramsterd.service.d" / "nbd.conf")
    return tmp_path


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], cwd=folder, text=True, capture_output=True, check=False
    )


def test_systemd_accepts_the_units_without_a_word(folder: Path) -> None:
    done = analyze(folder, "verify", "--man=no", *SERVICES)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_mistake_in_a_unit_would_be_seen(folder: Path) -> None:
    unit = folder / "ramsterd.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSecs=30"))
    assert "WatchdogSecs" in analyze(folder, "verify", "--man=no", "./ramsterd.service").stderr


@pytest.mark.parametrize("unit", EXPOSURE_TENTHS_MAX)
def test_a_service_is_hardened(unit: str, folder: Path) -> None:
    options = ("--offline=true", f"--threshold={EXPOSURE_TENTHS_MAX[unit]}")
    done = analyze(folder, "security", *options, unit)
    assert done.returncode == 0, done.stdout


def lines_of(unit: str, section: str) -> list[str]:
    """Return the settings of one section."""
    text = (UNITS / unit).read_text()
    body = text.partition(f"\n[{section}]\n")[2].partition("\n[")[0]
    return [line for line in body.splitlines() if line and not line.startswith("#")]


def test_the_daemon_outlives_what_uses_its_pages() -> None:
    """The order of stopping is the order of starting reversed."""
    daemon = lines_of("ramsterd.service", "Unit")
    assert "After=network-online.target" in daemon
    assert {"Before=remote-fs-pre.target", "Wants=remote-fs-pre.target"} <= set(daemon)
    helper = lines_of("ramster-nbd@.service", "Unit")
    assert "After=ramsterd.service modprobe@nbd.service" in helper
    swap = lines_of("ramster-swap@.service", "Unit")
    assert "After=ramster-nbd@%i.service ramsterd.service ramster-own-swap.service" in swap


def test_limits_are_set_before_a_device_is_refused_for_want_of_them() -> None:
    swap = lines_of("ramster-swap@.service", "Unit")
    assert "Wants=ramster-nbd@%i.service ramster-own-swap.service" in swap
    assert "After=ramster-own-swap.service" in lines_of("ramster-nbd@.service", "Unit")
    limits = lines_of("ramster-own-swap.service", "Service")
    (start,) = [line for line in limits if line.startswith("ExecStart=")]
    arguments = start.partition("/opt/ramster/bin/ramsterctl ")[2].split()
    assert arguments == ["doctor", "--swap", "--own-host", "--local", "--apply"]
    assert "SuccessExitStatus=1" in limits


@pytest.mark.parametrize("unit", ["ramster-nbd@.service", "ramster-swap@.service"])
def test_a_restart_of_the_daemon_is_handed_on_to_nobody(unit: str) -> None:
    """swapoff, which needs the daemon, would stand before the start of a daemon that crashed."""
    names = {line.partition("=")[0] for line in lines_of(unit, "Unit")}
    assert names.isdisjoint(
        {"Requires", "Requisite", "BindsTo", "PartOf", "StopPropagatedFrom", "Upholds"}
    )
    daemon = {line.partition("=")[0] for line in lines_of("ramsterd.service", "Unit")}
    assert "PropagatesStopTo" not in daemon


STOP_COMMAND = next(
    line.removeprefix("ExecStop=+/bin/sh -c ").strip("'")
    for line in (UNITS / "ramsterd-nbd.conf").read_text().splitlines()
    if line.startswith("ExecStop=")
)


@pytest.mark.parametrize(
    ("job", "stopped"),
    [
        (
            "4711 ramsterd.service stop    running",
            "ramster-swap@*.service\nramster-nbd@*.service\n",
        ),
        ("4711 ramsterd.service restart running", ""),
        ("No jobs running.", ""),
    ],
)
def test_a_stop_of_the_daemon_takes_swap_off_first_and_a_restart_does_not(
    tmp_path: Path, job: str, stopped: str
) -> None:
    """The command of the drop-in, with a systemctl that says which job there is."""
    program = tmp_path / "systemctl"
    program.write_text(
        f'#!/bin/sh\ncase $1 in list-jobs) echo "{job}";; stop) shift; echo "$*" >>"$0.stopped";; esac\n'
    )
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["/bin/sh", "-c", STOP_COMMAND], env={"PATH": path}, check=True)
    said = tmp_path / "systemctl.stopped"
    assert (said.read_text() if said.exists() else "") == stopped


def value_of(setting: str) -> str:
    """Return the only value of a setting of the daemon's unit."""
    (value,) = [
        line.partition("=")[2]
        for section in ("Unit", "Service")
        for line in lines_of("ramsterd.service", section)
        if line.startswith(f"{setting}=")
    ]
    return value


def test_systemd_has_room_for_all_memory_and_all_connections() -> None:
    memory = len({SUPER, *MAPPINGS})
    document = 1
    assert int(value_of("FileDescriptorStoreMax")) == (
        memory + document + len(Endpoint) + CONNECTIONS_MAX
    )


def test_a_start_that_a_person_must_correct_costs_no_page(tmp_path: Path) -> None:
    """systemd gives up the pages of a unit that it does not start again, and of one at its start limit."""
    names = {line.partition("=")[0] for line in lines_of("ramsterd.service", "Service")}
    assert "RestartPreventExitStatus" not in names
    assert value_of("Restart") == "on-failure"
    shell = tmp_path / "sleep"
    shell.write_text(f'#!/bin/sh\necho "$1" >>{tmp_path}/slept\n')
    shell.chmod(0o755)
    command = value_of("ExecStopPost").removeprefix("/bin/sh -c ").strip("'").replace("$$", "$")
    path = f"{tmp_path}:{os.environ['PATH']}"
    for status in (str(EX_CONFIG), "0", "1", "KILL"):
        done = subprocess.run(
            ["/bin/sh", "-c", command], env={"PATH": path, "EXIT_STATUS": status}, check=False
        )
        assert done.returncode == 0
    (slept,) = (tmp_path / "slept").read_text().splitlines()
    pause = int(slept) + int(value_of("RestartSec"))
    starts = int(value_of("StartLimitBurst"))
    assert pause * starts > int(value_of("StartLimitIntervalSec"))


def test_memory_that_ends_each_start_is_given_up_before_the_unit_is() -> None:
    assert int(value_of("StartLimitBurst")) > ATTEMPTS_MAX + 1


def test_a_stop_leaves_the_memory_of_a_folder_alone() -> None:
    assert value_of("RemoveIPC") == "no"


@pytest.mark.parametrize("unit", ["ramsterd.service", "ramster-nbd@.service"])
def test_what_serves_swap_is_spared_by_memory_pressure(unit: str) -> None:
    service = lines_of(unit, "Service")
    assert {"LimitMEMLOCK=infinity", "OOMScoreAdjust=-1000", "MemorySwapMax=0"} <= set(service)


@pytest.mark.parametrize("unit", ["ramsterd.service", "ramster-nbd@.service"])
def test_the_daemon_and_its_helpers_have_a_slice_of_their_own(unit: str) -> None:
    """Inside system.slice they could not be protected from what else is there, nor that be bounded."""
    assert "Slice=ramster.slice" in lines_of(unit, "Service")
    assert lines_of("ramster.slice", "Slice") == ["MemorySwapMax=0"]


SWAP_CHECK = next(
    line.removeprefix("ExecStartPre=/bin/sh -c ").strip("'").replace("$$", "$")
    for line in (UNITS / "ramster-swap@.service").read_text().splitlines()
    if "doctor" in line and line.startswith("ExecStartPre=")
)


@pytest.mark.parametrize(
    ("found", "options", "is_on"),
    [
        (0, "", True),
        (1, "", True),
        (2, "", False),
        (127, "", False),
        (2, "--force", True),
        (2, "--timeout 5 --force", True),
        (2, "--enforce", False),
    ],
)
def test_errors_keep_swap_off_unless_the_operator_has_decided_otherwise(
    tmp_path: Path, found: int, options: str, is_on: bool
) -> None:
    program = tmp_path / "ramsterctl"
    program.write_text(f'#!/bin/sh\ntest "$*" = "doctor --swap --own-host" && exit {found}\n')
    program.chmod(0o755)
    command = SWAP_CHECK.replace("/opt/ramster/bin/ramsterctl", str(program))
    done = subprocess.run(["/bin/sh", "-c", command], env={"OPTIONS": options}, check=False)
    assert (done.returncode == 0) is is_on


def test_a_refusal_is_not_tried_again_before_somebody_has_changed_something() -> None:
    assert f"RestartPreventExitStatus={EX_CONFIG}" in lines_of("ramster-nbd@.service", "Service")
