"""Does systemd start what is installed: unit files that are old or hidden, a program that is old.  Pure."""

from collections.abc import Iterator
from typing import Final

from ramsterd.doctor import fixes
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.doctor.surroundings import UnitFile, Units

_ETC: Final = "/etc/"
_OLD_UNIT: Final = "ramsterd runs without what this version expects of its unit"


def check_units(units: Units) -> Iterator[Finding]:
    """Judge the files, worst of each, and whether systemd knows them."""
    findings = [each for file in units.files if (each := _check_file(file)) is not None]
    yield from findings
    if units.outdated:
        yield Finding(
            check="units",
            state=State.WARNING,
            risk="the next start is by a unit that is not that of the files",
            found=f"{', '.join(units.outdated)} changed since systemd read it",
            expected="units as their files say (NeedDaemonReload=no)",
            fix="systemctl daemon-reload",
        )
    elif not findings:
        names = ", ".join(file.name for file in units.files)
        yield ok("units", f"as this version ships them: {names}" if names else "no unit of ramster is installed")  # fmt: skip


def _check_file(file: UnitFile) -> Finding | None:
    if file.is_masked:
        return Finding(
            check="units",
            state=State.WARNING,
            risk=f"nobody can start {file.name}",
            found=f"{file.path}, which is a link to /dev/null",
            expected="a unit that is not masked",
            fix=f"systemctl unmask {file.name}",
        )
    if file.hides:
        return Finding(
            check="units",
            state=State.WARNING,
            risk=f"upgrades of the package do not change {file.name}",
            found=f"{file.path}, which hides {file.hides}",
            expected="the unit of the package, with changes in a drop-in of their own",
            fix=f"diff {file.hides} {file.path}; put what is yours in: systemctl edit {file.name};"
            f" then: rm {file.path} && systemctl daemon-reload",
        )
    if file.is_shipped:
        return None
    is_by_hand = file.path.startswith(_ETC)
    return Finding(
        check="units",
        state=State.WARNING,
        risk=_OLD_UNIT,
        found=f"{file.path}, which is not the {file.name} of this version",
        expected="the unit of this version, with changes in a drop-in of their own (systemctl edit)",
        fix=fixes.install_unit(file.name)
        if is_by_hand
        else "apt-get install --reinstall ramster, or what else installed that file",
    )


def check_program(facts: Facts, *, version: str, build: str) -> Finding:
    """Judge whether the daemon that runs is the program that is installed; these are its version and build."""
    running = facts.running
    installed = f"{version} ({build})"
    if running is None:
        return ok("program", f"version {installed} is installed")
    if (running.version, running.build) == (version, build):
        return ok("program", f"the installed version {installed} is the one that runs")
    return Finding(
        check="program",
        state=State.WARNING,
        risk="what was upgraded is not in use",
        found=f"a daemon of version {running.version} ({running.build or 'build unknown'})",
        expected=f"the installed version {installed}",
        fix="ramsterctl restart",
    )
