"""`ramsterctl verify`: it begins jobs, and ends as they do."""

import json

import pytest

from ramsterd.cli import job_watching
from ramsterd.cli.verify import verify_command
from tests.fakes.job_daemon import Daemon, done, running


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_watching, "POLL_SECONDS", 0)


def test_each_job_ends_in_its_line() -> None:
    daemon = Daemon({"jobs": ["verify-1", "verify-2"]}, running(), done(), done(state="failed"))
    result = daemon.run(verify_command(daemon.ask), "--invariants", "-m", "strange reads")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 2
    assert daemon.asked[0] == ("verify", {"invariants": True, "reason": "strange reads"})


def test_detached_it_prints_the_names() -> None:
    daemon = Daemon({"jobs": ["verify-1"]})
    result = daemon.run(verify_command(daemon.ask), "--detach")
    assert (result.exit_code, result.output) == (0, "verify-1\n")


def test_json_has_the_figures_and_how_each_job_ended() -> None:
    status = {"engine": {"scrub": {"corrupt": 0}, "audit": {"problem": ""}}}
    for more, tables in (((), {}), (("--invariants",), {"tables": {"problem": ""}})):
        daemon = Daemon({"jobs": ["verify-1"]}, done(), status)
        result = daemon.run(verify_command(daemon.ask), "-o", "json", *more)
        assert json.loads(result.output) == {"corrupt": 0, **tables, "jobs": [done()]}


def test_detached_json_has_how_each_job_stands() -> None:
    status = {"engine": {"scrub": {"corrupt": 0}, "audit": {"problem": ""}}}
    daemon = Daemon({"jobs": ["verify-1"]}, running(), status)
    result = daemon.run(verify_command(daemon.ask), "--detach", "-o", "json")
    assert json.loads(result.output) == {"corrupt": 0, "jobs": [running()]}
    assert result.exit_code == 0
