"""The units as systemd itself reads them, with programs that exist here in the place of ours."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.requirements import require_tool

UNITS = Path(__file__).parents[2] / "systemd"
# systemd-analyze rates an unrestricted service 9.6; 2.0 is "OK".  Its threshold is in tenths.
EXPOSURE_TENTHS_MAX = 20

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the units, and with a stand-in for the unit of nbd-client."""
    require_tool("systemd-analyze")
    text = (UNITS / "ramsterd.service").read_text()
    program = "/opt/ramster/bin/ramsterd"
    assert text.count(f"ExecStart={program} run --config /etc/ramster/ramsterd.toml") == 1
    (tmp_path / "ramsterd.service").write_text(text.replace(program, "/bin/true"))
    (tmp_path / "nbd@.service").write_text("[Service]\nExecStart=/bin/true\n")
    shutil.copy(UNITS / "dev-nbd0.swap", tmp_path)
    return tmp_path


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], cwd=folder, text=True, capture_output=True, check=False
    )


def test_systemd_accepts_the_units_without_a_word(folder: Path) -> None:
    done = analyze(folder, "verify", "--man=no", "./ramsterd.service", "./dev-nbd0.swap")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_mistake_in_a_unit_would_be_seen(folder: Path) -> None:
    unit = folder / "ramsterd.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSecs=30"))
    assert "WatchdogSecs" in analyze(folder, "verify", "--man=no", "./ramsterd.service").stderr


def test_the_service_is_hardened(folder: Path) -> None:
    options = ("--offline=true", f"--threshold={EXPOSURE_TENTHS_MAX}")
    done = analyze(folder, "security", *options, "./ramsterd.service")
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
    swap = lines_of("dev-nbd0.swap", "Unit")
    assert "DefaultDependencies=no" in swap, "or it is ordered before swap.target, so before us"
    assert any(line.startswith("After=ramsterd.service") for line in swap)


def test_a_daemon_that_serves_swap_is_spared_by_memory_pressure() -> None:
    service = lines_of("ramsterd.service", "Service")
    assert {"LimitMEMLOCK=infinity", "OOMScoreAdjust=-1000", "MemorySwapMax=0"} <= set(service)
