"""Units and programs that are not those of this version."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from ramsterd.doctor import shipped
from ramsterd.doctor.findings import State
from ramsterd.doctor.surroundings import UnitFile, Units
from ramsterd.doctor.unit_checks import check_program, check_units
from ramsterd.doctor.unit_files import read_units
from tests.docs.pages import ROOT
from tests.helpers.doctor_facts import BEFORE, FACTS, RUNNING
from tests.helpers.doctor_surroundings import UNIT

ETC, LIB = "etc/systemd/system", "usr/lib/systemd/system"
TEXT = (ROOT / "systemd" / "ramsterd.service").read_text()


def test_units_as_they_are_shipped_are_ok() -> None:
    (finding,) = check_units(Units(files=(UNIT,)))
    assert finding.found == "as this version ships them: ramsterd.service"
    (none,) = check_units(Units())
    assert (none.state, none.found) == (State.OK, "no unit of ramster is installed")


@pytest.mark.parametrize(
    ("file", "risk", "fix"),
    [
        (
            replace(UNIT, is_shipped=False),
            "without what this version expects",
            "in a clone of this version: cp systemd/ramsterd.service /etc/systemd/system/ && systemctl daemon-reload",
        ),
        (
            replace(UNIT, is_shipped=False, path="/usr/lib/systemd/system/ramsterd.service"),
            "without what this version expects",
            "apt-get install --reinstall ramster, or what else installed that file",
        ),
        (
            replace(UNIT, hides="/usr/lib/systemd/system/ramsterd.service"),
            "upgrades of the package do not change ramsterd.service",
            "diff /usr/lib/systemd/system/ramsterd.service /etc/systemd/system/ramsterd.service;",
        ),
        (replace(UNIT, is_masked=True), "nobody can start", "systemctl unmask ramsterd.service"),
    ],
    ids=["old", "old package", "hidden", "masked"],
)
def test_a_unit_that_drifted_is_a_warning(file: UnitFile, risk: str, fix: str) -> None:
    (finding,) = check_units(Units(files=(file,)))
    assert finding.state is State.WARNING
    assert risk in finding.risk
    assert finding.fix.startswith(fix)


def test_a_file_that_systemd_has_not_read_yet_is_a_finding_of_its_own() -> None:
    (finding,) = check_units(Units(files=(UNIT,), outdated=("ramsterd.service",)))
    assert finding.fix == "systemctl daemon-reload"


def test_a_daemon_that_runs_on_after_an_upgrade_is_to_be_restarted() -> None:
    new = replace(FACTS, running=replace(RUNNING, version="1.0", build="b1"))
    assert check_program(new, version="1.0", build="b1").state is State.OK
    assert check_program(BEFORE, version="1.0", build="b1").state is State.OK
    for version, build in (("1.1", "b1"), ("1.0", "b2")):
        finding = check_program(new, version=version, build=build)
        assert (finding.state, finding.fix) == (State.WARNING, "ramsterctl restart")
        assert finding.found == "a daemon of version 1.0 (b1)"


def install(root: Path, folder: str, text: str, name: str = "ramsterd.service") -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / name).write_text(text)


def nothing(names: Iterable[str]) -> list[dict[str, str]]:
    return []


def test_a_unit_is_recognized_with_other_comments_and_another_folder_of_programs(
    tmp_path: Path,
) -> None:
    moved = TEXT.replace("/opt/ramster/bin/", "/usr/lib/ramster/bin/")
    install(tmp_path, LIB, f"# of a package\n\n{moved}")
    (file,) = read_units(tmp_path, nothing).files
    assert (file.path, file.is_shipped, file.hides) == (f"/{LIB}/ramsterd.service", True, "")


def test_a_changed_unit_and_what_it_hides_are_found(tmp_path: Path) -> None:
    install(tmp_path, LIB, TEXT)
    install(tmp_path, ETC, TEXT.replace("WatchdogSec=30", "WatchdogSec=0"))
    (file,) = read_units(tmp_path, nothing).files
    assert (file.path, file.is_shipped) == (f"/{ETC}/ramsterd.service", False)
    assert file.hides == f"/{LIB}/ramsterd.service"


def test_a_masked_unit_is_one_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / ETC).mkdir(parents=True)
    (tmp_path / ETC / "ramsterd.service").symlink_to("/dev/null")
    (file,) = read_units(tmp_path, nothing).files
    assert file.is_masked


def test_systemd_is_asked_for_units_that_are_installed_and_no_templates(tmp_path: Path) -> None:
    asked: list[str] = []

    def show(names: Iterable[str]) -> list[dict[str, str]]:
        asked.extend(names)
        return [{"Id": "ramsterd.service", "NeedDaemonReload": "yes"}]

    assert read_units(tmp_path, show).outdated == ()
    assert asked == []
    install(tmp_path, ETC, TEXT)
    install(tmp_path, ETC, "", "ramster-nbd@.service")
    assert read_units(tmp_path, show).outdated == ("ramsterd.service",)
    assert asked == ["ramsterd.service"]


def test_a_digest_is_of_what_a_unit_says() -> None:
    text = "[Service]\nExecStart=/a/b/ramsterd run\n"
    same = "; x\n[Service]\n\n# y\nExecStart=/c/ramsterd run\n"
    assert shipped.digest_of(same) == shipped.digest_of(text)
    assert shipped.digest_of(text.replace("run", "ran")) != shipped.digest_of(text)
