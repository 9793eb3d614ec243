"""`python -m tests.simulation`: a line for each seed that fails, a summary, and an exit status."""

from collections import Counter

import pytest

from tests.simulation import __main__ as command
from tests.simulation.seeds import Outcome, describe, run_seed
from tests.simulation.storm import STEPS, Storm


def outcome_of(seed: int, *, steps: int = STEPS) -> Outcome:
    """Return what a run would; every third seed fails."""
    failure = "" if seed % 3 else "AssertionError: page 7 is none of {0} (checking_clients.py:1)"
    return Outcome(seed, "a mix", 2.5, Counter(STORED=10), ["a line", "another"], failure)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run_seed", outcome_of)


def test_each_seed_that_fails_has_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--first", "1", "--seeds", "6"]) == 1
    first, second, summary = capsys.readouterr().out.splitlines()
    assert first == (
        "seed 3 failed at 2.5000 s: AssertionError: page 7 is none of {0} (checking_clients.py:1);"
        " make simulate SEED=3"
    )
    assert second.startswith("seed 6 failed")
    assert summary.startswith("6 seeds, 2 failed; 15 virtual seconds, 60 puts")


def test_good_seeds_leave_the_summary_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--first", "1", "--seeds", "2"]) == 0
    assert capsys.readouterr().out.startswith("2 seeds, 0 failed")


def test_other_steps_are_part_of_the_replay(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--seeds", "1", "--steps", "50"])
    assert "python -m tests.simulation --seed 0 --steps 50" in capsys.readouterr().out


@pytest.mark.parametrize(("first", "status"), [(1, command.INTERRUPTED), (3, 1)])
def test_an_interrupt_sums_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], first: int, status: int
) -> None:
    def run_two(seed: int, *, steps: int) -> Outcome:
        if seed == first + 2:
            raise KeyboardInterrupt
        return outcome_of(seed)

    monkeypatch.setattr(command, "run_seed", run_two)
    assert command.main(["--first", str(first), "--seeds", "9"]) == status
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 seeds,")


@pytest.mark.parametrize(("which", "status"), [(3, 1), (4, 0)])
def test_one_seed_prints_its_trace(
    capsys: pytest.CaptureFixture[str], which: int, status: int
) -> None:
    assert command.main(["--seed", str(which)]) == status
    assert capsys.readouterr().out.splitlines()[:2] == ["a line", "another"]


def int_of(text: str) -> int:
    raise ValueError(f"first\n{text}")


def test_a_failure_is_one_line_that_says_where() -> None:
    with pytest.raises(ValueError, match="first") as raised:
        int_of("x")
    assert describe(raised.value).startswith("ValueError: first (test_command.py:")


def test_a_failing_storm_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(storm: Storm) -> None:
        storm.cluster.note(None, "here")
        raise AssertionError("as it happens")

    monkeypatch.setattr(Storm, "check", fail)
    outcome = run_seed(5, steps=1)
    assert outcome.failure.startswith("AssertionError: as it happens (test_command.py:")
    assert outcome.trace[-1].endswith("here")
