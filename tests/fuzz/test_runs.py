"""What a run says and how it ends; the fuzzing engine itself is not needed."""

import shutil
from pathlib import Path

import pytest

from tests.fuzz import __main__ as command, runs
from tests.fuzz.findings import Findings
from tests.fuzz.runs import Run, quoted
from tests.fuzz.target import CORPUS

LOG = "#9 pulse  cov: 7 ft: 9\n#12 DONE  cov: 8 ft: 9\nstat::number_of_executed_units: 1234567\n"


def fail(number: int) -> None:
    if number % 2:
        raise ValueError(number)
    raise KeyError(number)


def note(findings: Findings, data: bytes, number: int) -> None:
    try:
        fail(number)
    except (ValueError, KeyError) as error:
        findings.note(data, error)


def test_of_inputs_that_fail_alike_the_shortest_is_kept(tmp_path: Path) -> None:
    findings = Findings(tmp_path)
    for data, number in ((b"long", 1), (b"x", 3), (b"longer", 5), (b"other", 2)):
        note(findings, data, number)
    kept = {path.read_bytes() for path in tmp_path.glob("*.input")}
    assert kept == {b"x", b"other"}
    assert all("Error" in path.with_suffix(".txt").read_text() for path in tmp_path.glob("*.input"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of `frames` that has ended without a finding."""
    monkeypatch.setattr(runs, "BUILD", tmp_path / "build")
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    run = Run("frames", 1)
    run._prepare()
    run._log.write_text(LOG)
    return run


def test_a_run_without_findings_says_what_it_did(run: Run) -> None:
    assert not run.has_failed
    (line,) = run.report().splitlines()
    assert "1,234,567 executions  0 findings" in line
    assert "8 edges" in line


def test_a_finding_comes_with_its_input_and_the_way_to_replay_it(run: Run) -> None:
    note(Findings(run._findings), b"abc", 1)
    (run._findings / "timeout-1").write_bytes(b"")
    assert run.has_failed
    said = run.report()
    (path,) = run._findings.glob("*.input")
    shown = f"build/frames/findings/{path.name}"
    assert "2 findings" in said
    assert f"  ValueError: 1\n    input   {shown} (3 bytes)\n" in said
    assert f"replay  python -m tests.fuzz frames --replay {shown}" in said
    assert "  timeout\n" in said


def test_what_was_found_before_is_tried_again_and_does_not_count_yet(run: Run) -> None:
    note(Findings(run._findings), b"abc", 1)
    run._prepare()
    assert not run.has_failed
    assert [path.read_bytes() for path in run._corpus.iterdir()] == [b"abc"]


def test_a_run_that_never_began_has_failed(run: Run) -> None:
    run._log.write_text("ModuleNotFoundError: No module named 'atheris'\n")
    assert run.has_failed
    assert run.report().endswith("did not run, see build/frames/log")


@pytest.mark.parametrize(("is_found", "status"), [(False, 0), (True, 1)])
def test_the_exit_status_tells_of_findings(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_found: bool, status: int
) -> None:  # fmt: skip
    if is_found:
        note(Findings(run._findings), b"abc", 1)
    monkeypatch.setattr(Run, "finish", lambda run: run)
    assert command.fuzz([run], jobs=1) == status
    assert ("FAILED: frames" in capsys.readouterr().out) == is_found


def test_a_replay_shows_what_an_input_reaches_or_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "inputs"
    shutil.copytree(CORPUS / "frames", folder)
    assert command.replay("frames", [folder]) == 0
    assert "seed-put: body, reply, type 17" in capsys.readouterr().out
    monkeypatch.setattr("tests.fuzz.targets.frames.seen", lambda _: fail(1))
    assert command.replay("frames", [folder / "seed-put"]) == 1
    assert "seed-put: FAILED" in capsys.readouterr().out


def test_a_token_may_be_any_bytes() -> None:
    assert quoted(b'"\\\n') == r'"\x22\x5c\x0a"'
