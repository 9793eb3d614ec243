"""`ramsterctl doctor`: what it prints, what it asks, and its exit status."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from click.testing import CliRunner

from config.errors import ConfigError
from config.load import NO_FILE
from ramsterd.cli import doctor
from ramsterd.cli.ramsterctl import main
from ramsterd.doctor.applying import apply_lines
from ramsterd.doctor.facts import Facts
from ramsterd.doctor.findings import Finding, State, ok
from ramsterd.doctor.surroundings import Surroundings
from tests.helpers.config_texts import CLUSTER, DAEMON, write
from tests.helpers.doctor_facts import FACTS, HOST_OF_GUESTS, KERNEL, RUNNING
from tests.helpers.doctor_surroundings import AROUND, CURRENT

LACKING = Finding(
    check="copies", state=State.ERROR, risk="pages end", found="1", expected="2", fix="exit 1"
)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(doctor, "look_around", lambda *_, **__: AROUND)
    monkeypatch.setattr(doctor, "judge_around", lambda *_: [])
    write(tmp_path, "cluster.toml", CLUSTER)
    return write(tmp_path, "ramsterd.toml", DAEMON + '[control]\nsocket = "c.sock"\n')


def run(config: Path, *arguments: str, before: tuple[str, ...] = ()) -> tuple[int, str]:
    done = CliRunner().invoke(main, [*before, "doctor", "--config", str(config), *arguments])
    return done.exit_code, done.stdout


@pytest.mark.parametrize(
    ("facts", "status", "last"),
    [
        (FACTS, 0, "22 checks: 0 errors, 0 warnings, 22 ok"),
        (
            replace(HOST_OF_GUESTS, running=replace(RUNNING, keeper="")),
            1,
            "13 checks: 0 errors, 1 warning, 12 ok",
        ),
        (
            replace(FACTS, kernel=replace(KERNEL, has_nbd=False)),
            2,
            "22 checks: 1 error, 0 warnings, 21 ok",
        ),
    ],
    ids=["ok", "warning", "error"],
)
def test_the_exit_status_tells_the_worst_of_all_checks(
    config: Path, monkeypatch: pytest.MonkeyPatch, facts: Facts, status: int, last: str
) -> None:
    monkeypatch.setattr(doctor, "survey", lambda *_, **__: facts)
    found, text = run(config, "--swap")
    assert (found, text.splitlines()[-1]) == (status, last)
    found, text = run(config, "--swap", "-o", "json")
    assert found == status
    assert json.loads(text)["state"] == ("ok", "warning", "error")[status]


@pytest.mark.parametrize(
    ("arguments", "checks"),
    [((), 5), (("--swap",), 13), (("--own-host",), 21), (("--swap", "--own-host"), 21)],
)
def test_options_say_what_is_checked(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    checks: int,
) -> None:
    def survey(*_: object, wants_own_swap: bool, **__: object) -> Facts:
        return replace(HOST_OF_GUESTS, wants_own_swap=wants_own_swap)

    monkeypatch.setattr(doctor, "survey", survey)
    _, text = run(config, *arguments, "--output", "json")
    assert len(json.loads(text)["checks"]) == checks


def test_the_daemon_is_asked_where_its_file_says_or_where_the_operator_does(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def survey(*_: object, control: Path | None, **__: object) -> Facts:
        asked.append(control)
        return FACTS

    monkeypatch.setattr(doctor, "survey", survey)
    run(config)
    run(config, before=("--socket", "/other.sock"))
    assert asked == [config.parent / "c.sock", Path("/other.sock")]


def test_without_a_name_the_file_is_the_one_that_the_running_daemon_was_started_with(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def survey(
        *_: object, file: str, control: Path, is_file_of_running: bool, **__: object
    ) -> Facts:
        asked.append((file, control, is_file_of_running))
        return replace(FACTS, file=file, is_file_of_running=is_file_of_running)

    def told_at(socket: Path) -> Path | None:
        return config if socket == Path("/named.sock") else None

    monkeypatch.setattr(doctor, "survey", survey)
    monkeypatch.setattr(doctor, "file_of", told_at)
    found = CliRunner().invoke(main, ["--socket", "/named.sock", "doctor"])
    assert asked == [(str(config), Path("/named.sock"), True)]
    assert f"{config}, which the running ramsterd was started with, is right: node" in found.stdout
    # A name that the operator gives counts more.
    _, text = run(config, before=("--socket", "/named.sock"))
    assert asked[1:] == [(str(config), Path("/named.sock"), False)]
    assert f"{config} is right: node" in text


def test_without_a_daemon_and_a_name_the_usual_file_is_read_and_named(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(file: Path) -> NoReturn:
        raise ConfigError(str(file), "", NO_FILE, "a readable TOML file")

    monkeypatch.setattr(doctor, "load_node", load)
    found = CliRunner().invoke(main, ["--socket", str(tmp_path / "none.sock"), "doctor"])
    assert found.exit_code == 2
    first, second, third, _ = found.stdout.splitlines()
    assert first.endswith("ramsterd does not start with /etc/ramster/ramsterd.toml")
    assert second.strip().startswith("found no such file")
    assert third.strip() == "type: ramsterctl doctor --config FILE, with the file of this node"


def test_lines_that_change_the_machine_at_once_are_typed_once_and_checked_again(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = tmp_path / "done"

    def judge(*_: object, **__: object) -> list[Finding]:
        if done.exists():
            return [ok("min-free", "much"), ok("watermark-boost", "0"), LACKING]
        typed = replace(LACKING, fix=f"echo typed >>{done}", applies_now=True)
        return [replace(typed, check=check) for check in ("min-free", "watermark-boost")] + [
            LACKING
        ]

    monkeypatch.setattr(doctor, "survey", lambda *_, **__: FACTS)
    monkeypatch.setattr(doctor, "judge", judge)
    status, text = run(config, "--own-host", "--apply")
    assert done.read_text() == "typed\n"
    assert status == 2
    assert text.splitlines()[-1] == "3 checks: 1 error, 0 warnings, 2 ok"


@pytest.mark.parametrize(
    ("line", "words"), [("echo no >&2; false", "no"), ("exit 3", "exit status 3")]
)
def test_a_line_that_fails_is_told(line: str, words: str) -> None:
    assert list(apply_lines([replace(LACKING, fix=line, applies_now=True)])) == [(line, words)]


def test_what_needs_a_restart_is_left_to_an_operator() -> None:
    assert not list(apply_lines([LACKING]))


def test_files_that_are_wrong_are_the_only_finding(tmp_path: Path) -> None:
    status, text = run(tmp_path / "none.toml", "--swap")
    assert status == 2
    first, second, third, last = text.splitlines()
    assert first == f"ERROR    config  ramsterd does not start with {tmp_path}/none.toml"
    assert second.strip() == "found no such file, expected a readable TOML file"
    assert third.strip().endswith(f"ramsterd check-config --config {tmp_path}/none.toml")
    assert last == "1 check: 1 error, 0 warnings, 0 ok"


def test_what_is_around_the_daemon_is_looked_at_unless_the_operator_says_so(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    looked: list[Path | None] = []

    def look(_: Facts, control: Path | None) -> Surroundings:
        looked.append(control)
        return AROUND

    monkeypatch.setattr(doctor, "survey", lambda *_, **__: CURRENT)
    monkeypatch.setattr(doctor, "look_around", look)
    _, text = run(config)
    assert text.splitlines()[-1] == "17 checks: 0 errors, 0 warnings, 17 ok"
    assert looked == [config.parent / "c.sock"]
    _, text = run(config, "--local")
    assert text.splitlines()[-1] == "5 checks: 0 errors, 0 warnings, 5 ok"
    assert len(looked) == 1


def test_the_mistake_is_named_with_its_key(config: Path) -> None:
    config.write_text(config.read_text().replace('budget = "8MiB"', "budget = 1"))
    status, text = run(config)
    assert status == 2
    assert "(memory.budget)" in text


def test_a_real_machine_is_looked_at_before_a_start(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    status, text = run(config, "--own-host", "-o", "json")
    checks = {each["check"]: each for each in json.loads(text)["checks"]}
    assert status == {"ok": 0, "warning": 1, "error": 2}[json.loads(text)["state"]]
    assert "does not run" in checks["daemon"]["found"]
    assert checks["exports"]["state"] == "error"
