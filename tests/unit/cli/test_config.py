"""`ramsterctl config reload`: it waits, and tells the outcome."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ramsterd.cli import config
from ramsterd.cli.config import config_group
from ramsterd.cli.target import Target

TARGET = Target(Path("socket"))


def state(total: int, **more: object) -> dict[str, object]:
    return {
        "reloads_total": total,
        "applied": [],
        "loaded": [],
        "needs_restart": [],
        "problems": [],
        "warnings": [],
        **more,
    }


def run(*states: dict[str, object], more: tuple[str, ...] = ()) -> Result:
    left = list(states)

    def ask(target: Target, command: str) -> Any:
        if command == "config-reload":
            return {"reload": 3}
        assert command == "config"
        return left.pop(0) if len(left) > 1 else left[0]

    return CliRunner().invoke(config_group(ask), ["reload", *more], obj=TARGET)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "POLL_SECONDS", 0)


def test_it_waits_for_its_own_reload_and_tells_what_became_of_it() -> None:
    done = state(3, applied=["log.level: 'debug', was 'info'"], needs_restart=["node: a, b"])
    result = run(state(2, problems=["of the one before"]), done)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "applied: log.level: 'debug', was 'info'\nneeds a restart: node: a, b\n"
    )
    assert (
        json.loads(
            run(
                done,
                more=(
                    "-o",
                    "json",
                ),
            ).stdout
        )
        == done
    )


def test_a_file_that_is_wrong_is_an_error() -> None:
    result = run(state(3, problems=["f: log.level: found 'loud', expected 'info'"]))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "ramsterctl: f: log.level: found 'loud', expected 'info'\n"


def test_what_waits_for_a_restart_is_no_half_success_of_a_reload_that_failed() -> None:
    result = run(state(3, problems=["f: wrong"], needs_restart=["memory.budget: 1GiB"]))
    assert (result.exit_code, result.stdout) == (1, "")


def test_a_new_certificate_is_told() -> None:
    assert run(state(3, loaded=["the new certificate is loaded"])).stdout == (
        "the new certificate is loaded\n"
    )


def test_what_is_not_taken_over_is_a_warning() -> None:
    result = run(state(3, warnings=["the cluster file was changed by hand"]))
    assert result.exit_code == 0
    assert result.stderr == "warning: the cluster file was changed by hand\n"


def test_nothing_to_do_is_said() -> None:
    assert run(state(4)).stdout == (
        "no key of ramsterd.toml has changed, and no certificate or key is new\n"
    )


def test_a_disk_that_takes_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "RELOAD_SECONDS_MAX", 0)
    result = run(state(2))
    assert result.exit_code == 1
    assert "no reload within 0 s" in result.stderr
