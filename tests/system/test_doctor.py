"""The doctor beside real daemons, and what a real systemd says of the units of this repository."""

from pathlib import Path

from config.load import load_node
from ramsterd.doctor import units
from ramsterd.doctor.machine import survey
from tests.helpers.programs import RAMSTERCTL, environment, run_program
from tests.system.conftest import NewCluster
from tests.system.daemons import ROOT
from tests.system.doctors import doctor
from tests.system.private_systemd import PrivateSystemd


def test_a_running_daemon_is_judged_by_its_process_also_after_a_restart(
    new_cluster: NewCluster,
) -> None:
    cluster = new_cluster(budgets=["32MiB"])
    node = cluster[1]
    node.config.write_text(node.config.read_text().replace("size =", "swap = true\nsize ="))
    before = doctor(node, "--own-host", "--local")
    assert "does not run" in before["daemon"]["found"]
    cluster.start()
    for _ in range(2):
        said = doctor(node, "--own-host", "--local")
        assert "runs and answers" in said["daemon"]["found"]
        assert said["exports"]["state"] == "ok"
        daemon, members, _ = load_node(node.config)
        facts = survey(
            daemon, members, file=str(node.config), control=node.control, wants_own_swap=True
        )
        assert facts.running is not None
        process = facts.running.process
        assert process.pid == node.pid
        score = int(Path(f"/proc/{node.pid}/oom_score_adj").read_text())
        assert (said["oom-score"]["state"] == "ok") == (score == -1000)
        assert (said["memory-lock"]["state"] == "ok") == process.is_locked
        assert (said["io-flusher"]["state"] == "ok") == process.is_io_flusher
        own = node.status()["protection"]
        assert (own["is_locked"], own["is_io_flusher"], own["oom_score_adj"]) == (
            process.is_locked,
            process.is_io_flusher,
            process.oom_score_adj,
        )
        run_program(
            [*RAMSTERCTL, "--socket", str(node.control), "restart"],
            check=True, env=environment(), timeout=60,
        )  # fmt: skip


def test_a_running_daemon_says_which_file_it_was_started_with(
    new_cluster: NewCluster, tmp_path: Path
) -> None:
    cluster = new_cluster(budgets=["32MiB"])
    cluster.start()
    node = cluster[1]
    command = [*RAMSTERCTL, "--socket", str(node.control), "doctor", "--local"]
    done = run_program(
        command,
        capture_output=True, check=False, cwd=tmp_path, env=environment(), text=True, timeout=60,
    )  # fmt: skip
    assert f"{node.config}, which the running ramsterd was started with, is right" in done.stdout


def test_systemd_says_of_the_units_what_the_doctor_asks_for(tmp_path: Path) -> None:
    names = ("ramsterd.service", "ramster.slice")
    texts = {name: (ROOT / "systemd" / name).read_text() for name in names}
    texts["ramster.slice"] += "MemoryMin=600M\nMemoryHigh=2G\n"
    with PrivateSystemd(tmp_path, texts, []) as systemd:
        said = systemd.ctl("show", f"--property={','.join(units.PROPERTIES)}", "--", *names)
        gone = systemd.ctl("show", f"--property={','.join(units.PROPERTIES)}", "none.service")
    service, above = (units.properties_of(part) for part in said.split("\n\n"))
    assert units.is_loaded(service)
    assert not units.is_loaded(units.properties_of(gone))
    start = units.start_of(service)
    assert (start.unit, start.lock_limit_bytes, start.oom_score_adj) == (names[0], None, -1000)
    assert (start.descriptors_max, start.kept_descriptors) == (65536, 4111)
    assert start.has_resource_right
    assert units.slices_of(service["Slice"]) == ["ramster.slice"]
    own, slice_level = units.levels_of([service, above], "/sys/fs/cgroup")
    assert (own.protected_bytes, own.swap_bytes_max) == (0, 0)
    assert (slice_level.protected_bytes, slice_level.swap_bytes_max) == (600 << 20, 0)
    (bound,) = units.bounds_of([service, above])
    assert (bound.name, bound.limit_bytes) == ("MemoryHigh= of ramster.slice", 2 << 30)
