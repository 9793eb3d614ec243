"""Findings, their order and the exit status."""

import pytest

from ramsterd.doctor.findings import EXIT_STATUS, Finding, State, ok, worst, worst_first

WARNING = Finding(check="b", state=State.WARNING, risk="r", found="f", expected="e", fix="x")
ERROR = Finding(check="c", state=State.ERROR, risk="r", found="f", expected="e", fix="x")
OK = ok("a", "fine")


def test_the_worst_is_first_and_equals_stay_in_order() -> None:
    second = ok("d", "fine too")
    assert worst_first([OK, WARNING, second, ERROR]) == [ERROR, WARNING, OK, second]


@pytest.mark.parametrize(
    ("findings", "status"), [([], 0), ([OK], 0), ([OK, WARNING], 1), ([WARNING, ERROR, OK], 2)]
)
def test_the_exit_status_is_of_the_worst(findings: list[Finding], status: int) -> None:
    assert EXIT_STATUS[worst(findings)] == status


def test_what_is_not_ok_has_a_line_to_type() -> None:
    with pytest.raises(AssertionError):
        Finding(check="a", state=State.ERROR, risk="r", found="f", expected="e")
    with pytest.raises(AssertionError):
        Finding(check="a", state=State.OK, found="f", fix="type this")


def test_a_finding_says_what_gets_worse_first() -> None:
    assert str(ERROR) == "r: found f, expected e"
    assert str(OK) == "fine"
